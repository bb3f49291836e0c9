//! What an operator says about the DNS side.

use std::net::SocketAddr;
use std::time::Duration;

use super::cookie::Secrets;
use super::forward;
use super::limit::Limits;
use super::policy::Policy;

/// DNS settings. The bounds of each field are beside its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Addresses to listen on, UDP and TCP alike. Port 0 takes a free one (the same for both).
    pub listen: Vec<SocketAddr>,
    /// Largest UDP reply in octets, 512 to 8192. The default is DNS Flag Day 2020's: it survives any path.
    pub udp_octets_max: u16,
    /// What server cookies are made with; none: cookies are ignored.
    pub cookies: Option<Secrets>,
    /// Where names of others are looked up; none: nowhere.
    pub forward: Option<forward::Settings>,
    /// How replies in datagrams are limited.
    pub limits: Limits,
    /// UDP workers for each address; 0 means one a core.
    pub udp_workers: usize,
    /// How those call the system. Not for operators: tests and benchmarks try both.
    pub udp_calls: UdpCalls,
    /// TCP connections at once in all.
    pub tcp_connections_max: usize,
    /// TCP connections at once from one address.
    pub tcp_connections_per_client_max: usize,
    /// How long a TCP connection may be idle (RFC 7766 section 6.2.3).
    pub tcp_idle: Duration,
    /// How long one message may take to arrive whole, or one reply to be taken.
    pub tcp_message: Duration,
}

/// How datagrams are received and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UdpCalls {
    /// Many a system call, where the system can; else as [`UdpCalls::Single`].
    Batched,
    /// One a system call, as on any system.
    Single,
}

impl Settings {
    /// The rules for answers that these settings make.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            udp_octets_max: self.udp_octets_max,
            cookies: self.cookies.clone(),
            forward_for: None,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 1053))],
            udp_octets_max: 1232,
            cookies: None,
            forward: None,
            limits: Limits::default(),
            udp_workers: 0,
            udp_calls: UdpCalls::Batched,
            tcp_connections_max: 1_000,
            tcp_connections_per_client_max: 100,
            tcp_idle: Duration::from_secs(10),
            tcp_message: Duration::from_secs(10),
        }
    }
}
