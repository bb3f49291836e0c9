//! The immutable, complete set of answers that one moment shows.
//!
//! A zone is a persistent map (`index.rs`) from apps and the empty names between to blocks: a change replaces one
//! block and copies a few nodes of the map, so that its cost grows with the app it touches, never with the zone.
//! A name is found by its labels: the longest app that it ends with has it, or nobody has.
//!
//! Knows nothing of messages, and nothing of how it came to be.

use std::sync::Arc;

use super::block::Node;
use super::consul::{ConsulNames, Meant, Room};
use super::directory::Directory;
use super::index::{Index, Walk};
use super::plain::Plain;
use super::reverse::Pointers;
use super::settings::{Names, ZoneName};
use super::statics::{StaticNode, Statics};
use super::wire;
use crate::model::Namespace;
use crate::registry::{Origin, Revision};

/// Blocks of so many small apps stay in the cache of a core: 2 MiB as a rule.
const CACHED_APPS_MAX: usize = 2_000;

/// Everything that answers and the API's reads come from. Never changed, only replaced.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The registry's revision that this shows.
    pub revision: Revision,
    /// Counts the breaks in the registry's history; revisions of different epochs don't compare.
    pub epoch: u64,
    /// Whether our own layout has been read whole once (law 1, docs/architecture.md).
    pub ready: bool,
    /// The layouts of other systems that have not, and the namespace that each of them tells of.
    pub unread: Vec<(Origin, Namespace)>,
    /// What is registered.
    pub directory: Directory,
    /// The zones, those with more labels first.
    pub(super) zones: Vec<Zone>,
}

/// One zone at one moment.
#[derive(Debug, Clone)]
pub struct Zone {
    pub(super) name: ZoneName,
    pub(super) statics: Arc<Statics>,
    pub(super) apps: Index,
    /// The names of addresses, if it is a reverse zone; it has no apps then.
    pub(super) pointers: Option<Pointers>,
    /// Plain records, if it has any.
    pub(super) plain: Option<Plain>,
    /// How its names tell apps.
    pub(super) names: Names,
    /// It has our own names, and apps are all that is registered in it, as in most zones.
    pub(super) only_apps: bool,
    /// How many apps there are.
    pub(super) app_count: usize,
    /// A bit for each number of labels that an app has: names of other lengths need not be looked for.
    pub(super) app_labels: u64,
    /// The SOA serial.
    pub serial: u32,
    /// Time to live of registered records, in seconds.
    pub ttl_secs: u32,
    /// Whether what is registered is known (law 1, docs/architecture.md).
    pub ready: bool,
    pub(super) has_namespace: bool,
}

/// What a zone has under a name.
#[derive(Debug, Clone, Copy)]
pub enum Found<'a> {
    /// Static records, possibly none of them, plain records of a layout, or what an address points to.
    Static(&'a StaticNode),
    /// An app's name.
    App(Node<'a>),
    /// Nothing, but the name exists: something lies below it.
    Between,
    /// The name does not exist.
    Missing,
    /// Not known yet: the registry has not been read.
    Unknown,
}

impl Snapshot {
    /// The zone that a name belongs to, and the name relative to it: the longest zone that the name ends
    /// with. `name` is in wire form, lower case, with the root label.
    #[must_use]
    pub fn zone<'a, 'n>(&'a self, name: &'n [u8]) -> Option<(&'a Zone, &'n [u8])> {
        self.zones.iter().find_map(|zone| Some((zone, zone.name.relative(name)?)))
    }

    /// Whether a zone has more apps than stay in the cache.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.zones.iter().any(|zone| zone.app_count > CACHED_APPS_MAX)
    }

    /// The look-up of the app that a name most likely belongs to, in steps.
    #[must_use]
    pub fn walk(&self, name: &[u8]) -> Option<Walk<'_>> {
        let (zone, relative) = self.zone(name)?;
        Some(zone.apps.walk(zone.likely_app(relative)))
    }

    /// Whether all that is registered in a namespace has been read: what is not in the directory then is not there.
    #[must_use]
    pub fn knows(&self, namespace: &Namespace) -> bool {
        self.ready && self.unread.iter().all(|(_, unread)| unread != namespace)
    }

    /// All zones.
    #[must_use]
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }
}

impl Zone {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ZoneName {
        &self.name
    }

