//! Where something listens, as other systems write it: `10.0.0.1:80`, `[fd00::1]:80`, `host:80`, a port as number or text.
//!
//! Knows nothing of what listens there.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, de};

use crate::model::unreachable;

/// Octets of the longest host name in text (RFC 1035 section 2.3.4).
const HOST_OCTETS_MAX: usize = 253;

/// Who listens: an address, or a host that somebody else has to resolve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An address, never one that stands for several.
    Address(IpAddr),
    /// A host name in lower case, without a dot at its end.
    Name(Arc<str>),
}

/// Who listens, and on which port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: Host,
    pub(super) port: u16,
}

/// A port as JSON has it: a number, or a text of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Port(pub(super) u16);

impl Host {
    /// The address, if it is one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Name(_) => None,
        }
    }

    /// An address with or without brackets, or a host name. One that stands for every address of its machine names
    /// none of them (0.0.0.0, `::`), and is refused, as is all else that no client can connect to.
    pub fn new(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            let address = address.to_canonical();
            return match unreachable(address) {
                None => Ok(Self::Address(address)),
                Some(_) if address.is_unspecified() => {
                    Err(format!("{text} stands for every address of its host, and names none"))
                }
                Some(kind) => Err(format!("{text} is {kind}: no client can connect to it")),
            };
        }
        let is_zoned = |(address, _): (&str, &str)| address.parse::<Ipv6Addr>().is_ok();
        match bare.split_once('%') {
            Some(zoned) if is_zoned(zoned) => {
                Err(format!("{text} means something on its own host alone"))
            }
            _ if is_host_name(text) => {
                Ok(Self::Name(text.trim_end_matches('.').to_ascii_lowercase().into()))
            }
            _ if text.is_empty() => Err("no host is given".to_owned()),
            _ => Err(format!("{text:?} is no address and no host name")),
        }
    }
}

/// Letters, digits, hyphens and underscores in labels of 1 to 63 octets; not all of them digits, as a mistyped address
/// would be (RFC 1123 section 2.1).
fn is_host_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let legal = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(legal);
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= HOST_OCTETS_MAX
        && text.split('.').all(label)
        && !last.bytes().all(|octet| octet.is_ascii_digit())
}

impl Place {
    /// Host and port, split at the last colon: an IPv6 address without brackets is taken by those who write it so.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("{text:?} has no port"))?;
        Ok(Self { host: Host::new(host)?, port: port.parse::<Port>()?.0 })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => write!(f, "{}", SocketAddr::new(*address, self.port)),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(port @ 1..) => Ok(Self(port)),
            _ => Err(format!("port must be 1 to 65535, got {text:?}")),
        }
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Port;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port, 1 to 65535")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Port, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Port, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Port, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> String {
        // What is written of a place is read again as the same.
        if let Ok(place) = Place::new(text) {
            assert_eq!(Place::new(&place.to_string()), Ok(place));
        }
        match Place::new(text) {
            Ok(Place { host: Host::Address(address), port }) => format!("{address} {port}"),
            Ok(Place { host: Host::Name(name), port }) => format!("{name}! {port}"),
            Err(why) => why,
        }
    }

    #[test]
    fn places_are_read_as_their_writers_mean_them() {
        for (text, read) in [
            ("10.0.0.1:80", "10.0.0.1 80"),
            ("[fd00::1]:80", "fd00::1 80"),
            ("fd00::1:80", "fd00::1 80"),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1 80"),
            ("[fe80::1]:80", "fe80::1 80"),
            ("127.0.0.1:80", "127.0.0.1 80"),
            ("Db-1.Example.org.:5432", "db-1.example.org! 5432"),
            ("service_1:80", "service_1! 80"),
        ] {
            assert_eq!(place(text), read, "{text}");
        }
    }

    #[test]
    fn what_nobody_can_reach_is_refused() {
        for (text, why) in [
            ("0.0.0.0:80", "stands for every address"),
            ("[::]:80", "stands for every address"),
            ("224.0.0.5:80", "224.0.0.5 is a multicast address: no client can connect to it"),
            ("[ff02::1]:80", "is a multicast address"),
            ("[::ffff:224.0.0.5]:80", "is a multicast address"),
            ("255.255.255.255:80", "is the broadcast address"),
            ("[fe80::1%eth0]:80", "[fe80::1%eth0] means something on its own host alone"),
            (":80", "no host"),
            ("10.0.0.1", "has no port"),
            ("10.0.0.1:", "port must be 1 to 65535"),
            ("10.0.0.1:0", "port must be 1 to 65535"),
            ("10.0.0.1:70000", "port must be 1 to 65535"),
            ("10.0.0:80", "is no address and no host name"),
            ("a b:80", "is no address and no host name"),
            ("unix:/run/x.sock", "port must be"),
        ] {
            assert!(place(text).contains(why), "{text}: {}", place(text));
        }
    }

    #[test]
    fn ports_are_numbers_or_texts_of_them() {
        for (json, port) in [
            ("80", Some(80)),
            ("\"80\"", Some(80)),
            ("0", None),
            ("-1", None),
            ("70000", None),
            ("\"x\"", None),
            ("null", None),
        ] {
            assert_eq!(serde_json::from_str::<Port>(json).ok().map(|port| port.0), port, "{json}");
        }
    }
}
