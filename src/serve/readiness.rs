//! Whether this server should be asked, and how its registry is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::api::{Readiness, SourceReadiness};
use crate::registry::mirror;
use crate::zone::Published;

/// Where readiness is read from.
#[derive(Clone)]
pub(super) struct Health {
    pub(super) registry: &'static str,
    pub(super) source: Arc<mirror::Status>,
    pub(super) published: Arc<Published>,
    pub(super) draining: Arc<AtomicBool>,
}

impl Health {
    /// The state at this moment.
    pub(super) fn readiness(&self) -> Readiness {
        let facts = self.source.facts();
        let snapshot = self.published.load();
        Readiness {
            ready: snapshot.ready,
            draining: self.draining.load(Ordering::Relaxed),
            sources: vec![SourceReadiness {
                name: self.registry.to_owned(),
                prefix: self.source.prefix().to_owned(),
                revision: snapshot.revision,
                has_view: snapshot.ready,
                contact_age_secs: facts.last_contact.map(|at| at.elapsed().as_secs_f64()),
                error: facts.error,
            }],
        }
    }
}
