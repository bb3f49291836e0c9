//! What bodies of registrations say, read as Consul's agent reads them (hashicorp/consul, agent/agent_endpoint.go,
//! agent/structs/service_definition.go, check_definition.go).
//!
//! Keys have no case and may be in snake case, null is as good as absent, fields that nobody here needs are passed over.
//! What is refused is refused in Consul's own words, which clients log.
//!
//! Knows nothing of what is registered already.

mod check;
mod service;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::check::WrittenCheck;
use self::service::WrittenService;

/// Checks that a service may have.
pub const CHECKS_MAX: usize = 16;
/// Octets that a name or an id may have: an app's name has 120.
const NAME_OCTETS_MAX: usize = 255;

/// A service as its owner describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceDefinition {
    /// Tells it from the others of its agent; its name if it has none of its own.
    pub id: String,
    /// The service that it is one instance of.
    pub name: String,
    /// Its tags, in their order.
    pub tags: Vec<String>,
    /// Its port; 0 is none.
    pub port: u16,
    /// Where it is, or a host name; empty is where its node is.
    pub address: String,
    /// Other addresses, by what they are for.
    pub tagged_addresses: BTreeMap<String, TaggedAddress>,
    /// What else its owner tells.
    pub meta: BTreeMap<String, String>,
    /// Its share of traffic.
    pub weights: Weights,
    /// Whether others may change its tags: nobody can here, and it is told again as it was told.
    pub enable_tag_override: bool,
    /// Whether somebody on another host registered it, which its body does not say.
    #[serde(default)]
    pub afar: bool,
}

/// An address for a purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "PascalCase"))]
pub struct TaggedAddress {
    /// An address or a host name; of Kratos a whole URL.
    #[serde(default, alias = "Address")]
    pub address: String,
    /// Its port; 0 is the service's.
    #[serde(default, alias = "Port")]
    pub port: u16,
}

/// Shares of traffic, by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "PascalCase"))]
pub struct Weights {
    /// Of one that is well.
    #[serde(default = "one", alias = "Passing")]
    pub passing: u16,
    /// Of one that is not quite.
    #[serde(default = "one", alias = "Warning")]
    pub warning: u16,
}

impl Default for Weights {
    fn default() -> Self {
        Self { passing: one(), warning: one() }
    }
}

fn one() -> u16 {
    1
}

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Well.
    Passing,
    /// Not quite, and still of use.
    Warning,
    /// Not to be asked.
    Critical,
}

impl Status {
    /// As it is written.
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "passing" => Some(Self::Passing),
            "warning" => Some(Self::Warning),
            "critical" => Some(Self::Critical),
            _ => None,
        }
    }
}

/// A check as its owner describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckDefinition {
    /// Tells it from the others of its agent; none: made from its service's.
    pub id: Option<String>,
    /// For people.
    pub name: String,
    /// For people, too.
    pub notes: String,
    /// What it checks; none: the node, and with it every service there.
    pub service_id: Option<String>,
    /// How it begins.
    pub status: Status,
    /// What is done.
    pub kind: Kind,
    /// A service that is critical for so long is deregistered.
    pub deregister_after: Option<Duration>,
    /// Failures in a row before it is critical.
    pub failures_before_critical: u32,
    /// Successes in a row before it is passing.
    pub successes_before_passing: u32,
    /// Whether somebody on another host registered it, which its body does not say.
    #[serde(default)]
    pub afar: bool,
}

/// What a check does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Its owner says how it is, at least that often.
    Ttl(Duration),
    /// It is asked by HTTP.
    Http(HttpCheck, Pace),
    /// It is connected to.
    Tcp {
        /// Host and port.
        target: String,
        /// What was asked for instead, and can't be done.
        instead_of: Option<String>,
        /// When.
        pace: Pace,
    },
    /// It is what it is: an operator's doing.
    Maintenance,
}

/// When a check is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// From one start to the next.
    pub interval: Duration,
    /// What takes longer has failed.
    pub timeout: Duration,
}

