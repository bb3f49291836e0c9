//! What stands for an app when it is built: what is registered as it is, merged where other layouts than ours have a part
//! in it, or the pins that replace it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::AppKey;
use super::app::{App, Registered};
use super::merge::Merged;
use crate::layout::{OfflineMark, Registration};
use crate::model::{Endpoint, Instance, limits};
use crate::registry::Origin;
use crate::zone::block::Live;
use crate::zone::claims::Claims;
use crate::zone::directory::{InstanceView, State};
use crate::zone::settings::Pin;

/// What is shown of an app.
pub(super) enum Shown {
    /// Its registrations: all of our own layout, where each is an instance.
    Own,
    /// What several layouts say of it.
    Merged(Vec<Merged>),
    /// What an operator says instead.
    Pins(Vec<Registration>),
}

impl Shown {
    /// The registrations, in the order of their raw ids.
    pub(super) fn registrations<'a>(&'a self, app: &'a App) -> Vec<&'a Registration> {
        match self {
            Self::Own => app.instances().iter().map(|one| &**one.registration()).collect(),
            Self::Merged(merged) => merged.iter().map(|one| &*one.registration).collect(),
            Self::Pins(pins) => pins.iter().collect(),
        }
    }

    /// What is registered under the key that the instance of that index is named after. Pins have none.
    pub(super) fn registered<'a>(&self, app: &'a App, index: usize) -> Option<&'a Registered> {
        match self {
            Self::Own => app.instances().get(index),
            Self::Merged(merged) => app.instances().get(merged.get(index)?.index),
            Self::Pins(_) => None,
        }
    }

    /// Those that are in answers, of `all` that it gave. Pins are, whatever is marked.
    pub(super) fn live<'a>(
        &self,
        app: &App,
        all: &[&'a Registration],
        claims: &'a Claims,
    ) -> Vec<Live<'a>> {
        let pinned = matches!(self, Self::Pins(_));
        let all = claims.instances.iter().zip(all);
        all.filter_map(|(held, one)| Some((held.as_ref().ok()?, *one)))
            .filter(|(held, one)| {
                pinned || !one.disabled && app.marks.on(one, Some(&held.label)).is_none()
            })
            .map(|(held, one)| Live { held, instance: &one.instance })
            .collect()
    }

    /// What the directory shows, in the order of raw ids: of a pinned app what is registered too.
    pub(super) fn views(
        &self,
        key: &AppKey,
        app: &mut App,
        claims: Option<&Claims>,
    ) -> Vec<Arc<InstanceView>> {
        let label = |index: usize| Some(&claims?.held(index)?.label);
        let (registered, marks) = app.instances_and_marks();
        let state = |index: usize, one: &Registration| {
            state(key, claims, index, one, marks.on(one, label(index)))
        };
        match self {
            Self::Own => {
                let all = registered.iter_mut().enumerate();
                all.map(|(index, one)| {
                    let state = state(index, one.registration());
                    one.show(label(index), state)
                })
                .collect()
            }
            Self::Merged(merged) => merged
                .iter()
                .enumerate()
                .filter_map(|(index, Merged { registration, index: named_after, joined })| {
                    let state = state(index, registration);
                    let first = registered.get_mut(*named_after)?;
                    Some(match joined {
                        true => first.show_joined(registration, label(index).cloned(), state),
                        false => first.show(label(index), state),
                    })
                })
                .collect(),
            Self::Pins(pins) => {
                let registered = registered.iter_mut().map(|one| one.show(None, State::Pinned));
                let pins = pins.iter().enumerate().map(|(index, pin)| InstanceView {
                    registration: Arc::new(pin.clone()),
                    lease: None,
                    revision: 0,
                    label: label(index).cloned(),
                    state: self::state(key, claims, index, pin, None),
                });
                let mut all: Vec<_> = registered.chain(pins.map(Arc::new)).collect();
                all.sort_by(|a, b| a.registration.id.cmp(&b.registration.id));
                all
            }
        }
    }
}

fn state(
    key: &AppKey,
    claims: Option<&Claims>,
    index: usize,
    registration: &Registration,
    mark: Option<&Arc<OfflineMark>>,
) -> State {
    let Some(claims) = claims else {
        return State::Rejected(
            format!("no zone of this server serves namespace {}", key.0).into(),
        );
    };
    match (claims.instances.get(index), mark) {
        (Some(Err(reason)), _) => State::Rejected(reason.clone()),
        (_, Some(mark)) => State::Offline(mark.clone()),
        _ if registration.disabled => State::Disabled,
        _ => State::Online,
    }
}

/// The registrations that pins stand for: `pin-1`, `pin-2` and so on, in configured order.
pub(super) fn pinned(pins: &[Pin]) -> Vec<Registration> {
    let endpoints =
        pins.iter().flat_map(|pin| pin.endpoints.iter().map(move |endpoint| (pin, endpoint)));
    let mut all: Vec<Registration> = endpoints
        .enumerate()
        .map(|(index, (pin, address))| Registration {
            namespace: pin.namespace.clone(),
            app: pin.app.clone(),
            id: format!("pin-{}", index + 1).into(),
            origin: Origin::NATIVE,
            disabled: false,
            instance: Instance {
                addresses: vec![address.ip()],
                host: None,
                endpoints: vec![Endpoint {
                    protocol: pin.protocol.clone(),
                    transport: pin.transport,
                    port: address.port(),
                    addresses: Vec::new(),
                    weight: None,
                }],
                weight: limits::WEIGHT_DEFAULT,
                priority: limits::PRIORITY_DEFAULT,
                tags: Vec::new(),
                meta: BTreeMap::new(),
                ttl: None,
            },
        })
        .collect();
    // Claims take registrations in the order of their ids.
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all
}
