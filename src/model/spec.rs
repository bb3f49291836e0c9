//! A registration as people and programs write it, and its way to an [`Instance`].
//!
//! The same shape is a body of the HTTP API and a value in our layout, so that whoever puts a key
//! straight into etcd writes what the documentation of the API shows. The API refuses unknown fields, the
//! layout ignores them; both turn the rest into an [`Instance`] here, by the same rules.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::instance::{Endpoint, Instance, Transport, limits};
use super::name::{Label, Protocol};

/// What is wrong with one field of a registration. Displays as `field: message`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldError {
    /// Where: `port`, `endpoints[2].protocol`.
    pub field: String,
    /// The rule, in words that follow the field's name: "must be 1 to 65535, got 0".
    pub message: String,
}

impl FieldError {
    /// An error in that field.
    pub fn new(field: impl Into<String>, message: impl std::fmt::Display) -> Self {
        Self { field: field.into(), message: message.to_string() }
    }
}

/// A registration as written: short form (`address`, `port`), long form (`addresses`, `endpoints`), or a
/// mixture that does not say the same thing twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// Version of the stored form; only layouts look at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v: Option<i64>,
    /// The one address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Several addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<String>>,
    /// The one endpoint's protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The one endpoint's transport.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// The one endpoint's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
    /// Several endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<EndpointSpec>>,
    /// Share of traffic, 0 to 65535.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
    /// SRV priority, 0 to 65535.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// Tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Meta data.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "pairs_once")]
    pub meta: Option<BTreeMap<String, String>>,
    /// The lease, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<i64>,
}

/// One endpoint as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSpec {
    /// What it speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// What carries it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
    /// Addresses of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<String>>,
    /// A weight of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
}

impl Spec {
    /// The instance that this describes; `default_address` stands in where no address is written.
    ///
    /// # Errors
    /// The first field that breaks a rule.
    pub fn resolve(self, default_address: Option<IpAddr>) -> Result<Instance, FieldError> {
        let addresses = match (&self.address, &self.addresses) {
            (Some(_), Some(_)) => {
                return Err(FieldError::new(
                    "addresses",
                    "stands beside 'address': give one of the two",
                ));
            }
            (Some(one), None) => vec![address("address", one)?],
            (None, Some(many)) => addresses("addresses", many)?,
            (None, None) => Vec::new(),
        };
        let addresses = match (addresses.is_empty(), default_address) {
            (false, _) => addresses,
            (true, Some(default)) => vec![check_address("address", default.to_canonical())?],
            (true, None) => return Err(FieldError::new("address", "is missing")),
        };
        Ok(Instance {
            addresses,
            host: None,
            weight: u16_or("weight", self.weight, limits::WEIGHT_DEFAULT)?,
            priority: u16_or("priority", self.priority, limits::PRIORITY_DEFAULT)?,
            tags: tags(self.tags.as_deref().unwrap_or_default())?,
            meta: meta(self.meta.as_ref())?,
            ttl: self.ttl.map(ttl).transpose()?,
            endpoints: self.endpoints()?,
        })
    }

    fn endpoints(self) -> Result<Vec<Endpoint>, FieldError> {
        let Some(written) = self.endpoints else {
            let one = EndpointSpec {
                protocol: self.protocol,
                transport: self.transport,
                port: self.port,
                ..Default::default()
            };
            return Ok(vec![one.resolve("")?]);
        };
        for (field, given) in [
            ("port", self.port.is_some()),
            ("protocol", self.protocol.is_some()),
            ("transport", self.transport.is_some()),
        ] {
            if given {
                return Err(FieldError::new(
                    field,
                    "stands beside 'endpoints': give it in each endpoint",
                ));
            }
        }
        if written.is_empty() || written.len() > limits::ENDPOINTS_MAX {
            let rule = format!("must hold 1 to {}, got {}", limits::ENDPOINTS_MAX, written.len());
            return Err(FieldError::new("endpoints", rule));
        }
        let mut endpoints: Vec<Endpoint> = Vec::with_capacity(written.len());
        for (i, one) in written.into_iter().enumerate() {
            let one = one.resolve(&format!("endpoints[{i}]."))?;
            let same = |other: &Endpoint| {
                (&other.protocol, other.transport, other.port)
                    == (&one.protocol, one.transport, one.port)
                    && other.addresses == one.addresses
            };
            if endpoints.iter().any(same) {
                return Err(FieldError::new(format!("endpoints[{i}]"), "is there twice"));
            }
            endpoints.push(one);
        }
        Ok(endpoints)
    }
}

