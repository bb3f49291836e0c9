//! A UDP socket whose replies leave from the address that was asked.
//!
//! A socket bound to one address does that by itself. One bound to the wildcard does not: the system would
//! choose the source by route, and clients drop an answer from a stranger. There the address asked comes with
//! each datagram (`IP_PKTINFO`) and goes with its reply.
//!
//! Knows nothing of what datagrams hold.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};

/// How long [`Datagrams::receive`] waits at most: so soon does a worker see that it is to stop.
const WAIT: Duration = Duration::from_millis(100);

/// The socket.
#[derive(Debug)]
pub(super) struct Datagrams {
    socket: UdpSocket,
    /// The address it is bound to.
    address: SocketAddr,
    /// Room for control messages, where the socket is bound to the wildcard.
    control: Option<Vec<u8>>,
}

/// What was received.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    /// Octets of the datagram.
    pub(super) len: usize,
    /// Who sent it.
    pub(super) from: SocketAddr,
    /// The address that it was sent to, where the socket has many.
    asked: Option<Asked>,
}

/// What a reply needs to leave from the address asked.
#[derive(Debug, Clone, Copy)]
enum Asked {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Received {
    #[cfg(test)]
    pub(super) fn plain(len: usize, from: SocketAddr) -> Self {
        Self { len, from, asked: None }
    }

    /// The address that was asked, where the socket has many.
    pub(super) fn asked(&self) -> Option<IpAddr> {
        match self.asked? {
            Asked::V4(info) => Some(IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes())),
            Asked::V6(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
        }
    }
}

impl Datagrams {
    /// A socket that is bound to that address.
    pub(super) fn new(socket: UdpSocket, address: SocketAddr) -> io::Result<Self> {
        socket.set_read_timeout(Some(WAIT))?;
        let control = if address.ip().is_unspecified() {
            if address.is_ipv4() {
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            } else {
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
            Some(nix::cmsg_space!(libc::in6_pktinfo))
        } else {
            None
        };
        Ok(Self { socket, address, control })
    }

    /// The address it is bound to.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits a short while for one datagram.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let Some(control) = &mut self.control else {
            let (len, from) = self.socket.recv_from(buffer)?;
            return Ok(Received { len, from, asked: None });
        };
        let mut slices = [IoSliceMut::new(buffer)];
        let message = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut slices,
            Some(control),
            MsgFlags::empty(),
        )?;
        let asked = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(Asked::V4(info)),
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(Asked::V6(info)),
            _ => None,
        });
        let from = message
            .address
            .and_then(|address| {
                let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::from(*v4));
                v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::from(*v6)))
            })
            .ok_or_else(|| io::Error::other("datagram without a source address"))?;
        Ok(Received { len: message.bytes, from, asked })
    }

    /// Answers one datagram.
    pub(super) fn reply(&self, to: &Received, octets: &[u8]) -> io::Result<()> {
        let Some(asked) = to.asked else {
            return self.socket.send_to(octets, to.from).map(drop);
        };
        let send = |control| {
            let (socket, to) = (self.socket.as_raw_fd(), SockaddrStorage::from(to.from));
            sendmsg(socket, &[IoSlice::new(octets)], &[control], MsgFlags::empty(), Some(&to))
        };
        // The interface is left to the routes: the way back need not be the way the query came.
        match asked {
            Asked::V4(info) => {
                let info = libc::in_pktinfo { ipi_ifindex: 0, ..info };
                send(ControlMessage::Ipv4PacketInfo(&info))?;
            }
            Asked::V6(info) => {
                let info = libc::in6_pktinfo { ipi6_ifindex: 0, ..info };
                send(ControlMessage::Ipv6PacketInfo(&info))?;
            }
        }
        Ok(())
    }
}
