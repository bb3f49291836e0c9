//! What clients find: all that is registered in the namespace, on whichever server and by whichever system, as the
//! directory has it; and of what was registered here also what is not in answers at present.
//!
//! A service that was registered here is shown as it was registered. Another's is shown as the directory has it: its label
//! for an ID, its address for a node, its first endpoint for address and port, all of them as URLs in TaggedAddresses, where
//! Kratos looks, `isSecure` with them; a hundredth of its weight; a version and the metadata of go-micro also as the tags in which their clients look.
//!
//! A service is asked for by any name that is mapped to its app, and has that name in the answer.
//!
//! Pure. Knows nothing of requests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::agent::{Agent, Leaving, Service};
use super::definition::{Status, TaggedAddress, Weights};
use super::instance::{secure_key, weight_there};
use super::view::{CheckJson, EntryJson, NodeJson, ServiceJson};
use crate::model::{AppName, Endpoint, Namespace, map_app, map_label};
use crate::registry::Origin;
use crate::zone::{Directory, InstanceView, State};

/// Tags that are shown of a service in the list of all: that list is a page for people, too.
const TAGS_SHOWN_MAX: usize = 256;

/// All that there is to be seen, at one moment.
pub(super) struct Sight<'a> {
    pub(super) directory: &'a Directory,
    pub(super) namespace: &'a Namespace,
    pub(super) agent: &'a Agent,
    /// What this agent's node is called.
    pub(super) node: &'a str,
}

impl Sight<'_> {
    /// The instances of a service, with their nodes and checks.
    pub(super) fn service(&self, name: &str) -> Vec<EntryJson> {
        let Ok(app) = map_app(name.as_bytes()) else { return Vec::new() };
        let mut entries: Vec<EntryJson> =
            self.own(&app).map(|service| self.own_entry(name, service)).collect();
        let known: BTreeSet<&str> = self.own(&app).map(|service| service.label.as_str()).collect();
        let view = self.directory.app(self.namespace, &app);
        for instance in view.into_iter().flat_map(|view| &view.instances) {
            let native = instance.registration.origin == Origin::NATIVE;
            let id = instance.registration.id.as_str();
            if native && (known.contains(id) || self.agent.leaving().has(&app, id)) {
                continue;
            }
            let Some(entry) = entry(name, instance) else { continue };
            // What another layout has of one that is there already is the same one.
            if native || !entries.iter().any(|other| other.place() == entry.place()) {
                entries.push(entry);
            }
        }
        entries
    }

    /// The checks of this agent's node.
    pub(super) fn node_checks(&self, node: &NodeJson) -> Vec<CheckJson> {
        let own = self.agent.node_checks().map(|(id, check)| CheckJson::of(node, id, check, None));
        [node.alive()].into_iter().chain(own).collect()
    }

    /// The checks of a service that was registered here, those of its node apart.
    pub(super) fn service_checks(
        &self,
        node: &NodeJson,
        service: &Service,
        json: &ServiceJson,
    ) -> Vec<CheckJson> {
        let mut checks = CheckJson::all_of(node, service, json);
        let view = self.directory.registered(self.namespace, &service.app, &service.label);
        let marked = view.and_then(|view| maintenance(view, node, json));
        // An operator's mark is shown as what it is to Consul, unless its client has said the same.
        if let Some(marked) =
            marked.filter(|new| checks.iter().all(|old| old.check_id != new.check_id))
        {
            checks.push(marked);
        }
        checks
    }

    fn own(&self, app: &AppName) -> impl Iterator<Item = &Service> {
        self.agent.services().filter(move |service| service.app == *app)
    }

    fn own_entry(&self, name: &str, service: &Service) -> EntryJson {
        let node = NodeJson::new(self.node, &service.node.to_string());
        let json = ServiceJson::new(name, service);
        let mut checks = self.node_checks(&node);
        checks.append(&mut self.service_checks(&node, service, &json));
        EntryJson { node, service: json, checks }
    }
}

/// The services that are registered here, by the app that each is: its name, and its tags.
#[derive(Default)]
pub(super) struct OwnNames {
    names: BTreeMap<AppName, (String, BTreeSet<String>)>,
    leaving: Leaving,
}

/// What an agent adds to [`names`].
pub(super) fn own_names(agent: &Agent) -> OwnNames {
    let leaving = agent.leaving().clone();
    let mut own = OwnNames { leaving, ..OwnNames::default() };
    for service in agent.services() {
        let name = || (service.definition.name.clone(), BTreeSet::new());
        let (_, tags) = own.names.entry(service.app.clone()).or_insert_with(name);
        tags.extend(service.definition.tags.iter().cloned());
    }
    own
}