impl EndpointSpec {
    fn resolve(self, at: &str) -> Result<Endpoint, FieldError> {
        let protocol = match self.protocol {
            None => Protocol::default(),
            Some(text) => Protocol::new(&text)
                .map_err(|rule| FieldError::new(format!("{at}protocol"), rule))?,
        };
        let transport = match self.transport {
            None => Transport::default(),
            Some(text) => text
                .parse()
                .map_err(|rule: String| FieldError::new(format!("{at}transport"), rule))?,
        };
        let port = match self.port {
            None => return Err(FieldError::new(format!("{at}port"), "is missing")),
            Some(port) => u16::try_from(port).ok().filter(|port| *port > 0).ok_or_else(|| {
                FieldError::new(format!("{at}port"), format_args!("must be 1 to 65535, got {port}"))
            })?,
        };
        let addresses = match self.addresses {
            None => Vec::new(),
            Some(many) => addresses(&format!("{at}addresses"), &many)?,
        };
        let weight = match self.weight {
            None => None,
            given => Some(u16_or(&format!("{at}weight"), given, 0)?),
        };
        Ok(Endpoint { protocol, transport, port, addresses, weight })
    }
}

impl From<&Instance> for Spec {
    /// The long form, which says everything; the version is the layout's to add.
    fn from(instance: &Instance) -> Self {
        let texts = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect();
        Self {
            addresses: Some(texts(&instance.addresses)),
            endpoints: Some(
                instance
                    .endpoints
                    .iter()
                    .map(|endpoint| EndpointSpec {
                        protocol: Some(endpoint.protocol.to_string()),
                        transport: Some(endpoint.transport.to_string()),
                        port: Some(endpoint.port.into()),
                        addresses: (!endpoint.addresses.is_empty())
                            .then(|| texts(&endpoint.addresses)),
                        weight: endpoint.weight.map(Into::into),
                    })
                    .collect(),
            ),
            weight: Some(instance.weight.into()),
            priority: Some(instance.priority.into()),
            tags: (!instance.tags.is_empty())
                .then(|| instance.tags.iter().map(ToString::to_string).collect()),
            meta: (!instance.meta.is_empty()).then(|| {
                instance
                    .meta
                    .iter()
                    .map(|(key, value)| (key.to_string(), value.to_string()))
                    .collect()
            }),
            ttl: instance.ttl.map(Into::into),
            ..Self::default()
        }
    }
}

fn addresses(field: &str, texts: &[String]) -> Result<Vec<IpAddr>, FieldError> {
    if texts.is_empty() || texts.len() > limits::ADDRESSES_MAX {
        let rule = format!("must hold 1 to {}, got {}", limits::ADDRESSES_MAX, texts.len());
        return Err(FieldError::new(field, rule));
    }
    let mut all = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        let one = address(&format!("{field}[{i}]"), text)?;
        if !all.contains(&one) {
            all.push(one);
        }
    }
    Ok(all)
}

fn address(field: &str, text: &str) -> Result<IpAddr, FieldError> {
    let parsed: IpAddr = text.parse().map_err(|_| {
        FieldError::new(field, format_args!("{text:?} is not an IPv4 or IPv6 address"))
    })?;
    check_address(field, parsed.to_canonical())
}

/// What an address is to which no client can connect; none for all others. Loopback is judged by who takes the
/// registration: on one machine it is right, in a shared registry it is not.
#[must_use]
pub fn unreachable(address: IpAddr) -> Option<&'static str> {
    match address {
        _ if address.is_unspecified() => Some("the unspecified address"),
        _ if address.is_multicast() => Some("a multicast address"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        _ => None,
    }
}

