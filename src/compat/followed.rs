//! What listeners follow of the registry besides the layouts' own mirrors, for metrics.
//!
//! Knows nothing of what is read there.

use std::sync::{Arc, Mutex, PoisonError};

use crate::registry::mirror::Status;

/// A listener, and how a mirror of its own stands.
type Mirrored = (&'static str, Arc<Status>);

/// Mirrors that listeners have begun to run. Cloning gives the same ones.
#[derive(Debug, Clone, Default)]
pub struct Followed {
    mirrors: Arc<Mutex<Vec<Mirrored>>>,
}

impl Followed {
    /// A listener runs that mirror from now on.
    pub(super) fn add(&self, listener: &'static str, mirror: Arc<Status>) {
        self.mirrors.lock().unwrap_or_else(PoisonError::into_inner).push((listener, mirror));
    }

    /// All of them, with the listeners that read them.
    #[must_use]
    pub fn mirrors(&self) -> Vec<Mirrored> {
        self.mirrors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
