//! A bound UDP socket, ready for [`Datagrams`](super::Datagrams).
//!
//! Knows nothing of how datagrams are received and sent.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

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
}
