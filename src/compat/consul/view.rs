//! Nodes, services and checks in the JSON that Consul's clients expect (hashicorp/consul, api/health.go, api/catalog.go,
//! api/agent.go): every field that they read is there, lists are never null.
//!
//! Knows nothing of where they come from.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::GoDuration;
use super::agent::{Check, Service};
use super::definition::{Kind, Status, TaggedAddress, Weights};
use super::instance::absence;

/// The only datacenter there is.
pub(super) const DATACENTER: &str = "dc1";

/// A node.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeJson {
    #[serde(rename = "ID")]
    id: String,
    pub(super) node: String,
    pub(super) address: String,
    datacenter: &'static str,
    tagged_addresses: BTreeMap<&'static str, String>,
    meta: Map<String, Value>,
    create_index: u64,
    modify_index: u64,
}

/// A service of a node.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ServiceJson {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) service: String,
    pub(super) tags: Vec<String>,
    pub(super) address: String,
    pub(super) tagged_addresses: BTreeMap<String, TaggedAddress>,
    pub(super) meta: BTreeMap<String, String>,
    pub(super) port: u16,
    pub(super) weights: Weights,
    pub(super) enable_tag_override: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) datacenter: Option<&'static str>,
    pub(super) create_index: u64,
    pub(super) modify_index: u64,
}

/// A check.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CheckJson {
    pub(super) node: String,
    #[serde(rename = "CheckID")]
    pub(super) check_id: String,
    pub(super) name: String,
    pub(super) status: Status,
    pub(super) notes: String,
    pub(super) output: String,
    #[serde(rename = "ServiceID")]
    pub(super) service_id: String,
    pub(super) service_name: String,
    pub(super) service_tags: Vec<String>,
    #[serde(rename = "Type")]
    pub(super) kind: &'static str,
    pub(super) interval: String,
    pub(super) timeout: String,
    pub(super) exposed_port: u16,
    pub(super) definition: Map<String, Value>,
    pub(super) create_index: u64,
    pub(super) modify_index: u64,
}

/// A service with its node and the checks of both, as `health/service` lists it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EntryJson {
    pub(super) node: NodeJson,
    pub(super) service: ServiceJson,
    pub(super) checks: Vec<CheckJson>,
}

/// The same in one object, as `catalog/service` lists it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CatalogJson {
    #[serde(rename = "ID")]
    id: String,
    node: String,
    address: String,
    datacenter: &'static str,
    tagged_addresses: BTreeMap<&'static str, String>,
    node_meta: Map<String, Value>,
    service_kind: &'static str,
    #[serde(rename = "ServiceID")]
    service_id: String,
    service_name: String,
    service_tags: Vec<String>,
    service_address: String,
    service_tagged_addresses: BTreeMap<String, TaggedAddress>,
    service_weights: Weights,
    service_meta: BTreeMap<String, String>,
    service_port: u16,
    service_enable_tag_override: bool,
    create_index: u64,
    modify_index: u64,
}

impl NodeJson {
    pub(super) fn new(name: &str, address: &str) -> Self {
        Self {
            id: uuid(name),
            node: name.to_owned(),
            address: address.to_owned(),
            datacenter: DATACENTER,
            tagged_addresses: ["lan", "wan"].map(|of| (of, address.to_owned())).into(),
            meta: Map::new(),
            create_index: 1,
            modify_index: 1,
        }
    }

    /// Its own check, which says that whoever looks after it does.
    pub(super) fn alive(&self) -> CheckJson {
        CheckJson {
            output: "Agent alive and reachable".to_owned(),
            ..CheckJson::new(self, "serfHealth", "Serf Health Status", Status::Passing)
        }
    }
}

