//! One zone while it is being built: its blocks, and its serial.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::quality::FixedState;

use crate::model::{AppName, Namespace};
use crate::registry::Revision;
use crate::zone::block::{Block, Shape};
use crate::zone::contents::Contents;
use crate::zone::index::Index;
use crate::zone::plain::{Outcome, Plain, Plains};
use crate::zone::reverse::Pointers;
use crate::zone::serial::{self, SavedSerial};
use crate::zone::settings::{Names, Reverse, ZoneName, ZoneSettings};
use crate::zone::snapshot::Zone;
use crate::zone::statics::Statics;
use crate::zone::wire;

/// A zone and what changes of it.
#[derive(Debug)]
pub(super) struct ZoneState {
    settings: ZoneSettings,
    statics: Arc<Statics>,
    /// Zones whose names are below this one's, relative to it: their names are theirs.
    below: Vec<(Box<[u8]>, ZoneName)>,
    apps: Index,
    /// What addresses point to, if it is a reverse zone.
    pointers: Option<Pointers>,
    /// What a layout says of names in it.
    plains: Plains,
    /// How many apps have so many labels; the last entry is never 0.
    by_labels: Vec<u32>,
    /// Sum of the digests of all blocks, plain records and of the static part, and of the time to live: it is part of every
    /// registered record.
    digest: u64,
    /// What the serial stands for.
    settled: SavedSerial,
}

/// What a zone answers for one app.
#[derive(Debug)]
pub(super) struct Answers {
    block: Block,
    /// The same for equal blocks, on every run of the same version.
    digest: u64,
}

impl Answers {
    fn new(block: Block) -> Self {
        Self { digest: FixedState::default().hash_one(&block), block }
    }
}

impl ZoneState {
    /// One of the zones `all`.
    pub(super) fn new(
        settings: &ZoneSettings,
        all: &[ZoneSettings],
        saved: &[SavedSerial],
    ) -> Self {
        let Contents { statics, .. } = Contents::new(settings, all);
        let below = settings.name.zones_below(all);
        let below = below.map(|(relative, zone)| (relative.into(), zone.clone())).collect();
        let settled = saved.iter().find(|saved| saved.zone == settings.name).cloned();
        Self {
            settled: settled.unwrap_or_else(|| SavedSerial {
                zone: settings.name.clone(),
                serial: statics.soa().file_serial(),
                digest: None,
            }),
            digest: statics.digest().wrapping_add(settings.ttl_secs.into()),
            statics,
            below,
            // What was read of the file is in the static part by now, and may be large.
            settings: ZoneSettings { file: None, ..settings.clone() },
            apps: Index::default(),
            pointers: settings.reverse.as_ref().map(|reverse| Pointers::new(reverse.network)),
            plains: Plains::default(),
            by_labels: Vec::new(),
        }
    }

    pub(super) fn name(&self) -> &ZoneName {
        &self.settings.name
    }

    pub(super) fn namespace(&self) -> Option<&Namespace> {
        self.settings.namespace.as_ref()
    }

    pub(super) fn statics(&self) -> &Arc<Statics> {
        &self.statics
    }

    /// Puts a static part in the place of what there was, which it gives back.
    pub(super) fn replace(&mut self, statics: Arc<Statics>) -> Arc<Statics> {
        let digest = self.digest.wrapping_sub(self.statics.digest());
        self.digest = digest.wrapping_add(statics.digest());
        std::mem::replace(&mut self.statics, statics)
    }

    /// Whether it shows what is registered in that namespace.
    pub(super) fn shows(&self, namespace: &Namespace) -> bool {
        let reverse = self.settings.reverse.as_ref();
        self.namespace() == Some(namespace) || reverse.is_some_and(|one| one.shows(namespace))
    }

    /// The zone below this one that a name belongs to.
    pub(super) fn zone_below(&self, relative: &[u8]) -> Option<&ZoneName> {
        let is_in =
            |apex: &[u8]| relative == apex || wire::above(relative).any(|above| above == apex);
        self.below.iter().find(|(apex, _)| is_in(apex)).map(|(_, zone)| zone)
    }

    /// The app that has a relative name, if that is a name that an app may have.
    pub(super) fn app_of(&self, relative: &[u8]) -> Option<AppName> {
        self.settings.names.app(relative)
    }

    /// An app's name, relative to the zone.
    pub(super) fn name_of(&self, app: &AppName) -> Box<[u8]> {
        self.settings.names.relative(app)
    }

    pub(super) fn plains(&mut self) -> &mut Plains {
        &mut self.plains
    }

    /// What queries read of plain records.
    pub(super) fn plain(&self) -> &Plain {
        self.plains.shown()
    }

    /// Builds what was touched of its plain records; `printable` gives a key's text.
    pub(super) fn build_plain(&mut self, printable: &dyn Fn(&[u8]) -> Arc<str>) -> Outcome {
        let mut plains = std::mem::take(&mut self.plains);
        let taken = |relative: &[u8]| {
            // The zone's own name has records of both.
            let statics = Some(relative).filter(|name| !name.is_empty());
            let statics = statics.and_then(|name| self.statics.place(name));
            let statics = statics.map(|place| format!("{place} has static records on its name"));
            let below =
                || Some(format!("its name belongs to the zone {}", self.zone_below(relative)?));
            statics.or_else(below)
        };
        let outcome = plains.build(self.shape(), &self.statics, printable, &taken);
        self.plains = plains;
        self.digest = self.digest.wrapping_add(outcome.digest);
        outcome
    }

