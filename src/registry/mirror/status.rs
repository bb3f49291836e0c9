//! How a mirror stands, for readiness and metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::registry::Revision;

/// Written by the mirror, read by anyone at any time.
///
/// One lock rather than many atomics: its reader gets facts that belong together, and its writer takes it
/// once a revision.
#[derive(Debug)]
pub struct Status {
    reader: &'static str,
    prefix: String,
    facts: Mutex<Facts>,
}

/// The facts at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// A first complete view was told.
    pub has_view: bool,
    /// The revision that was told last.
    pub revision: Revision,
    /// How often the registry's history broke; see [`super::Delta::epoch`].
    pub epoch: u64,
    /// A watch is open and has spoken: what is told is current.
    pub watching: bool,
    /// When the registry last answered, or its watch last spoke: the age of this is the view's.
    pub last_contact: Option<Instant>,
    /// Why there is no watch; none while there is one.
    pub error: Option<String>,
    /// Listings after the first one.
    pub relists: u64,
    /// Watches opened after the first one.
    pub reopened: u64,
    /// A first watch was opened.
    opened: bool,
}

impl Status {
    pub(super) fn new(reader: &'static str, prefix: &[u8]) -> Self {
        let prefix = String::from_utf8_lossy(prefix).into_owned();
        Self { reader, prefix, facts: Mutex::default() }
    }

    /// Who reads what is mirrored: one prefix may have several mirrors.
    #[must_use]
    pub fn reader(&self) -> &'static str {
        self.reader
    }

    /// The prefix that is mirrored.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// All facts.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.lock().clone()
    }

    /// The registry answered a call.
    pub(super) fn heard(&self) {
        self.lock().last_contact = Some(Instant::now());
    }

    /// The watch spoke.
    pub(super) fn found(&self) {
        let mut facts = self.lock();
        facts.last_contact = Some(Instant::now());
        facts.watching = true;
        facts.error = None;
    }

    /// There is no watch.
    pub(super) fn lost(&self, error: String) {
        let mut facts = self.lock();
        facts.watching = false;
        facts.error = Some(error);
    }

    /// A view was listed and told.
    pub(super) fn listed(&self, first: bool) {
        let mut facts = self.lock();
        facts.has_view = true;
        facts.relists += u64::from(!first);
    }

    /// A watch was opened.
    pub(super) fn opened(&self) {
        let mut facts = self.lock();
        facts.reopened += u64::from(facts.opened);
        facts.opened = true;
    }

    /// A delta was handed over.
    pub(super) fn told(&self, epoch: u64, revision: Revision) {
        let mut facts = self.lock();
        facts.epoch = epoch;
        facts.revision = revision;
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How mirrors stand that begin while the server runs. Cloning gives the same list.
#[derive(Debug, Clone, Default)]
pub struct Statuses(Arc<Mutex<Vec<Arc<Status>>>>);

impl Statuses {
    /// One more has begun.
    pub fn add(&self, status: Arc<Status>) {
        self.lock().push(status);
    }

    /// All that have begun.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Status>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Status>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
