//! Snapshots that were replaced, kept until no reader holds them, so that readers never free.

use std::sync::Arc;

use super::snapshot::Snapshot;

/// The replaced snapshots. Belongs to the thread that publishes.
#[derive(Debug, Default)]
pub struct Retired {
    snapshots: Vec<Arc<Snapshot>>,
}

impl Retired {
    /// Takes one in, and drops here those that only we hold. A reader holds one for the time of an
    /// answer, a listing or a scrape, so only a few wait at any time.
    pub fn push(&mut self, snapshot: Arc<Snapshot>) {
        self.snapshots.push(snapshot);
        self.sweep();
    }

    /// Drops those that only we hold.
    pub fn sweep(&mut self) {
        // Nobody can get a new hold of a snapshot that is no longer published.
        self.snapshots.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.snapshots.is_empty()
    }
}
