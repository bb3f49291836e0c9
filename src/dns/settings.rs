//! What an operator says about the DNS side.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::answer::cookie::{SECRET_OCTETS, Secrets};
use super::answer::policy::Policy;
use super::forward;
use super::limit::Limits;
use crate::tls::Identity;

/// DNS settings. The bounds of each field are beside its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Addresses to listen on, UDP and TCP alike. Port 0 takes a free one (the same for both).
    pub listen: Vec<SocketAddr>,
    /// Largest UDP reply in octets, 512 to 8192. The default is DNS Flag Day 2020's: it survives any path.
    pub udp_octets_max: u16,
    /// Whether cookies are answered; otherwise they are ignored.
    pub cookies: bool,
    /// What they are made with; none: a secret of this start's own.
    pub cookie_secrets: Option<Secrets>,
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
    /// TCP connections at once from one client: an IPv4 address, or a /64 of IPv6.
    pub tcp_connections_per_client_max: usize,
    /// How long a TCP connection may be idle (RFC 7766 section 6.2.3).
    pub tcp_idle: Duration,
    /// How long one message may take to arrive whole, or one reply to be taken.
    pub tcp_message: Duration,
    /// DNS over TLS (RFC 7858), with the limits of TCP but connections of its own; none: off.
    pub tls: Option<Secure>,
    /// DNS over HTTPS (RFC 8484), likewise; none: off.
    pub https: Option<Https>,
    /// DNS over QUIC (RFC 9250), carried by hickory's server; none: off.
    pub quic: Option<Secure>,
    /// DNS over HTTP/3, likewise; none: off.
    pub h3: Option<Secure>,
}

/// A transport under TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secure {
    /// Addresses to listen on. Port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Who we are.
    pub identity: Arc<Identity>,
}

/// DNS over HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Https {
    /// Addresses to listen on. Port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Where messages are sent to.
    pub path: String,
    /// Who we are; none: HTTP without TLS, for a proxy that has it.
    pub identity: Option<Arc<Identity>>,
}

impl Https {
    /// The path that clients try (RFC 8484 section 4.1, by its examples).
    pub const PATH: &str = "/dns-query";
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
    /// The rules for answers that these settings make. `secret` are random octets.
    #[must_use]
    pub fn policy(&self, secret: [u8; SECRET_OCTETS]) -> Policy {
        let secrets = || self.cookie_secrets.clone().unwrap_or_else(|| Secrets::new(secret, None));
        Policy {
            udp_octets_max: self.udp_octets_max,
            cookies: self.cookies.then(secrets),
            forward_for: None,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 1053))],
            udp_octets_max: 1232,
            cookies: true,
            cookie_secrets: None,
            forward: None,
            limits: Limits::default(),
            udp_workers: 0,
            udp_calls: UdpCalls::Batched,
            tcp_connections_max: 1_000,
            tcp_connections_per_client_max: 100,
            tcp_idle: Duration::from_secs(10),
            tcp_message: Duration::from_secs(10),
            tls: None,
            https: None,
            quic: None,
            h3: None,
        }
    }
}
