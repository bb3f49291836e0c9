//! What is registered, for people and programs that ask about instances instead of names.
//!
//! The directory belongs to the same snapshot as the answers, so the two can't disagree.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::layout::{OfflineMark, Registration};
use crate::model::{AppName, Label, Namespace, RawId};
use crate::registry::{LeaseId, Origin, Revision};

/// One app as registered. Immutable; replaced whole when something of it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppView {
    /// Where it lives.
    pub namespace: Namespace,
    /// Its name.
    pub app: AppName,
    /// Its instances, by raw id. Empty for an app of which only marks are left. Each is shared with the view before
    /// if it is as it was: a change of one in a large app leaves the others where they are.
    pub instances: Vec<Arc<InstanceView>>,
    /// Other registrations that are part of an instance, by its place: what several layouts tell of one.
    pub joined: BTreeMap<usize, Vec<Part>>,
    /// The mark on the whole app.
    pub offline: Option<Arc<OfflineMark>>,
    /// Marks on ids that are not registered at present.
    pub absent_marks: Vec<Arc<OfflineMark>>,
    /// Replaced by a pin of this server's configuration.
    pub pinned: bool,
}

/// One instance as registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceView {
    /// What its key says, id included.
    pub registration: Arc<Registration>,
    /// The lease that holds it; none: permanent.
    pub lease: Option<LeaseId>,
    /// The revision that wrote it last.
    pub revision: Revision,
    /// The label that it is served under in the first zone of its namespace; none where it is not served.
    pub label: Option<Label>,
    /// Whether it is in answers, and if not, why.
    pub state: State,
}

/// A registration that is part of an instance which is named after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its key as text.
    pub key: Arc<str>,
    /// Its raw id.
    pub id: RawId,
    /// Whose layout it is in.
    pub origin: Origin,
}

/// Whether an instance is in answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// In answers.
    Online,
    /// Out of answers by a mark, on itself or on its app.
    Offline(Arc<OfflineMark>),
    /// Out of answers because a key of its own says that it takes no traffic: that one, as text.
    Disabled(Arc<str>),
    /// Out of answers because a pin replaces its app.
    Pinned,
    /// Out of answers for a reason of its own, which `/v1/rejected` lists too.
    Rejected(Arc<str>),
}

/// A key, or a name, that is not served as its owner meant it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rejected {
    /// The key as text, undecodable octets escaped.
    pub key: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
}

/// Most characters of a reason that are listed: it may quote a value, of which etcd takes up to 1.5 MB.
const REASON_CHARS_MAX: usize = 1_000;

/// The begin of a text that has more characters than that.
pub(super) fn cut(text: &str, chars_max: usize) -> Option<&str> {
    let (end, _) = text.char_indices().nth(chars_max)?;
    text.get(..end)
}

/// All apps and all rejected keys of one snapshot. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    pub(super) apps: imbl::OrdMap<(Namespace, AppName), Arc<AppView>>,
    pub(super) rejected: imbl::OrdMap<Arc<str>, Arc<str>>,
}

impl AppView {
    /// The place of what is registered under an id in our own layout, or pinned there.
    fn registered(&self, id: &Label) -> Option<usize> {
        let id = id.as_str();
        // Of one id our own comes first.
        let at = self.instances.partition_point(|instance| *instance.registration.id < *id);
        let one = &self.instances.get(at)?.registration;
        (one.origin == Origin::NATIVE && *one.id == *id).then_some(at)
    }

    /// The place of an instance, by its id, or by the label that it is served under where another layout gave it its id.
    #[must_use]
    pub fn place(&self, id: &Label) -> Option<usize> {
        let is_it = |one: &Arc<InstanceView>| {
            one.registration.origin != Origin::NATIVE && one.label.as_ref() == Some(id)
        };
        self.registered(id).or_else(|| self.instances.iter().position(is_it))
    }

    /// Raw ids of all registrations that an instance is made of, and whose layout each is in.
    pub fn parts(&self, place: usize) -> impl Iterator<Item = (Origin, &RawId)> {
        let first = self.instances.get(place).map(|one| &one.registration);
        let others = self.joined.get(&place).into_iter().flatten();
        let others = others.map(|part| (part.origin, &part.id));
        first.map(|first| (first.origin, &first.id)).into_iter().chain(others)
    }
}

impl Directory {
    /// Puts an app in, in place of the same app before.
    pub fn insert(&mut self, view: AppView) {
        self.apps.insert((view.namespace.clone(), view.app.clone()), Arc::new(view));
    }

    /// Lists a key as rejected, with a reason that may quote what it says, and is cut where that is very long.
    pub fn reject(&mut self, key: Arc<str>, reason: Arc<str>) {
        let begin = cut(&reason, REASON_CHARS_MAX).map(|begin| format!("{begin}...").into());
        self.rejected.insert(key, begin.unwrap_or(reason));
    }

    /// One app.
    #[must_use]
    pub fn app(&self, namespace: &Namespace, app: &AppName) -> Option<&Arc<AppView>> {
        self.apps.get(&(namespace.clone(), app.clone()))
    }

    /// What is registered under an id in our own layout, or what is pinned there.
    #[must_use]
    pub fn registered(
        &self,
        namespace: &Namespace,
        app: &AppName,
        id: &Label,
    ) -> Option<&InstanceView> {
        let app = self.app(namespace, app)?;
        app.instances.get(app.registered(id)?).map(Arc::as_ref)
    }

    /// One instance, by its id, or by the label that it is served under where its layout gave it an id that is no label.
    #[must_use]
    pub fn instance(
        &self,
        namespace: &Namespace,
        app: &AppName,
        id: &Label,
    ) -> Option<&InstanceView> {
        let app = self.app(namespace, app)?;
        app.instances.get(app.place(id)?).map(Arc::as_ref)
    }

    /// The apps of a namespace in name order, beginning after `after`.
    pub fn apps(
        &self,
        namespace: &Namespace,
        after: Option<&AppName>,
    ) -> impl Iterator<Item = &Arc<AppView>> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        // No legal app name sorts before "-".
        let from = match after {
            Some(app) => Excluded((namespace.clone(), app.clone())),
            None => match AppName::new("0") {
                Ok(first) => Included((namespace.clone(), first)),
                Err(_) => Unbounded,
            },
        };
        let namespace = namespace.clone();
        self.apps
            .range((from, Unbounded))
            .map(|(_, view)| view)
            .take_while(move |view| view.namespace == namespace)
    }

    /// The rejected keys in order, beginning after `after`.
    pub fn rejected(&self, after: Option<&str>) -> impl Iterator<Item = Rejected> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = match after {
            Some(key) => Excluded(Arc::<str>::from(key)),
            None => Unbounded,
        };
        self.rejected
            .range((from, Unbounded))
            .map(|(key, reason)| Rejected { key: key.clone(), reason: reason.clone() })
    }

    /// How many apps there are.
    #[must_use]
    pub fn app_count(&self) -> usize {
        self.apps.len()
    }

    /// How many keys are rejected.
    #[must_use]
    pub fn rejected_count(&self) -> usize {
        self.rejected.len()
    }
}
