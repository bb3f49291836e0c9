//! Builds one app anew: its view in the directory, and its block in each zone of its namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::app::{App, Registered};
use super::zone::ZoneState;
use super::{AppKey, Catalogue, Oversized, printable};
use crate::layout::{OfflineMark, Registration};
use crate::model::{Endpoint, Instance, Label, limits};
use crate::zone::block::{self, Live};
use crate::zone::claims::{self, Claims};
use crate::zone::directory::{AppView, InstanceView, State};
use crate::zone::settings::Pin;
use crate::zone::wire;

/// The largest message less what no answer can use: header, question and OPT (RFC 1035 section 4.2.2).
const ANSWER_OCTETS_MAX: usize = 65_535 - 12 - 259 - 11;

impl Catalogue {
    pub(super) fn build(&mut self, key: &AppKey, oversized: &mut Vec<Oversized>) {
        let absent = App::default();
        let pins = self.pins.get(key);
        let app = self.apps.get(key).unwrap_or(&absent);
        let registered: Vec<&Registered> = app.instances.values().collect();
        let pinned: Vec<Registration> = pins.map(|pins| pinned(pins)).unwrap_or_default();
        let indexes = self.zone_indexes(&key.0);
        let mut first: Option<Claims> = None;
        let mut losses: BTreeMap<Arc<str>, Vec<Arc<str>>> = BTreeMap::new();
        let mut blocks = Vec::new();
        for &at in &indexes {
            let zone = &self.zones[at];
            let claims = if pins.is_some() {
                self.claims(zone, key, pinned.iter())
            } else {
                self.claims(zone, key, registered.iter().map(|one| &*one.registration))
            };
            for (index, reason) in claims.losses() {
                let key = match registered.get(index) {
                    Some(one) if pins.is_none() => printable(&one.key),
                    _ => format!("pin of {}", key.1).into(),
                };
                let reasons = losses.entry(key).or_default();
                if !reasons.contains(reason) {
                    reasons.push(reason.clone());
                }
            }
            let live =
                if pins.is_some() { live_pins(&claims, &pinned) } else { live(&claims, app) };
            let block = block::build(&wire::relative(&key.1), &live, &claims.tags, zone.shape());
            if let Some(block) = &block {
                let octets = block.answer_octets_max();
                if octets > ANSWER_OCTETS_MAX {
                    oversized.push(Oversized {
                        zone: zone.name().clone(),
                        app: key.1.clone(),
                        octets,
                    });
                }
            }
            blocks.push((at, block));
            first.get_or_insert(claims);
        }
        let view = self.view(key, app, first.as_ref(), pins.is_some(), &pinned);
        for (at, block) in blocks {
            self.zones[at].put(&wire::relative(&key.1), block);
        }
        self.publish(key, view, losses);
    }

