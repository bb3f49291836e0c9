//! Stands in for the catalogue: lists the registry anew at every change, and publishes what it finds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rollcall::api::History;
use rollcall::layout::native::Keys;
use rollcall::layout::{OfflineMark, Parsed, Registration};
use rollcall::model::{AppName, Label, Namespace};
use rollcall::registry::memory::MemoryRegistry;
use rollcall::registry::{Change, Entry, LeaseId, Registry, Revision, Watched};
use rollcall::zone::{AppView, Cause, Directory, Event, InstanceView, Published, Snapshot, State};
use tokio::sync::watch;

type AppKey = (Namespace, AppName);

/// What the compiler works on.
pub(crate) struct Compiler {
    pub(crate) registry: Arc<MemoryRegistry>,
    pub(crate) keys: Keys,
    pub(crate) published: Arc<Published>,
    pub(crate) history: Arc<History>,
    /// Nothing is published while this is set.
    pub(crate) held: watch::Receiver<bool>,
}

impl Compiler {
    /// Runs until its task is dropped.
    pub(crate) async fn run(mut self) {
        let mut before = BTreeMap::new();
        let mut from = self.publish(&mut before).await + 1;
        loop {
            let prefix = self.keys.prefix().to_owned();
            let Ok(mut watch) = self.registry.watch(prefix.as_bytes(), from).await else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            while let Ok(Watched::Batch { revision, changes }) = watch.next().await {
                self.held.wait_for(|held| !held).await.unwrap();
                let events = self.events(revision, &changes, &before);
                self.publish(&mut before).await;
                self.history.push(0, events);
                from = revision + 1;
            }
        }
    }

    async fn publish(&self, before: &mut BTreeMap<bytes::Bytes, Entry>) -> Revision {
        let listing = loop {
            match self.registry.list(self.keys.prefix().as_bytes(), false, None).await {
                Ok(listing) => break listing,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let mut next: Snapshot = (*self.published.load_full()).clone();
        next.revision = listing.stamp.revision;
        next.ready = true;
        next.directory = directory(&self.keys, &listing.entries);
        drop(self.published.publish(Arc::new(next)));
        *before = listing.entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        listing.stamp.revision
    }

    fn events(
        &self,
        revision: Revision,
        changes: &[Change],
        before: &BTreeMap<bytes::Bytes, Entry>,
    ) -> Vec<Event> {
        let departed = changes.iter().any(|change| match change {
            Change::Put(entry) => matches!(self.keys.parse(entry), Parsed::Departed(_)),
            Change::Delete(_) => false,
        });
        let event = |change: &Change| {
            let old = before.get(change.key());
            let (entry, cause) = match change {
                Change::Put(entry) => (entry, None),
                Change::Delete(_) => (old?, Some(departed)),
            };
            match (self.keys.parse(entry), cause) {
                (Parsed::Instance(registration), cause) => {
                    let cause = match (cause, old) {
                        (Some(true), _) => Cause::Departed,
                        (Some(false), _) => Cause::Expired,
                        (None, Some(_)) => Cause::Changed,
                        (None, None) => Cause::Registered,
                    };
                    Some(of_instance(revision, cause, &registration, entry.lease))
                }
                (Parsed::Offline(mark), gone) => {
                    let cause = if gone.is_some() { Cause::Online } else { Cause::Offline };
                    Some(of_mark(revision, cause, &mark))
                }
                _ => None,
            }
        };
        changes.iter().filter_map(event).collect()
    }
}

fn of_instance(
    revision: Revision,
    cause: Cause,
    registration: &Arc<Registration>,
    lease: Option<LeaseId>,
) -> Event {
    Event {
        revision,
        cause,
        namespace: registration.namespace.clone(),
        app: registration.app.clone(),
        id: Some(registration.id.clone()),
        registration: Some(registration.clone()),
        lease,
        note: None,
    }
}

fn of_mark(revision: Revision, cause: Cause, mark: &OfflineMark) -> Event {
    Event {
        revision,
        cause,
        namespace: mark.namespace.clone(),
        app: mark.app.clone(),
        id: mark.id.as_ref().map(|id| id.as_str().into()),
        registration: None,
        lease: None,
        note: Some(mark.note.clone()),
    }
}

/// The directory of these entries.
pub(crate) fn directory(keys: &Keys, entries: &[Entry]) -> Directory {
    let mut directory = Directory::default();
    let mut marks: BTreeMap<AppKey, Vec<Arc<OfflineMark>>> = BTreeMap::new();
    let mut instances: BTreeMap<AppKey, Vec<Arc<InstanceView>>> = BTreeMap::new();
    for entry in entries {
        match keys.parse(entry) {
            Parsed::Instance(registration) => {
                let key = (registration.namespace.clone(), registration.app.clone());
                instances.entry(key).or_default().push(Arc::new(InstanceView {
                    label: Label::new(&registration.id).ok(),
                    registration,
                    lease: entry.lease,
                    revision: entry.revision,
                    state: State::Online,
                }));
            }
            Parsed::Offline(mark) => {
                let key = (mark.namespace.clone(), mark.app.clone());
                marks.entry(key).or_default().push(mark);
            }
            Parsed::Rejected(reason) => {
                let key = String::from_utf8_lossy(&entry.key);
                directory.reject(key.into(), reason);
            }
            Parsed::Plain(_) | Parsed::Departed(_) | Parsed::Bookkeeping => {}
        }
    }
    for key in marks.keys() {
        instances.entry(key.clone()).or_default();
    }
    for ((namespace, app), mut instances) in instances {
        let key = (namespace.clone(), app.clone());
        let (of_app, of_instances): (Vec<_>, Vec<_>) =
            marks.remove(&key).unwrap_or_default().into_iter().partition(|mark| mark.id.is_none());
        let offline = of_app.into_iter().next();
        let mut absent_marks = Vec::new();
        for mark in of_instances {
            let id = mark.id.as_ref().map_or("", |id| id.as_str());
            match instances.iter_mut().find(|one| &*one.registration.id == id) {
                Some(instance) => Arc::make_mut(instance).state = State::Offline(mark),
                None => absent_marks.push(mark),
            }
        }
        if let Some(mark) = &offline {
            for instance in &mut instances {
                Arc::make_mut(instance).state = State::Offline(mark.clone());
            }
        }
        directory.insert(AppView {
            namespace,
            app,
            instances,
            joined: BTreeMap::new(),
            offline,
            absent_marks,
            pinned: false,
        });
    }
    directory
}
