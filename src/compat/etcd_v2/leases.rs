//! How long leases still last, as far as this listener knows, so that a list of a hundred keys is not a hundred questions
//! each time.
//!
//! Knows nothing of keys.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use crate::registry::{Error, LeaseId, Registry};

/// An answer is believed for so long: others may renew a lease meanwhile, or end it.
const FRESH: Duration = Duration::from_secs(2);
/// Leases remembered.
const KNOWN_MAX: usize = 50_000;
/// Questions on their way at once.
const ASKED_AT_ONCE: usize = 32;

#[derive(Debug, Clone, Copy)]
struct Known {
    ends: Instant,
    heard: Instant,
}

/// What is known of leases.
#[derive(Debug, Default)]
pub(super) struct Leases {
    known: Mutex<HashMap<LeaseId, Known>>,
}

impl Leases {
    /// A lease has that many seconds left, as was just heard.
    pub(super) fn learn(&self, lease: LeaseId, secs: u64) {
        let heard = Instant::now();
        let ends = heard + Duration::from_secs(secs.min(u64::from(u32::MAX)));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.retain(|_, known| known.ends > heard && known.heard + FRESH > heard);
        }
        if known.len() < KNOWN_MAX {
            known.insert(lease, Known { ends, heard });
        }
    }

    /// Seconds that a lease should still have, by what was heard last; more, if others renewed it.
    #[must_use]
    pub(super) fn estimate(&self, lease: LeaseId) -> Option<u64> {
        self.get(lease).map(|(_, secs)| secs)
    }

    /// When a lease was heard of, and the seconds it has from now on, begun ones counted.
    fn get(&self, lease: LeaseId) -> Option<(Instant, u64)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(&lease)?;
        let left = known.ends.saturating_duration_since(Instant::now());
        Some((known.heard, left.as_secs() + u64::from(left.subsec_nanos() > 0)))
    }

    /// Seconds that each of these leases still has, at least 1; one that has ended is not among them.
    ///
    /// # Errors
    /// The registry does not say.
    pub(super) async fn left(
        &self,
        registry: &dyn Registry,
        leases: HashSet<LeaseId>,
    ) -> Result<HashMap<LeaseId, u64>, Error> {
        let now = Instant::now();
        let mut left = HashMap::with_capacity(leases.len());
        let mut asked = Vec::new();
        for lease in leases {
            match self.get(lease) {
                Some((heard, secs)) if secs > 0 && now.duration_since(heard) < FRESH => {
                    left.insert(lease, secs);
                }
                _ => asked.push(lease),
            }
        }
        let mut answers = stream::iter(asked)
            .map(|lease| async move { (lease, self.ask(registry, lease).await) })
            .buffer_unordered(ASKED_AT_ONCE);
        while let Some((lease, answer)) = answers.next().await {
            if let Some(secs) = answer? {
                left.insert(lease, secs);
            }
        }
        Ok(left)
    }

    /// Seconds that a lease still has by the registry's own word, at least 1; none if it has ended.
    ///
    /// # Errors
    /// The registry does not say.
    pub(super) async fn ask(
        &self,
        registry: &dyn Registry,
        lease: LeaseId,
    ) -> Result<Option<u64>, Error> {
        match registry.time_left(lease).await {
            Ok(secs) => {
                // Whole seconds, rounded down; and it has not ended.
                let secs = u64::from(secs).max(1);
                self.learn(lease, secs);
                Ok(Some(secs))
            }
            Err(Error::LeaseNotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::memory::MemoryRegistry;

    #[tokio::test(start_paused = true)]
    async fn what_is_known_is_asked_for_again_after_a_while() {
        let registry = MemoryRegistry::new();
        let (known, other) =
            (registry.grant(30).await.unwrap().lease, registry.grant(30).await.unwrap().lease);
        let gone = LeaseId::new(7).unwrap();
        let leases = Leases::default();
        leases.learn(known, 99);
        let asked = HashSet::from([known, other, gone]);
        let left = leases.left(&registry, asked.clone()).await.unwrap();
        assert_eq!((left.len(), left[&known], left[&other]), (2, 99, 30));
        tokio::time::advance(FRESH).await;
        assert_eq!(leases.estimate(known), Some(97));
        let left = leases.left(&registry, asked).await.unwrap();
        assert_eq!((left[&known], left[&other]), (28, 28));
        assert_eq!(leases.estimate(gone), None);
    }
}
