//! What was registered here: groups, and the instances that they make.
//!
//! An app that is served on one address and port in several protocols, or for several domains, is one instance with
//! several endpoints: its name in DNS comes from address and port.
//!
//! Knows nothing of the registry, of files and of the clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::call::Group;
use crate::compat::hold::Target;
use crate::model::{AppName, Instance, Label, Namespace, Protocol, Spec, limits};

/// What tells groups of one instance apart.
type Kind = (Protocol, String);

/// All that is registered here.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: BTreeMap<Target, Entry>,
}

#[derive(Debug)]
struct Entry {
    groups: BTreeMap<Kind, Instance>,
    /// Its port answers, so far as is known.
    up: bool,
}

/// One group as it is saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedGroup {
    app: String,
    id: String,
    domain: String,
    instance: Spec,
}

/// What a change came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is to be registered so.
    Put(Instance),
    /// It is to be taken away; this was registered, or would have been.
    Remove(Instance),
}

impl Book {
    /// How many instances there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether that one is there.
    pub(super) fn has(&self, target: &Target) -> bool {
        self.entries.contains_key(target)
    }

    /// Whether that one is there, and does not answer so far as is known.
    pub(super) fn is_down(&self, target: &Target) -> bool {
        self.entries.get(target).is_some_and(|entry| !entry.up)
    }

    /// Takes in a group that is there, or takes out one that is not, or that takes no calls.
    pub(super) fn change(&mut self, target: &Target, group: &Group, there: bool) -> Change {
        let own = &group.registration.instance;
        let kind = kind(own, &group.domain);
        if there && !group.registration.disabled {
            let fresh = || Entry { groups: BTreeMap::new(), up: true };
            let entry = self.entries.entry(target.clone()).or_insert_with(fresh);
            // Who registers lives.
            entry.up = true;
            entry.groups.insert(kind, own.clone());
            return Change::Put(entry.instance().unwrap_or_else(|| own.clone()));
        }
        let Some(entry) = self.entries.get_mut(target) else { return Change::Remove(own.clone()) };
        let before = entry.instance().unwrap_or_else(|| own.clone());
        entry.groups.remove(&kind);
        match entry.instance() {
            Some(rest) => Change::Put(rest),
            None => {
                self.entries.remove(target);
                Change::Remove(before)
            }
        }
    }

    /// Takes out an instance with all its groups.
    pub(super) fn strike(&mut self, target: &Target) {
        self.entries.remove(target);
    }

    /// Takes in whether its port answers, and gives the instance; none if that is not news.
    pub(super) fn heard(&mut self, target: &Target, up: bool) -> Option<Instance> {
        let entry = self.entries.get_mut(target).filter(|entry| entry.up != up)?;
        entry.up = up;
        entry.instance()
    }

    /// Where each instance listens.
    pub(super) fn ports(&self) -> Vec<(Target, SocketAddr)> {
        let port =
            |(target, entry): (&Target, &Entry)| Some((target.clone(), port(&entry.instance()?)?));
        self.entries.iter().filter_map(port).collect()
    }

    /// All groups.
    pub(super) fn saved(&self) -> Vec<SavedGroup> {
        let groups = |(target, entry): (&Target, &Entry)| {
            let saved = |((_, domain), instance): (&Kind, &Instance)| SavedGroup {
                app: target.app.to_string(),
                id: target.id.to_string(),
                domain: domain.clone(),
                instance: Spec::from(instance),
            };
            entry.groups.iter().map(saved).collect::<Vec<_>>()
        };
        self.entries.iter().flat_map(groups).collect()
    }

    /// The book of what was saved. Nobody knows yet whether anything of it still answers.
    pub(super) fn restored(saved: Vec<SavedGroup>, namespace: &Namespace) -> Result<Self, String> {
        let mut book = Self::default();
        for SavedGroup { app, id, domain, instance } in saved {
            let app = AppName::new(&app).map_err(|rule| format!("app {app:?} {rule}"))?;
            let id = Label::new(&id).map_err(|rule| format!("id {id:?} {rule}"))?;
            let instance = instance.resolve(None).map_err(|error| format!("{id}: {error}"))?;
            let target = Target { namespace: namespace.clone(), app, id };
            let fresh = || Entry { groups: BTreeMap::new(), up: false };
            let entry = book.entries.entry(target).or_insert_with(fresh);
            entry.groups.insert(kind(&instance, &domain), instance);
        }
        Ok(book)
    }
}

