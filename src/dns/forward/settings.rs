//! What an operator says about forwarding.
//!
//! Knows nothing of how it is written down.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hickory_resolver::proto::rr::Name;

use super::name;
use crate::model::Nets;

/// Forwarding settings. The bounds of each field are where it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whom to ask.
    pub upstreams: Upstreams,
    /// Whom to ask for names below certain others.
    pub domains: Vec<Domain>,
    /// Who may have names looked up.
    pub allow: Nets,
    /// How long a client waits at most; below the 5 s after which clients give up.
    pub timeout: Duration,
    /// Questions that are being asked of upstream servers at once, a quarter of them for one network of clients.
    pub in_flight_max: usize,
    /// Octets that answers which are kept take in memory; 0 keeps none.
    pub cache_octets_max: u64,
}

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstreams {
    /// These.
    Listed(Vec<SocketAddr>),
    /// Those of a file in the form of resolv.conf, for as long as it says so.
    System(PathBuf),
}

impl fmt::Display for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(file) => write!(f, "those of {}", file.display()),
            Self::Listed(addresses) => {
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                f.write_str(&addresses.join(", "))
            }
        }
    }
}

/// Whom to ask for a name, and for all names below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// That name.
    pub name: DomainName,
    /// Them.
    pub upstreams: Vec<SocketAddr>,
}

/// A name as the domain name system has it: any labels, services' among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainName {
    /// Wire form, lower case.
    wire: Box<[u8]>,
}

impl DomainName {
    /// Reads a name; with or without the final dot it is meant from the root.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        Name::from_ascii(text).ok().map(|name| Self { wire: name::lower(&name).into() })
    }

    /// In wire form and lower case, the root label included.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }
}

/// Sockets of one question to one server: a datagram that is repeated has a port of its own each time.
const DESCRIPTORS_OF_SERVER: usize = 3;
/// As many servers does a file in the form of resolv.conf name as a rule, and not many more.
const SYSTEM_SERVERS: usize = 3;

impl Settings {
    /// How many descriptors look-ups have at once when all servers are silent.
    #[must_use]
    pub fn descriptors_max(&self) -> usize {
        self.in_flight_max.saturating_mul(self.descriptors_each())
    }

    /// How many of those one look-up has.
    #[must_use]
    pub fn descriptors_each(&self) -> usize {
        let others = match &self.upstreams {
            Upstreams::Listed(addresses) => addresses.len(),
            Upstreams::System(_) => SYSTEM_SERVERS,
        };
        let domains = self.domains.iter().map(|domain| domain.upstreams.len());
        let servers = domains.fold(others, usize::max);
        servers.saturating_mul(DESCRIPTORS_OF_SERVER)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            upstreams: Upstreams::Listed(Vec::new()),
            domains: Vec::new(),
            allow: Nets::near(),
            timeout: Duration::from_secs(3),
            in_flight_max: 1_000,
            cache_octets_max: 16 << 20,
        }
    }
}
