//! What listeners follow of the registry besides the layouts' own mirrors, for metrics.
//!
//! Knows nothing of what is read there.

use std::sync::{Arc, Mutex, PoisonError};

use crate::registry::mirror::Status;

/// Mirrors that listeners have begun to run. Cloning gives the same ones.
#[derive(Debug, Clone, Default)]
pub struct Followed {
    mirrors: Arc<Mutex<Vec<(&'static str, Arc<Status>)>>>,
}

impl Followed {
    /// A listener runs that mirror from now on.
    pub(super) fn add(&self, listener: &'static str, mirror: Arc<Status>) {
        self.mirrors.lock().unwrap_or_else(PoisonError::into_inner).push((listener, mirror));
    }

    /// All of them, with the listeners that read them.
    #[must_use]
    pub fn mirrors(&self) -> Vec<(&'static str, Arc<Status>)> {
        self.mirrors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