/// A request that is answered by whoever is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// Where to.
    pub url: String,
    /// GET, if nothing else is said.
    pub method: String,
    /// Headers that are added.
    pub header: BTreeMap<String, Vec<String>>,
    /// What is sent.
    pub body: String,
    /// Over TLS, any certificate will do.
    pub skip_verify: bool,
    /// Over TLS, the name that the certificate is for, if it is not the URL's; empty if it is.
    pub server_name: String,
}

/// Reads the body of `service/register`: the service, and its checks.
///
/// # Errors
/// What Consul says to it.
pub fn service(body: &[u8]) -> Result<(ServiceDefinition, Vec<CheckDefinition>), String> {
    let mut object = object(body)?;
    let checks: Vec<Value> = ["checks", "check"]
        .into_iter()
        .filter_map(|key| object.remove(key))
        .flat_map(|value| match value {
            Value::Array(all) => all,
            one => vec![one],
        })
        .collect();
    for key in ["taggedaddresses", "weights"] {
        if let Some(Value::Object(inner)) = object.get_mut(key) {
            *inner = match key {
                "weights" => folded(std::mem::take(inner)),
                _ => each_folded(std::mem::take(inner)),
            };
        }
    }
    for key in ["meta", "tags"] {
        match object.get_mut(key) {
            Some(Value::Object(pairs)) => pairs.retain(|_, value| !value.is_null()),
            Some(Value::Array(items)) => items.retain(|value| !value.is_null()),
            _ => {}
        }
    }
    let written: WrittenService = typed(object)?;
    let service = written.resolve()?;
    let mut read = Vec::new();
    for check in checks {
        let Value::Object(object) = check else {
            if check.is_null() {
                continue;
            }
            return Err("Request decode failed: a check must be an object".to_owned());
        };
        // An empty one is none: Go clients send it.
        let object = folded(object);
        if object.is_empty() {
            continue;
        }
        let written: WrittenCheck = typed(object)?;
        read.push(written.resolve(Some(&service))?);
    }
    if read.len() > CHECKS_MAX {
        return Err(format!("Invalid check: a service has at most {CHECKS_MAX}"));
    }
    Ok((service, read))
}

/// Reads the body of `check/register`.
///
/// # Errors
/// What Consul says to it.
pub fn check(body: &[u8]) -> Result<CheckDefinition, String> {
    let written: WrittenCheck = typed(object(body)?)?;
    if written.name.is_empty() {
        return Err("Missing check name".to_owned());
    }
    let mut check = written.resolve(None)?;
    // Here, and not with a service, a check that has only a name is known by it.
    check.id.get_or_insert_with(|| check.name.clone());
    Ok(check)
}

/// Reads the body of `check/update/{id}`: the status, and what to show of it.
///
/// # Errors
/// What Consul says to it.
pub fn update(body: &[u8]) -> Result<(Status, String), String> {
    #[derive(Deserialize)]
    struct Update {
        #[serde(default)]
        status: String,
        #[serde(default)]
        output: String,
    }

    let Update { status, output } = typed(object(body)?)?;
    match Status::read(&status) {
        Some(status) => Ok((status, output)),
        None => Err(format!("Invalid check status: '{status}'")),
    }
}

fn undecodable(why: impl std::fmt::Display) -> String {
    format!("Request decode failed: {why}")
}

fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(body).map_err(undecodable)? {
        Value::Object(object) => Ok(folded(object)),
        _ => Err(undecodable("the body must be an object")),
    }
}

fn typed<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, String> {
    serde_path_to_error::deserialize(Value::Object(object)).map_err(undecodable)
}

/// Keys in lower case and without underscores, those with null left out.
fn folded(object: Map<String, Value>) -> Map<String, Value> {
    let present = object.into_iter().filter(|(_, value)| !value.is_null());
    present.map(|(key, value)| (key.replace('_', "").to_ascii_lowercase(), value)).collect()
}

fn each_folded(object: Map<String, Value>) -> Map<String, Value> {
    let present = object.into_iter().filter(|(_, value)| !value.is_null());
    let inner = |value| match value {
        Value::Object(object) => Value::Object(folded(object)),
        other => other,
    };
    present.map(|(key, value)| (key, inner(value))).collect()
}
