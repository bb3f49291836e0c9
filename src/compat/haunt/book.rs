//! What was registered here: groups, and the instances that they make.
//!
//! An app that is served on one address and port in several protocols, or for several domains, is one instance with
//! several endpoints: its name in DNS comes from address and port.
//!
//! The clock is handed in. Knows nothing of the registry and of files.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::call::Group;
use crate::compat::hold::Target;
use crate::model::{AppName, Instance, Label, Namespace, Protocol, Spec, limits};

/// Groups that one instance may have: as many as it may have endpoints.
pub(super) const GROUPS_MAX: usize = limits::ENDPOINTS_MAX;
/// What has not answered for so long is forgotten: whoever is served by it registers at each start.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

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
    /// All of them as one; weight and meta are those of the first.
    whole: Instance,
    /// Since when its port does not answer, so far as is known.
    down: Option<Instant>,
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
        self.entries.get(target).is_some_and(|entry| entry.down.is_some())
    }

    /// The first of these that would have more groups than it may, if they were taken in one after the other.
    pub(super) fn crowded<'a>(
        &self,
        groups: impl IntoIterator<Item = (&'a Target, &'a Group)>,
    ) -> Option<&'a Target> {
        let mut kinds: BTreeMap<&Target, BTreeSet<Kind>> = BTreeMap::new();
        let known = |target| self.entries.get(target).map(|entry| entry.groups.keys().cloned());
        groups.into_iter().find_map(|(target, group)| {
            let kinds = kinds
                .entry(target)
                .or_insert_with(|| known(target).into_iter().flatten().collect());
            let kind = kind(&group.registration.instance, &group.domain);
            if group.registration.disabled {
                kinds.remove(&kind);
            } else {
                kinds.insert(kind);
            }
            (kinds.len() > GROUPS_MAX).then_some(target)
        })
    }

    /// Takes in a group that is there, or takes out one that is not, or that takes no calls.
    pub(super) fn change(&mut self, target: &Target, group: &Group, there: bool) -> Change {
        let own = &group.registration.instance;
        let kind = kind(own, &group.domain);
        if there && !group.registration.disabled {
            let entry = self.entries.entry(target.clone()).or_insert_with(|| Entry::new(own));
            // Who registers lives.
            entry.down = None;
            if entry.groups.get(&kind) != Some(own) {
                entry.groups.insert(kind, own.clone());
                entry.merge();
            }
            return Change::Put(entry.whole.clone());
        }
        let Some(entry) = self.entries.get_mut(target) else { return Change::Remove(own.clone()) };
        let before = entry.whole.clone();
        if entry.groups.remove(&kind).is_some() {
            entry.merge();
        }
        if entry.groups.is_empty() {
            self.entries.remove(target);
            return Change::Remove(before);
        }
        Change::Put(entry.whole.clone())
    }

    /// Takes out an instance with all its groups.
    pub(super) fn strike(&mut self, target: &Target) {
        self.entries.remove(target);
    }

    /// Takes in whether its port answers, and gives the instance; none if that is not news.
    pub(super) fn heard(&mut self, target: &Target, up: bool, now: Instant) -> Option<Instance> {
        let entry = self.entries.get_mut(target).filter(|entry| entry.down.is_none() != up)?;
        entry.down = if up { None } else { Some(now) };
        Some(entry.whole.clone())
    }

    /// Forgets what has not answered for too long. Gives what that was.
    pub(super) fn forget(&mut self, now: Instant) -> Vec<Target> {
        let is_over = |entry: &Entry| {
            entry.down.is_some_and(|since| now.duration_since(since) >= FORGOTTEN_AFTER)
        };
        let over = self.entries.iter().filter(|(_, entry)| is_over(entry));
        let over: Vec<Target> = over.map(|(target, _)| target.clone()).collect();
        for target in &over {
            self.entries.remove(target);
        }
        over
    }

    /// Where each instance listens.
    pub(super) fn ports(&self) -> Vec<(Target, SocketAddr)> {
        let port = |(target, entry): (&Target, &Entry)| Some((target.clone(), port(&entry.whole)?));
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
    pub(super) fn restored(
        saved: Vec<SavedGroup>,
        namespace: &Namespace,
        now: Instant,
    ) -> Result<Self, String> {
        let mut book = Self::default();
        for SavedGroup { app, id, domain, instance } in saved {
            let app = AppName::new(&app).map_err(|rule| format!("app {app:?} {rule}"))?;
            let id = Label::new(&id).map_err(|rule| format!("id {id:?} {rule}"))?;
            let instance = instance.resolve(None).map_err(|error| format!("{id}: {error}"))?;
            let target = Target { namespace: namespace.clone(), app, id };
            let fresh = || Entry { down: Some(now), ..Entry::new(&instance) };
            let entry = book.entries.entry(target).or_insert_with(fresh);
            entry.groups.insert(kind(&instance, &domain), instance);
        }
        book.entries.values_mut().for_each(Entry::merge);
        Ok(book)
    }
}

