//! From another system's tree to a plan.
//!
//! Knows nothing of any system.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Permanent, Plan, Planned, ids, text_of};
use crate::layout::foreign::Foreign;
use crate::layout::native::{Keys, imported_value};
use crate::layout::{Parsed, Registration};
use crate::model::{Instance, Spec};
use crate::registry::Entry;

pub(super) fn plan(layout: &Foreign, entries: &[Entry], keys: &Keys, permanent: Permanent) -> Plan {
    let mut plan = Plan::default();
    let mut found: Vec<(&Entry, Arc<Registration>)> = Vec::new();
    for entry in entries {
        // A prefix may well hold more than that system's keys.
        if entry.key.starts_with(keys.prefix().as_bytes()) {
            continue;
        }
        match layout.parse(entry) {
            Parsed::Instance(registration) => match obstacle(entry, &registration, permanent) {
                Some(why) => plan.skip(entry, why),
                None => found.push((entry, registration)),
            },
            Parsed::Rejected(reason) => plan.skip(entry, &*reason),
            // Records without an app are for a zone file.
            Parsed::Plain(_) | Parsed::Offline(_) | Parsed::Departed(_) | Parsed::Bookkeeping => {}
        }
    }
    let labels = ids::labels(found.iter().map(|(_, one)| &**one));
    let mut written: BTreeMap<_, &Entry> = BTreeMap::new();
    for (entry, registration) in &found {
        let Registration { namespace, app, id, instance, .. } = &**registration;
        let label = match labels.get(&(app, id)) {
            Some(Ok(label)) => label,
            Some(Err(why)) => {
                plan.skip(entry, &**why);
                continue;
            }
            None => continue,
        };
        let key = keys.instance(namespace, app, label);
        if let Some(first) = written.get(&key) {
            let first = text_of(&first.key);
            plan.skip(entry, format!("it has the id {id:?} of {app}, and so has {first}"));
            continue;
        }
        written.insert(key.clone(), entry);
        let from = format!("{}:{}", layout.system, text_of(&entry.key));
        let value = imported_value(instance, &from);
        plan.writes.push(Planned { from, key, value, lease: entry.lease });
    }
    plan
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
        let plan = Plan::of_foreign(&layout, entries, &Keys::new("/r/"), permanent);
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
        assert!(
            planned[0].starts_with("registrator:/s/web/a_b -> /r/default/instances/web/a-b-"),
            "{planned:?}"
        );
        assert_eq!(
            planned[1..],
            [
                "registrator:/s/web/a.b -> /r/default/instances/web/a-b 7",
                "/s/Web/a.b: it has the id \"a.b\" of web, and so has /s/web/a.b",
                "/s/web/::: instance id \"::\" must not be empty",
            ]
        );
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
