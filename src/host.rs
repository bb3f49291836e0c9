//! This host: what it is called, the address to register, all addresses that it has, and why one of them can't be
//! listened on. Asks the system; sends nothing.
//!
//! Knows nothing of what is registered.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Two addresses out in the internet (a root server's): connecting a datagram socket to one sends nothing,
/// it only asks the routing table which source address would be used.
const FAR_AWAY: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 41, 0, 4)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30)),
];

/// What this host is called; none where it is called nothing, or nothing that is text.
#[must_use]
pub fn name() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    (!name.is_empty()).then_some(name)
}

/// The source address of the default route; IPv6 only where there is no such IPv4 route. None where there
/// is no route, or where it ends at this very host.
#[must_use]
pub fn default_source() -> Option<IpAddr> {
    FAR_AWAY.into_iter().find_map(source_towards)
}

fn source_towards(far: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match far {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(far, 53)).ok()?;
    let source = socket.local_addr().ok()?.ip();
    (!source.is_loopback() && !source.is_unspecified()).then_some(source)
}

/// All addresses of this host's interfaces, loopback included. Empty where they can't be listed.
#[must_use]
pub fn own_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let mut addresses = Vec::new();
    for address in interfaces.filter_map(|interface| interface.address) {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        let v6 = address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
        addresses.extend(v4.or(v6).filter(|address| !addresses.contains(address)));
    }
    addresses
}

/// Why this host has no socket for an address, and what to do about it.
#[must_use]
pub fn bind_advice(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            "permission denied: give rollcall CAP_NET_BIND_SERVICE (AmbientCapabilities= of a systemd unit, or setcap), or \
             choose a port above 1023"
                .into()
        }
        ErrorKind::AddrInUse => {
            "address in use: stop the program that listens there or choose another port".into()
        }
        ErrorKind::AddrNotAvailable => {
            "address not available: choose one that an interface of this machine has".into()
        }
        _ => format!("{error}: choose another address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_what_the_system_says() {
        let said = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(name().unwrap_or_default(), said.trim_end());
    }

    #[test]
    fn loopback_is_among_the_own_addresses() {
        assert!(own_addresses().contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }

    #[test]
    fn the_default_source_is_an_own_address() {
        if let Some(source) = default_source() {
            assert!(own_addresses().contains(&source), "{source}");
        }
    }
}
