//! From another system's tree to a plan.
//!
//! Knows nothing of any system.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Permanent, Plan, Planned, Skipped, ids, text_of};
use crate::layout::foreign::Foreign;
use crate::layout::native::{Keys, imported_from, imported_value};
use crate::layout::{Parsed, Registration};
use crate::model::{AppName, Endpoint, Instance, Label, Namespace, Spec, limits};
use crate::registry::{Entry, LeaseId};

/// One instance, and what it is a copy of.
struct Source {
    from: String,
    registration: Registration,
    lease: Option<LeaseId>,
}

/// Copies that are there already.
#[derive(Default)]
struct Copies {
    /// Of what each is a copy, and where it is.
    places: HashMap<String, (AppName, Label)>,
    /// The labels that copies have.
    taken: HashSet<(AppName, Label)>,
}

pub(super) fn plan(
    layout: &Foreign,
    entries: &[Entry],
    there: &[Entry],
    keys: &Keys,
    permanent: Permanent,
) -> Plan {
    let mut plan = Plan::default();
    let sources = sources(&mut plan, layout, entries, keys, permanent);
    let copies = Copies::of(&layout.namespace, there, keys);
    // What has a copy keeps its name, so that one that comes later takes it from nobody.
    let new: Vec<&Source> = sources.iter().filter(|one| copies.label(one).is_none()).collect();
    let taken = |app: &AppName, label: &Label| copies.taken.contains(&(app.clone(), label.clone()));
    let mut labels = ids::labels(new.iter().map(|one| &one.registration), taken).into_iter();
    for source in &sources {
        let Source { from, registration, lease } = source;
        let label = match copies.label(source) {
            Some(label) => Some(Ok(label.clone())),
            None => labels.next(),
        };
        let label = match label {
            Some(Ok(label)) => label,
            Some(Err(why)) => {
                let key = from.strip_prefix(&format!("{}:", layout.system)).unwrap_or(from);
                plan.skipped.push(Skipped { key: key.to_owned(), reason: why.to_string() });
                continue;
            }
            None => continue,
        };
        let Registration { namespace, app, instance, .. } = registration;
        let key = keys.instance(namespace, app, &label);
        let value = imported_value(instance, from);
        plan.writes.push(Planned { from: from.clone(), key, value, lease: *lease });
    }
    plan
}

/// The instances that can be copied. Keys of one id at one place that end together, such as those that Zan writes for each
/// protocol, are one instance with all that they offer; a copy of it is one of the first key.
fn sources(
    plan: &mut Plan,
    layout: &Foreign,
    entries: &[Entry],
    keys: &Keys,
    permanent: Permanent,
) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    let mut places = HashMap::new();
    for entry in entries {
        // A prefix may well hold more than that system's keys.
        if entry.key.starts_with(keys.prefix().as_bytes()) {
            continue;
        }
        let registration = match layout.parse(entry) {
            Parsed::Instance(registration) => match obstacle(entry, &registration, permanent) {
                Some(why) => {
                    plan.skip(entry, why);
                    continue;
                }
                None => Arc::unwrap_or_clone(registration),
            },
            Parsed::Rejected(reason) => {
                plan.skip(entry, &*reason);
                continue;
            }
            // Records without an app are for a zone file.
            Parsed::Plain(_) | Parsed::Offline(_) | Parsed::Departed(_) | Parsed::Bookkeeping => {
                continue;
            }
        };
        let lease = entry.lease;
        let Registration { app, id, instance, .. } = &registration;
        let place = (app.clone(), id.clone(), instance.addresses.clone(), lease);
        let first = *places.entry(place).or_insert(sources.len());
        let joined = sources
            .get_mut(first)
            .is_some_and(|first| join(&mut first.registration.instance, instance));
        if !joined {
            let from = format!("{}:{}", layout.system, text_of(&entry.key));
            sources.push(Source { from, registration, lease });
        }
    }
    sources
}

/// Takes in what another key of an instance offers; whether there is room for it.
fn join(first: &mut Instance, more: &Instance) -> bool {
    let same = |one: &Endpoint, other: &Endpoint| {
        (&one.protocol, one.transport, one.port) == (&other.protocol, other.transport, other.port)
            && one.addresses == other.addresses
    };
    let is_new = |one: &&Endpoint| !first.endpoints.iter().any(|other| same(one, other));
    let weight = (more.weight != first.weight).then_some(more.weight);
    let weighed =
        |endpoint: &Endpoint| Endpoint { weight: endpoint.weight.or(weight), ..endpoint.clone() };
    let rest: Vec<Endpoint> = more.endpoints.iter().filter(is_new).map(weighed).collect();
    let fits = first.endpoints.len() + rest.len() <= limits::ENDPOINTS_MAX;
    if fits {
        first.endpoints.extend(rest);
    }
    fits
}

impl Copies {
    fn of(namespace: &Namespace, there: &[Entry], keys: &Keys) -> Self {
        let mut copies = Self::default();
        for entry in there {
            let Some(from) = imported_from(&entry.value) else { continue };
            let Parsed::Instance(copy) = keys.parse(entry) else { continue };
            let Ok(label) = Label::new(&copy.id) else { continue };
            if copy.namespace == *namespace {
                let place = (copy.app.clone(), label);
                copies.taken.insert(place.clone());
                copies.places.entry(from).or_insert(place);
            }
        }
        copies
    }

