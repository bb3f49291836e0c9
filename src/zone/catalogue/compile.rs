//! Builds one app anew: its view in the directory, and its block in each zone of its namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::app::App;
use super::merge;
use super::shown::{Shown, pinned};
use super::zone::ZoneState;
use super::{AppKey, Catalogue, Oversized, printable};
use crate::layout::Registration;
use crate::model::{Endpoint, Label};
use crate::zone::block::{self, Block};
use crate::zone::claims::{self, Claims};
use crate::zone::directory::AppView;
use crate::zone::wire;

/// The largest message less what no answer can use: header, question and OPT (RFC 1035 section 4.2.2).
pub(super) const ANSWER_OCTETS_MAX: usize = 65_535 - 12 - 259 - 11;

impl Catalogue {
    pub(super) fn build(&mut self, key: &AppKey, oversized: &mut Vec<Oversized>) {
        let absent = App::default();
        let app = self.apps.get(key).unwrap_or(&absent);
        app.warm();
        let shown = match self.pins.get(key) {
            Some(pins) => Shown::Pins(pinned(pins)),
            None if app.is_mixed() => Shown::Merged(merge::merge(app.instances())),
            None => Shown::Own,
        };
        let all = shown.registrations(app);
        let mut first: Option<Claims> = None;
        let mut losses = Losses::new();
        let mut blocks = Vec::new();
        let mut pointers = Vec::new();
        for at in self.zone_indexes(&key.0) {
            let zone = &self.zones[at];
            let name = zone.name_of(&key.1);
            let claims = self.claims(zone, key, &name, all.iter().copied());
            for (index, reason) in claims.losses() {
                let key = match shown.registered(app, index) {
                    Some(one) => printable(&one.key),
                    None => format!("pin of {}", key.1).into(),
                };
                let reasons = losses.entry(key).or_default();
                if !reasons.contains(reason) {
                    reasons.push(reason.clone());
                }
            }
            let live = shown.live(app, &all, &claims);
            let is_first = self.first_zones.get(&key.0) == Some(zone.name());
            if is_first {
                pointers = self.pointers(key, &name, &live, zone.name().wire());
            }
            let block = block::build(&name, &live, &claims.tags, zone.shape());
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
            if is_first {
                first = Some(claims);
            }
        }
        self.put(key, blocks);
        self.point(key, pointers, oversized);
        let view = self.view(key, first.as_ref(), &shown);
        self.publish(key, view, losses);
    }

    /// Puts an app's blocks in their zones.
    fn put(&mut self, key: &AppKey, blocks: Vec<(usize, Option<Block>)>) {
        let app = self.apps.get_mut(key);
        let mut before = app.map(|app| std::mem::take(&mut app.answers)).unwrap_or_default();
        before.resize_with(blocks.len(), || None);
        let now = before
            .into_iter()
            .zip(blocks)
            .map(|(before, (at, block))| {
                let name = self.zones[at].name_of(&key.1);
                self.zones[at].put(&name, before, block)
            })
            .collect();
        if let Some(app) = self.apps.get_mut(key) {
            app.answers = now;
        }
    }

    /// The claims of an app in one zone. An app whose own name has static records, or belongs to a zone below,
    /// is not served there.
    fn claims<'a>(
        &self,
        zone: &ZoneState,
        key: &AppKey,
        name: &[u8],
        registrations: impl ExactSizeIterator<Item = &'a Registration> + Clone,
    ) -> Claims {
        let refused = |why: String| {
            let reason = format!("app {} is not served in {}: {why}", key.1, zone.name());
            Claims::refused(registrations.len(), &reason)
        };
        if let Some(place) = zone.statics().place(name) {
            return refused(format!("{place} has static records on its name"));
        }
        if let Some(other) = zone.zone_below(name) {
            return refused(format!("its name belongs to the zone {other}"));
        }
        if let Some(place) = zone.plain().place(name) {
            return refused(format!("its name belongs to the plain record {place}"));
        }
        // Static records, zones and plain records below an app make its own name exist among theirs. Most apps have
        // none, nor apps below them, and need not look for each of their labels.
        let statics_below = zone.statics().find(name).is_some();
        let plain_below = zone.plain().find(name).is_some();
        let apps_below = self.parents.contains_key(key);
        let mut claims = claims::decide(registrations.clone(), |label: &Label| {
            if !statics_below && !plain_below && !apps_below {
                return None;
            }
            let child = wire::child(label.as_str(), name);
            if let Some(place) = zone.statics().place(&child) {
                return Some(format!("static records at {place}"));
            }
            if let Some(other) = zone.zone_below(&child) {
                return Some(format!("the zone {other}"));
            }
            if let Some(place) = zone.plain().place(&child) {
                return Some(format!("the plain record {place}"));
            }
            let child = (key.0.clone(), key.1.child(label.as_str())?);
            self.exists(&child).then(|| format!("the app {}", child.1))
        });
        if statics_below {
            for (index, registration) in registrations.enumerate() {
                note_services(&mut claims, index, registration, zone, name);
            }
        }
        claims
    }

    /// What the directory shows of an app.
    fn view(&mut self, key: &AppKey, claims: Option<&Claims>, shown: &Shown) -> Option<AppView> {
        let pinned = matches!(shown, Shown::Pins(_));
        // One that is pinned is never taken out.
        let app = self.apps.get_mut(key).filter(|app| pinned || !app.is_empty())?;
        let instances = shown.views(key, app, claims);
        app.shown = !instances.is_empty();
        Some(AppView {
            namespace: key.0.clone(),
            app: key.1.clone(),
            instances,
            joined: shown.joined(app),
            offline: app.marks.on_app().cloned(),
            absent_marks: app.marks.absent(app.instances()),
            pinned,
        })
    }

    /// Puts an app's view and its losses in the directory.
    fn publish(&mut self, key: &AppKey, view: Option<AppView>, losses: Losses) {
        if let Some(app) = self.apps.get_mut(key) {
            for key in std::mem::take(&mut app.listed) {
                self.directory.rejected.remove(&*key);
            }
            app.listed = losses.keys().cloned().collect();
        }
        for (key, reasons) in losses {
            self.directory.reject(key, reasons.join("; ").into());
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

/// Keys of an app that are not served as meant, and why.
type Losses = BTreeMap<Arc<str>, Vec<Arc<str>>>;

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