    /// Its static part.
    #[must_use]
    pub fn statics(&self) -> &Statics {
        &self.statics
    }

    /// What is under a name, given relative to the zone and in lower case.
    #[must_use]
    pub fn find(&self, relative: &[u8]) -> Found<'_> {
        let fixed = self.statics.find(relative);
        if let Some(node) = fixed.filter(|node| !node.sets.is_empty()) {
            let apex = self.plain.as_ref().filter(|_| relative.is_empty()).and_then(Plain::apex);
            return Found::Static(apex.filter(|_| self.ready).unwrap_or(node));
        }
        if !self.ready {
            return Found::Unknown;
        }
        match self.registered(relative) {
            Some(found) => found,
            None if fixed.is_some() => Found::Between,
            None if self.statics.has_wildcards() => self.synthesise(relative),
            None => Found::Missing,
        }
    }

    /// What a name that does not exist has from a wildcard: the one below the nearest name above it that exists, and
    /// no other (RFC 4592 section 3.3.1).
    #[cold]
    fn synthesise(&self, relative: &[u8]) -> Found<'_> {
        let exists = |name: &[u8]| {
            name.is_empty() || self.statics.find(name).is_some() || self.registered(name).is_some()
        };
        let encloser = wire::above(relative).chain([&[] as &[u8]]).find(|name| exists(name));
        let wildcard = encloser.and_then(|encloser| self.statics.wildcard(encloser));
        wildcard.map_or(Found::Missing, Found::Static)
    }

    /// Whether it shows what is registered.
    #[must_use]
    pub fn has_namespace(&self) -> bool {
        self.has_namespace
    }

    /// The longest part of a name that can be an app.
    fn likely_app<'n>(&self, relative: &'n [u8]) -> &'n [u8] {
        let mut name = relative;
        let mut labels = wire::label_count(relative);
        while let Some((label, above)) = wire::split(name)
            && (!self.has_apps_of(labels) || label.starts_with(b"_"))
        {
            name = above;
            labels -= 1;
        }
        name
    }

    fn has_apps_of(&self, labels: usize) -> bool {
        self.app_labels.checked_shr(labels as u32).is_some_and(|apps| apps & 1 == 1)
    }

    /// Whether a name of so many labels can be on the way to an app.
    fn has_apps_below(&self, labels: usize) -> bool {
        self.app_labels.checked_shr(labels as u32 + 1).is_some_and(|apps| apps > 0)
    }

    /// What a name has of what is registered.
    #[inline]
    fn registered(&self, relative: &[u8]) -> Option<Found<'_>> {
        if self.only_apps { self.find_app(relative) } else { self.find_any(relative) }
    }

    /// Plain records come before apps, and before what addresses point to.
    fn find_any(&self, relative: &[u8]) -> Option<Found<'_>> {
        let plain = self.plain.as_ref().and_then(|plain| plain.find(relative));
        if let Some(node) = plain.filter(|node| !node.sets.is_empty()) {
            return Some(Found::Static(node));
        }
        let found = match (&self.pointers, &self.names) {
            (Some(pointers), _) => pointers.find(relative),
            (None, Names::Rollcall) => self.find_app(relative),
            (None, Names::Consul(consul)) => self.find_consul(consul, relative),
        };
        found.or_else(|| plain.map(|_| Found::Between))
    }

    fn find_consul(&self, consul: &ConsulNames, relative: &[u8]) -> Option<Found<'_>> {
        match consul.read(relative, &mut Room::new()) {
            Meant::Name(name) => self.find_app(name),
            Meant::Between => Some(Found::Between),
            Meant::Nothing => None,
        }
    }

    /// The nearest app at or above the name decides; names with an underscore are never apps.
    fn find_app(&self, relative: &[u8]) -> Option<Found<'_>> {
        let mut name = self.likely_app(relative);
        while let Some((label, above)) = wire::split(name) {
            if !label.starts_with(b"_")
                && let Some((Some(block), _)) = self.apps.get(name)
            {
                let in_front = relative.get(..relative.len() - name.len())?;
                match block.find(in_front) {
                    Some(node) => return Some(Found::App(node)),
                    None => break,
                }
            }
            name = self.likely_app(above);
        }
        let between = self.has_apps_below(wire::label_count(relative))
            && self.apps.get(relative).is_some_and(|(_, below)| below > 0);
        between.then_some(Found::Between)
    }
}
