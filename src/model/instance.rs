//! One running copy of an app, and what it offers.
//!
//! Knows nothing of how it was written down or who holds it alive.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use super::name::{Label, Protocol};

/// What an instance may hold at most, so that everything downstream is bounded (law 8, docs/architecture.md).
pub mod limits {
    /// Addresses of an instance, and of an endpoint with its own.
    pub const ADDRESSES_MAX: usize = 16;
    /// Endpoints of an instance.
    pub const ENDPOINTS_MAX: usize = 16;
    /// Tags of an instance.
    pub const TAGS_MAX: usize = 16;
    /// Pairs of meta data.
    pub const META_PAIRS_MAX: usize = 32;
    /// Octets of one pair written `key=value`: a TXT string's length (RFC 1035 section 3.3).
    pub const META_PAIR_OCTETS_MAX: usize = 255;
    /// Octets of all pairs together: TXT records are to fit one packet (RFC 6763 section 6.2).
    pub const META_OCTETS_MAX: usize = 1_300;
    /// Instances of one app.
    pub const INSTANCES_MAX: usize = 10_000;
    /// Shortest lease in seconds: etcd's own floor is near it, and a heartbeat is due at a third.
    pub const TTL_SECS_MIN: u32 = 2;
    /// Longest lease in seconds.
    pub const TTL_SECS_MAX: u32 = 3_600;
    /// The lease of those who name none, in seconds.
    pub const TTL_SECS_DEFAULT: u32 = 30;
    /// SRV priority of those who name none (RFC 2782: lower is asked first).
    pub const PRIORITY_DEFAULT: u16 = 10;
    /// Weight of those who name none.
    pub const WEIGHT_DEFAULT: u16 = 100;
}

/// An instance within its limits.
///
/// Invariants, held by [`super::Spec::resolve`] and by the layouts: at least one endpoint, and at least one
/// address or a host; no more of anything than [`limits`] allows; no address and no tag twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Where it listens. Empty only for one that is known by `host` (foreign layouts).
    pub addresses: Vec<IpAddr>,
    /// The host name it is known by instead of an address (foreign layouts only).
    pub host: Option<Arc<str>>,
    /// What it offers.
    pub endpoints: Vec<Endpoint>,
    /// Share of traffic; 0 means no new traffic.
    pub weight: u16,
    /// SRV priority: clients use the lowest number that answers (RFC 2782).
    pub priority: u16,
    /// Names of subsets that it belongs to.
    pub tags: Vec<Label>,
    /// What else its owner tells; served as TXT.
    pub meta: BTreeMap<Arc<str>, Arc<str>>,
    /// The lease its owner asked for, in seconds; none for a permanent registration.
    pub ttl: Option<u32>,
}

/// One thing an instance offers: a protocol over a transport on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// What it speaks.
    pub protocol: Protocol,
    /// What carries it.
    pub transport: Transport,
    /// Its port, never 0.
    pub port: u16,
    /// Addresses of its own; empty means the instance's.
    pub addresses: Vec<IpAddr>,
    /// A weight of its own; none means the instance's.
    pub weight: Option<u16>,
}

/// The transports that a service label may name (RFC 2782, RFC 6335).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Transport {
    /// `_tcp`
    #[default]
    Tcp,
    /// `_udp`
    Udp,
    /// `_sctp`
    Sctp,
}

impl Transport {
    /// Its name without the underscore.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix('_').unwrap_or(text).to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(format!("is {text:?}, only tcp, udp and sctp are known")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_are_those_that_service_labels_name() {
        for (text, transport) in [
            ("tcp", Transport::Tcp),
            ("_tcp", Transport::Tcp),
            ("UDP", Transport::Udp),
            ("_Sctp", Transport::Sctp),
        ] {
            assert_eq!(text.parse(), Ok(transport));
            assert_eq!(transport.to_string().parse(), Ok(transport));
        }
        for text in ["", "_", "__tcp", "tls", "tcp "] {
            let error = text.parse::<Transport>().unwrap_err();
            assert_eq!(error, format!("is {text:?}, only tcp, udp and sctp are known"));
        }
        assert_eq!(Transport::default(), Transport::Tcp);
    }
}
