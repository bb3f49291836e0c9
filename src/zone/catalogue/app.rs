//! One app as registered: its instances, and the marks on them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::pointers::Pointer;
use super::zone::Answers;
use crate::layout::{OfflineMark, Parsed, Registration};
use crate::model::{Label, RawId};
use crate::registry::Origin;
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
    /// Registrations in the order of their raw ids, of each id in that of their layouts and keys: half the memory of a
    /// tree for the few that most apps have.
    instances: Vec<Registered>,
    /// How many of them are of other layouts than ours.
    foreign: u32,
    pub(super) marks: Marks,
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

/// What operators took out of answers.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Marks on instances of our own layout, registered or not.
    instances: BTreeMap<Label, Arc<OfflineMark>>,
    /// Marks on those of other layouts, by their raw ids.
    foreign: BTreeMap<RawId, Arc<OfflineMark>>,
    /// The mark on the whole app.
    app: Option<Arc<OfflineMark>>,
}

impl Marks {
    pub(super) fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.foreign.is_empty() && self.app.is_none()
    }

    /// Takes a mark in.
    pub(super) fn put(&mut self, mark: &Arc<OfflineMark>) {
        match (&mark.id, &mark.of) {
            (None, _) => self.app = Some(mark.clone()),
            (Some(_), Some(of)) => _ = self.foreign.insert(of.clone(), mark.clone()),
            (Some(id), None) => _ = self.instances.insert(id.clone(), mark.clone()),
        }
    }

    /// Takes a mark out.
    pub(super) fn remove(&mut self, mark: &OfflineMark) {
        match (&mark.id, &mark.of) {
            (None, _) => self.app = None,
            (Some(_), Some(of)) => _ = self.foreign.remove(of),
            (Some(id), None) => _ = self.instances.remove(id),
        }
    }

    /// The mark on the whole app.
    pub(super) fn on_app(&self) -> Option<&Arc<OfflineMark>> {
        self.app.as_ref()
    }

    /// The mark that takes a registration out of answers: its own, or its app's.
    pub(super) fn on(&self, registration: &Registration) -> Option<&Arc<OfflineMark>> {
        let own = match registration.origin {
            Origin::NATIVE if self.instances.is_empty() => None,
            Origin::NATIVE => self.instances.get(&*registration.id),
            _ => self.foreign.get(&registration.id),
        };
        own.or(self.app.as_ref())
    }

    /// Those on instances that are not there.
    pub(super) fn absent(&self, registered: &[Registered]) -> Vec<Arc<OfflineMark>> {
        if self.instances.is_empty() && self.foreign.is_empty() {
            return Vec::new();
        }
        let ids = |own: bool| -> HashSet<&str> {
            let all = registered.iter().map(Registered::registration);
            let all = all.filter(|one| (one.origin == Origin::NATIVE) == own);
            all.map(|one| &*one.id).collect()
        };
        let (own, foreign) = (ids(true), ids(false));
        let own = self.instances.iter().filter(|(id, _)| !own.contains(id.as_str()));
        let foreign = self.foreign.iter().filter(|(id, _)| !foreign.contains(&***id));
        own.map(|(_, mark)| mark).chain(foreign.map(|(_, mark)| mark)).cloned().collect()
    }
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

    pub(super) fn registration(&self) -> &Arc<Registration> {
        &self.view.registration
    }

    /// What it is found by: an id is one instance's in our own layout, and may be several keys' in others.
    fn place(&self) -> (&str, Origin, &[u8]) {
        place(self.registration(), &self.key)
    }

    /// The view of what it is part of.
    pub(super) fn show_joined(
        &self,
        registration: &Arc<Registration>,
        label: Option<Label>,
        state: State,
    ) -> Arc<InstanceView> {
        let (lease, revision) = (self.view.lease, self.view.revision);
        let registration = registration.clone();
        Arc::new(InstanceView { registration, lease, revision, label, state })
    }

    /// The view with that label and state: the same as before, if they are.
    pub(super) fn show(&mut self, label: Option<&Label>, state: State) -> Arc<InstanceView> {
        if self.view.label.as_ref() != label || self.view.state != state {
            let view = Arc::make_mut(&mut self.view);
            view.label = label.cloned();
            view.state = state;
        }
        self.view.clone()
    }
}

/// What a key's registration is found by. The key itself says nothing where the id says it all.
fn place<'a>(registration: &'a Registration, key: &'a [u8]) -> (&'a str, Origin, &'a [u8]) {
    let key = if registration.origin == Origin::NATIVE { &[] } else { key };
    (&registration.id, registration.origin, key)
}

impl App {
    /// Registrations in the order of their raw ids.
    pub(super) fn instances(&self) -> &[Registered] {
        &self.instances
    }

    /// The same, to be shown, and the marks on them.
    pub(super) fn instances_and_marks(&mut self) -> (&mut [Registered], &Marks) {
        (&mut self.instances, &self.marks)
    }

    /// Whether other layouts than ours have a part in it: they may tell of one instance several times.
    pub(super) fn is_mixed(&self) -> bool {
        self.foreign > 0
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

    /// Puts a registration in, in place of what its key was before.
    pub(super) fn insert(&mut self, registered: Registered) {
        match self.position(registered.place()) {
            Ok(at) => self.instances[at] = registered,
            Err(at) => {
                self.foreign += u32::from(registered.registration().origin != Origin::NATIVE);
                if self.instances.len() == self.instances.capacity() {
                    // Most apps have a few: twice the room at each step would be half empty.
                    self.instances.reserve_exact(1 + self.instances.len() / 8);
                }
                self.instances.insert(at, registered);
            }
        }
    }

    /// Takes a key's registration out.
    pub(super) fn remove(&mut self, registration: &Registration, key: &[u8]) {
        if let Ok(at) = self.position(place(registration, key)) {
            let gone = self.instances.remove(at);
            self.foreign -= u32::from(gone.registration().origin != Origin::NATIVE);
        }
    }

    fn position(&self, place: (&str, Origin, &[u8])) -> Result<usize, usize> {
        // A search waits for memory step by step. In a small app all steps can be fetched at once.
        if self.instances.len() <= WARMED_MAX {
            self.warm();
        }
        self.instances.binary_search_by(|one| one.place().cmp(&place))
    }

    /// Nothing is left of it.
    pub(super) fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.marks.is_empty()
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
