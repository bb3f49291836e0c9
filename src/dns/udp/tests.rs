//! Both ways of calling the system, by the same tests; and the worker, by datagrams that no socket carries.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::{Batch, Datagrams, QUERY_OCTETS_MAX, Single, Socket};

/// How long anything may take that happens at once on an idle machine.
const DEADLINE: Duration = Duration::from_secs(20);

fn bound(address: &str) -> Socket {
    Socket::new(UdpSocket::bind(address).unwrap()).unwrap()
}

/// A client that hears that address alone.
fn client(to: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.connect(to).unwrap();
    client
}

/// Receives until that many have come, and replies to each with its own octets doubled; tells how many came
/// in each turn.
fn echo_twice(datagrams: &mut impl Datagrams, wanted: usize) -> Vec<usize> {
    let mut turns = Vec::new();
    while turns.iter().sum::<usize>() < wanted {
        let Ok(received) = datagrams.receive() else { continue };
        for at in 0..received {
            let twice = datagrams.query(at).repeat(2);
            datagrams.reply(at, &twice);
        }
        assert_eq!(datagrams.send(), 0);
        turns.push(received);
    }
    turns
}

/// Every client asks its own address of a socket, in one turn, and hears its own reply from there.
fn replies_leave_from_the_address_asked(datagrams: &mut impl Datagrams, hosts: &[&str]) {
    let port = datagrams.address().port();
    let clients: Vec<_> = (0..10)
        .flat_map(|_| hosts)
        .map(|host| client(SocketAddr::new(host.parse().unwrap(), port)))
        .collect();
    for (number, client) in (0_u8..).zip(&clients) {
        client.send(&vec![number; 1 + usize::from(number)]).unwrap();
    }
    let turns = echo_twice(datagrams, clients.len());
    assert_eq!(turns.iter().sum::<usize>(), clients.len());
    for (number, client) in (0_u8..).zip(&clients) {
        let mut reply = [0; 512];
        let len = client.recv(&mut reply).unwrap();
        assert_eq!(reply[..len], vec![number; 2 * (1 + usize::from(number))]);
    }
}

#[test]
fn replies_of_a_turn_leave_from_the_addresses_asked() {
    let v4 = ["127.0.0.1", "127.0.0.2", "127.1.2.3"];
    for (address, hosts) in
        [("0.0.0.0:0", &v4[..]), ("[::]:0", &["::1"]), ("127.0.0.2:0", &v4[1..2])]
    {
        let reply_octets = 64;
        replies_leave_from_the_address_asked(&mut Single::new(bound(address), reply_octets), hosts);
        replies_leave_from_the_address_asked(&mut Batch::new(bound(address), reply_octets), hosts);
    }
}

/// Who sent a datagram, and to which address, is told as it was.
fn sender_and_address_asked_are_told(datagrams: &mut impl Datagrams, asked: &str) {
    let to = SocketAddr::new(asked.parse().unwrap(), datagrams.address().port());
    let client = client(to);
    client.send(b"x").unwrap();
    assert_eq!(datagrams.receive().unwrap(), 1);
    assert_eq!(datagrams.from(0), client.local_addr().unwrap());
    assert_eq!(datagrams.asked(0), Some(to.ip()));
    assert_eq!(datagrams.query(0), b"x");
    // What did not come is nothing, and gets nothing.
    assert_eq!(datagrams.query(1), b"");
    assert_eq!(datagrams.send(), 0);
}

#[test]
fn a_datagram_says_who_sent_it_and_where_to() {
    for (address, asked) in [("0.0.0.0:0", "127.0.0.3"), ("[::]:0", "::1")] {
        sender_and_address_asked_are_told(&mut Single::new(bound(address), 64), asked);
        sender_and_address_asked_are_told(&mut Batch::new(bound(address), 64), asked);
    }
}

/// Datagrams of any size come, the largest cut, and do not spill into each other.
fn sizes_from_nothing_to_the_largest(datagrams: &mut impl Datagrams) {
    let client = client(datagrams.address());
    for size in [0, 1, QUERY_OCTETS_MAX, QUERY_OCTETS_MAX + 1, 65_507, 12] {
        client.send(&vec![7; size]).unwrap();
        assert_eq!(datagrams.receive().unwrap(), 1);
        assert_eq!(datagrams.query(0), vec![7; size.min(QUERY_OCTETS_MAX)]);
        datagrams.reply(0, &size.to_be_bytes());
        assert_eq!(datagrams.send(), 0);
        let mut reply = [0; 16];
        assert_eq!(client.recv(&mut reply).unwrap(), 8);
        assert_eq!(reply[..8], size.to_be_bytes());
    }
}

#[test]
fn a_query_is_cut_to_its_room() {
    sizes_from_nothing_to_the_largest(&mut Single::new(bound("127.0.0.1:0"), 64));
    sizes_from_nothing_to_the_largest(&mut Batch::new(bound("127.0.0.1:0"), 64));
}

/// A reply that can't be sent is counted, and keeps none of the others back.
fn failures_are_skipped(datagrams: &mut impl Datagrams) {
    let client = client(datagrams.address());
    let (good, too_large) = (vec![1; 100], vec![2; 65_508]);
    let replies = [&good, &too_large, &good, &too_large, &too_large, &good];
    for _ in replies {
        client.send(b"x").unwrap();
    }
    let (mut failed, mut done) = (0, 0);
    while done < replies.len() {
        let received = datagrams.receive().unwrap();
        for at in 0..received {
            datagrams.reply(at, replies[done + at]);
        }
        failed += datagrams.send();
        done += received;
    }
    assert_eq!(failed, 3);
    for _ in 0..3 {
        let mut reply = [0; 512];
        let len = client.recv(&mut reply).unwrap();
        assert_eq!(reply[..len], good);
    }
}

#[test]
fn what_can_not_be_sent_keeps_nothing_back() {
    failures_are_skipped(&mut Single::new(bound("127.0.0.1:0"), 64));
    failures_are_skipped(&mut Batch::new(bound("127.0.0.1:0"), 64));
}

#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn a_batch_takes_what_there_is_and_no_more_than_64() {
    let mut batch = Batch::new(bound("127.0.0.1:0"), 64);
    let client = client(batch.address());
    for _ in 0..70 {
        client.send(b"x").unwrap();
    }
    assert_eq!(echo_twice(&mut batch, 70), [64, 6]);
}
