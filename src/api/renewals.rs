//! What was renewed a moment ago, so that it need not be renewed again.
//!
//! A lease renewed less than a sixth of its TTL ago is answered from here: a client that beats too fast, or a
//! registration repeated in a loop, costs the registry nothing, and the lease still has five sixths left.
//!
//! Knows nothing of the registry.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::registry::LeaseId;

/// Leases remembered in each of the two halves: with 48 octets each, about 6 MiB at most.
const HALF_MAX: usize = 65_536;

/// Renewals of late. Two halves, the older forgotten whole when the younger is full: bounded, and never
/// searched through.
#[derive(Debug, Default)]
pub(super) struct Renewals(Mutex<Halves>);

#[derive(Debug, Default)]
struct Halves {
    young: HashMap<LeaseId, Renewal>,
    old: HashMap<LeaseId, Renewal>,
}

#[derive(Debug, Clone, Copy)]
struct Renewal {
    at: Instant,
    ttl_secs: u32,
}

impl Renewals {
    /// The lease's length, if it was renewed less than a sixth of that ago.
    pub(super) fn recent(&self, lease: LeaseId, now: Instant) -> Option<u32> {
        let halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let renewal = halves.young.get(&lease).or_else(|| halves.old.get(&lease))?;
        let fresh = Duration::from_secs(renewal.ttl_secs.into()) / 6;
        (now.duration_since(renewal.at) < fresh).then_some(renewal.ttl_secs)
    }

    /// Remembers a renewal or a grant.
    pub(super) fn remember(&self, lease: LeaseId, ttl_secs: u32, at: Instant) {
        let halves = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if halves.young.len() >= HALF_MAX && !halves.young.contains_key(&lease) {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(lease, Renewal { at, ttl_secs });
    }

    /// Forgets a lease that turned out to have ended.
    pub(super) fn forget(&self, lease: LeaseId) {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        halves.young.remove(&lease);
        halves.old.remove(&lease);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_renewal_counts_for_a_sixth_of_its_ttl() {
        let renewals = Renewals::default();
        let lease = LeaseId::new(7).unwrap();
        let start = Instant::now();
        renewals.remember(lease, 30, start);
        assert_eq!(renewals.recent(lease, start + Duration::from_millis(4_999)), Some(30));
        assert_eq!(renewals.recent(lease, start + Duration::from_secs(5)), None);
        renewals.forget(lease);
        assert_eq!(renewals.recent(lease, start), None);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_keeps_the_latest() {
        let renewals = Renewals::default();
        let now = Instant::now();
        let lease = |n: usize| LeaseId::new(n as u64 + 1).unwrap();
        for n in 0..3 * HALF_MAX {
            renewals.remember(lease(n), 30, now);
        }
        let halves = renewals.0.lock().unwrap();
        assert!(halves.young.len() + halves.old.len() <= 2 * HALF_MAX);
        drop(halves);
        assert_eq!(renewals.recent(lease(3 * HALF_MAX - 1), now), Some(30));
        assert_eq!(renewals.recent(lease(0), now), None);
    }
}
