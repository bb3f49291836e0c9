//! From a registry in our own layout to a plan: keys and values stay as they are.
//!
//! Knows nothing of other systems.

use super::{Plan, Planned, text_of};
use crate::layout::Parsed;
use crate::layout::native::Keys;
use crate::registry::Entry;

/// Registrations and offline marks; not the notes of who has left, which are for those who watch, nor what servers tell each
/// other.
pub(super) fn plan(entries: &[Entry], keys: &Keys) -> Plan {
    let mut plan = Plan::default();
    for entry in entries {
        match keys.parse(entry) {
            Parsed::Instance(_) | Parsed::Offline(_) => plan.writes.push(Planned {
                from: text_of(&entry.key),
                key: entry.key.clone(),
                value: entry.value.clone(),
                lease: entry.lease,
            }),
            Parsed::Plain(_) | Parsed::Departed(_) | Parsed::Bookkeeping => {}
            Parsed::Rejected(reason) => plan.skip(entry, &*reason),
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::LeaseId;

    #[test]
    fn registrations_and_marks_are_planned_as_they_are() {
        let entry = |key: &str, value: &str, lease| Entry {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            revision: 3,
            lease: LeaseId::new(lease),
        };
        let entries = [
            entry("/r/_members/a", "7", 1),
            entry("/r/default/departed/greeter/i-2", "", 2),
            entry("/r/default/instances/greeter/I-3", "{}", 3),
            entry(
                "/r/default/instances/greeter/i-1",
                r#"{"address":"10.0.0.7","port":9000,"new":1}"#,
                4,
            ),
            entry("/r/default/offline/greeter/", "", 0),
        ];
        let plan = plan(&entries, &Keys::new("/r/"));
        let writes: Vec<_> =
            plan.writes.iter().map(|one| (&one.key, &one.value, one.lease)).collect();
        assert_eq!(
            writes,
            [3, 4].map(|at: usize| (&entries[at].key, &entries[at].value, entries[at].lease))
        );
        assert_eq!(plan.skipped.len(), 1, "{:?}", plan.skipped);
        assert_eq!(plan.skipped[0].key, "/r/default/instances/greeter/I-3");
    }
}