    /// The label of the copy of that, if there is one.
    fn label(&self, source: &Source) -> Option<&Label> {
        let (app, label) = self.places.get(&source.from)?;
        (*app == source.registration.app).then_some(label)
    }
}

/// Why a registration can't be in our layout, or had better not be.
fn obstacle(entry: &Entry, registration: &Registration, permanent: Permanent) -> Option<String> {
    if registration.disabled {
        return Some("its system takes it out of use".to_owned());
    }
    if let Some(host) = &registration.instance.host {
        return Some(format!(
            "it is known by the host name {host}, and only addresses can be copied"
        ));
    }
    if let Err(why) = in_our_layout(&registration.instance) {
        return Some(why);
    }
    if entry.lease.is_none() && permanent == Permanent::Skip {
        return Some(
            "it has no lease, so that its copy would stay for ever: --permanent copies it"
                .to_owned(),
        );
    }
    None
}

/// Our own layout is stricter than what is read of others.
fn in_our_layout(instance: &Instance) -> Result<(), String> {
    Spec::from(instance).resolve(None).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::foreign::System;
    use crate::model::Namespace;
    use crate::registry::{LeaseId, Origin};

    fn entry(key: &str, value: &str, lease: u64) -> Entry {
        let (key, value) = (key.to_owned().into(), value.to_owned().into());
        Entry { key, value, revision: 1, lease: LeaseId::new(lease) }
    }

    fn planned(
        system: System,
        prefix: &str,
        permanent: Permanent,
        entries: &[Entry],
    ) -> Vec<String> {
        let (origin, namespace) = (Origin(1), Namespace::default());
        let layout = Foreign { origin, system, prefix: prefix.into(), namespace };
        let plan = Plan::of_foreign(&layout, entries, &[], &Keys::new("/r/"), permanent);
        let write = |write: &Planned| {
            let lease = write.lease.map_or(0, LeaseId::get);
            format!("{} -> {} {lease}", write.from, text_of(&write.key))
        };
        let skipped = plan.skipped.iter().map(|one| format!("{}: {}", one.key, one.reason));
        plan.writes.iter().map(write).chain(skipped).collect()
    }

    #[test]
    fn what_has_a_lease_is_planned_with_it() {
        let entries = [
            entry("/s/redis/node1:redis.0:6379", "192.168.1.102:10000", 7),
            entry("/s/redis/old", "192.168.1.103:10000", 0),
            entry("/s/redis/name", "db.example.org:10000", 7),
            entry("/s/redis/broken", "?", 7),
            entry("/r/default/instances/a/b", "{}", 7),
        ];
        let by_lease = "registrator:/s/redis/node1:redis.0:6379 -> /r/default/instances/redis/node1-redis-0-6379 7";
        let named = "/s/redis/name: it is known by the host name db.example.org, and only addresses can be copied";
        let broken = "/s/redis/broken: \"?\" has no port";
        assert_eq!(
            planned(System::Registrator, "/s/", Permanent::Skip, &entries),
            [
                by_lease,
                "/s/redis/old: it has no lease, so that its copy would stay for ever: --permanent copies it",
                named,
                broken
            ]
        );
        assert_eq!(
            planned(System::Registrator, "/s/", Permanent::Copy, &entries),
            [
                by_lease,
                "registrator:/s/redis/old -> /r/default/instances/redis/old 0",
                named,
                broken
            ]
        );
    }

    #[test]
    fn ids_that_are_alike_are_told_apart_or_skipped() {
        let entries = [
            entry("/s/web/a_b", "10.0.0.1:80", 7),
            entry("/s/web/a.b", "10.0.0.2:80", 7),
            entry("/s/Web/a.b", "10.0.0.3:80", 7),
            entry("/s/web/::", "10.0.0.4:80", 7),
        ];
        let planned = planned(System::Registrator, "/s/", Permanent::Skip, &entries);
        let web = "/r/default/instances/web/a-b";
        let begin = |line: &str, with: String| assert!(line.starts_with(&with), "{planned:?}");
        begin(&planned[0], format!("registrator:/s/web/a_b -> {web}-"));
        assert_eq!(planned[1], format!("registrator:/s/web/a.b -> {web} 7"));
        // Another one with the id of the one before, since case is folded.
        begin(&planned[2], format!("registrator:/s/Web/a.b -> {web}-"));
        assert_eq!(planned[3..], ["/s/web/::: instance id \"::\" must not be empty"]);
    }

    #[test]
    fn what_its_system_takes_out_of_use_is_left_out() {
        let value = r#"{"Host":"10.0.0.5","Port":20000,"Enable":false,"Healthy":true}"#;
        let entries = [entry("/services/user-srv/10.0.0.5:20000", value, 7)];
        assert_eq!(
            planned(System::Dubbo, "/services/", Permanent::Copy, &entries),
            ["/services/user-srv/10.0.0.5:20000: its system takes it out of use"]
        );
    }
}
