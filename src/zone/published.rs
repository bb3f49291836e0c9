//! The place where the current snapshot is found: swapped in whole, read without a lock.
//!
//! **Readers never free.** Dropping the last reference to a snapshot of a million instances takes seconds,
//! so whoever publishes gets the old one back and keeps it until no reader holds it.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::snapshot::Snapshot;
use crate::registry::Revision;

/// The current snapshot.
#[derive(Debug)]
pub struct Published {
    current: ArcSwap<Snapshot>,
    position: watch::Sender<(u64, Revision)>,
}

impl Published {
    /// Begins with that snapshot.
    #[must_use]
    pub fn new(first: Arc<Snapshot>) -> Self {
        let position = (first.epoch, first.revision);
        Self { current: ArcSwap::new(first), position: watch::Sender::new(position) }
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
        let position = (next.epoch, next.revision);
        let old = self.current.swap(next);
        self.position.send_replace(position);
        old
    }

    /// Waits until the answers show that revision. The caller bounds the wait in time.
    pub async fn reached(&self, revision: Revision) {
        let mut position = self.position.subscribe();
        // The sender lives as long as `self`.
        let _ = position.wait_for(|(_, shown)| *shown >= revision).await;
    }
}
