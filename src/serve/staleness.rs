//! Says so where the registry has not been heard of for a while (law 2, docs/architecture.md): answers go on, and carry
//! an extended error for those who ask for such.
//!
//! Knows nothing of what is answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::registry::mirror::Status;
use crate::zone::Published;

/// Proof of contact comes every 5 s: three in a row are missing.
const STALE_AFTER: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Looks until it is stopped.
pub(super) async fn watch(
    sources: Vec<Arc<Status>>,
    published: Arc<Published>,
    stop: CancellationToken,
) -> Result<(), String> {
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = looks.tick() => {}
        }
        let now = Instant::now();
        let stale = |one: &Arc<Status>| is_stale(one.facts().last_contact, now);
        published.set_stale(sources.iter().any(stale));
    }
}

/// Whether the last contact was too long ago. Where there has been none yet, there are no answers to be stale.
fn is_stale(last_contact: Option<Instant>, now: Instant) -> bool {
    last_contact.is_some_and(|at| now.saturating_duration_since(at) > STALE_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_stale_after_a_while() {
        let start = Instant::now();
        assert!(!is_stale(None, start + STALE_AFTER * 10));
        assert!(!is_stale(Some(start), start + STALE_AFTER));
        assert!(is_stale(Some(start), start + STALE_AFTER + Duration::from_millis(1)));
        // Heard of after this look began.
        assert!(!is_stale(Some(start + STALE_AFTER), start));
    }
}
