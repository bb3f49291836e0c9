//! What stands for an app when it is built: what is registered as it is, merged where other layouts than ours have a part
//! in it, or the pins that replace it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::app::{App, Marks, Registered};
use super::merge::Merged;
use super::{AppKey, printable};
use crate::layout::{OfflineMark, Registration};
use crate::model::{Endpoint, Instance, limits};
use crate::registry::Origin;
use crate::zone::block::Live;
use crate::zone::claims::Claims;
use crate::zone::directory::{InstanceView, Part, State};
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

    /// The mark that takes the instance of that index out of answers: on any registration that it is made of. Pins are in
    /// answers whatever is marked.
    fn mark<'m>(
        &self,
        registered: &[Registered],
        marks: &'m Marks,
        index: usize,
    ) -> Option<&'m Arc<OfflineMark>> {
        if marks.is_empty() {
            return None;
        }
        let on = |index: usize| marks.on(registered.get(index)?.registration());
        match self {
            Self::Own => on(index),
            Self::Merged(merged) => {
                let one = merged.get(index)?;
                on(one.index).or_else(|| one.others.iter().find_map(|other| on(*other)))
            }
            Self::Pins(_) => None,
        }
    }

    /// Those that are in answers, of `all` that it gave.
    pub(super) fn live<'a>(
        &self,
        app: &App,
        all: &[&'a Registration],
        claims: &'a Claims,
    ) -> Vec<Live<'a>> {
        let all = claims.instances.iter().zip(all).enumerate();
        all.filter(|(index, (_, one))| {
            !one.disabled && self.mark(app.instances(), &app.marks, *index).is_none()
        })
        .filter_map(|(_, (held, one))| {
            Some(Live { held: held.as_ref().ok()?, instance: &one.instance })
        })
        .collect()
    }

    /// The other registrations that instances are made of, by the places of those.
    pub(super) fn joined(&self, app: &App) -> BTreeMap<usize, Vec<Part>> {
        let Self::Merged(merged) = self else { return BTreeMap::new() };
        let part = |index: &usize| {
            let one = app.instances().get(*index)?;
            let Registration { id, origin, .. } = &**one.registration();
            Some(Part { key: printable(&one.key), id: id.clone(), origin: *origin })
        };
        let joined = merged.iter().enumerate().filter(|(_, one)| !one.others.is_empty());
        joined.map(|(place, one)| (place, one.others.iter().filter_map(part).collect())).collect()
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
        match self {
            Self::Own => (0..registered.len())
                .filter_map(|index| {
                    let mark = self.mark(registered, marks, index);
                    let state = state(key, claims, index, mark, None);
                    Some(registered.get_mut(index)?.show(label(index), state))
                })
                .collect(),
            Self::Merged(merged) => (merged.iter().enumerate())
                .filter_map(|(index, one)| {
                    let mark = self.mark(registered, marks, index);
                    let disabled_by = one.disabled_by.and_then(|by| registered.get(by));
                    let disabled_by = disabled_by.map(|by| printable(&by.key));
                    let state = state(key, claims, index, mark, disabled_by);
                    let first = registered.get_mut(one.index)?;
                    Some(match one.joined {
                        true => first.show_joined(&one.registration, label(index).cloned(), state),
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
                    state: state(key, claims, index, None, None),
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
    mark: Option<&Arc<OfflineMark>>,
    disabled_by: Option<Arc<str>>,
) -> State {
    let Some(claims) = claims else {
        return State::Rejected(
            format!("no zone of this server serves namespace {}", key.0).into(),
        );
    };
    match (claims.instances.get(index), mark, disabled_by) {
        (Some(Err(reason)), ..) => State::Rejected(reason.clone()),
        (_, Some(mark), _) => State::Offline(mark.clone()),
        (_, None, Some(by)) => State::Disabled(by),
        (_, None, None) => State::Online,
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