impl Entry {
    /// The groups as one instance; weight and meta are those of the first.
    fn instance(&self) -> Option<Instance> {
        let mut groups = self.groups.values();
        let mut whole = groups.next()?.clone();
        for endpoint in groups.flat_map(|instance| &instance.endpoints) {
            if !whole.endpoints.contains(endpoint) && whole.endpoints.len() < limits::ENDPOINTS_MAX
            {
                whole.endpoints.push(endpoint.clone());
            }
        }
        Some(whole)
    }
}

fn kind(instance: &Instance, domain: &str) -> Kind {
    let protocol = instance.endpoints.first().map(|endpoint| endpoint.protocol.clone());
    (protocol.unwrap_or_default(), domain.to_owned())
}

/// Where an instance can be asked whether it lives.
pub(super) fn port(instance: &Instance) -> Option<SocketAddr> {
    let endpoint = instance.endpoints.first()?;
    Some(SocketAddr::new(*instance.addresses.first()?, endpoint.port))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::call::groups;
    use super::*;

    fn group(protocol: &str, domain: &str, weight: u16) -> Group {
        let body = json!({"SrvList": [{"Namespace": domain, "SrvName": "pay", "IP": "10.0.0.1", "Port": 80,
            "Protocol": protocol, "Status": 1, "Weight": weight}]});
        groups(body.to_string().as_bytes(), &Namespace::default()).unwrap().remove(0)
    }

    fn target() -> Target {
        let (app, id) = ("pay".parse().unwrap(), "10-0-0-1-80".parse().unwrap());
        Target { namespace: Namespace::default(), app, id }
    }

    fn protocols(change: &Change) -> Vec<&str> {
        let Change::Put(instance) = change else { panic!("{change:?}") };
        instance.endpoints.iter().map(|endpoint| endpoint.protocol.as_str()).collect()
    }

    #[test]
    fn groups_on_one_port_are_one_instance() {
        let (mut book, target) = (Book::default(), target());
        let nova = group("nova", "com.a", 100);
        assert_eq!(protocols(&book.change(&target, &nova, true)), ["nova"]);
        let http = group("http", "com.a", 100);
        assert_eq!(protocols(&book.change(&target, &http, true)), ["http", "nova"]);
        // The same in another domain shows nothing new, and holds it there.
        let other = group("nova", "com.b", 100);
        assert_eq!(protocols(&book.change(&target, &other, true)), ["http", "nova"]);
        assert_eq!(protocols(&book.change(&target, &nova, false)), ["http", "nova"]);
        assert_eq!(protocols(&book.change(&target, &http, false)), ["nova"]);
        assert_eq!(book.len(), 1);
        assert!(matches!(book.change(&target, &other, false), Change::Remove(_)));
        assert!(!book.has(&target));
        // Once more is no harm.
        assert!(matches!(book.change(&target, &other, false), Change::Remove(_)));
    }

    #[test]
    fn who_takes_no_calls_is_not_held() {
        let (mut book, target) = (Book::default(), target());
        let out = book.change(&target, &group("nova", "com.a", 0), true);
        assert!(matches!(out, Change::Remove(_)), "{out:?}");
        book.change(&target, &group("nova", "com.a", 5), true);
        let out = book.change(&target, &group("nova", "com.a", 0), true);
        assert!(matches!(&out, Change::Remove(before) if before.weight == 5), "{out:?}");
        assert_eq!(book.len(), 0);
    }

    #[test]
    fn what_is_saved_is_restored_and_has_to_answer_first() {
        let (mut book, target) = (Book::default(), target());
        book.change(&target, &group("nova", "com.a", 5), true);
        let Change::Put(whole) = book.change(&target, &group("http", "com.b", 7), true) else {
            panic!("registered")
        };
        assert_eq!(book.heard(&target, true), None);
        let saved = serde_json::to_string(&book.saved()).unwrap();
        let saved: Vec<SavedGroup> = serde_json::from_str(&saved).unwrap();
        let mut restored = Book::restored(saved.clone(), &Namespace::default()).unwrap();
        assert_eq!(restored.saved(), saved);
        assert_eq!(restored.ports(), [(target.clone(), "10.0.0.1:80".parse().unwrap())]);
        assert_eq!(restored.heard(&target, false), None);
        assert_eq!(restored.heard(&target, true), Some(whole.clone()));
        assert_eq!(restored.heard(&target, true), None);
        assert_eq!(restored.heard(&target, false), Some(whole));
        let broken = vec![SavedGroup { app: "A b".into(), ..saved[0].clone() }];
        assert!(Book::restored(broken, &Namespace::default()).unwrap_err().starts_with("app"));
    }
}
