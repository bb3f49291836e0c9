//! Turns a step of the mirror's view into events: why instances came, changed or went.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::layout::{Note, OfflineMark, Parsed, Registration};
use crate::model::{AppName, Namespace, RawId};
use crate::registry::mirror::{Kept, News};
use crate::registry::{LeaseId, Revision};
use crate::zone::event::{Cause, Event};

type InstanceKey = (Namespace, AppName, RawId);

/// Gathers the news of one delta.
pub(super) struct Steps {
    revision: Revision,
    events: Vec<Event>,
    /// Departures that this delta brings: an instance that goes with one has departed, any other expired.
    departed: BTreeMap<InstanceKey, Note>,
}

impl Steps {
    /// `revision` is that of our own layout which shows what happened.
    pub(super) fn new(revision: Revision) -> Self {
        Self { revision, events: Vec::new(), departed: BTreeMap::new() }
    }

    pub(super) fn note(&mut self, news: &News<Parsed>) {
        let (was, now) = (instance(news.was.as_ref()), instance(news.now.as_ref()));
        match (was, now) {
            (None, Some((now, lease))) => self.instance(Cause::Registered, now, lease),
            // In other layouts a value may say who it is.
            (Some((was, held)), Some((now, lease))) if name(was) != name(now) => {
                self.instance(Cause::Expired, was, held);
                self.instance(Cause::Registered, now, lease);
            }
            (Some((was, held)), Some((now, lease))) if was != now || held != lease => {
                self.instance(Cause::Changed, now, lease);
            }
            (Some((was, lease)), None) => self.instance(Cause::Expired, was, lease),
            _ => {}
        }
        match (mark(news.was.as_ref()), mark(news.now.as_ref())) {
            (was, Some(now)) if was != Some(now) => self.mark(Cause::Offline, now),
            (Some(was), None) => self.mark(Cause::Online, was),
            _ => {}
        }
        if let Some(Kept { parsed: Parsed::Departed(departure), .. }) = &news.now {
            let id = departure.id.as_str().into();
            let key = (departure.namespace.clone(), departure.app.clone(), id);
            self.departed.insert(key, departure.note.clone());
        }
    }

    /// The events, in the order of the news.
    pub(super) fn finish(mut self) -> Vec<Event> {
        for event in &mut self.events {
            let (Cause::Expired, Some(id)) = (event.cause, &event.id) else { continue };
            let key = (event.namespace.clone(), event.app.clone(), id.clone());
            if let Some(note) = self.departed.get(&key) {
                event.cause = Cause::Departed;
                event.note = Some(note.clone());
            }
        }
        self.events
    }

    fn instance(&mut self, cause: Cause, registration: &Arc<Registration>, lease: Option<LeaseId>) {
        self.events.push(Event {
            revision: self.revision,
            cause,
            namespace: registration.namespace.clone(),
            app: registration.app.clone(),
            id: Some(registration.id.clone()),
            registration: Some(registration.clone()),
            lease,
            note: None,
        });
    }

    fn mark(&mut self, cause: Cause, mark: &OfflineMark) {
        self.events.push(Event {
            revision: self.revision,
            cause,
            namespace: mark.namespace.clone(),
            app: mark.app.clone(),
            id: mark.id.as_ref().map(|id| id.as_str().into()),
            registration: None,
            lease: None,
            note: Some(mark.note.clone()),
        });
    }
}

/// Who a registration is of.
fn name(registration: &Registration) -> (&Namespace, &AppName, &RawId) {
    (&registration.namespace, &registration.app, &registration.id)
}

fn instance(kept: Option<&Kept<Parsed>>) -> Option<(&Arc<Registration>, Option<LeaseId>)> {
    match kept {
        Some(Kept { parsed: Parsed::Instance(registration), lease, .. }) => {
            Some((registration, *lease))
        }
        _ => None,
    }
}

fn mark(kept: Option<&Kept<Parsed>>) -> Option<&OfflineMark> {
    match kept {
        Some(Kept { parsed: Parsed::Offline(mark), .. }) => Some(mark),
        _ => None,
    }
}
