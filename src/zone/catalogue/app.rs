//! One app as registered: its instances, and the marks on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::layout::{OfflineMark, Parsed, Registration};
use crate::model::Label;
use crate::registry::mirror::{Kept, News};
use crate::registry::{LeaseId, Revision};

/// An app is built at most once in this many times its last build time, so that one huge flapping app
/// leaves the others most of the compiler.
const REST_TIMES: u32 = 20;
/// And yet never later than this: nobody's change waits longer for that reason.
const REST_MAX: Duration = Duration::from_millis(50);

/// What is known of one app.
#[derive(Debug, Default)]
pub(super) struct App {
    /// Registrations by raw id.
    pub(super) instances: BTreeMap<Arc<str>, Registered>,
    /// Marks on instances, registered or not.
    pub(super) marks: BTreeMap<Label, Arc<OfflineMark>>,
    /// The mark on the whole app.
    pub(super) offline: Option<Arc<OfflineMark>>,
    /// Keys that the last build listed as rejected.
    pub(super) listed: BTreeSet<Arc<str>>,
    due: Duration,
}

/// One registration and its key's state.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) key: Bytes,
    pub(super) registration: Arc<Registration>,
    pub(super) lease: Option<LeaseId>,
    pub(super) revision: Revision,
}

impl Registered {
    pub(super) fn new(
        news: &News<Parsed>,
        now: &Kept<Parsed>,
        registration: &Arc<Registration>,
    ) -> Self {
        Self {
            key: news.key.clone(),
            registration: registration.clone(),
            lease: now.lease,
            revision: now.revision,
        }
    }
}

impl App {
    /// Nothing is left of it.
    pub(super) fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.marks.is_empty() && self.offline.is_none()
    }

    /// The mark that takes an instance out of answers: its own, or its app's.
    pub(super) fn mark(&self, registration: &Registration) -> Option<&Arc<OfflineMark>> {
        self.marks.get(&*registration.id).or(self.offline.as_ref())
    }

    /// Sets when it may be built again.
    pub(super) fn built(&mut self, at: Duration, took: Duration) {
        self.due = at + (took * REST_TIMES).min(REST_MAX);
    }

    /// When it may be built again.
    pub(super) fn due(&self) -> Duration {
        self.due
    }
}
