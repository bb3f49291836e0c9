//! Whether this server should be asked, and how its registry is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::api::{Readiness, SourceReadiness};
use crate::registry::mirror::{Status, Statuses};
use crate::zone::{Published, Snapshot};

/// Where readiness is read from.
#[derive(Clone)]
pub(super) struct Health {
    pub(super) registry: &'static str,
    /// What is read of it, our own layout first.
    pub(super) sources: Vec<Arc<Status>>,
    /// What listeners of other systems' clients read of it besides, for those who wait there: no answer of DNS hangs on it.
    pub(super) followed: Statuses,
    pub(super) published: Arc<Published>,
    pub(super) draining: Arc<AtomicBool>,
    /// It was ready once, and stays so: what is known is answered.
    pub(super) was_ready: Arc<AtomicBool>,
}

impl Health {
    /// The state at this moment.
    pub(super) fn readiness(&self) -> Readiness {
        let snapshot = self.published.load();
        Readiness {
            ready: self.is_ready(&snapshot),
            draining: self.draining.load(Ordering::Relaxed),
            sources: self.sources.iter().map(|source| self.source(source)).collect(),
        }
    }

    /// Whether it should be asked: our own layout has been read, and each of another system has been too, or is known to
    /// fail. A start waits for what can be read, while what can't be takes no other namespace along.
    pub(super) fn is_ready(&self, snapshot: &Snapshot) -> bool {
        let fails = |source: Option<&Arc<Status>>| {
            source.is_some_and(|source| source.facts().error.is_some())
        };
        let mut unread = snapshot.unread.iter();
        let ready =
            snapshot.ready && unread.all(|(origin, _)| fails(self.sources.get(origin.index())));
        self.was_ready.fetch_or(ready, Ordering::Relaxed) || ready
    }

    fn source(&self, mirror: &Status) -> SourceReadiness {
        let facts = mirror.facts();
        SourceReadiness {
            name: self.registry.to_owned(),
            layout: mirror.reader().to_owned(),
            prefix: mirror.prefix().to_owned(),
            revision: facts.revision,
            has_view: facts.has_view,
            contact_age_secs: facts.last_contact.map(|at| at.elapsed().as_secs_f64()),
            error: facts.error,
        }
    }
}
