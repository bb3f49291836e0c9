//! What is due when: each key once.
//!
//! Knows nothing of what is done then.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use tokio::time::Instant;

/// Keys with times.
#[derive(Debug)]
pub(super) struct Schedule<K> {
    due: BTreeMap<(Instant, u64), K>,
    at: HashMap<K, (Instant, u64)>,
    /// Tells those of the same time apart.
    set: u64,
}

impl<K> Default for Schedule<K> {
    fn default() -> Self {
        Self { due: BTreeMap::new(), at: HashMap::new(), set: 0 }
    }
}

impl<K: Clone + Eq + Hash> Schedule<K> {
    /// Has a key due then, instead of at the time it had.
    pub(super) fn set(&mut self, key: K, at: Instant) {
        self.remove(&key);
        self.set += 1;
        self.at.insert(key.clone(), (at, self.set));
        self.due.insert((at, self.set), key);
    }

    /// Takes a key out.
    pub(super) fn remove(&mut self, key: &K) {
        if let Some(at) = self.at.remove(key) {
            self.due.remove(&at);
        }
    }

    /// When the first one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes out the first one that is due by now.
    pub(super) fn take(&mut self, now: Instant) -> Option<K> {
        self.next().filter(|at| *at <= now)?;
        let (_, key) = self.due.pop_first()?;
        self.at.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_key_is_due_once_and_at_its_last_time() {
        let start = Instant::now();
        let after = |secs| start + Duration::from_secs(secs);
        let mut schedule = Schedule::default();
        for (key, at) in [("a", 3), ("b", 1), ("c", 1), ("a", 2), ("d", 0)] {
            schedule.set(key, after(at));
        }
        schedule.remove(&"d");
        assert_eq!(schedule.next(), Some(after(1)));
        assert_eq!(schedule.take(start), None);
        let mut due = || schedule.take(after(2));
        assert_eq!([due(), due(), due(), due()], [Some("b"), Some("c"), Some("a"), None]);
        assert_eq!(schedule.next(), None);
    }
}
