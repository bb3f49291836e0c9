//! How things look in JSON.
//!
//! Knows nothing of requests.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use crate::layout::{Note, OfflineMark, Registration};
use crate::model::Endpoint;
use crate::registry::{LeaseId, Origin, Revision};
use crate::zone::{AppView, Event, InstanceView, Part, State};

/// The answer to a write.
#[derive(Debug, Serialize)]
pub(super) struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) revision: Revision,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) incarnation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttl: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) visible: Option<bool>,
    /// Of `online`: whether there was a mark to take away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) changed: Option<bool>,
}

impl Written {
    pub(super) fn at(revision: Revision, visible: Option<bool>) -> Self {
        Self { id: None, revision, incarnation: None, ttl: None, visible, changed: None }
    }
}

/// What is registered under an id.
#[derive(Serialize)]
struct Registered<'a> {
    id: &'a str,
    addresses: &'a [IpAddr],
    /// Where other systems gave a name in place of an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    endpoints: Vec<EndpointJson<'a>>,
    weight: u16,
    priority: u16,
    tags: Vec<&'a str>,
    meta: &'a BTreeMap<Arc<str>, Arc<str>>,
    ttl: Option<u32>,
    incarnation: Option<String>,
    /// Its layout says that it takes no traffic.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disabled: bool,
    revision: Revision,
}

#[derive(Serialize)]
struct EndpointJson<'a> {
    protocol: &'a str,
    transport: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "<[IpAddr]>::is_empty")]
    addresses: &'a [IpAddr],
    weight: u16,
}

impl<'a> Registered<'a> {
    fn new(registration: &'a Registration, lease: Option<LeaseId>, revision: Revision) -> Self {
        let instance = &registration.instance;
        let endpoint = |one: &'a Endpoint| EndpointJson {
            protocol: one.protocol.as_str(),
            transport: one.transport.as_str(),
            port: one.port,
            addresses: &one.addresses,
            weight: one.weight.unwrap_or(instance.weight),
        };
        Self {
            id: &registration.id,
            addresses: &instance.addresses,
            host: instance.host.as_deref(),
            endpoints: instance.endpoints.iter().map(endpoint).collect(),
            weight: instance.weight,
            priority: instance.priority,
            tags: instance.tags.iter().map(|tag| tag.as_str()).collect(),
            meta: &instance.meta,
            ttl: instance.ttl,
            // Those of other systems are theirs alone.
            incarnation: lease
                .filter(|_| registration.origin == Origin::NATIVE)
                .map(|lease| lease.to_string()),
            disabled: registration.disabled,
            revision,
        }
    }
}

/// An instance and where it stands.
#[derive(Serialize)]
pub(super) struct InstanceJson<'a> {
    #[serde(flatten)]
    registered: Registered<'a>,
    label: Option<&'a str>,
    /// Whose layout it is registered in, if not in ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    layout: Option<&'static str>,
    state: &'static str,
    /// Why it is in that state; of one that is disabled, the key that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offline: Option<&'a Note>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lease_left: Option<u32>,
    /// Other registrations of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    joined: Vec<PartJson<'a>>,
}

/// A registration of an instance that is named after another.
#[derive(Serialize)]
struct PartJson<'a> {
    key: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    layout: Option<&'static str>,
}

/// Whose layout that is; none of ours.
fn layout_of(origin: Origin, layouts: &[&'static str]) -> Option<&'static str> {
    layouts.get(origin.index().checked_sub(1)?).copied()
}

impl<'a> InstanceJson<'a> {
    /// The instance at that place; none where there is no such.
    pub(super) fn at(app: &'a AppView, place: usize, layouts: &[&'static str]) -> Option<Self> {
        let view = app.instances.get(place)?;
        let others = app.joined.get(&place).into_iter().flatten();
        let joined = others.map(|Part { key, id, origin }| PartJson {
            key,
            id,
            layout: layout_of(*origin, layouts),
        });
        Some(Self { joined: joined.collect(), ..Self::new(view, layouts) })
    }

    fn new(view: &'a InstanceView, layouts: &[&'static str]) -> Self {
        let layout = layout_of(view.registration.origin, layouts);
        let (state, reason, offline) = match &view.state {
            State::Online => ("online", None, None),
            State::Offline(mark) => ("offline", Some(&*mark.note.reason), Some(&mark.note)),
            State::Disabled(by) => ("disabled", Some(&**by), None),
            State::Pinned => ("pinned", None, None),
            State::Rejected(reason) => ("rejected", Some(&**reason), None),
        };
        Self {
            registered: Registered::new(&view.registration, view.lease, view.revision),
            label: view.label.as_ref().map(|label| label.as_str()),
            layout,
            state,
            reason,
            offline,
            lease_left: None,
            joined: Vec::new(),
        }
    }
}

/// One app with all its instances.
#[derive(Serialize)]
pub(super) struct AppJson<'a> {
    revision: Revision,
    namespace: &'a str,
    app: &'a str,
    pinned: bool,
    offline: Option<&'a Note>,
    instances: Vec<InstanceJson<'a>>,
    absent_marks: Vec<MarkJson<'a>>,
}

#[derive(Serialize)]
struct MarkJson<'a> {
    id: Option<&'a str>,
    offline: &'a Note,
}

impl<'a> AppJson<'a> {
    pub(super) fn new(view: &'a AppView, revision: Revision, layouts: &[&'static str]) -> Self {
        let mark = |mark: &'a Arc<OfflineMark>| MarkJson {
            id: mark.id.as_ref().map(|id| id.as_str()),
            offline: &mark.note,
        };
        Self {
            revision,
            namespace: view.namespace.as_str(),
            app: view.app.as_str(),
            pinned: view.pinned,
            offline: view.offline.as_ref().map(|mark| &mark.note),
            instances: (0..view.instances.len())
                .filter_map(|place| InstanceJson::at(view, place, layouts))
                .collect(),
            absent_marks: view.absent_marks.iter().map(mark).collect(),
        }
    }
}

/// One line of the list of apps.
#[derive(Serialize)]
pub(super) struct AppLine {
    namespace: String,
    app: String,
    instances: usize,
    online: usize,
    offline: bool,
    pinned: bool,
}

impl AppLine {
    pub(super) fn new(view: &AppView) -> Self {
        let online = view.instances.iter().filter(|one| matches!(one.state, State::Online));
        Self {
            namespace: view.namespace.to_string(),
            app: view.app.to_string(),
            instances: view.instances.len(),
            online: online.count(),
            offline: view.offline.is_some(),
            pinned: view.pinned,
        }
    }
}

/// One event of a watch.
#[derive(Serialize)]
pub(super) struct EventJson<'a> {
    revision: Revision,
    cause: &'static str,
    namespace: &'a str,
    app: &'a str,
    id: Option<&'a str>,
    instance: Option<Registered<'a>>,
    note: Option<&'a Note>,
}

impl<'a> EventJson<'a> {
    pub(super) fn new(event: &'a Event) -> Self {
        let registered = |registration: &'a Arc<Registration>| {
            Registered::new(registration, event.lease, event.revision)
        };
        Self {
            revision: event.revision,
            cause: event.cause.as_str(),
            namespace: event.namespace.as_str(),
            app: event.app.as_str(),
            id: event.id.as_deref(),
            instance: event.registration.as_ref().map(registered),
            note: event.note.as_ref(),
        }
    }
}
