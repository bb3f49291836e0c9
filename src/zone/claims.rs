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
    /// For each registration, in the order given: its labels, or none if it is not served.
    pub(super) instances: Vec<Option<Held>>,
    /// Tags that are served.
    pub(super) tags: BTreeSet<Label>,
    /// What is not served as its owner meant it: index of the registration, and why.
    pub(super) losses: Vec<(usize, Loss)>,
}

impl Claims {
    /// Why an instance is not served at all; none if it is.
    pub(super) fn loss(&self, index: usize) -> Option<&Loss> {
        match self.instances.get(index) {
            Some(None) => self
                .losses
                .iter()
                .map(|(at, loss)| (*at, loss))
                .find(|(at, loss)| *at == index && loss.whole),
            _ => None,
        }
        .map(|(_, loss)| loss)
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

/// Why something is not served as its owner meant it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loss {
    /// Whether the instance is not served at all.
    pub(super) whole: bool,
    /// The reason, for `/v1/rejected`.
    pub(super) reason: Arc<str>,
}

/// Decides the claims of an app. `registrations` come in the order of their raw ids; `taken` says who, of those
/// that come before instances, has a label of the app (`static records at svc.zone:7`, `the app b.greeter`).
pub(super) fn decide<'a>(
    registrations: impl ExactSizeIterator<Item = &'a Registration> + Clone,
    taken: impl Fn(&Label) -> Option<String>,
) -> Claims {
    let mut claims = Claims { instances: vec![None; registrations.len()], ..Claims::default() };
    let mut labels = own_labels(registrations.clone(), &taken, &mut claims.losses);
    let mut held: BTreeSet<Label> =
        labels.iter().flatten().filter(|own| !own.derive).map(|own| own.label.clone()).collect();
    let free =
        |label: &Label, held: &BTreeSet<Label>| !held.contains(label) && taken(label).is_none();

    for (own, registration) in labels.iter_mut().zip(registrations.clone()) {
        let Some(own) = own.as_mut().filter(|own| own.derive) else { continue };
        own.label =
            derive(own.label.as_str(), registration.id.as_bytes(), |label| free(label, &held));
        held.insert(own.label.clone());
    }
    for ((slot, own), registration) in
        claims.instances.iter_mut().zip(labels).zip(registrations.clone())
    {
        let Some(own) = own else { continue };
        let mut targets = Vec::new();
        if registration.instance.endpoints.iter().any(|endpoint| !endpoint.addresses.is_empty()) {
            targets.reserve(registration.instance.endpoints.len());
            for endpoint in &registration.instance.endpoints {
                targets.push(own_target(endpoint, &own.label, |label| free(label, &held)));
                held.extend(targets.last().cloned().flatten());
            }
        }
        *slot = Some(Held { label: own.label, targets });
    }
    for (index, registration) in registrations.enumerate() {
        if claims.instances[index].is_none() {
            continue;
        }
        for tag in &registration.instance.tags {
            let winner =
                if held.contains(tag) { Some("an instance's name".to_owned()) } else { taken(tag) };
            match winner {
                None => _ = claims.tags.insert(tag.clone()),
                Some(winner) => {
                    let reason =
                        format!("tag {tag} is not served: its name belongs to {winner}").into();
                    claims.losses.push((index, Loss { whole: false, reason }));
                }
            }
        }
    }
    claims
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
    losses: &mut Vec<(usize, Loss)>,
) -> Vec<Option<Own>> {
    let mut wanted: BTreeMap<Label, (usize, bool)> = BTreeMap::new();
    let mut labels = Vec::with_capacity(registrations.len());
    for (index, registration) in registrations.clone().enumerate() {
        if index >= limits::INSTANCES_MAX {
            let reason = format!("app has more than {} instances", limits::INSTANCES_MAX).into();
            losses.push((index, Loss { whole: true, reason }));
            labels.push(None);
            continue;
        }
        match map_label(registration.id.as_bytes()) {
            Err(rule) => {
                let reason = format!("instance id {:?} {rule}", registration.id).into();
                losses.push((index, Loss { whole: true, reason }));
                labels.push(None);
            }
            Ok(label) => {
                // A raw id that is legal as written beats all that only map to it; of those the
                // smallest comes first, since registrations come in octet order.
                let legal = label.as_str() == &*registration.id;
                let best = wanted.entry(label.clone()).or_insert((index, legal));
                if legal && !best.1 {
                    *best = (index, true);
                }
                labels.push(Some(Own { label, derive: false }));
            }
        }
    }
    for (index, registration) in registrations.enumerate() {
        let Some(own) = &mut labels[index] else { continue };
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
        losses.push((index, Loss { whole: false, reason: reason.into() }));
    }
    labels
}

fn own_target(endpoint: &Endpoint, label: &Label, free: impl Fn(&Label) -> bool) -> Option<Label> {
    if endpoint.addresses.is_empty() {
        return None;
    }
    let raw = format!("{}/{}/{}", endpoint.protocol, endpoint.transport, endpoint.port);
    Some(derive(label.as_str(), raw.as_bytes(), free))
}

/// The derived label, or, where that is taken, the next one: the raw name with a count behind it is
/// hashed until a label is free, so that the way out is the same on every server.
fn derive(stem: &str, raw: &[u8], free: impl Fn(&Label) -> bool) -> Label {
    let mut salted = raw.to_vec();
    let mut round = 0_u32;
    loop {
        let label = derived_label(stem, &salted);
        if free(&label) {
            return label;
        }
        round += 1;
        salted.truncate(raw.len());
        salted.extend_from_slice(format!("#{round}").as_bytes());
    }
}
