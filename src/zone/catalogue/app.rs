//! One app as registered: its instances, and the marks on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::pointers::Pointer;
use super::zone::Answers;
use crate::layout::{OfflineMark, Parsed, Registration};
use crate::model::Label;
use crate::registry::mirror::{Kept, News};
use crate::zone::directory::{InstanceView, State};

/// An app is built at most once in this many times its last build time, so that one huge flapping app
/// leaves the others most of the compiler.
const REST_TIMES: u32 = 20;
/// And yet never later than this: nobody's change waits longer for that reason.
const REST_MAX: Duration = Duration::from_millis(50);

/// How long to rest after a build that took so long.
pub(super) fn rest(took: Duration) -> Duration {
    (took * REST_TIMES).min(REST_MAX)
}

/// Apps of up to so many instances are fetched from memory whole where one of them is sought: they are built next.
const WARMED_MAX: usize = 16;

/// What is known of one app.
#[derive(Debug, Default)]
pub(super) struct App {
    /// Registrations in the order of their raw ids: half the memory of a tree for the few that most apps have.
    instances: Vec<Registered>,
    /// Marks on instances, registered or not.
    pub(super) marks: BTreeMap<Label, Arc<OfflineMark>>,
    /// The mark on the whole app.
    pub(super) offline: Option<Arc<OfflineMark>>,
    /// Keys that the last build listed as rejected.
    pub(super) listed: BTreeSet<Arc<str>>,
    /// Whether the directory shows instances of it.
    pub(super) shown: bool,
    /// What the zones of its namespace answer for it, in their order.
    pub(super) answers: Vec<Option<Answers>>,
    /// What its instances make addresses point to, in order.
    pub(super) pointers: Vec<Pointer>,
    due: Duration,
}

/// One registration and its key.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) key: Bytes,
    /// As the directory shows it since the last build.
    view: Arc<InstanceView>,
}

impl Registered {
    pub(super) fn new(
        news: &News<Parsed>,
        now: &Kept<Parsed>,
        registration: &Arc<Registration>,
    ) -> Self {
        let view = InstanceView {
            registration: registration.clone(),
            lease: now.lease,
            revision: now.revision,
            // Until it is built.
            label: None,
            state: State::Online,
        };
        Self { key: news.key.clone(), view: Arc::new(view) }
    }

    pub(super) fn registration(&self) -> &Registration {
        &self.view.registration
    }

    /// The view with that label and state: the same as before, if they are.
    fn show(&mut self, label: Option<&Label>, state: State) -> Arc<InstanceView> {
        if self.view.label.as_ref() != label || self.view.state != state {
            let view = Arc::make_mut(&mut self.view);
            view.label = label.cloned();
            view.state = state;
        }
        self.view.clone()
    }
}

impl App {
    /// Registrations in the order of their raw ids.
    pub(super) fn instances(&self) -> &[Registered] {
        &self.instances
    }

    /// Reads a little of each registration: what a build of a large app would wait for instance by instance is
    /// fetched from memory many at a time.
    pub(super) fn warm(&self) {
        let ports = self.instances.iter().map(|one| {
            let registration = one.registration();
            let port = registration.instance.endpoints.first().map_or(0, |endpoint| endpoint.port);
            usize::from(port) ^ registration.id.len()
        });
        std::hint::black_box(ports.fold(0, |sum, port| sum ^ port));
    }

    /// Puts a registration in, in place of one with the same id.
    pub(super) fn insert(&mut self, registered: Registered) {
        match self.position(&registered.registration().id) {
            Ok(at) => self.instances[at] = registered,
            Err(at) => {
                if self.instances.len() == self.instances.capacity() {
                    // Most apps have a few: twice the room at each step would be half empty.
                    self.instances.reserve_exact(1 + self.instances.len() / 8);
                }
                self.instances.insert(at, registered);
            }
        }
    }

    /// Takes a registration out.
    pub(super) fn remove(&mut self, id: &str) {
        if let Ok(at) = self.position(id) {
            self.instances.remove(at);
        }
    }

    /// Whether there is a registration under a raw id.
    pub(super) fn contains(&self, id: &str) -> bool {
        self.position(id).is_ok()
    }

    fn position(&self, id: &str) -> Result<usize, usize> {
        // A search waits for memory step by step. In a small app all steps can be fetched at once.
        if self.instances.len() <= WARMED_MAX {
            self.warm();
        }
        self.instances.binary_search_by(|one| (*one.registration().id).cmp(id))
    }

    /// All views, each with the label and the state that `tell` says for the instance of that index.
    pub(super) fn show(
        &mut self,
        tell: impl Fn(usize, Option<&Arc<OfflineMark>>) -> (Option<Label>, State),
    ) -> Vec<Arc<InstanceView>> {
        let Self { instances, marks, offline, .. } = self;
        let views = instances.iter_mut().enumerate().map(|(index, one)| {
            let mark = marks.get(&*one.registration().id).or(offline.as_ref());
            let (label, state) = tell(index, mark);
            one.show(label.as_ref(), state)
        });
        views.collect()
    }

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
        self.due = at + rest(took);
    }

    /// When it may be built again.
    pub(super) fn due(&self) -> Duration {
        self.due
    }
}