    /// What all records of the zone have in common.
    pub(super) fn shape(&self) -> Shape<'_> {
        Shape {
            zone: self.settings.name.wire(),
            ttl_secs: self.settings.ttl_secs,
            srv_weight_scale: self.settings.srv_weight_scale,
            tags_have_srv: self.settings.names.tags_have_srv(),
        }
    }

    /// Puts an app's block in the place of what the zone answers for it, or takes that away; gives what it
    /// answers from now on.
    pub(super) fn put(
        &mut self,
        app: &[u8],
        old: Option<Answers>,
        block: Option<Block>,
    ) -> Option<Answers> {
        match (&old, &block) {
            (None, None) => return None,
            // The same answers: no new serial, and readers keep the block that is in their caches.
            (Some(shown), Some(new)) if shown.block == *new => return old,
            _ => {}
        }
        let new = block.map(Answers::new);
        let digest = |answers: Option<&Answers>| answers.map_or(0, |answers| answers.digest);
        self.digest =
            self.digest.wrapping_sub(digest(old.as_ref())).wrapping_add(digest(new.as_ref()));
        let mut node = self.apps.node(app);
        node.block = new.as_ref().map(|new| new.block.clone());
        self.apps.put(app, node);
        if old.is_some() != new.is_some() {
            self.count(app, new.is_some());
        }
        new
    }

    /// Takes an app's coming or going into the names above it.
    fn count(&mut self, app: &[u8], came: bool) {
        let labels = wire::label_count(app);
        if self.by_labels.len() <= labels {
            self.by_labels.resize(labels + 1, 0);
        }
        step(&mut self.by_labels[labels], came);
        while self.by_labels.last() == Some(&0) {
            self.by_labels.pop();
        }
        for name in wire::above(app) {
            let mut node = self.apps.node(name);
            step(&mut node.below, came);
            self.apps.put(name, node);
        }
    }

    pub(super) fn is_reverse(&self) -> bool {
        self.pointers.is_some()
    }

    /// Whether it is the reverse zone of a network around that address.
    pub(super) fn has_address(&self, address: IpAddr) -> bool {
        self.pointers.as_ref().is_some_and(|pointers| pointers.network().contains(address))
    }

    /// Whether the name of such an address is this zone's to say of that namespace: no zone below has it.
    pub(super) fn points(&self, namespace: &Namespace, address: IpAddr) -> bool {
        let shows = |reverse: &Reverse| {
            reverse.shows(namespace)
                && (self.below.is_empty()
                    || self.zone_below(&reverse.network.relative(address)).is_none())
        };
        self.settings.reverse.as_ref().is_some_and(shows)
    }

    /// Changes what an address points to, and gives the octets that its records take by now.
    pub(super) fn point<'t>(
        &mut self,
        address: IpAddr,
        gone: impl Iterator<Item = &'t Arc<[u8]>>,
        came: impl Iterator<Item = &'t Arc<[u8]>>,
    ) -> usize {
        let Some(pointers) = &mut self.pointers else { return 0 };
        let (digest, octets) = pointers.change(address, self.settings.ttl_secs, gone, came);
        self.digest = self.digest.wrapping_add(digest);
        octets
    }

    /// Gives the zone a new serial if its records are others than those that the serial stands for.
    pub(super) fn settle_serial(&mut self, ready: bool, revision: Revision) {
        if self.is_ready(ready) && self.settled.digest != Some(self.digest) {
            self.settled.serial = serial::next(self.settled.serial, revision);
            self.settled.digest = Some(self.digest);
        }
    }

    pub(super) fn saved(&self) -> SavedSerial {
        self.settled.clone()
    }

    pub(super) fn view(&self, ready: bool) -> Zone {
        Zone {
            name: self.settings.name.clone(),
            statics: self.statics.clone(),
            apps: self.apps.clone(),
            pointers: self.pointers.clone(),
            plain: Some(self.plain().clone()).filter(|plain| !plain.is_empty()),
            names: self.settings.names.clone(),
            only_apps: self.has_only_apps(),
            app_count: self.by_labels.iter().sum::<u32>() as usize,
            app_labels: self.app_labels(),
            serial: self.settled.serial,
            ttl_secs: self.settings.ttl_secs,
            ready: self.is_ready(ready),
            has_namespace: self.settings.shows_registered(),
        }
    }

    fn has_only_apps(&self) -> bool {
        let ours = self.settings.names == Names::Rollcall;
        ours && self.pointers.is_none() && self.plain().is_empty()
    }

    /// A bit for each number of labels that an app has: 60 at most, since its name has 120 octets at most.
    fn app_labels(&self) -> u64 {
        let bits = self.by_labels.iter().enumerate().filter(|(_, apps)| **apps > 0);
        bits.fold(0, |all, (labels, _)| all | 1_u64.checked_shl(labels as u32).unwrap_or_default())
    }

    /// A zone that shows nothing registered has nothing to wait for.
    fn is_ready(&self, ready: bool) -> bool {
        ready || !self.settings.shows_registered()
    }
}

fn step(count: &mut u32, up: bool) {
    *count = if up { *count + 1 } else { count.saturating_sub(1) };
}