/// All services, with tags that instances of each have. Those that are registered here as well have their own names.
pub(super) fn names(
    directory: &Directory,
    namespace: &Namespace,
    own: OwnNames,
) -> BTreeMap<String, BTreeSet<String>> {
    let OwnNames { names: own, leaving } = own;
    let mut names = BTreeMap::new();
    for view in directory.apps(namespace, None).filter(|view| !own.contains_key(&view.app)) {
        let there = |instance: &&Arc<InstanceView>| {
            is_shown(instance) && !leaving.has(&view.app, instance.registration.id.as_str())
        };
        let mut shown = view.instances.iter().filter(there).peekable();
        if shown.peek().is_some() {
            let tags = shown.flat_map(|instance| tags(instance)).take(TAGS_SHOWN_MAX);
            names.insert(view.app.to_string(), tags.collect());
        }
    }
    names.extend(own.into_values());
    names
}

impl EntryJson {
    fn place(&self) -> (&str, u16) {
        let address = match &*self.service.address {
            "" => &*self.node.address,
            address => address,
        };
        (address, self.service.port)
    }

    /// Whether all its checks pass.
    pub(super) fn is_passing(&self) -> bool {
        self.checks.iter().all(|check| check.status == Status::Passing)
    }

    /// Whether it has a tag, in whichever case, as written or as it is mapped.
    pub(super) fn has_tag(&self, tag: &str) -> bool {
        let mapped = map_label(tag.as_bytes()).ok();
        let mapped = mapped.as_ref().map(|label| label.as_str());
        self.service
            .tags
            .iter()
            .any(|own| own.eq_ignore_ascii_case(tag) || Some(own.as_str()) == mapped)
    }
}

/// Whether it is anything to clients: pinned ones are replaced, rejected ones are nobody's.
fn is_shown(view: &InstanceView) -> bool {
    matches!(view.state, State::Online | State::Offline(_) | State::Disabled(_))
}

/// What the directory has, as Consul would.
fn entry(name: &str, view: &InstanceView) -> Option<EntryJson> {
    if !is_shown(view) {
        return None;
    }
    let registration = &view.registration;
    let instance = &registration.instance;
    let first = instance.endpoints.first()?;
    let host = |endpoint: &Endpoint| -> Option<String> {
        let address = endpoint.addresses.first().or_else(|| instance.addresses.first());
        address.map(IpAddr::to_string).or_else(|| instance.host.as_deref().map(str::to_owned))
    };
    let address = host(first)?;
    let node = NodeJson::new(&address, &address);
    let mut tagged_addresses = BTreeMap::new();
    let mut meta: BTreeMap<String, String> =
        instance.meta.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    for endpoint in &instance.endpoints {
        let Endpoint { protocol, port, .. } = endpoint;
        let Some(host) = host(endpoint) else { continue };
        let place = match host.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, *port).to_string(),
            Err(_) => format!("{host}:{port}"),
        };
        let key = secure_key(protocol.as_str());
        meta.remove(&key);
        let secure = match instance.meta.get(&*key) {
            Some(secure) => format!("?isSecure={secure}"),
            None => String::new(),
        };
        let address = format!("{protocol}://{place}{secure}");
        tagged_addresses.insert(protocol.to_string(), TaggedAddress { address, port: *port });
    }
    let weight = weight_there(instance.weight);
    let service = ServiceJson {
        id: registration.id.to_string(),
        service: name.to_owned(),
        tags: tags(view),
        address,
        tagged_addresses,
        meta,
        port: first.port,
        weights: Weights { passing: weight, warning: weight },
        enable_tag_override: false,
        datacenter: None,
        create_index: view.revision.max(1),
        modify_index: view.revision.max(1),
    };
    let mut checks = vec![node.alive()];
    if registration.disabled {
        let id = format!("service:{}", service.id);
        let check = CheckJson::new(&node, &id, "Taken out by its own system", Status::Critical);
        checks.push(check.for_service(Some(&service)));
    }
    checks.extend(maintenance(view, &node, &service));
    Some(EntryJson { node, service, checks })
}

/// An operator's mark, as the check that Consul has for it.
fn maintenance(view: &InstanceView, node: &NodeJson, service: &ServiceJson) -> Option<CheckJson> {
    let State::Offline(mark) = &view.state else { return None };
    let id = format!("_service_maintenance:{}", service.id);
    let check = CheckJson::new(node, &id, "Service Maintenance Mode", Status::Critical);
    Some(CheckJson { notes: mark.note.reason.clone(), ..check }.for_service(Some(service)))
}

/// Its tags, and in the form of tags what go-micro's clients and Kratos' look for there.
fn tags(view: &InstanceView) -> Vec<String> {
    let instance = &view.registration.instance;
    let mut tags: Vec<String> = instance.tags.iter().map(ToString::to_string).collect();
    let version = instance.meta.get("version");
    // Every server of go-micro tells its registry.
    if instance.meta.contains_key("registry") && instance.meta.contains_key("server") {
        let metadata: BTreeMap<&str, &str> = instance
            .meta
            .iter()
            .filter(|(key, _)| &***key != "version")
            .map(|(key, value)| (&**key, &**value))
            .collect();
        tags.extend(serde_json::to_string(&metadata).ok().map(|json| format!("t={json}")));
        tags.extend(version.map(|version| format!("v={version}")));
    } else {
        tags.extend(version.map(|version| format!("version={version}")));
    }
    tags
}

#[cfg(test)]
mod tests;
