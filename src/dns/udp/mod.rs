//! DNS in datagrams: threads that receive, answer and send, many datagrams a system call where the system can.
//!
//! ```text
//! worker   a thread: receive, answer each, send                knows no system call
//!   |  \   ahead: the questions of a batch are read, and what is needed for them fetched
//!   |      through `Datagrams`
//! batch    up to 64 datagrams a call, Linux                    knows no thread
//! single   one datagram a call, macOS, NetBSD and Linux        knows no thread
//!   |
//! socket   bound, and says which address was asked             knows neither
//! ```
//!
//! Workers share a port by SO_REUSEPORT; the system spreads clients over them.
//!
//! Knows nothing of what an answer holds.

mod ahead;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod batch;
mod single;
mod socket;
#[cfg(test)]
mod tests;
mod worker;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use self::batch::Batch;
pub use self::single::Single;
/// This system has no calls for many datagrams, or none that were tried.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use self::single::Single as Batch;
pub(super) use self::socket::Replier;
pub use self::socket::Socket;
pub(super) use self::worker::{Forward, Worker};

/// Octets of a query that are looked at. Queries take some 50, with every option in use less than 1,000; what
/// is longer is cut on its way in, and then answered as any message that ends too early. Room for all that UDP
/// can carry would let strangers fill 4 MiB for each worker. A cache line more than a page, so that the
/// beginnings of queries do not all fall on the same few lines of the cache.
pub const QUERY_OCTETS_MAX: usize = 4_096 + 64;

/// Datagrams of one turn. With 64 the calls themselves are a fiftieth of what a datagram costs.
pub const DATAGRAMS_MAX: usize = 64;

/// The sender of a datagram of which the system does not say who sent it: nobody can send from port 0.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Datagrams in turns: some are received, each may get a reply, all replies are sent.
///
/// A reply leaves from the address that was asked. A socket bound to one address does that by itself; one bound
/// to the wildcard does not: the system would choose the source by route, and clients drop an answer from a
/// stranger. There the address asked comes with each datagram and goes with its reply.
pub trait Datagrams {
    /// The address of the socket.
    fn address(&self) -> SocketAddr;

    /// Waits a short while ([`Socket::new`]) for datagrams, and tells how many came: [`DATAGRAMS_MAX`] at most.
    /// Forgets those of the last turn.
    ///
    /// # Errors
    /// Nothing came, or the system's word on what went wrong.
    fn receive(&mut self) -> io::Result<usize>;

    /// The octets of one, counted from 0; none for one that did not come.
    fn query(&self, at: usize) -> &[u8];

    /// Who sent it; port 0 where the system did not say.
    fn from(&self, at: usize) -> SocketAddr;

    /// The address that it was sent to, where the socket has many.
    fn asked(&self, at: usize) -> Option<IpAddr>;

    /// Puts down a reply to it, to be sent with the others.
    fn reply(&mut self, at: usize, octets: &[u8]);

    /// Sends all replies without waiting, and tells how many did not go: a source that has no route, a
    /// firewall, a full queue. Any of that a client can bring about, so that none of it keeps the others back.
    fn send(&mut self) -> usize;
}
