//! One datagram a system call: for systems without calls for many (macOS, NetBSD), and the measure of those.
//!
//! Nothing but safe calls of std and nix. On a socket that has many addresses, nix allocates a few octets for the
//! control message of each reply.
//!
//! Knows nothing of what datagrams hold.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg,
};

use super::{Datagrams, NOBODY, QUERY_OCTETS_MAX, Socket};

/// One datagram at a time.
#[derive(Debug)]
pub struct Single {
    socket: Socket,
    /// Room for control messages, where the socket has many addresses.
    control: Option<Vec<u8>>,
    query: Box<[u8]>,
    query_len: usize,
    from: SocketAddr,
    asked: Option<Asked>,
    reply: Vec<u8>,
}

/// What a reply needs to leave from the address asked.
#[derive(Debug, Clone, Copy)]
enum Asked {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
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

    /// Sends the reply that was put down.
    fn send_reply(&self) -> io::Result<()> {
        let to = SockaddrStorage::from(self.from);
        let send = |control: &[ControlMessage<'_>]| {
            let octets = [IoSlice::new(&self.reply)];
            let descriptor = self.socket.descriptor();
            sendmsg(descriptor, &octets, control, MsgFlags::MSG_DONTWAIT, Some(&to))
        };
        // The interface is left to the routes: the way back need not be the way the query came.
        match self.asked {
            None => send(&[])?,
            Some(Asked::V4(info)) => {
                let info = libc::in_pktinfo { ipi_ifindex: 0, ..info };
                send(&[ControlMessage::Ipv4PacketInfo(&info)])?
            }
            Some(Asked::V6(info)) => {
                let info = libc::in6_pktinfo { ipi6_ifindex: 0, ..info };
                send(&[ControlMessage::Ipv6PacketInfo(&info)])?
            }
        };
        Ok(())
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
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(Asked::V4(info)),
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(Asked::V6(info)),
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
        match self.asked? {
            Asked::V4(info) => Some(IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes())),
            Asked::V6(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
        }
    }

    fn reply(&mut self, _: usize, octets: &[u8]) {
        self.reply.clear();
        self.reply.extend_from_slice(octets);
    }

    fn send(&mut self) -> usize {
        if self.reply.is_empty() {
            return 0;
        }
        let sent = self.send_reply();
        self.reply.clear();
        usize::from(sent.is_err())
    }
}
