//! Names that services here had a moment ago: until the registry says so too, it shows what nobody is to find any more, and
//! nobody could tell from another's.
//!
//! Knows nothing of the registry.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Service;
use crate::model::{AppName, Label, limits};

/// The registry shows it no longer than its lease lives.
const TIME: Duration = Duration::from_secs(limits::TTL_SECS_DEFAULT as u64);

/// Names with the service that had each, and until when they count.
#[derive(Debug, Clone, Default)]
pub(in crate::compat::consul) struct Leaving {
    names: BTreeMap<(AppName, Label), (String, Instant)>,
}

impl Leaving {
    /// A service gives up its name.
    pub(super) fn add(&mut self, service: &Service, now: Instant) {
        let name = (service.app.clone(), service.label.clone());
        self.names.insert(name, (service.definition.id.clone(), now + TIME));
    }

    /// The registry knows of all that a service gave up.
    pub(super) fn settled(&mut self, service: &str) {
        self.names.retain(|_, (had, _)| had != service);
    }

    /// Forgets what has taken too long. Says whether that was anything.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let before = self.names.len();
        self.names.retain(|_, (_, until)| *until > now);
        self.names.len() != before
    }

    /// When that is to be looked after next.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.names.values().map(|(_, until)| *until).min()
    }

    /// Whether a name was given up here.
    pub(in crate::compat::consul) fn has(&self, app: &AppName, id: &str) -> bool {
        let Ok(label) = Label::new(id) else { return false };
        !self.names.is_empty() && self.names.contains_key(&(app.clone(), label))
    }
}
