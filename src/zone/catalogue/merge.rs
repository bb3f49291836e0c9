//! Makes one instance of what several keys say of it, where an app has registrations of other layouts than ours.
//!
//! - A registration of another layout that offers what an earlier one offers (protocol, transport, port, and address or
//!   host) is part of that one: id, weight, tags and meta are those of the first in the order of the layouts. What it
//!   offers beyond that is its own.
//! - Keys of one id at one place, such as those that Zan writes for each protocol, are one instance with all that they
//!   offer.
//! - It is out if one of the layouts says so; of several keys of one layout, such as those of two Dubbo providers at one
//!   place, all have to.
//!
//! What our own layout holds is never part of another's: who registers by the API owns the id.
//!
//! Pure: the same registrations give the same instances, in whatever order they came.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::app::Registered;
use crate::layout::Registration;
use crate::model::{Endpoint, Instance, Protocol, Transport, limits};
use crate::registry::Origin;

/// An instance, made of one registration or more.
#[derive(Debug, Clone)]
pub(super) struct Merged {
    /// What it is by now.
    pub(super) registration: Arc<Registration>,
    /// Which of the registrations it is named after.
    pub(super) index: usize,
    /// It is more than that registration says.
    pub(super) joined: bool,
    /// The other registrations that are part of it.
    pub(super) others: Vec<usize>,
    /// Which of the registrations says that it takes no traffic, if it takes none.
    pub(super) disabled_by: Option<usize>,
}

/// Where something is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At<'a> {
    Address(IpAddr),
    Host(&'a str),
}

/// Something that is offered: who else offers it is the same.
type Offer<'a> = (&'a Protocol, Transport, u16, At<'a>);

/// One instance while it is put together.
struct Draft<'a> {
    first: &'a Arc<Registration>,
    index: usize,
    /// What it offers, if that is not what `first` does.
    endpoints: Option<Vec<Endpoint>>,
    others: Vec<usize>,
    /// For each layout the first of its registrations that takes traffic, or one that takes none.
    layouts: Vec<(Origin, Result<usize, usize>)>,
}

impl<'a> Draft<'a> {
    fn new(first: &'a Arc<Registration>, index: usize, endpoints: Option<Vec<Endpoint>>) -> Self {
        let layouts = vec![(first.origin, takes_traffic(first, index))];
        Self { first, index, endpoints, others: Vec::new(), layouts }
    }

    /// Makes another registration part of it.
    fn join(&mut self, other: &Registration, index: usize) {
        // One registration joins as often as it has endpoints that are known here.
        if index != self.index && self.others.last() != Some(&index) {
            self.others.push(index);
        }
        let said = takes_traffic(other, index);
        match self.layouts.iter_mut().find(|(origin, _)| *origin == other.origin) {
            Some((_, before)) if before.is_err() && said.is_ok() => *before = said,
            Some(_) => {}
            None => self.layouts.push((other.origin, said)),
        }
    }

    fn disabled_by(&self) -> Option<usize> {
        self.layouts.iter().find_map(|(_, said)| said.err())
    }

    fn offers(&mut self) -> &mut Vec<Endpoint> {
        self.endpoints.get_or_insert_with(|| self.first.instance.endpoints.clone())
    }

    fn finish(self) -> Merged {
        let disabled_by = self.disabled_by();
        let Self { first, index, endpoints, others, .. } = self;
        let disabled = disabled_by.is_some();
        let joined = endpoints.is_some() || disabled != first.disabled;
        let registration = if joined {
            let mut registration = Registration::clone(first);
            registration.disabled = disabled;
            if let Some(endpoints) = endpoints {
                registration.instance.endpoints = endpoints;
            }
            Arc::new(registration)
        } else {
            first.clone()
        };
        Merged { registration, index, joined, others, disabled_by }
    }
}

