//! The last events below one prefix, for those who wait.
//!
//! An event has the revision that made it as its index. etcd 2 gives every event an index of its own; a revision of ours
//! may change several keys (a lease of an etcd 3 client that held them). Told one by one, such events would be lost to a client
//! that asks from the next index on; so whoever waits for more than one of them is told that history is gone, as etcd 2
//! does where it has forgotten: read anew, then wait.
//!
//! Knows nothing of waiting, and of where events come from.

use std::collections::VecDeque;
use std::time::SystemTime;

use bytes::Bytes;

use super::node::{Action, Node, is_hidden};
use crate::registry::{LeaseId, Revision};

/// Events kept, as many as etcd 2 keeps.
const EVENTS_MAX: usize = 1_000;
/// Octets kept in them: values may be large.
const OCTETS_MAX: usize = 16 * 1024 * 1024;

/// A key that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    /// Its value.
    pub(super) value: Bytes,
    /// What it ends with.
    pub(super) lease: Option<LeaseId>,
    /// It was written to end at once.
    pub(super) over: bool,
}

/// What happened to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// The revision that did it.
    pub(super) revision: Revision,
    /// The path.
    pub(super) path: String,
    /// What was done.
    pub(super) action: Action,
    /// What it is now; none: gone.
    pub(super) now: Option<Written>,
    /// What it was.
    pub(super) was: Option<Node>,
    /// Of what went without a word: the lease that it had. It was deleted if that lives on, else its time was over.
    pub(super) lease: Option<LeaseId>,
    /// When this server heard of it.
    pub(super) at: SystemTime,
}

/// The events of one prefix, in the order of their revisions.
#[derive(Debug, Default)]
pub(super) struct History {
    events: VecDeque<Told>,
    octets: usize,
    /// The first index whose events are known; 0 before the first view.
    start: Revision,
    /// How far it is known.
    last: Revision,
    /// How much there is.
    stock: Stock,
}

/// How many keys there are below a prefix, and how large their values are together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stock {
    pub(super) keys: usize,
    pub(super) octets: usize,
}

impl Stock {
    /// One more value.
    pub(super) fn add(&mut self, value: &[u8]) {
        self.keys += 1;
        self.octets += value.len();
    }

    /// This, after so much came and so much went.
    pub(super) fn changed(self, came: Self, went: Self) -> Self {
        Self {
            keys: (self.keys + came.keys).saturating_sub(went.keys),
            octets: (self.octets + came.octets).saturating_sub(went.octets),
        }
    }
}

/// What somebody who waits gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// An event.
    Event(&'a Told),
    /// Nothing before this index: ask from there on.
    Nothing(Revision),
    /// What was asked for is not known; what comes from this index on is.
    Cleared(Revision),
    /// Several events of one index, which there is no way to tell; what comes from this index on is another matter.
    Several(Revision),
    /// No view yet.
    Unready,
}

impl History {
    /// Begins anew after that revision, with so much there.
    pub(super) fn begin(&mut self, revision: Revision, stock: Stock) {
        *self = Self { start: revision + 1, last: revision, stock, ..Self::default() };
    }

    /// Adds an event; its revision is not below that of any before.
    pub(super) fn push(&mut self, told: Told) {
        self.octets += octets(&told);
        self.events.push_back(told);
        while self.events.len() > EVENTS_MAX || self.octets > OCTETS_MAX {
            let Some(gone) = self.events.pop_front() else { break };
            self.octets -= octets(&gone);
            self.start = gone.revision + 1;
        }
        // Half a revision's events would pass for all of them.
        while self.events.front().is_some_and(|told| told.revision < self.start) {
            let Some(gone) = self.events.pop_front() else { break };
            self.octets -= octets(&gone);
        }
    }

    /// All up to that revision is here; so much came, and so much went.
    pub(super) fn reached(&mut self, revision: Revision, came: Stock, went: Stock) {
        self.last = self.last.max(revision);
        self.stock = self.stock.changed(came, went);
    }

    /// How far all is known; none before the first view.
    pub(super) fn last(&self) -> Option<Revision> {
        (self.start > 0).then_some(self.last)
    }

    /// How much there is below the prefix, a moment ago; nothing before the first view.
    pub(super) fn stock(&self) -> Stock {
        self.stock
    }

