//! A service as it is registered: where it is, the label that it gets, and what is connected to where nobody checks it.
//!
//! Knows nothing of other services.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Check;
use crate::compat::consul::definition::{CheckDefinition, Kind, Pace, ServiceDefinition, Status};
use crate::model::{AppName, Label, default_id, derived_label, map_label};

/// How a service without a check is watched: as what comes without heartbeats always is.
pub(super) const PROBE: Pace =
    Pace { interval: Duration::from_secs(10), timeout: Duration::from_secs(3) };
const PROBE_FAILURES: u32 = 3;

/// A service and its checks.
#[derive(Debug, Clone)]
pub(in crate::compat::consul) struct Service {
    pub(in crate::compat::consul) definition: ServiceDefinition,
    /// Where it is by default.
    pub(in crate::compat::consul) node: IpAddr,
    /// The app that its name is mapped to.
    pub(in crate::compat::consul) app: AppName,
    /// The label that its id is mapped to.
    pub(in crate::compat::consul) label: Label,
    /// The addresses of host names that it is known by.
    pub(in crate::compat::consul) resolved: BTreeMap<String, Vec<IpAddr>>,
    pub(in crate::compat::consul) checks: BTreeMap<String, Check>,
    /// What its clients registered, so large as it is saved.
    pub(super) octets: usize,
}

impl Service {
    /// Where it is: what it says, resolved, or where its node is.
    pub(in crate::compat::consul) fn addresses(&self) -> Vec<IpAddr> {
        match &*self.definition.address {
            "" => vec![self.node],
            name => match bare(name).parse::<IpAddr>() {
                Ok(address) => vec![address.to_canonical()],
                Err(_) => self.resolved.get(name).cloned().unwrap_or_default(),
            },
        }
    }

    /// What is connected to in the place of a check.
    pub(super) fn probe(&self) -> Option<CheckDefinition> {
        let ServiceDefinition { id, port, address, tags, .. } = &self.definition;
        if *port == 0 || tags.iter().any(|tag| tag == "udp") {
            return None;
        }
        let target = match self.addresses().first() {
            Some(address) => SocketAddr::new(*address, *port).to_string(),
            None => format!("{address}:{port}"),
        };
        Some(CheckDefinition {
            id: Some(probe_id(id)),
            name: "TCP connect, as no check was registered".to_owned(),
            notes: String::new(),
            service_id: Some(id.clone()),
            status: Status::Passing,
            kind: Kind::Tcp { target, instead_of: None, pace: PROBE },
            deregister_after: None,
            failures_before_critical: PROBE_FAILURES,
            successes_before_passing: 0,
            afar: self.definition.afar,
        })
    }

    /// What its id is mapped to. An id that is its name is that of every agent's: such a service is known by where it is.
    pub(super) fn mapped_label(&self) -> Label {
        let ServiceDefinition { id, name, port, .. } = &self.definition;
        let mapped = if id == name { None } else { map_label(id.as_bytes()).ok() };
        mapped.unwrap_or_else(|| default_id(self.address(), *port))
    }

    /// A label that no other service has, wherever it is registered.
    pub(super) fn unique_label(&self) -> Label {
        let ServiceDefinition { id, port, .. } = &self.definition;
        let label = map_label(id.as_bytes()).unwrap_or_else(|_| default_id(self.node, *port));
        derived_label(label.as_str(), format!("{id} {} {port}", self.address()).as_bytes())
    }

    /// How many checks of its owner it has, that of this id apart.
    pub(super) fn checks_beside(&self, id: &str) -> usize {
        let service = &self.definition.id;
        self.checks.keys().filter(|check| *check != id && !is_own(service, check)).count()
    }

    fn address(&self) -> IpAddr {
        self.addresses().first().copied().unwrap_or(self.node)
    }
}

/// An address without the brackets of a URL.
pub(in crate::compat::consul) fn bare(address: &str) -> &str {
    address.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(address)
}

pub(super) fn probe_id(service: &str) -> String {
    format!("_rollcall_connect:{service}")
}

pub(super) fn maintenance_id(service: &str) -> String {
    format!("_service_maintenance:{service}")
}

/// Whether a check of that service was made here, and by no client.
pub(super) fn is_own(service: &str, id: &str) -> bool {
    id == probe_id(service) || id == maintenance_id(service)
}
