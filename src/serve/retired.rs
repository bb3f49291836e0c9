//! Snapshots that were replaced, kept until no reader holds them, so that readers never free.

use std::sync::Arc;

use crate::zone::Snapshot;

/// The replaced snapshots. Belongs to the thread that publishes.
#[derive(Debug, Default)]
pub(super) struct Retired {
    snapshots: Vec<Arc<Snapshot>>,
}

impl Retired {
    /// Takes one in, and drops here those that only we hold. A reader holds one for the time of an
    /// answer, a listing or a scrape, so only a few wait at any time.
    pub(super) fn push(&mut self, snapshot: Arc<Snapshot>) {
        self.snapshots.push(snapshot);
        self.sweep();
    }

    /// Drops those that only we hold.
    pub(super) fn sweep(&mut self) {
        // Nobody can get a new hold of a snapshot that is no longer published.
        self.snapshots.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }
}