    /// The first event of a key, or of all in a folder, from that index on.
    pub(super) fn find(&self, path: &str, recursive: bool, from: Revision) -> Found<'_> {
        if self.start == 0 {
            return Found::Unready;
        }
        if from < self.start {
            return Found::Cleared(self.start);
        }
        let first = self.events.partition_point(|told| told.revision < from);
        let folder = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        let mut asked = self.events.range(first..).filter(|told| {
            told.path == path
                || recursive && told.path.starts_with(&folder) && !is_hidden(path, &told.path)
        });
        match (asked.next(), asked.next()) {
            (None, _) => Found::Nothing(from.max(self.last + 1)),
            (Some(one), Some(other)) if one.revision == other.revision => {
                Found::Several(one.revision + 1)
            }
            (Some(one), _) => Found::Event(one),
        }
    }
}

fn octets(told: &Told) -> usize {
    let value = |node: &Node| node.value.as_ref().map_or(0, String::len);
    told.path.len()
        + told.now.as_ref().map_or(0, |now| now.value.len())
        + told.was.as_ref().map_or(0, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, revision: Revision) -> Told {
        let now = Some(Written { value: "v".into(), lease: None, over: false });
        let at = SystemTime::UNIX_EPOCH;
        Told {
            revision,
            path: path.to_owned(),
            action: Action::Set,
            now,
            was: None,
            lease: None,
            at,
        }
    }

    fn history(events: impl IntoIterator<Item = Told>) -> History {
        let mut history = History::default();
        history.begin(10, Stock::default());
        for told in events {
            let revision = told.revision;
            history.push(told);
            history.reached(revision, Stock::default(), Stock::default());
        }
        history
    }

    #[test]
    fn the_first_event_from_an_index_on_is_found() {
        let history = history([told("/a/b", 11), told("/a/c", 13), told("/a/_h/x", 14)]);
        let found = |path, recursive, from| match history.find(path, recursive, from) {
            Found::Event(told) => format!("{} {}", told.revision, told.path),
            other => format!("{other:?}"),
        };
        assert_eq!(found("/a", true, 11), "11 /a/b");
        assert_eq!(found("/a", true, 12), "13 /a/c");
        assert_eq!(found("/", true, 12), "13 /a/c");
        assert_eq!(found("/a", false, 11), "Nothing(15)");
        assert_eq!(found("/a/c", false, 11), "13 /a/c");
        assert_eq!(found("/a", true, 14), "Nothing(15)");
        assert_eq!(found("/a/_h", true, 14), "14 /a/_h/x");
        assert_eq!(found("/a", true, 99), "Nothing(99)");
        assert_eq!(found("/a", true, 10), "Cleared(11)");
        assert_eq!(found("/a/bc", true, 11), "Nothing(15)");
    }

    #[test]
    fn before_the_first_view_nothing_is_known() {
        assert_eq!(History::default().find("/a", true, 5), Found::Unready);
    }

    #[test]
    fn several_events_of_one_index_are_not_told_one_by_one() {
        let history = history([told("/a/b", 11), told("/a/c", 11), told("/d", 12)]);
        assert_eq!(history.find("/a", true, 11), Found::Several(12));
        assert!(matches!(history.find("/a/b", true, 11), Found::Event(_)));
        assert!(matches!(history.find("/", true, 12), Found::Event(_)));
    }

    #[test]
    fn what_is_kept_is_bounded_and_never_half_a_revision() {
        let last = 10 + EVENTS_MAX as u64;
        let full = history((11..=last).map(|revision| told("/a", revision)));
        assert!(matches!(full.find("/a", true, 11), Found::Event(_)));
        let over = history((11..=last + 1).map(|revision| told("/a", revision)));
        assert_eq!(over.find("/a", true, 11), Found::Cleared(12));
        let twins = (11..=last).flat_map(|revision| [told("/a", revision), told("/b", revision)]);
        let twins = history(twins);
        let first = last - EVENTS_MAX as u64 / 2 + 1;
        assert_eq!(twins.find("/a", false, 11), Found::Cleared(first));
        let odd = history((11..=last + 1).flat_map(|revision| {
            let twin = (revision == 11).then(|| told("/b", revision));
            twin.into_iter().chain([told("/a", revision)])
        }));
        assert_eq!(odd.find("/a", false, 11), Found::Cleared(12));
        let big = |revision| {
            let value = vec![b'x'; OCTETS_MAX / 2 - 100].into();
            Told { now: Some(Written { value, lease: None, over: false }), ..told("/a", revision) }
        };
        let big = history((11..=14).map(big));
        assert_eq!(big.find("/a", true, 11), Found::Cleared(13));
        assert!(matches!(big.find("/a", true, 13), Found::Event(_)));
    }
}
