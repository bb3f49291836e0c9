//! Plain records of layouts: which zone each belongs to, and when a zone's are built.
//!
//! All that changed is built together, so that no name shows what another does not yet; after that it rests as a large
//! app does. Apps come after plain records, and those whose names are taken or given back are built with them.
//!
//! Knows nothing of what a name answers.

use std::sync::Arc;
use std::time::Duration;

use super::app::rest;
use super::compile::ANSWER_OCTETS_MAX;
use super::{Catalogue, Oversized, printable};
use crate::layout::{FullName, Parsed, PlainRecord};

use crate::registry::Revision;
use crate::registry::mirror::News;
use crate::zone::plain;
use crate::zone::wire;

/// When plain records are built.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The first revision that they do not show yet, if any.
    waiting: Option<Revision>,
    /// When they may be built again.
    due: Duration,
}

impl Turn {
    /// Something changed: from that revision on it is not shown.
    pub(super) fn touch(&mut self, revision: Revision) {
        self.waiting = Some(self.waiting.map_or(revision, |waiting| waiting.min(revision)));
    }

    /// The same where revisions before do not compare.
    pub(super) fn renumber(&mut self, revision: Revision) {
        self.waiting = self.waiting.map(|_| revision);
    }

    /// The first revision that is not shown, and when it may be.
    pub(super) fn waiting(&self) -> Option<(Revision, Duration)> {
        Some((self.waiting?, self.due))
    }
}

impl Catalogue {
    /// Takes out a plain record, unless its key says the same as before.
    pub(super) fn forget_plain(
        &mut self,
        news: &News<Parsed>,
        record: &Arc<PlainRecord>,
        revision: Revision,
    ) {
        if says(news.now.as_ref().map(|kept| &kept.parsed), record) {
            return;
        }
        let key = &news.key;
        let listed = match self.zone_of(&record.name) {
            Some((at, relative)) if self.zones[at].shows(&record.namespace) => {
                self.plain.touch(revision);
                self.zones[at].plains().remove(&relative, key)
            }
            _ => true,
        };
        if listed {
            self.directory.rejected.remove(&*printable(key));
        }
    }

    /// Takes in a plain record, unless its key said the same before.
    pub(super) fn learn_plain(
        &mut self,
        news: &News<Parsed>,
        record: &Arc<PlainRecord>,
        revision: Revision,
    ) {
        if says(news.was.as_ref().map(|kept| &kept.parsed), record) {
            return;
        }
        let reason = match self.zone_of(&record.name) {
            None => format!("no zone of this server has the name {}", record.name),
            Some((at, _)) if !self.zones[at].shows(&record.namespace) => {
                let (zone, namespace) = (self.zones[at].name(), &record.namespace);
                format!(
                    "its name belongs to the zone {zone}, which does not serve namespace {namespace}"
                )
            }
            Some((at, relative)) => {
                let derived = record.derived.as_ref().and_then(|name| self.zone_of(name));
                let derived = derived.filter(|(other, _)| *other == at).map(|(_, name)| name);
                self.zones[at].plains().put(&relative, derived.as_deref(), &news.key, record);
                self.plain.touch(revision);
                return;
            }
        };
        self.directory.reject(printable(&news.key), reason.into());
    }

    /// Has names decided anew that the static records of a zone took or gave back, at once: answers show those by now.
    pub(super) fn touch_plain<'n>(
        &mut self,
        zone: usize,
        names: impl Iterator<Item = &'n [u8]>,
        revision: Revision,
    ) {
        if self.zones[zone].plains().touch(names) {
            self.plain.touch(revision);
            self.plain.due = Duration::ZERO;
        }
    }

    /// Builds plain records if they are due, and gives the first revision that answers did not show of them.
    pub(super) fn build_plain(
        &mut self,
        clock: &dyn Fn() -> Duration,
        oversized: &mut Vec<Oversized>,
    ) -> Option<Revision> {
        let began = clock();
        let (revision, _) = self.plain.waiting().filter(|(_, due)| *due <= began)?;
        for at in 0..self.zones.len() {
            let plain::Outcome { moved, listed, built, .. } =
                self.zones[at].build_plain(&printable);
            let zone = self.zones[at].name();
            oversized.extend(built.into_iter().filter_map(|(name, octets)| {
                // Those whose names no app could have are few, and below another.
                let app = wire::app(&name).filter(|_| octets > ANSWER_OCTETS_MAX)?;
                Some(Oversized { zone: zone.clone(), app, octets })
            }));
            for (key, reason) in listed {
                let key = printable(&key);
                match reason {
                    Some(reason) => self.directory.reject(key, reason.into()),
                    None => _ = self.directory.rejected.remove(&key),
                }
            }
            self.touch_below(at, moved.iter().map(|name| &**name), revision);
        }
        let ended = clock();
        self.plain = Turn { waiting: None, due: ended + rest(ended.saturating_sub(began)) };
        Some(revision)
    }

    /// Has all apps built anew to which one of these names of a zone may belong: it may be an app's own, an instance's, a
    /// tag's or a service's of either.
    pub(super) fn touch_below<'n>(
        &mut self,
        zone: usize,
        names: impl Iterator<Item = &'n [u8]>,
        revision: Revision,
    ) {
        let Some(namespace) = self.zones[zone].namespace().cloned() else { return };
        let mut touched = false;
        for name in names {
            for name in std::iter::once(name).chain(wire::above(name)) {
                let Some(app) = self.zones[zone].app_of(name) else { continue };
                let key = (namespace.clone(), app);
                if self.apps.contains_key(&key) {
                    self.touch(key, revision);
                    touched = true;
                }
            }
        }
        if touched {
            // Answers show who has the names at once, and so no app may rest that has one of them: SRV records would point
            // to others' addresses. Those that wait for each other wait for nobody.
            self.touched.values_mut().for_each(|touched| touched.due = Duration::ZERO);
        }
    }

    /// The zone that a name belongs to, and the name relative to it.
    fn zone_of(&self, name: &FullName) -> Option<(usize, Box<[u8]>)> {
        let name = plain::absolute(name);
        let find = |(at, zone): (usize, &super::ZoneState)| {
            Some((at, zone.name().relative(&name)?.into()))
        };
        self.zones.iter().enumerate().find_map(find)
    }
}

/// Whether a key says that record.
fn says(parsed: Option<&Parsed>, record: &Arc<PlainRecord>) -> bool {
    matches!(parsed, Some(Parsed::Plain(other)) if other == record)
}