/// The instances of an app, in the order of their raw ids; of one id there may be several that are not the same.
pub(super) fn merge(registrations: &[Registered]) -> Vec<Merged> {
    let mut order: Vec<usize> = (0..registrations.len()).collect();
    // Those of one layout stay in the order of their ids.
    order.sort_by_key(|index| registrations.get(*index).map(|one| one.registration().origin));
    let mut drafts: Vec<Draft<'_>> = Vec::with_capacity(order.len());
    let mut offered: HashMap<Offer<'_>, usize, RandomState> = HashMap::default();
    // Of other layouts: the first draft of each id.
    let mut by_id: HashMap<&str, usize, RandomState> = HashMap::default();
    for index in order {
        let Some(one) = registrations.get(index).map(Registered::registration) else { continue };
        let is_own = one.origin == Origin::NATIVE;
        let mut rest: Vec<&Endpoint> = Vec::new();
        for endpoint in &one.instance.endpoints {
            let mut others = offers(&one.instance, endpoint).map(|offer| offered.get(&offer));
            // What is offered elsewhere too is another thing: a client may need that address.
            let known =
                others.try_fold(None, |_, other| other.map(Some)).flatten().filter(|_| !is_own);
            match known.and_then(|at| drafts.get_mut(*at)) {
                Some(draft) => draft.join(one, index),
                None => rest.push(endpoint),
            }
        }
        if rest.is_empty() && !one.instance.endpoints.is_empty() {
            continue;
        }
        let joins = by_id
            .get(&*one.id)
            .copied()
            .filter(|at| drafts.get(*at).is_some_and(|draft| is_one(draft, one, rest.len())));
        let at = joins.unwrap_or(drafts.len());
        for endpoint in &rest {
            for offer in offers(&one.instance, endpoint) {
                if let Entry::Vacant(free) = offered.entry(offer) {
                    free.insert(at);
                }
            }
        }
        match joins.and_then(|at| drafts.get_mut(at)) {
            Some(draft) => {
                let weight = one.instance.weight;
                let weighed = |endpoint: &Endpoint| Endpoint {
                    weight: endpoint.weight.or(Some(weight)),
                    ..endpoint.clone()
                };
                draft.offers().extend(rest.into_iter().map(weighed));
                draft.join(one, index);
            }
            None => {
                let all = rest.len() == one.instance.endpoints.len();
                let endpoints = (!all).then(|| rest.into_iter().cloned().collect());
                drafts.push(Draft::new(one, index, endpoints));
                if !is_own {
                    by_id.entry(&one.id).or_insert(at);
                }
            }
        }
    }
    let mut merged: Vec<Merged> = drafts.into_iter().map(Draft::finish).collect();
    merged.sort_by_key(|one| one.index);
    merged
}

/// The index of a registration that takes traffic, or that of one that takes none.
fn takes_traffic(registration: &Registration, index: usize) -> Result<usize, usize> {
    if registration.disabled { Err(index) } else { Ok(index) }
}

/// Whether a registration says more of the same instance: its place is one, and so is its state, since a part can't be
/// out alone.
fn is_one(draft: &Draft<'_>, more: &Registration, endpoints: usize) -> bool {
    let first = draft.first;
    let offered = draft.endpoints.as_ref().unwrap_or(&first.instance.endpoints).len();
    first.origin == more.origin
        && draft.disabled_by().is_some() == more.disabled
        && first.instance.addresses == more.instance.addresses
        && first.instance.host == more.instance.host
        && offered + endpoints <= limits::ENDPOINTS_MAX
}

/// All that an endpoint offers.
fn offers<'a>(instance: &'a Instance, endpoint: &'a Endpoint) -> impl Iterator<Item = Offer<'a>> {
    let own = &endpoint.addresses;
    let addresses = if own.is_empty() { &instance.addresses } else { own };
    let host = instance.host.as_deref().map(At::Host);
    let places = addresses.iter().copied().map(At::Address).chain(host);
    let Endpoint { protocol, transport, port, .. } = endpoint;
    places.map(move |at| (protocol, *transport, *port, at))
}
