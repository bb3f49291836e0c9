//! Questions to a DNS server as octets, and the one address that an answer is about.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// An address record (RFC 1035 section 3.2.2).
pub(crate) const A: u16 = 1;
/// A server selection record (RFC 2782).
pub(crate) const SRV: u16 = 33;

/// A question with EDNS; its id is 0.
pub(crate) fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut octets = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        octets.push(u8::try_from(label.len()).expect("a label"));
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    octets.extend(kind.to_be_bytes());
    // Class IN, and an OPT record that offers 1232 octets (RFC 6891).
    octets.extend([0, 1, 0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    octets
}

/// One who waits for each answer before it asks again.
pub(crate) struct Asker {
    socket: UdpSocket,
}

impl Asker {
    pub(crate) fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(server).expect("loopback");
        // A lost datagram costs this and is asked again.
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
        Self { socket }
    }

    /// The address in the first record of the answer; none where there is none, or no answer.
    pub(crate) fn address(&self, question: &[u8]) -> Option<Ipv4Addr> {
        self.socket.send(question).ok()?;
        let mut octets = [0; 1_500];
        let len = self.socket.recv(&mut octets).ok()?;
        let answer = octets.get(..len)?;
        // Behind the question: a pointer, type, class, TTL, length, and the address.
        let record = answer.get(question.len() - 11..)?;
        let answers = u16::from_be_bytes([answer[6], answer[7]]);
        let [a, b, c, d] = *record.get(12..16)?.first_chunk()?;
        (answers > 0 && record.get(10..12)? == [0, 4]).then(|| Ipv4Addr::new(a, b, c, d))
    }
}