fn check_address(field: &str, address: IpAddr) -> Result<IpAddr, FieldError> {
    let Some(kind) = unreachable(address) else { return Ok(address) };
    Err(FieldError::new(
        field,
        format_args!("{address} is {kind}: give one that clients can connect to"),
    ))
}

fn u16_or(field: &str, given: Option<i64>, default: u16) -> Result<u16, FieldError> {
    match given {
        None => Ok(default),
        Some(number) => u16::try_from(number)
            .map_err(|_| FieldError::new(field, format_args!("must be 0 to 65535, got {number}"))),
    }
}

fn ttl(secs: i64) -> Result<u32, FieldError> {
    let (min, max) = (limits::TTL_SECS_MIN, limits::TTL_SECS_MAX);
    u32::try_from(secs).ok().filter(|secs| (min..=max).contains(secs)).ok_or_else(|| {
        FieldError::new("ttl", format_args!("must be {min} to {max} seconds, got {secs}"))
    })
}

fn tags(texts: &[String]) -> Result<Vec<Label>, FieldError> {
    if texts.len() > limits::TAGS_MAX {
        let rule = format!("must hold at most {}, got {}", limits::TAGS_MAX, texts.len());
        return Err(FieldError::new("tags", rule));
    }
    let mut all = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        let tag = Label::new(text).map_err(|rule| FieldError::new(format!("tags[{i}]"), rule))?;
        if !all.contains(&tag) {
            all.push(tag);
        }
    }
    Ok(all)
}

/// Keys as RFC 6763 section 6.4 has them (printable ASCII but `=`, each once whatever its case); values any text
/// without NUL.
fn meta(
    written: Option<&BTreeMap<String, String>>,
) -> Result<BTreeMap<Arc<str>, Arc<str>>, FieldError> {
    let Some(written) = written else { return Ok(BTreeMap::new()) };
    if written.len() > limits::META_PAIRS_MAX {
        let rule =
            format!("must hold at most {} pairs, got {}", limits::META_PAIRS_MAX, written.len());
        return Err(FieldError::new("meta", rule));
    }
    let mut octets = 0;
    for (key, value) in written {
        let field = || format!("meta.{}", key.escape_default());
        if key.is_empty() || !key.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'=') {
            let rule = "has a key that is not printable ASCII without '=' (RFC 6763 section 6.4)";
            return Err(FieldError::new(field(), rule));
        }
        let mut before = written.keys().take_while(|other| *other != key);
        if let Some(other) = before.find(|other| other.eq_ignore_ascii_case(key)) {
            let rule =
                format!("is {other:?} but for case, and keys have none (RFC 6763 section 6.4)");
            return Err(FieldError::new(field(), rule));
        }
        if value.contains('\0') {
            return Err(FieldError::new(field(), "has a NUL character"));
        }
        let pair = key.len() + 1 + value.len();
        if pair > limits::META_PAIR_OCTETS_MAX {
            let rule = format!(
                "is {pair} octets as key=value, at most {} are allowed",
                limits::META_PAIR_OCTETS_MAX
            );
            return Err(FieldError::new(field(), rule));
        }
        octets += pair;
    }
    if octets > limits::META_OCTETS_MAX {
        let rule =
            format!("is {octets} octets in all, at most {} are allowed", limits::META_OCTETS_MAX);
        return Err(FieldError::new("meta", rule));
    }
    Ok(written.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect())
}

/// Reads a map in which no key stands twice: which of the two was meant, nobody could tell.
fn pairs_once<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    struct Pairs;

    impl<'de> Visitor<'de> for Pairs {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object of texts")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = BTreeMap::new();
            while let Some((key, value)) = map.next_entry::<String, String>()? {
                if pairs.contains_key(&key) {
                    return Err(A::Error::custom(format_args!("key {key:?} is there twice")));
                }
                pairs.insert(key, value);
            }
            Ok(pairs)
        }
    }

    deserializer.deserialize_map(Pairs).map(Some)
}

#[cfg(test)]
mod tests;
