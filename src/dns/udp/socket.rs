//! A bound UDP socket, ready for [`Datagrams`](super::Datagrams).
//!
//! Knows nothing of how datagrams are received and sent.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg, setsockopt, sockopt};

/// How long to wait for a datagram at most: so soon does a worker see that it is to stop.
const WAIT: Duration = Duration::from_millis(100);

/// The socket.
#[derive(Debug)]
pub struct Socket {
    pub(in crate::dns) socket: UdpSocket,
    pub(super) address: SocketAddr,
}

impl Socket {
    /// Of a bound one. Whoever receives from it waits for 100 ms at most; where it is bound to all addresses,
    /// each datagram says which one was asked.
    ///
    /// # Errors
    /// It is not bound, or does not take an option.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        let address = socket.local_addr()?;
        socket.set_read_timeout(Some(WAIT))?;
        match address {
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            }
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
            _ => {}
        }
        Ok(Self { socket, address })
    }

    /// Whether it is bound to all addresses.
    pub(super) fn has_many_addresses(&self) -> bool {
        self.address.ip().is_unspecified()
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Sends replies of this socket later, and from anywhere.
    pub(in crate::dns) fn replier(&self) -> io::Result<Replier> {
        Ok(Replier { socket: self.socket.try_clone()? })
    }
}

/// Sends replies that are not ready when their batch is.
#[derive(Debug)]
pub(in crate::dns) struct Replier {
    socket: UdpSocket,
}

impl Replier {
    /// Sends one without waiting, from the address that was asked where the socket has many.
    pub(in crate::dns) fn send(
        &self,
        octets: &[u8],
        to: SocketAddr,
        asked: Option<IpAddr>,
    ) -> io::Result<()> {
        send(self.socket.as_raw_fd(), octets, to, asked)
    }
}

/// Sends a datagram without waiting, from that address if one is given. The interface is left to the routes: the way
/// back need not be the way the query came.
pub(super) fn send(
    descriptor: RawFd,
    octets: &[u8],
    to: SocketAddr,
    from: Option<IpAddr>,
) -> io::Result<()> {
    let to = SockaddrStorage::from(to);
    let octets = [IoSlice::new(octets)];
    let send = |control: &[ControlMessage<'_>]| {
        sendmsg(descriptor, &octets, control, MsgFlags::MSG_DONTWAIT, Some(&to))
    };
    match from {
        None => send(&[])?,
        Some(IpAddr::V4(v4)) => {
            let octets = u32::from_ne_bytes(v4.octets());
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: octets },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            send(&[ControlMessage::Ipv4PacketInfo(&info)])?
        }
        Some(IpAddr::V6(v6)) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: v6.octets() },
                ipi6_ifindex: 0,
            };
            send(&[ControlMessage::Ipv6PacketInfo(&info)])?
        }
    };
    Ok(())
}
