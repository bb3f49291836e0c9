//! Sets of networks: who may do what.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// A set of networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nets {
    nets: Vec<IpNet>,
}

/// Text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no network: write 10.0.0.0/8, fd00::/8, or one address")]
pub struct NetError;

/// Loopback, private, link-local and unique local networks (RFC 1122 section 3.2.1.3, RFC 1918, RFC 3927, RFC 6598,
/// RFC 4193, RFC 4291).
const NEAR: [&str; 9] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "100.64.0.0/10",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

impl Nets {
    /// Those.
    #[must_use]
    pub fn new(nets: Vec<IpNet>) -> Self {
        Self { nets }
    }

    /// Loopback and private networks: nobody reaches these from afar.
    #[must_use]
    pub fn near() -> Self {
        Self { nets: NEAR.iter().filter_map(|net| net.parse().ok()).collect() }
    }

    /// This host alone.
    #[must_use]
    pub fn loopback() -> Self {
        Self {
            nets: ["127.0.0.0/8", "::1/128"].iter().filter_map(|net| net.parse().ok()).collect(),
        }
    }

    /// Whether an address is in one of them. An IPv4 address in IPv6 clothes (RFC 4291 section 2.5.5.2) is what it
    /// is.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.nets.iter().any(|net| net.contains(&address))
    }

    /// The networks.
    pub fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.nets.iter()
    }
}

/// One network, or one address.
///
/// # Errors
/// [`NetError`] where it is neither.
pub fn net(text: &str) -> Result<IpNet, NetError> {
    IpNet::from_str(text)
        .map(|net| net.trunc())
        .or_else(|_| IpAddr::from_str(text).map(IpNet::from))
        .map_err(|_| NetError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_or_out() {
        let near = Nets::near();
        assert_eq!(near.iter().count(), NEAR.len());
        for address in ["127.0.0.1", "10.9.8.7", "::1", "fd00::7", "fe80::1", "::ffff:10.0.0.1"] {
            assert!(near.contain(address.parse().unwrap()), "{address}");
        }
        for address in ["8.8.8.8", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert!(!near.contain(address.parse().unwrap()), "{address}");
        }
        assert!(!Nets::loopback().contain("10.0.0.1".parse().unwrap()));
        assert_eq!(net("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(net("fd00::7").unwrap().to_string(), "fd00::7/128");
        assert_eq!(net("10.0.0.0/33"), Err(NetError));
    }
}
