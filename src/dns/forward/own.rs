//! Which addresses are our own, so that nobody asks himself.
//!
//! Knows nothing of what is asked.

use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::getifaddrs;

/// Whether a question to that address comes back to one of these listeners of ours.
#[must_use]
pub fn is_own(listeners: &[SocketAddr], address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    listeners.iter().any(|own| {
        own.port() == address.port()
            && (own.ip() == ip
                || own.ip().is_unspecified() && own.is_ipv4() == ip.is_ipv4() && is_of_host(ip))
    })
}

/// Whether that is an address of this host.
pub(super) fn is_of_host(ip: IpAddr) -> bool {
    let has = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
    };
    ip.is_loopback() || getifaddrs().is_ok_and(|mut all| all.any(|one| has(one) == Some(ip)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_ours_if_we_listen_there() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let listeners = [at("127.0.0.1:53"), at("0.0.0.0:1053")];
        assert!(is_own(&listeners, at("127.0.0.1:53")));
        assert!(is_own(&listeners, at("[::ffff:127.0.0.1]:53")));
        assert!(is_own(&listeners, at("127.0.0.7:1053")), "on all addresses of the host");
        for other in ["127.0.0.1:54", "127.0.0.2:53", "192.0.2.1:1053", "[::1]:1053"] {
            assert!(!is_own(&listeners, at(other)), "{other}");
        }
    }
}
