//! Who gets which name below an app, decided from what is registered and never from who came first.
//!
//! Where two things want one name the order is: static records, plain records of a layout, apps,
//! instance ids, derived targets, tags. A registered instance holds its label whether it is offline or not, so
//! that a mark on one never gives its name to another.
//!
//! Pure: the same registrations give the same claims. Knows nothing of blocks and of DNS.

use std::cell::LazyCell;
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

    /// Notes something of one of the registrations that is not served as its owner meant it.
    pub(super) fn note(&mut self, index: usize, reason: String) {
        self.notes.push((index, reason.into()));
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

/// Decides the claims of an app. `registrations` come in the order of their raw ids; of one id there is one, unless layouts
/// of other systems give it to several that are not the same. `taken` says who, of those that come before instances, has a label of the app (`static records at svc.zone:7`, `the app
/// b.greeter`).
///
/// Nearly every app has nothing but legal ids and no targets of its endpoints' own: for such no set of names is
/// made but that of the tags, since a large app pays for it with every change.
pub(super) fn decide<'a>(
    registrations: impl ExactSizeIterator<Item = &'a Registration> + Clone,
    taken: impl Fn(&Label) -> Option<String>,
) -> Claims {
    let mut notes = Vec::new();
    let labels = own_labels(registrations.clone(), &taken, &mut notes);
    let derived = labels.iter().flatten().any(|own| own.derive);
    let instances = if derived || registrations.clone().any(has_own_targets) {
        derive_labels(labels, registrations.clone(), &taken)
    } else {
        let held = |own: Own| Held { label: own.label, targets: Vec::new() };
        labels.into_iter().map(|own| own.map(held)).collect()
    };
    let mut claims = Claims { instances, tags: BTreeSet::new(), notes };
    claims.decide_tags(registrations, &taken);
    claims
}

/// The label that each instance of an app has, or why it has none, in a zone where nobody but `taken` comes before instances:
/// no static or plain record, no app below this one. `registrations` as for the claims.
pub fn labels<'a>(
    registrations: impl ExactSizeIterator<Item = &'a Registration> + Clone,
    taken: impl Fn(&Label) -> bool,
) -> Vec<Result<Label, Arc<str>>> {
    let claims = decide(registrations, |label| taken(label).then(String::new));
    claims.instances.into_iter().map(|held| held.map(|held| held.label)).collect()
}

