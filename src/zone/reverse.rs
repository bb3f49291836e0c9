//! Reverse zones: from addresses back to the instances that have them (RFC 1035 section 3.5, RFC 3596 section 2.5).
//!
//! The name of an address in `in-addr.arpa` or `ip6.arpa` has a PTR record for each live instance on it. A network
//! whose end is the end of a label has a zone of its own; the names of its addresses are read as numbers, and a
//! number that is no address yet stands for all that begin with it: it exists if one of those does.
//!
//! Knows nothing of registrations: the catalogue says what points where.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::fmt;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use foldhash::quality::FixedState;

use super::radix::Radix;
use super::settings::ZoneName;
use super::snapshot::Found;
use super::statics::{RrSet, StaticNode, TYPE_PTR};
use super::wire;

/// Bits of one of the radix tree's digits.
const DIGIT_BITS: u32 = 4;

/// A network whose addresses have names in one reverse zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    family: Family,
    /// The first address.
    first: u128,
    /// How many labels the zone has in front of `in-addr.arpa` or `ip6.arpa`.
    labels: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    /// Bits that a label stands for.
    fn label_bits(self) -> u32 {
        match self {
            Self::V4 => 8,
            Self::V6 => 4,
        }
    }

    /// Labels of a whole address.
    fn labels(self) -> u32 {
        match self {
            Self::V4 => 4,
            Self::V6 => 32,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::V4 => "in-addr.arpa",
            Self::V6 => "ip6.arpa",
        }
    }

    /// What a label says; none where it is not the one way to write that (RFC 1035 section 3.5: no leading zeros).
    fn read(self, label: &[u8]) -> Option<u128> {
        let text = str::from_utf8(label).ok()?;
        let digits = |radix: u32| text.bytes().all(|octet| char::from(octet).is_digit(radix));
        match self {
            Self::V4 if text.len() > 1 && text.starts_with('0') => None,
            Self::V4 => text.parse::<u8>().ok().filter(|_| digits(10)).map(Into::into),
            Self::V6 if text.len() == 1 && digits(16) => u128::from_str_radix(text, 16).ok(),
            Self::V6 => None,
        }
    }

    fn write(self, value: u128) -> String {
        match self {
            Self::V4 => value.to_string(),
            Self::V6 => format!("{value:x}"),
        }
    }
}

/// Why a text is no network that can have a zone. Follows the setting's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It is none at all.
    #[error("must be a network such as \"10.9.0.0/16\" or \"fd00:1::/64\"")]
    NotOne,
    /// It ends within a label.
    #[error(
        "must end where a label of its names does: IPv4 networks at /8, /16 or /24, IPv6 ones at a multiple of 4 from \
         /4 to /124; of another one give the larger network around it, or the smaller ones within it each on its own \
         (delegation within a label, RFC 2317, is not served)"
    )]
    Boundary,
    /// It is not the network's first address.
    #[error("has bits behind its length: its network is {0}")]
    Beyond(Network),
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = text.split_once('/').ok_or(NetworkError::NotOne)?;
        let address: IpAddr = address.parse().map_err(|_| NetworkError::NotOne)?;
        let (family, address) = number(address);
        let bits = family.label_bits() * family.labels();
        let length: u32 = length.parse().map_err(|_| NetworkError::NotOne)?;
        if length > bits {
            return Err(NetworkError::NotOne);
        }
        if length == 0 || length == bits || !length.is_multiple_of(family.label_bits()) {
            return Err(NetworkError::Boundary);
        }
        let behind = bits - length;
        let network = Self {
            family,
            first: address >> behind << behind,
            labels: length / family.label_bits(),
        };
        if network.first == address { Ok(network) } else { Err(NetworkError::Beyond(network)) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.labels * self.family.label_bits();
        // An IPv4 address has 32 bits.
        match self.family {
            Family::V4 => write!(f, "{}/{length}", Ipv4Addr::from_bits(self.first as u32)),
            Family::V6 => write!(f, "{}/{length}", Ipv6Addr::from_bits(self.first)),
        }
    }
}