impl Entry {
    fn new(whole: &Instance) -> Self {
        Self { groups: BTreeMap::new(), whole: whole.clone(), down: None }
    }

    /// Makes the whole of the groups; without any it stays what it was.
    fn merge(&mut self) {
        let mut groups = self.groups.values();
        let Some(mut whole) = groups.next().cloned() else { return };
        for endpoint in groups.flat_map(|instance| &instance.endpoints) {
            if !whole.endpoints.contains(endpoint) && whole.endpoints.len() < limits::ENDPOINTS_MAX
            {
                whole.endpoints.push(endpoint.clone());
            }
        }
        self.whole = whole;
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
        let now = Instant::now();
        assert_eq!(book.heard(&target, true, now), None);
        let saved = serde_json::to_string(&book.saved()).unwrap();
        let saved: Vec<SavedGroup> = serde_json::from_str(&saved).unwrap();
        let mut restored = Book::restored(saved.clone(), &Namespace::default(), now).unwrap();
        assert_eq!(restored.saved(), saved);
        assert_eq!(restored.ports(), [(target.clone(), "10.0.0.1:80".parse().unwrap())]);
        assert_eq!(restored.heard(&target, false, now), None);
        assert_eq!(restored.heard(&target, true, now), Some(whole.clone()));
        assert_eq!(restored.heard(&target, true, now), None);
        assert_eq!(restored.heard(&target, false, now), Some(whole));
        let broken = vec![SavedGroup { app: "A b".into(), ..saved[0].clone() }];
        assert!(Book::restored(broken, &Namespace::default(), now).unwrap_err().starts_with("app"));
    }

    #[test]
    fn an_instance_has_so_many_groups_and_no_more() {
        let (mut book, target) = (Book::default(), target());
        let groups: Vec<Group> =
            (0..=GROUPS_MAX).map(|n| group("nova", &format!("com.{n}"), 100)).collect();
        let (last, first) = groups.split_last().unwrap();
        let crowded = |book: &Book, groups: &[&Group]| {
            book.crowded(groups.iter().map(|group| (&target, *group))).is_some()
        };
        assert!(crowded(&book, &groups.iter().collect::<Vec<_>>()), "in one call");
        for group in first {
            assert!(!crowded(&book, &[group]));
            book.change(&target, group, true);
        }
        assert!(crowded(&book, &[last]), "one after the other");
        assert!(!crowded(&book, &[&first[0], &first[1]]), "what is there already");
        let out = group("nova", "com.0", 0);
        assert!(!crowded(&book, &[&out, last]), "in the place of another");
    }

    #[test]
    fn what_has_not_answered_for_a_day_is_forgotten() {
        let (mut book, target, now) = (Book::default(), target(), Instant::now());
        book.change(&target, &group("nova", "com.a", 5), true);
        assert_eq!(book.forget(now + FORGOTTEN_AFTER * 2), [], "it answers");
        book.heard(&target, false, now).unwrap();
        let before = FORGOTTEN_AFTER - Duration::from_secs(1);
        assert_eq!(book.forget(now + before), []);
        // Back, and away again: the day begins anew.
        book.heard(&target, true, now + before).unwrap();
        book.heard(&target, false, now + before).unwrap();
        assert_eq!(book.forget(now + FORGOTTEN_AFTER), []);
        let saved = book.saved();
        assert_eq!(book.forget(now + before + FORGOTTEN_AFTER), std::slice::from_ref(&target));
        assert_eq!((book.len(), book.saved()), (0, Vec::new()));
        // After a restart nobody knows since when it is away.
        let mut book = Book::restored(saved, &Namespace::default(), now).unwrap();
        assert_eq!(book.forget(now + before), []);
        assert_eq!(book.forget(now + FORGOTTEN_AFTER), [target]);
    }
}