    /// The claims of an app in one zone. An app whose own name has static records, or belongs to a zone below,
    /// is not served there.
    fn claims<'a>(
        &self,
        zone: &ZoneState,
        key: &AppKey,
        registrations: impl ExactSizeIterator<Item = &'a Registration> + Clone,
    ) -> Claims {
        let name = wire::relative(&key.1);
        let refused = |why: String| {
            let reason = format!("app {} is not served in {}: {why}", key.1, zone.name());
            Claims::refused(registrations.len(), &reason)
        };
        if let Some(place) = zone.statics().place(&name) {
            return refused(format!("{place} has static records on its name"));
        }
        if let Some(other) = zone.zone_below(&name) {
            return refused(format!("its name belongs to the zone {other}"));
        }
        let mut claims = claims::decide(registrations.clone(), |label: &Label| {
            let child = wire::child(label.as_str(), &name);
            if let Some(place) = zone.statics().place(&child) {
                return Some(format!("static records at {place}"));
            }
            if let Some(other) = zone.zone_below(&child) {
                return Some(format!("the zone {other}"));
            }
            let child = (key.0.clone(), key.1.child(label.as_str())?);
            self.exists(&child).then(|| format!("the app {}", child.1))
        });
        // Static records below an app make its own name exist among them: most apps have none.
        if zone.statics().find(&name).is_some() {
            for (index, registration) in registrations.enumerate() {
                note_services(&mut claims, index, registration, zone, &name);
            }
        }
        claims
    }

    fn view(
        &self,
        key: &AppKey,
        app: &App,
        claims: Option<&Claims>,
        pinned: bool,
        pins: &[Registration],
    ) -> Option<AppView> {
        if app.is_empty() && !pinned {
            return None;
        }
        let label =
            |claims: &Claims, index: usize| claims.held(index).map(|held| held.label.clone());
        let mut instances: Vec<InstanceView> = app
            .instances
            .values()
            .enumerate()
            .map(|(index, one)| InstanceView {
                registration: one.registration.clone(),
                lease: one.lease,
                revision: one.revision,
                label: claims.filter(|_| !pinned).and_then(|claims| label(claims, index)),
                state: if pinned {
                    State::Pinned
                } else {
                    state(key, claims, index, app.mark(&one.registration))
                },
            })
            .collect();
        instances.extend(pins.iter().enumerate().map(|(index, registration)| InstanceView {
            registration: Arc::new(registration.clone()),
            lease: None,
            revision: 0,
            label: claims.and_then(|claims| label(claims, index)),
            state: state(key, claims, index, None),
        }));
        instances.sort_by(|a, b| a.registration.id.cmp(&b.registration.id));
        let absent = |(id, _): &(&Label, _)| !app.instances.contains_key(id.as_str());
        Some(AppView {
            namespace: key.0.clone(),
            app: key.1.clone(),
            instances,
            offline: app.offline.clone(),
            absent_marks: app.marks.iter().filter(absent).map(|(_, mark)| mark.clone()).collect(),
            pinned,
        })
    }

    /// Puts an app's view and its losses in the directory.
    fn publish(
        &mut self,
        key: &AppKey,
        view: Option<AppView>,
        losses: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    ) {
        if let Some(app) = self.apps.get_mut(key) {
            for key in std::mem::take(&mut app.listed) {
                self.directory.rejected.remove(&*key);
            }
            app.listed = losses.keys().cloned().collect();
        }
        for (key, reasons) in losses {
            self.directory.rejected.insert(key, reasons.join("; ").into());
        }
        match view {
            Some(view) => _ = self.directory.apps.insert(key.clone(), Arc::new(view)),
            None => {
                self.directory.apps.remove(key);
                self.apps.remove(key);
            }
        }
    }
}

/// Notes the service names of an instance, its app's and its own, that have static records.
fn note_services(
    claims: &mut Claims,
    index: usize,
    registration: &Registration,
    zone: &ZoneState,
    app: &[u8],
) {
    let Some(held) = claims.held(index) else { return };
    let own = wire::child(held.label.as_str(), app);
    for Endpoint { protocol, transport, .. } in &registration.instance.endpoints {
        for owner in [app, &own] {
            let name = wire::child(&format!("_{transport}"), owner);
            let name = wire::child(&format!("_{protocol}"), &name);
            if let Some(place) = zone.statics().place(&name) {
                claims.note(
                    index,
                    format!(
                        "SRV of _{protocol}._{transport} is not served: static records at {place}"
                    ),
                );
            }
        }
    }
}

fn state(
    key: &AppKey,
    claims: Option<&Claims>,
    index: usize,
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
        (_, None) => State::Online,
    }
}

fn live<'a>(claims: &'a Claims, app: &'a App) -> Vec<Live<'a>> {
    let all = claims.instances.iter().zip(app.instances.values());
    all.filter(|(_, one)| app.mark(&one.registration).is_none())
        .filter_map(|(held, one)| {
            Some(Live { held: held.as_ref().ok()?, instance: &one.registration.instance })
        })
        .collect()
}

fn live_pins<'a>(claims: &'a Claims, pins: &'a [Registration]) -> Vec<Live<'a>> {
    let all = claims.instances.iter().zip(pins);
    all.filter_map(|(held, pin)| Some(Live { held: held.as_ref().ok()?, instance: &pin.instance }))
        .collect()
}

/// The registrations that pins stand for: `pin-1`, `pin-2` and so on, in configured order.
fn pinned(pins: &[Pin]) -> Vec<Registration> {
    let endpoints =
        pins.iter().flat_map(|pin| pin.endpoints.iter().map(move |endpoint| (pin, endpoint)));
    let mut all: Vec<Registration> = endpoints
        .enumerate()
        .map(|(index, (pin, address))| Registration {
            namespace: pin.namespace.clone(),
            app: pin.app.clone(),
            id: format!("pin-{}", index + 1).into(),
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