/// An address as a number.
fn number(address: IpAddr) -> (Family, u128) {
    match address {
        IpAddr::V4(address) => (Family::V4, address.to_bits().into()),
        IpAddr::V6(address) => (Family::V6, address.to_bits()),
    }
}

impl Network {
    /// The name of its zone.
    #[must_use]
    pub fn zone(&self) -> ZoneName {
        let own = (self.labels_behind()..self.family.labels()).map(|at| self.label(self.first, at));
        let labels: Vec<String> = own.chain([self.family.suffix().to_owned()]).collect();
        ZoneName::of_labels(&labels.join("."))
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (family, number) = number(address);
        let behind = self.labels_behind() * self.family.label_bits();
        family == self.family && number >> behind == self.first >> behind
    }

    /// The name of an address of it, relative to the zone.
    pub(super) fn relative(&self, address: IpAddr) -> Vec<u8> {
        let (_, number) = number(address);
        let mut name = Vec::new();
        for at in 0..self.labels_behind() {
            wire::push_label(&mut name, self.label(number, at).as_bytes());
        }
        name
    }

    /// Labels that the name of an address has in front of the zone's.
    fn labels_behind(&self) -> u32 {
        self.family.labels() - self.labels
    }

    /// One label of an address's name, counted from the lowest bits.
    fn label(&self, number: u128, at: u32) -> String {
        let bits = self.family.label_bits();
        self.family.write(number >> (at * bits) & ((1 << bits) - 1))
    }

    /// The first address whose name ends with this relative one, and how many bits behind it are free.
    fn read(&self, relative: &[u8]) -> Option<(u128, u32)> {
        let bits = self.family.label_bits();
        let mut free = self.labels_behind() * bits;
        let (mut number, mut shift) = (0_u128, 0);
        let labels = std::iter::successors(wire::split(relative), |(_, rest)| wire::split(rest));
        for (label, _) in labels {
            free = free.checked_sub(bits)?;
            number |= self.family.read(label)?.checked_shl(shift)?;
            shift += bits;
        }
        Some((self.first | number << free, free))
    }
}

/// What a reverse zone has: the names of addresses that live instances have.
#[derive(Debug, Clone)]
pub(super) struct Pointers {
    network: Network,
    nodes: Radix<StaticNode>,
}

