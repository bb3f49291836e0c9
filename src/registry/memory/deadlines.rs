//! When each lease ends. Kept apart from the state, since a renewal is neither a revision nor a write to disk.
//!
//! Knows nothing of keys, and of the clock only what it is told.

use std::collections::{BTreeSet, HashMap};

use tokio::time::Instant;

use crate::registry::LeaseId;

/// The ends of all leases.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// None: it is due and its end is under way, so nothing can renew it.
    ends: HashMap<LeaseId, Option<Instant>>,
    order: BTreeSet<(Instant, LeaseId)>,
}

impl Deadlines {
    /// A lease ends at that time, whatever was said of it before.
    pub(crate) fn set(&mut self, lease: LeaseId, end: Instant) {
        self.forget(lease);
        self.ends.insert(lease, Some(end));
        self.order.insert((end, lease));
    }

    /// A lease is gone.
    pub(crate) fn forget(&mut self, lease: LeaseId) {
        if let Some(Some(end)) = self.ends.remove(&lease) {
            self.order.remove(&(end, lease));
        }
    }

    /// The end of a lease that has not come yet.
    pub(crate) fn end(&self, lease: LeaseId, now: Instant) -> Option<Instant> {
        self.ends.get(&lease).copied().flatten().filter(|end| *end > now)
    }

    /// The end that comes next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(end, _)| *end)
    }

    /// Takes up to `max` leases that are due. From here on they can't be renewed.
    pub(crate) fn take_due(&mut self, now: Instant, max: usize) -> Vec<LeaseId> {
        let mut due = Vec::new();
        while due.len() < max {
            let Some(&(end, lease)) = self.order.first().filter(|(end, _)| *end <= now) else {
                break;
            };
            self.order.remove(&(end, lease));
            self.ends.insert(lease, None);
            due.push(lease);
        }
        due
    }

    /// A due lease could not be ended; it is tried again at that time.
    pub(crate) fn retry(&mut self, lease: LeaseId, at: Instant) {
        if self.ends.get(&lease) == Some(&None) {
            self.set(lease, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_due_lease_is_taken_once_and_not_renewable() {
        let now = Instant::now();
        let [one, two] = [1, 2].map(|id| LeaseId::new(id).unwrap());
        let mut deadlines = Deadlines::default();
        deadlines.set(one, now + Duration::from_secs(1));
        deadlines.set(two, now + Duration::from_secs(2));
        assert_eq!(deadlines.take_due(now, 9), []);

        let later = now + Duration::from_secs(1);
        assert_eq!(deadlines.end(one, later), None, "due, though not taken yet");
        assert_eq!(deadlines.take_due(later, 9), [one]);
        assert_eq!(deadlines.take_due(later, 9), []);
        assert_eq!(deadlines.end(one, now), None);
        assert_eq!(deadlines.next(), Some(now + Duration::from_secs(2)));

        deadlines.retry(one, later + Duration::from_secs(5));
        deadlines.retry(two, later + Duration::from_secs(5));
        assert_eq!(deadlines.end(one, later), Some(later + Duration::from_secs(5)));
        assert_eq!(deadlines.next(), Some(now + Duration::from_secs(2)), "two was not taken");
        deadlines.forget(two);
        deadlines.forget(one);
        assert_eq!(deadlines.next(), None);
        deadlines.retry(one, later);
        assert_eq!(deadlines.next(), None, "a lease that is gone does not come back");
    }
}
