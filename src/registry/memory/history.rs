//! The last revisions' changes: what a watch reads, and how older revisions are listed.
//!
//! Watches keep a position and read from here, rather than having queues of their own: a slow watch costs
//! nothing, and one that falls behind the oldest batch hears that its history is gone.
//!
//! Knows nothing of locks, tasks and disks.

use std::collections::VecDeque;
use std::sync::Arc;

use super::state::{Changed, Keys};
use crate::registry::{Change, Error, Revision};

/// The changes of a row of revisions up to the current one.
#[derive(Debug)]
pub(crate) struct History {
    /// The first revision whose changes are known.
    oldest: Revision,
    batches: VecDeque<Arc<Batch>>,
    changes: usize,
    octets: usize,
}

/// All changes of one revision.
#[derive(Debug)]
pub(crate) struct Batch {
    revision: Revision,
    changes: Vec<Changed>,
}

impl History {
    /// Nothing is known of `revision` and of what came before it.
    pub(crate) fn after(revision: Revision) -> Self {
        Self { oldest: revision + 1, batches: VecDeque::new(), changes: 0, octets: 0 }
    }

    /// Adds a revision, later than all before.
    pub(crate) fn push(&mut self, revision: Revision, changes: Vec<Changed>) {
        self.changes += changes.len();
        self.octets += changes.iter().map(weigh).sum::<usize>();
        self.batches.push_back(Arc::new(Batch { revision, changes }));
        // The newest stays whatever its size: watches that are up to date must be able to read it.
        while self.batches.len() > 1
            && (self.batches.len() > BATCHES_MAX
                || self.changes > CHANGES_MAX
                || self.octets > OCTETS_MAX)
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(batch) = self.batches.pop_front() {
            self.changes -= batch.changes.len();
            self.octets -= batch.changes.iter().map(weigh).sum::<usize>();
            self.oldest = batch.revision + 1;
        }
    }

    /// Fails if the changes of a revision are no longer known.
    pub(crate) fn check(&self, from: Revision) -> Result<(), Error> {
        if from < self.oldest { Err(Error::Compacted { oldest: self.oldest }) } else { Ok(()) }
    }

    /// The changes under a prefix of the first revision, at or after `from`, that has any.
    pub(crate) fn next(
        &self,
        prefix: &[u8],
        from: Revision,
    ) -> Result<Option<(Revision, Vec<Change>)>, Error> {
        self.check(from)?;
        for batch in self.since(from) {
            let under = batch.changes.iter().filter(|c| c.change.key().starts_with(prefix));
            let changes: Vec<_> = under.map(|changed| changed.change.clone()).collect();
            if !changes.is_empty() {
                return Ok(Some((batch.revision, changes)));
            }
        }
        Ok(None)
    }

    /// The batches after `revision`, newest first, to lead the current keys back there with [`undo`].
    pub(crate) fn back_to(&self, revision: Revision) -> Result<Vec<Arc<Batch>>, Error> {
        self.check(revision.saturating_add(1))?;
        Ok(self.since(revision.saturating_add(1)).rev().cloned().collect())
    }

    fn since(&self, from: Revision) -> impl DoubleEndedIterator<Item = &Arc<Batch>> {
        let skipped = self.batches.partition_point(|batch| batch.revision < from);
        self.batches.range(skipped..)
    }
}

/// Takes the changes of a batch back.
pub(crate) fn undo(keys: &mut Keys, batch: &Batch) {
    // No key is written twice in a revision, so the order within it does not matter.
    for changed in &batch.changes {
        match &changed.before {
            Some(stored) => keys.insert(changed.change.key().clone(), stored.clone()),
            None => keys.remove(changed.change.key()),
        };
    }
}

fn weigh(changed: &Changed) -> usize {
    let before = changed.before.as_ref().map_or(0, |stored| stored.value.len());
    let now = match &changed.change {
        Change::Put(entry) => entry.value.len(),
        Change::Delete(_) => 0,
    };
    changed.change.key().len() + before + now
}

/// Revisions kept: at 1,000 changes a second, ten seconds for a watch that lost its connection. Whoever comes
/// later lists again, which is the cheaper way by then.
const BATCHES_MAX: usize = 10_000;

/// Changes kept: a lease may have many keys, and they go in one revision.
const CHANGES_MAX: usize = 100_000;

/// Octets of keys and values kept.
const OCTETS_MAX: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(key: &'static str) -> Changed {
        Changed { before: None, change: Change::Delete(key.into()) }
    }

    fn oldest(history: &History) -> Revision {
        history.oldest
    }

    #[test]
    fn the_number_of_revisions_is_bounded() {
        let mut history = History::after(1);
        let newest = 1 + BATCHES_MAX as u64 + 5;
        for revision in 2..=newest {
            history.push(revision, vec![gone("a")]);
        }
        assert_eq!(oldest(&history), newest - BATCHES_MAX as u64 + 1);
        assert_eq!(history.next(b"", 6).unwrap_err(), Error::Compacted { oldest: 7 });
        assert_eq!(history.next(b"a", 7).unwrap().unwrap().0, 7);
        assert!(history.back_to(5).is_err());
        assert_eq!(history.back_to(6).unwrap().len(), BATCHES_MAX);
    }

    #[test]
    fn the_number_of_changes_and_octets_is_bounded_but_the_newest_stays() {
        let mut history = History::after(1);
        history.push(2, vec![gone("a")]);
        history.push(3, vec![gone("a"); CHANGES_MAX + 1]);
        assert_eq!((oldest(&history), history.batches.len()), (3, 1));
        let stored = super::super::state::Stored {
            value: vec![0; OCTETS_MAX].into(),
            revision: 1,
            lease: None,
        };
        history.push(4, vec![Changed { before: Some(stored), change: Change::Delete("a".into()) }]);
        assert_eq!((oldest(&history), history.batches.len()), (4, 1));
        history.push(5, vec![gone("a")]);
        assert_eq!((oldest(&history), history.changes, history.octets), (5, 1, 1));
    }

    #[test]
    fn a_batch_is_found_by_prefix() {
        let mut history = History::after(1);
        history.push(2, vec![gone("a/1")]);
        history.push(4, vec![gone("b/1"), gone("a/2"), gone("b/2")]);
        let (revision, changes) = history.next(b"b/", 2).unwrap().unwrap();
        assert_eq!(revision, 4);
        assert_eq!(changes, [Change::Delete("b/1".into()), Change::Delete("b/2".into())]);
        assert_eq!(history.next(b"b/", 5).unwrap(), None);
    }
}