impl Pointers {
    /// None yet.
    pub(super) fn new(network: Network) -> Self {
        Self { network, nodes: Radix::default() }
    }

    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    /// What is under a name, relative to the zone.
    pub(super) fn find(&self, relative: &[u8]) -> Option<Found<'_>> {
        let (number, free) = self.network.read(relative)?;
        if free == 0 {
            return self.nodes.get(number).map(Found::Static);
        }
        self.nodes.has_any(number, free / DIGIT_BITS).then_some(Found::Between)
    }

    /// Changes what an address points to. Gives what that adds to the digest of all, and the octets that the records of
    /// its name take by now.
    pub(super) fn change<'t>(
        &mut self,
        address: IpAddr,
        ttl_secs: u32,
        gone: impl Iterator<Item = &'t Arc<[u8]>>,
        came: impl Iterator<Item = &'t Arc<[u8]>>,
    ) -> (u64, usize) {
        let (_, number) = number(address);
        let set = self.nodes.get(number).and_then(|node| node.set(TYPE_PTR));
        let mut data = set.map_or_else(Vec::new, |set| set.data.clone());
        let digest_of = |target: &[u8]| FixedState::default().hash_one((number, target));
        let mut digest = 0_u64;
        // By target, so that it does not matter who came first.
        for target in gone {
            if let Ok(at) = data.binary_search(target) {
                data.remove(at);
                digest = digest.wrapping_sub(digest_of(target));
            }
        }
        for target in came {
            if let Err(at) = data.binary_search(target) {
                data.insert(at, target.clone());
                digest = digest.wrapping_add(digest_of(target));
            }
        }
        let set = RrSet { rtype: TYPE_PTR, ttl_secs, data };
        let octets = set.answer_octets();
        if set.data.is_empty() {
            self.nodes.remove(number);
        } else {
            self.nodes.put(number, StaticNode::registered(vec![set], String::new()));
        }
        (digest, octets)
    }

    /// All of it, for comparison.
    #[cfg(test)]
    pub(super) fn listing(&self) -> Vec<String> {
        let all = self.nodes.all().into_iter();
        all.map(|(number, node)| format!("{number:x} {:?}", node.sets)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().expect("a network with a zone")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn shown(wire: &[u8]) -> String {
        let labels = std::iter::successors(wire::split(wire), |(_, rest)| wire::split(rest));
        labels.map(|(label, _)| format!("{}.", label.escape_ascii())).collect()
    }

    #[test]
    fn networks_have_zones_where_labels_end() {
        for (text, zone) in [
            ("10.0.0.0/8", "10.in-addr.arpa."),
            ("10.9.0.0/16", "9.10.in-addr.arpa."),
            ("192.0.2.0/24", "2.0.192.in-addr.arpa."),
            ("fd00::/8", "d.f.ip6.arpa."),
            ("2001:db8:a::/48", "a.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa."),
        ] {
            assert_eq!(network(text).zone().as_str(), zone);
            assert_eq!(network(text).to_string(), text);
        }
        assert_eq!(network("fd00::/124").zone().as_str().len(), 2 * 31 + "ip6.arpa.".len());
        for bad in ["", "10.0.0.0", "10.0.0/8", "10.0.0.0/33", "10.0.0.0/x", "fd00::/129", "::/-4"]
        {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError::NotOne), "{bad}");
        }
        for bad in
            ["0.0.0.0/0", "10.0.0.0/12", "192.0.2.0/25", "192.0.2.1/32", "fd00::/7", "::1/128"]
        {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError::Boundary), "{bad}");
        }
        let beyond = NetworkError::Beyond(network("10.9.0.0/16"));
        assert_eq!(beyond.to_string(), "has bits behind its length: its network is 10.9.0.0/16");
        assert_eq!("10.9.1.0/16".parse::<Network>(), Err(beyond));
    }

    #[test]
    fn names_of_addresses_are_read_as_they_are_written() {
        let v4 = network("10.9.0.0/16");
        let own = address("10.9.1.200");
        assert_eq!(shown(&v4.relative(own)), "200.1.");
        assert_eq!(v4.read(&v4.relative(own)), Some((0x0a09_01c8, 0)));
        assert_eq!(v4.read(b"\x011"), Some((0x0a09_0100, 8)));
        assert_eq!(v4.read(b""), Some((0x0a09_0000, 16)));
        for bad in [
            &b"\x0201\x011"[..],
            b"\x03256",
            b"\x02+1",
            b"\x011\x011\x011",
            b"\x01a",
            b"\x02\xff\xff",
        ] {
            assert_eq!(v4.read(bad), None, "{}", bad.escape_ascii());
        }
        assert!(v4.contains(own) && !v4.contains(address("10.10.0.1")));
        let v6 = network("fd00:1::/32");
        let own = address("fd00:1::a2");
        assert!(shown(&v6.relative(own)).starts_with("2.a.0.0."));
        assert_eq!(v6.read(&v6.relative(own)), Some((0xfd00_0001 << 96 | 0xa2, 0)));
        assert_eq!(v6.read(b"\x01f"), Some((0xfd00_0001 << 96 | 0xf << 92, 92)));
        for bad in [&b"\x02ff"[..], b"\x01g", b"\x01-"] {
            assert_eq!(v6.read(bad), None, "{}", bad.escape_ascii());
        }
        assert!(v6.contains(own) && !v6.contains(address("10.9.1.1")));
    }
}