impl ServiceJson {
    /// One that was registered here, under the name that it is asked for by.
    pub(super) fn new(name: &str, service: &Service) -> Self {
        let definition = &service.definition;
        Self {
            id: definition.id.clone(),
            service: name.to_owned(),
            tags: definition.tags.clone(),
            address: definition.address.clone(),
            tagged_addresses: definition.tagged_addresses.clone(),
            meta: definition.meta.clone(),
            port: definition.port,
            weights: definition.weights,
            enable_tag_override: definition.enable_tag_override,
            datacenter: None,
            create_index: 1,
            modify_index: 1,
        }
    }
}

impl CheckJson {
    pub(super) fn new(node: &NodeJson, id: &str, name: &str, status: Status) -> Self {
        Self {
            node: node.node.clone(),
            check_id: id.to_owned(),
            name: name.to_owned(),
            status,
            notes: String::new(),
            output: String::new(),
            service_id: String::new(),
            service_name: String::new(),
            service_tags: Vec::new(),
            kind: "",
            interval: String::new(),
            timeout: String::new(),
            exposed_port: 0,
            definition: Map::new(),
            create_index: 1,
            modify_index: 1,
        }
    }

    /// One that is known here, of a service if it has one.
    pub(super) fn of(
        node: &NodeJson,
        id: &str,
        check: &Check,
        service: Option<&ServiceJson>,
    ) -> Self {
        let definition = &check.definition;
        let (kind, pace) = match &definition.kind {
            Kind::Ttl(_) => ("ttl", None),
            Kind::Http(_, pace) => ("http", Some(*pace)),
            Kind::Tcp { pace, .. } => ("tcp", Some(*pace)),
            Kind::Maintenance => ("maintenance", None),
        };
        let text = |duration| GoDuration(duration).to_string();
        Self {
            notes: definition.notes.clone(),
            output: check.output.clone(),
            kind,
            interval: pace.map(|pace| text(pace.interval)).unwrap_or_default(),
            timeout: pace.map(|pace| text(pace.timeout)).unwrap_or_default(),
            ..Self::new(node, id, &definition.name, check.status)
        }
        .for_service(service)
    }

    /// Those of a service that was registered here. Where DNS has no answer for it, one says so: a registration is
    /// answered without a word.
    pub(super) fn all_of(node: &NodeJson, service: &Service, json: &ServiceJson) -> Vec<Self> {
        let checks = service.checks.iter();
        let checks = checks.map(|(id, check)| Self::of(node, id, check, Some(json)));
        let absent = absence(service).map(|why| {
            let id = format!("_rollcall_dns:{}", json.id);
            let check = Self::new(node, &id, "Not in DNS", Status::Passing);
            let (notes, output) = (why.to_owned(), why.to_owned());
            Self { notes, output, ..check }.for_service(Some(json))
        });
        checks.chain(absent).collect()
    }

    /// The same of that service.
    pub(super) fn for_service(self, service: Option<&ServiceJson>) -> Self {
        let Some(service) = service else { return self };
        Self {
            service_id: service.id.clone(),
            service_name: service.service.clone(),
            service_tags: service.tags.clone(),
            ..self
        }
    }
}

impl From<EntryJson> for CatalogJson {
    fn from(EntryJson { node, service, .. }: EntryJson) -> Self {
        Self {
            id: node.id,
            node: node.node,
            address: node.address,
            datacenter: node.datacenter,
            tagged_addresses: node.tagged_addresses,
            node_meta: node.meta,
            service_kind: "",
            service_id: service.id,
            service_name: service.service,
            service_tags: service.tags,
            service_address: service.address,
            service_tagged_addresses: service.tagged_addresses,
            service_weights: service.weights,
            service_meta: service.meta,
            service_port: service.port,
            service_enable_tag_override: service.enable_tag_override,
            create_index: service.create_index,
            modify_index: service.modify_index,
        }
    }
}

/// An id in the form of a UUID, always the same for a name.
pub(super) fn uuid(name: &str) -> String {
    let hex = data_encoding::HEXLOWER.encode(&Sha256::digest(name));
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    let parts = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)];
    parts.join("-")
}
