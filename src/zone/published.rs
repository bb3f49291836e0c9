//! The place where the current snapshot is found: swapped in whole, read without a lock.
//!
//! **Readers never free.** Dropping the last reference to a snapshot of a million instances takes seconds,
//! so whoever publishes gets the old one back and keeps it until no reader holds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::snapshot::Snapshot;
use crate::registry::Revision;

/// The current snapshot.
#[derive(Debug)]
pub struct Published {
    current: ArcSwap<Snapshot>,
    stale: AtomicBool,
    position: watch::Sender<Position>,
    /// Counts what was published: a layout of another system changes answers at a revision of its own.
    edition: watch::Sender<u64>,
}

/// Where the answers stand in the registry's history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Counts the breaks of that history: revisions of different epochs don't compare.
    pub epoch: u64,
    /// The revision that answers show.
    pub revision: Revision,
}

impl Position {
    fn of(snapshot: &Snapshot) -> Self {
        Self { epoch: snapshot.epoch, revision: snapshot.revision }
    }
}

impl Published {
    /// Begins with that snapshot.
    #[must_use]
    pub fn new(first: Arc<Snapshot>) -> Self {
        let position = Position::of(&first);
        Self {
            current: ArcSwap::new(first),
            stale: AtomicBool::new(false),
            position: watch::Sender::new(position),
            edition: watch::Sender::new(0),
        }
    }

    /// The current snapshot, for as long as one answer takes.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// The current snapshot, to keep for a while.
    #[must_use]
    pub fn load_full(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Swaps a new snapshot in and gives the old one back, which the caller keeps until it is the only holder.
    #[must_use = "readers must not be the ones who free it"]
    pub fn publish(&self, next: Arc<Snapshot>) -> Arc<Snapshot> {
        let position = Position::of(&next);
        let old = self.current.swap(next);
        self.position.send_replace(position);
        self.edition.send_modify(|edition| *edition += 1);
        old
    }

    /// Whether the registry has not been heard of for a while: answers may be out of date.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.stale.load(Relaxed)
    }

    /// Says whether it has.
    pub fn set_stale(&self, stale: bool) {
        self.stale.store(stale, Relaxed);
    }

    /// Where the answers stand.
    #[must_use]
    pub fn position(&self) -> Position {
        *self.position.borrow()
    }

    /// Waits until the answers show a revision that was made after they stood at `before`. The caller bounds
    /// the wait in time.
    ///
    /// A revision that is not beyond `before` belongs to another history than the one shown then: that of a
    /// registry restored from a backup, which the mirror has yet to notice.
    pub async fn reached(&self, before: Position, revision: Revision) {
        let broken = revision <= before.revision;
        let shows =
            |now: &Position| now.revision >= revision && (!broken || now.epoch > before.epoch);
        // The sender lives as long as `self`.
        let _ = self.position.subscribe().wait_for(shows).await;
    }

    /// How many snapshots came after the first. Asked before a snapshot is loaded, it is of that one or an earlier.
    #[must_use]
    pub fn edition(&self) -> u64 {
        *self.edition.borrow()
    }

    /// Waits until another snapshot than that of the edition is published. The caller bounds the wait in time.
    pub async fn changed(&self, seen: u64) {
        let _ = self.edition.subscribe().wait_for(|edition| *edition != seen).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, revision: Revision) -> Arc<Snapshot> {
        Arc::new(Snapshot { epoch, revision, ..Snapshot::default() })
    }

    /// Whether it is reached without waiting.
    fn is_reached(published: &Published, before: Position, revision: Revision) -> bool {
        let mut reached = std::pin::pin!(published.reached(before, revision));
        let waker = std::task::Waker::noop();
        reached.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_ready()
    }

    #[test]
    fn a_revision_is_reached_in_its_own_epoch_only() {
        let published = Published::new(at(0, 10));
        let before = published.position();
        assert!(!is_reached(&published, before, 11));
        drop(published.publish(at(0, 11)));
        assert!(is_reached(&published, before, 11));
        // Made by a registry that is back at an earlier state, which is not shown yet.
        assert!(!is_reached(&published, before, 6));
        drop(published.publish(at(1, 5)));
        assert!(!is_reached(&published, before, 6));
        drop(published.publish(at(1, 6)));
        assert!(is_reached(&published, before, 6));
    }
}
