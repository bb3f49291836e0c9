//! One datagram a system call: for systems without calls for many (macOS, NetBSD), and the measure of those.
//!
//! Nothing but safe calls of std and nix. On a socket that has many addresses, nix allocates a few octets for the
//! control message of each reply.
//!
//! Knows nothing of what datagrams hold.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};

use super::{Datagrams, NOBODY, QUERY_OCTETS_MAX, Socket, socket};

/// One datagram at a time.
#[derive(Debug)]
pub struct Single {
    socket: Socket,
    /// Room for control messages, where the socket has many addresses.
    control: Option<Vec<u8>>,
    query: Box<[u8]>,
    query_len: usize,
    from: SocketAddr,
    asked: Option<IpAddr>,
    reply: Vec<u8>,
}

impl Single {
    /// With room for a reply of that many octets.
    #[must_use]
    pub fn new(socket: Socket, reply_octets_max: usize) -> Self {
        let control = socket.has_many_addresses().then(|| nix::cmsg_space!(libc::in6_pktinfo));
        Self {
            socket,
            control,
            query: vec![0; QUERY_OCTETS_MAX].into(),
            query_len: 0,
            from: NOBODY,
            asked: None,
            reply: Vec::with_capacity(reply_octets_max),
        }
    }
}

impl Datagrams for Single {
    fn address(&self) -> SocketAddr {
        self.socket.address
    }

    fn receive(&mut self) -> io::Result<usize> {
        self.query_len = 0;
        self.reply.clear();
        let Some(control) = &mut self.control else {
            (self.query_len, self.from) = self.socket.socket.recv_from(&mut self.query)?;
            return Ok(1);
        };
        let mut parts = [IoSliceMut::new(&mut self.query)];
        let descriptor = self.socket.descriptor();
        let message =
            recvmsg::<SockaddrStorage>(descriptor, &mut parts, Some(control), MsgFlags::empty())?;
        self.asked = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some(IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
            _ => None,
        });
        let from = message.address.and_then(|address| {
            let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::from(*v4));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::from(*v6)))
        });
        self.from = from.unwrap_or(NOBODY);
        self.query_len = message.bytes;
        Ok(1)
    }

    fn query(&self, at: usize) -> &[u8] {
        if at == 0 { &self.query[..self.query_len] } else { &[] }
    }

    fn from(&self, _: usize) -> SocketAddr {
        self.from
    }

    fn asked(&self, _: usize) -> Option<IpAddr> {
        self.asked
    }

    fn reply(&mut self, _: usize, octets: &[u8]) {
        self.reply.clear();
        self.reply.extend_from_slice(octets);
    }

    fn send(&mut self) -> usize {
        if self.reply.is_empty() {
            return 0;
        }
        let sent = socket::send(self.socket.descriptor(), &self.reply, self.from, self.asked);
        self.reply.clear();
        usize::from(sent.is_err())
    }
}
