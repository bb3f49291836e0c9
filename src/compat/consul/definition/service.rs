//! A service as a body has it, and what Consul refuses of one.
//!
//! Knows nothing of checks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use super::{NAME_OCTETS_MAX, ServiceDefinition, TaggedAddress, Weights};

/// Tags that a service may have: those of go-micro are one for each endpoint.
const TAGS_MAX: usize = 1_024;
/// As in Consul (agent/structs/structs.go).
const META_PAIRS_MAX: usize = 64;
const META_KEY_OCTETS_MAX: usize = 128;
const META_VALUE_OCTETS_MAX: usize = 512;

#[derive(Deserialize)]
#[serde(default)]
pub(super) struct WrittenService {
    id: String,
    name: String,
    tags: Vec<String>,
    port: i64,
    address: String,
    #[serde(rename = "taggedaddresses")]
    tagged_addresses: BTreeMap<String, TaggedAddress>,
    meta: BTreeMap<String, String>,
    weights: Option<WrittenWeights>,
    #[serde(rename = "enabletagoverride")]
    enable_tag_override: bool,
}

impl Default for WrittenService {
    fn default() -> Self {
        let empty = String::new;
        Self {
            id: empty(),
            name: empty(),
            tags: Vec::new(),
            port: 0,
            address: empty(),
            tagged_addresses: BTreeMap::new(),
            meta: BTreeMap::new(),
            weights: None,
            enable_tag_override: false,
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct WrittenWeights {
    passing: i64,
    warning: i64,
}

impl Default for WrittenWeights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

impl WrittenService {
    pub(super) fn resolve(self) -> Result<ServiceDefinition, String> {
        let Self { id, name, tags, port, address, tagged_addresses, meta, weights, .. } = self;
        if name.is_empty() {
            return Err("Missing service name".to_owned());
        }
        if is_any(&address) {
            return Err("Invalid service address".to_owned());
        }
        let weights = weights.unwrap_or_default().resolve()?;
        check_meta(&meta)?;
        let failed = |why: String| Err(format!("Validation failed: {why}"));
        let Ok(port) = u16::try_from(port) else {
            return failed(format!("Port must be 0 to 65535, got {port}"));
        };
        for (what, text) in [("Name", &name), ("ID", &id), ("Address", &address)] {
            if text.len() > NAME_OCTETS_MAX || text.contains(char::is_control) {
                return failed(format!(
                    "{what} must be a text of {NAME_OCTETS_MAX} octets at most"
                ));
            }
        }
        if tags.len() > TAGS_MAX || tagged_addresses.len() > META_PAIRS_MAX {
            return failed(format!(
                "there may be {TAGS_MAX} tags and {META_PAIRS_MAX} tagged addresses at most"
            ));
        }
        let id = if id.is_empty() { name.clone() } else { id };
        let enable_tag_override = self.enable_tag_override;
        Ok(ServiceDefinition {
            id,
            name,
            tags,
            port,
            address,
            tagged_addresses,
            meta,
            weights,
            enable_tag_override,
            afar: false,
        })
    }
}

impl WrittenWeights {
    fn resolve(self) -> Result<Weights, String> {
        let invalid = |why: &str| format!("Invalid Weights: {why}");
        if self.passing < 1 {
            return Err(invalid("Passing must be greater than 0"));
        }
        if self.warning < 0 {
            return Err(invalid("Warning must be greater or equal than 0"));
        }
        match (u16::try_from(self.passing), u16::try_from(self.warning)) {
            (Ok(passing), Ok(warning)) => Ok(Weights { passing, warning }),
            _ => Err(invalid("DNS Weight must be between 0 and 65535")),
        }
    }
}

/// Whether it stands for every address of its host, and so for none (ipaddr/ipaddr.go).
fn is_any(address: &str) -> bool {
    let bare = address.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(address);
    bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_unspecified())
}

/// As Consul's `ValidateServiceMetadata` (agent/structs/structs.go).
fn check_meta(meta: &BTreeMap<String, String>) -> Result<(), String> {
    let invalid = |why: String| Err(format!("Invalid Service Meta: {why}"));
    if meta.len() > META_PAIRS_MAX {
        return invalid(format!(
            "Node metadata cannot contain more than {META_PAIRS_MAX} key/value pairs"
        ));
    }
    for (key, value) in meta {
        let bad = |why: &str| invalid(format!("Couldn't load metadata pair ('{key}', ...): {why}"));
        let legal = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        if key.is_empty() {
            return bad("Key cannot be blank");
        }
        if !key.bytes().all(legal) {
            return bad("Key contains invalid characters");
        }
        if key.len() > META_KEY_OCTETS_MAX {
            return bad("Key is too long (limit: 128 characters)");
        }
        if key.starts_with("consul-") {
            return bad("Key prefix 'consul-' is reserved for internal use");
        }
        if value.len() > META_VALUE_OCTETS_MAX {
            return bad("Value is too long (limit: 512 characters)");
        }
    }
    Ok(())
}
