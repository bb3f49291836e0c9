//! Who counts as one: an address, or the network that somebody has whole and can take any address of.
//!
//! Knows nothing of what is counted.

use std::net::IpAddr;

/// How long the prefix of an IPv4 network is, unless somebody says otherwise: who has one of its addresses can take
/// the others'.
pub const IPV4_PREFIX: u8 = 24;
/// The same of an IPv6 network.
pub const IPV6_PREFIX: u8 = 56;

/// Who connects can't forge his address, so that neighbours need not pay for one another: an IPv4 address has one owner,
/// or many behind one that translates.
const CLIENT_IPV4_PREFIX: u8 = 32;
/// But whoever has an IPv6 address has the other 2^64 of its network as well (RFC 4291 section 2.5.1).
const CLIENT_IPV6_PREFIX: u8 = 64;

/// A network by its prefix; one of IPv4 is none of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(u128);

impl Network {
    /// The network of an address, with prefixes of those lengths.
    pub fn of(address: IpAddr, ipv4_prefix: u8, ipv6_prefix: u8) -> Self {
        let (bits, width, prefix) = match address.to_canonical() {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32, ipv4_prefix),
            IpAddr::V6(v6) => (v6.to_bits(), 128, ipv6_prefix),
        };
        let host_bits = width - u32::from(prefix).min(width);
        // What is shifted out altogether is one network; IPv4 and IPv6 apart.
        Self(bits.checked_shr(host_bits).unwrap_or(0) << 1 | u128::from(width == 128))
    }

    /// The network of an address that may be forged, or changed at will.
    pub fn of_neighbours(address: IpAddr) -> Self {
        Self::of(address, IPV4_PREFIX, IPV6_PREFIX)
    }

    /// All addresses of somebody who has connected from one of them.
    pub fn of_client(address: IpAddr) -> Self {
        Self::of(address, CLIENT_IPV4_PREFIX, CLIENT_IPV6_PREFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_as_long_as_said() {
        let network = |text: &str| Network::of(at(text), 0, 64);
        assert_eq!(network("192.0.2.1"), network("10.0.0.1"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("0.0.0.0"), network("::"));
    }

    #[test]
    fn a_client_is_an_address_or_a_network_of_ipv6() {
        let client = |text: &str| Network::of_client(at(text));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        assert_eq!(client("192.0.2.1"), client("::ffff:192.0.2.1"));
        assert_eq!(client("2001:db8::1"), client("2001:db8::2:3:4:5"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
    }
}