impl Claims {
    /// Takes in the tags whose names nobody has, and notes the others.
    fn decide_tags<'a>(
        &mut self,
        registrations: impl Iterator<Item = &'a Registration> + Clone,
        taken: &impl Fn(&Label) -> Option<String>,
    ) {
        let tagged = registrations.enumerate().filter(|(_, one)| !one.instance.tags.is_empty());
        for (index, registration) in tagged.clone() {
            if self.held(index).is_some() {
                for tag in &registration.instance.tags {
                    if !self.tags.contains(tag) {
                        self.tags.insert(tag.clone());
                    }
                }
            }
        }
        if self.tags.is_empty() {
            return;
        }
        let mut winners: BTreeMap<Label, String> = BTreeMap::new();
        for Held { label, targets } in self.instances.iter().flatten() {
            for name in targets.iter().flatten().chain([label]) {
                if let Some(tag) = self.tags.take(name) {
                    winners.insert(tag, "an instance's name".to_owned());
                }
            }
        }
        winners.extend(self.tags.iter().filter_map(|tag| Some((tag.clone(), taken(tag)?))));
        if winners.is_empty() {
            return;
        }
        self.tags.retain(|tag| !winners.contains_key(tag));
        for (index, registration) in tagged {
            if self.held(index).is_none() {
                continue;
            }
            for tag in &registration.instance.tags {
                if let Some(winner) = winners.get(tag) {
                    self.note(
                        index,
                        format!("tag {tag} is not served: its name belongs to {winner}"),
                    );
                }
            }
        }
    }
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
    let too_many: LazyCell<Arc<str>> =
        LazyCell::new(|| format!("app has more than {} instances", limits::INSTANCES_MAX).into());
    let mut labels = Vec::with_capacity(registrations.len());
    let mut mapped = Vec::new();
    let mut last = None;
    for (index, registration) in registrations.clone().enumerate() {
        labels.push(if index >= limits::INSTANCES_MAX {
            Err(too_many.clone())
        } else if let Some(label) = legal_label(&registration.id) {
            if last == Some(&registration.id) {
                // The first of an id has its plain label.
                mapped.push(index);
            }
            Ok(Own { label, derive: false })
        } else {
            mapped.push(index);
            match map_label(registration.id.as_bytes()) {
                Ok(label) => Ok(Own { label, derive: false }),
                Err(rule) => Err(format!("instance id {:?} {rule}", registration.id).into()),
            }
        });
        last = Some(&registration.id);
    }
    let beaten = beaten(&labels, &mapped);
    for (index, registration) in registrations.enumerate() {
        let Ok(own) = &mut labels[index] else { continue };
        let winner = match taken(&own.label) {
            Some(winner) => winner,
            None if beaten.contains(&index) => "another instance".to_owned(),
            None => continue,
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

/// The label of a raw id that is legal as written.
fn legal_label(id: &str) -> Option<Label> {
    Label::new(id).ok().filter(|label| label.as_str() == id)
}

/// Which of the `mapped`, whose raw ids are not legal as written or are another's too, do not get their plain labels: a legal id beats
/// all that only map to it; of those the smallest comes first, since registrations come in octet order.
fn beaten(labels: &[Result<Own, Arc<str>>], mapped: &[usize]) -> BTreeSet<usize> {
    if mapped.is_empty() {
        return BTreeSet::new();
    }
    let label = |index: usize| labels[index].as_ref().ok().map(|own| &own.label);
    let illegal: BTreeSet<usize> = mapped.iter().copied().collect();
    let legal = (0..labels.len()).filter(|index| !illegal.contains(index));
    let mut won: BTreeSet<&Label> = legal.filter_map(label).collect();
    mapped
        .iter()
        .copied()
        .filter(|index| label(*index).is_some_and(|label| !won.insert(label)))
        .collect()
}

/// Finds a free label for each that is to have a derived one, then for each endpoint with addresses of its own.
fn derive_labels<'a>(
    mut labels: Vec<Result<Own, Arc<str>>>,
    registrations: impl Iterator<Item = &'a Registration> + Clone,
    taken: &impl Fn(&Label) -> Option<String>,
) -> Vec<Result<Held, Arc<str>>> {
    let mut held: BTreeSet<Label> =
        labels.iter().flatten().filter(|own| !own.derive).map(|own| own.label.clone()).collect();
    let free =
        |label: &Label, held: &BTreeSet<Label>| !held.contains(label) && taken(label).is_none();
    let mut last = None;
    for (own, registration) in labels.iter_mut().zip(registrations.clone()) {
        let raw = &registration.id;
        let repeated = last.replace(raw) == Some(raw);
        let Some(own) = own.as_mut().ok().filter(|own| own.derive) else { continue };
        // Several of one id would try the same labels one after the other, and who is first may be another tomorrow: each
        // goes by its place.
        let placed = repeated.then(|| format!("{raw}@{}", place(registration)));
        let seed = placed.as_deref().unwrap_or(raw);
        own.label = derive(own.label.as_str(), seed, seed, |label| free(label, &held));
        held.insert(own.label.clone());
    }
    let mut instances = Vec::with_capacity(labels.len());
    for (own, registration) in labels.into_iter().zip(registrations) {
        instances.push(own.map(|own| {
            let targets = own_targets(registration, &own.label, |label| free(label, &held));
            held.extend(targets.iter().flatten().cloned());
            Held { label: own.label, targets }
        }));
    }
    instances
}

/// Where an instance is: of those with one id no two are at one place, or they would be one.
fn place(registration: &Registration) -> String {
    let instance = &registration.instance;
    let offered = instance
        .endpoints
        .iter()
        .map(|Endpoint { protocol, transport, port, .. }| format!("{protocol}/{transport}/{port}"));
    let offered: Vec<String> = offered.collect();
    let host = instance.host.as_deref().unwrap_or_default();
    format!("{:?}{host}:{}", instance.addresses, offered.join(","))
}

/// Whether it has endpoints with addresses of their own.
fn has_own_targets(registration: &Registration) -> bool {
    registration.instance.endpoints.iter().any(|endpoint| !endpoint.addresses.is_empty())
}

/// A label for each endpoint with addresses of its own; empty where there is none.
fn own_targets(
    registration: &Registration,
    label: &Label,
    free: impl Fn(&Label) -> bool,
) -> Vec<Option<Label>> {
    if !has_own_targets(registration) {
        return Vec::new();
    }
    let endpoints = &registration.instance.endpoints;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppName, Namespace, Spec};
    use crate::registry::Origin;

    /// Registrations with these ids, in their order, and this body.
    fn registrations(ids: &[&str], body: &str) -> Vec<Registration> {
        let instance = serde_json::from_str::<Spec>(body).unwrap().resolve(None).unwrap();
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.into_iter()
            .map(|id| Registration {
                namespace: Namespace::default(),
                app: AppName::new("x").unwrap(),
                id: id.into(),
                origin: Origin::NATIVE,
                disabled: false,
                instance: instance.clone(),
            })
            .collect()
    }

    /// The label that each id is served under, or why it is not.
    fn labels(ids: &[&str], taken: &[&str]) -> Vec<(String, String)> {
        let all = registrations(ids, r#"{"address":"10.0.0.7","port":9000}"#);
        let claims = decide(all.iter(), |label| {
            taken.contains(&label.as_str()).then(|| "the app".to_owned())
        });
        let told = claims.instances.iter().map(|held| match held {
            Ok(held) => held.label.to_string(),
            Err(reason) => reason.to_string(),
        });
        all.iter().map(|one| one.id.to_string()).zip(told).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(id, label)| ((*id).to_owned(), (*label).to_owned())).collect()
    }

    #[test]
    fn legal_ids_keep_their_labels_and_others_are_derived() {
        // printf %s 'a_b' | sha256sum | xxd -r -p | base32, and so on.
        let expected =
            [("a-b", "a-b"), ("a.b", "a-b-fzztnx"), ("a_b", "a-b-msh2tm"), ("c_d", "c-d")];
        assert_eq!(labels(&["c_d", "a_b", "a.b", "a-b"], &[]), pairs(&expected));
        // Of illegal ones with one mapping the smallest in octet order has the plain label.
        assert_eq!(labels(&["a_b", "a.b"], &[]), pairs(&[("a.b", "a-b"), ("a_b", "a-b-msh2tm")]));
        // What stands before instances takes it from both, and a derived label that is taken is another.
        let both = [("a-b", "a-b-2rbwfv"), ("a_b", "a-b-msh2tm")];
        assert_eq!(labels(&["a-b", "a_b"], &["a-b"]), pairs(&both));
        let next = &labels(&["a_b"], &["a-b", "a-b-msh2tm"])[0].1;
        assert!(next.starts_with("a-b-") && next.len() == 10 && next != "a-b-msh2tm", "{next}");
        // An instance whose id is another's derived label keeps it.
        let held = labels(&["a-b", "a_b", "a-b-msh2tm"], &[]);
        assert_eq!(held[1], ("a-b-msh2tm".to_owned(), "a-b-msh2tm".to_owned()));
        assert_eq!(&held[2].1, next);
        let empty = "instance id \"_\" must not be empty";
        assert_eq!(labels(&["_"], &[]), pairs(&[("_", empty)]));
    }

    #[test]
    fn instances_of_one_id_are_told_apart_by_their_places() {
        let at = |address: &str| {
            let body = format!(r#"{{"address":"{address}","port":9000}}"#);
            registrations(&["a-b"], &body).remove(0)
        };
        let labels = |all: &[Registration]| -> Vec<String> {
            let claims = decide(all.iter(), |_| None);
            claims.instances.iter().map(|held| held.as_ref().unwrap().label.to_string()).collect()
        };
        let three = labels(&[at("10.0.0.1"), at("10.0.0.2"), at("10.0.0.3")]);
        assert_eq!(three[0], "a-b");
        assert!(three[1].starts_with("a-b-") && three[2].starts_with("a-b-"), "{three:?}");
        assert_ne!(three[1], three[2]);
        // One that goes gives its label to nobody but who comes first.
        assert_eq!(labels(&[at("10.0.0.1"), at("10.0.0.3")]), [&*three[0], &*three[2]]);
        // A thousand of them try a label each.
        let many: Vec<Registration> =
            (0..1_000).map(|i| at(&format!("10.0.{}.{}", i / 250, i % 250 + 1))).collect();
        let free = std::cell::Cell::new(0);
        decide(many.iter(), |_| {
            free.set(free.get() + 1);
            None
        });
        assert!(free.get() < 5_000, "{} labels were looked at", free.get());
    }

    #[test]
    fn targets_come_after_instances_and_before_tags() {
        let body = r#"{"address":"10.0.0.7","tags":["a-qc7i2e","t"],"endpoints":[{"port":1},
            {"protocol":"admin","port":9001,"addresses":["10.9.0.1"]}]}"#;
        let own = |ids: &[&str]| {
            let all = registrations(ids, body);
            let claims = decide(all.iter(), |_| None);
            let target = claims.held(0).unwrap().targets[1].clone().unwrap().to_string();
            (target, claims)
        };
        // The hash is that of `admin/tcp/9001`.
        let (target, claims) = own(&["a"]);
        assert_eq!(target, "a-qc7i2e");
        assert_eq!(claims.held(0).unwrap().targets[0], None);
        assert_eq!(claims.tags.iter().map(Label::as_str).collect::<Vec<_>>(), ["t"]);
        let losses: Vec<_> = claims.losses().collect();
        let reason = "tag a-qc7i2e is not served: its name belongs to an instance's name";
        assert_eq!(losses, [(0, &reason.into())]);
        let (target, claims) = own(&["a", "a-qc7i2e"]);
        assert_ne!(target, "a-qc7i2e");
        assert_eq!(claims.held(1).unwrap().label.as_str(), "a-qc7i2e");
    }

    #[test]
    fn an_app_has_so_many_instances_and_no_more() {
        let ids: Vec<String> = (0..=limits::INSTANCES_MAX).map(|i| format!("i-{i:05}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let all = registrations(&ids, r#"{"address":"10.0.0.7","port":9000}"#);
        let claims = decide(all.iter(), |_| None);
        assert!(claims.held(limits::INSTANCES_MAX - 1).is_some());
        let losses: Vec<_> = claims.losses().collect();
        assert_eq!(losses, [(limits::INSTANCES_MAX, &"app has more than 10000 instances".into())]);
    }
}
