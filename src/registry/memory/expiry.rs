//! The task that ends leases when their time has come.
//!
//! Knows nothing of how an end is written.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::core::Core;
use crate::registry::LeaseId;

/// Who can end leases.
pub(crate) trait EndLeases: Send + Sync + 'static {
    /// Ends leases, each with its keys at one revision; gives back those that could not be ended.
    fn end(&self, leases: Vec<LeaseId>) -> impl Future<Output = Vec<LeaseId>> + Send;
}

/// Ends due leases until it is aborted.
pub(crate) async fn run(core: Arc<Core>, ender: impl EndLeases) {
    loop {
        // Fails only when the state can't be trusted any more; every call says so by then.
        let Ok(due) = core.take_due(Instant::now(), AT_ONCE_MAX) else { return };
        if !due.is_empty() {
            let left = ender.end(due).await;
            if !left.is_empty() {
                // The failure itself was said once; this repeats for as long as it lasts.
                tracing::debug!(leases = left.len(), "leases that are due could not be ended");
                let _ = core.retry_at(&left, Instant::now() + RETRY);
            }
            continue;
        }
        let Ok(next) = core.next_end() else { return };
        tokio::select! {
            () = tokio::time::sleep_until(next.unwrap_or_else(far_away)) => {}
            () = core.granted() => {}
        }
    }
}

fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// Leases ended in one go: they share a commit, which must stay short for the writers between.
const AT_ONCE_MAX: usize = 1_000;

/// After a failure of the disk.
const RETRY: Duration = Duration::from_secs(1);
