//! Who gets which name below an app, decided from what is registered and never from who came first.
//!
//! Where two things want one name the order is: static records, (plain records of a layout,) apps,
//! instance ids, derived targets, tags. A registered instance holds its label whether it is offline or not, so
//! that a mark on one never gives its name to another.
//!
//! Pure: the same registrations give the same claims. Knows nothing of blocks and of DNS.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::layout::Registration;
use crate::model::{Endpoint, Label, derived_label, limits, map_label};

/// The claims of one app's registrations in one zone.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// For each registration, in the order given: what it holds, or why it is not served at all.
    pub(super) instances: Vec<Result<Held, Arc<str>>>,
    /// Tags that are served.
    pub(super) tags: BTreeSet<Label>,
    /// What is served otherwise than its owner meant: index of the registration, and why.
    notes: Vec<(usize, Arc<str>)>,
}

impl Claims {
    /// None of so many registrations is served, all for one reason.
    pub(super) fn refused(registrations: usize, reason: &str) -> Self {
        let reason: Arc<str> = reason.into();
        Self { instances: vec![Err(reason); registrations], ..Self::default() }
    }

    /// What one of the registrations holds, if it is served.
    pub(super) fn held(&self, index: usize) -> Option<&Held> {
        self.instances.get(index)?.as_ref().ok()
    }

    /// What is not served, or not as its owner meant it: index of the registration, and why.
    pub(super) fn losses(&self) -> impl Iterator<Item = (usize, &Arc<str>)> {
        let lost = self.instances.iter().enumerate();
        let lost = lost.filter_map(|(index, held)| Some((index, held.as_ref().err()?)));
        lost.chain(self.notes.iter().map(|(index, reason)| (*index, reason)))
    }
}

/// What one instance holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// Its own label.
    pub(super) label: Label,
    /// For each endpoint with addresses of its own, the label of the target that stands for it.
    pub(super) targets: Vec<Option<Label>>,
}

/// Decides the claims of an app. `registrations` come in the order of their raw ids; `taken` says who, of those
/// that come before instances, has a label of the app (`static records at svc.zone:7`, `the app b.greeter`).
pub(super) fn decide<'a>(
    registrations: impl ExactSizeIterator<Item = &'a Registration> + Clone,
    taken: impl Fn(&Label) -> Option<String>,
) -> Claims {
    let mut notes = Vec::new();
    let mut labels = own_labels(registrations.clone(), &taken, &mut notes);
    let mut held: BTreeSet<Label> =
        labels.iter().flatten().filter(|own| !own.derive).map(|own| own.label.clone()).collect();
    let free =
        |label: &Label, held: &BTreeSet<Label>| !held.contains(label) && taken(label).is_none();

    for (own, registration) in labels.iter_mut().zip(registrations.clone()) {
        let Some(own) = own.as_mut().ok().filter(|own| own.derive) else { continue };
        let raw = &registration.id;
        own.label = derive(own.label.as_str(), raw, raw, |label| free(label, &held));
        held.insert(own.label.clone());
    }
    let mut instances = Vec::with_capacity(labels.len());
    for (own, registration) in labels.into_iter().zip(registrations.clone()) {
        instances.push(own.map(|own| {
            let targets = own_targets(registration, &own.label, |label| free(label, &held));
            held.extend(targets.iter().flatten().cloned());
            Held { label: own.label, targets }
        }));
    }
    let mut tags = BTreeSet::new();
    for (index, registration) in registrations.enumerate() {
        if instances[index].is_err() {
            continue;
        }
        for tag in &registration.instance.tags {
            let winner =
                if held.contains(tag) { Some("an instance's name".to_owned()) } else { taken(tag) };
            match winner {
                None => _ = tags.insert(tag.clone()),
                Some(winner) => notes.push((
                    index,
                    format!("tag {tag} is not served: its name belongs to {winner}").into(),
                )),
            }
        }
    }
    Claims { instances, tags, notes }
}

struct Own {
    label: Label,
    /// The plain label went to another: a derived one is to be found.
    derive: bool,
}

/// Gives each plain label to whom it belongs.
fn own_labels<'a>(
    registrations: impl ExactSizeIterator<Item = &'a Registration> + Clone,
    taken: &impl Fn(&Label) -> Option<String>,
    notes: &mut Vec<(usize, Arc<str>)>,
) -> Vec<Result<Own, Arc<str>>> {
    let too_many: Arc<str> =
        format!("app has more than {} instances", limits::INSTANCES_MAX).into();
    let mut wanted: BTreeMap<Label, (usize, bool)> = BTreeMap::new();
    let mut labels = Vec::with_capacity(registrations.len());
    for (index, registration) in registrations.clone().enumerate() {
        if index >= limits::INSTANCES_MAX {
            labels.push(Err(too_many.clone()));
            continue;
        }
        match map_label(registration.id.as_bytes()) {
            Err(rule) => {
                labels.push(Err(format!("instance id {:?} {rule}", registration.id).into()));
            }
            Ok(label) => {
                // A raw id that is legal as written beats all that only map to it; of those the
                // smallest comes first, since registrations come in octet order.
                let legal = label.as_str() == &*registration.id;
                let best = wanted.entry(label.clone()).or_insert((index, legal));
                if legal && !best.1 {
                    *best = (index, true);
                }
                labels.push(Ok(Own { label, derive: false }));
            }
        }
    }
    for (index, registration) in registrations.enumerate() {
        let Ok(own) = &mut labels[index] else { continue };
        let winner = match taken(&own.label) {
            Some(winner) => winner,
            None if wanted.get(&own.label).is_some_and(|(best, _)| *best == index) => continue,
            None => "another instance".to_owned(),
        };
        let reason = format!(
            "instance id {:?} is served under a derived label: the name {} belongs to {winner}",
            registration.id, own.label
        );
        own.derive = true;
        notes.push((index, reason.into()));
    }
    labels
}

/// A label for each endpoint with addresses of its own; empty where there is none.
fn own_targets(
    registration: &Registration,
    label: &Label,
    free: impl Fn(&Label) -> bool,
) -> Vec<Option<Label>> {
    let endpoints = &registration.instance.endpoints;
    if endpoints.iter().all(|endpoint| endpoint.addresses.is_empty()) {
        return Vec::new();
    }
    let mut targets: Vec<Option<Label>> = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        let target = (!endpoint.addresses.is_empty()).then(|| {
            let Endpoint { protocol, transport, port, .. } = endpoint;
            let raw = format!("{protocol}/{transport}/{port}");
            derive(label.as_str(), &raw, &registration.id, |label| {
                free(label) && !targets.iter().flatten().any(|other| other == label)
            })
        });
        targets.push(target);
    }
    targets
}

/// The derived label, or, where that is taken, the next one: the raw name with the instance's id and a count
/// behind it is hashed until a label is free, so that the way out is the same on every server. Without the id,
/// instances whose long labels are cut to one stem would try the same labels one after the other: the square
/// of their number.
fn derive(stem: &str, raw: &str, id: &str, free: impl Fn(&Label) -> bool) -> Label {
    let mut salted = raw.to_owned();
    let mut round = 0_u32;
    loop {
        let label = derived_label(stem, salted.as_bytes());
        if free(&label) {
            return label;
        }
        round += 1;
        salted = format!("{raw}#{id}#{round}");
    }
}
