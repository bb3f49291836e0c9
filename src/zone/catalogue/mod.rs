//! The catalogue: what is registered, as the registry's view has it, and what must be built anew.
//!
//! ```text
//! Delta of a layout --apply--> apps (registrations, marks) + events
//!                                | touched apps
//!                             compile --merge, claims, block--> zones --> Snapshot
//! ```
//!
//! Synchronous: [`Catalogue::apply`] takes a step of the mirror and says what happened,
//! [`Catalogue::compile`] builds the blocks of the apps that were touched and gives a snapshot that shares
//! all others with the one before. Compiling step by step and compiling from scratch give the same
//! answers (a property test says so), SOA serials apart.
//!
//! Knows nothing of tasks, sockets and registries; the clock is handed in.

mod app;
mod compile;
mod events;
mod keys;
mod merge;
mod plain;
mod pointers;
mod replace;
mod shown;
#[cfg(test)]
mod tests;
mod zone;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use foldhash::fast::RandomState;
use sha2::{Digest, Sha256};

use self::app::App;
use self::zone::ZoneState;
use super::directory::{Directory, cut};
use super::event::Event;
use super::serial::SavedSerial;
use super::settings::{Pin, ZoneName, ZoneSettings};
use super::snapshot::Snapshot;
use crate::layout::Parsed;
use crate::model::{AppName, Namespace};
use crate::registry::mirror::{Delta, Kept, News};
use crate::registry::{Origin, Revision};

/// Most characters of a key that are listed: etcd's own have up to 1.5 MB.
const KEY_CHARS_MAX: usize = 300;
/// Characters of the hash of a key that is listed in part: 80 bits, so that they stay apart.
const KEY_HASH_CHARS: usize = 16;

/// An app in its namespace.
type AppKey = (Namespace, AppName);

/// What is registered, and the zones that are built from it.
#[derive(Debug)]
pub struct Catalogue {
    apps: HashMap<AppKey, App, RandomState>,
    /// How many apps exist one label below an app that may or may not exist; none has 0.
    parents: HashMap<AppKey, u32, RandomState>,
    pins: BTreeMap<AppKey, Vec<Pin>>,
    zones: Vec<ZoneState>,
    /// The first zone of each namespace, as configured.
    first_zones: BTreeMap<Namespace, ZoneName>,
    directory: Directory,
    /// When plain records are built.
    plain: plain::Turn,
    /// Apps to be built anew.
    touched: BTreeMap<AppKey, Touched>,
    /// The revision of our own layout that everything but the touched apps shows.
    applied: Revision,
    /// Our own layout's.
    epoch: u64,
    /// The layouts that are read, our own first.
    layouts: Vec<Read>,
}

/// What is known of a layout.
#[derive(Debug)]
struct Read {
    /// The one namespace that it tells of; none: it may tell of all.
    namespace: Option<Namespace>,
    /// It was read whole once.
    whole: bool,
}

/// Why an app waits to be built.
#[derive(Debug, Clone, Copy)]
struct Touched {
    /// The first revision of our own layout that it does not show yet.
    revision: Revision,
    /// Not before this, on the caller's clock.
    due: Duration,
}

/// What [`Catalogue::compile`] made.
#[derive(Debug)]
pub struct Compiled {
    /// The answers.
    pub snapshot: Arc<Snapshot>,
    /// For each app that was built, the first revision that answers did not show of it until now.
    pub built: Vec<Revision>,
    /// When the apps that were put off are due, on the caller's clock.
    pub due: Option<Duration>,
    /// Sets that were built and do not fit even a TCP message.
    pub oversized: Vec<Oversized>,
}

/// A set that does not fit even a TCP message: each client gets a steady sample of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oversized {
    /// The zone.
    pub zone: ZoneName,
    /// The app, or the name of plain records.
    pub app: AppName,
    /// Octets that the whole set would take.
    pub octets: usize,
}

impl Catalogue {
    /// An empty catalogue of these zones. `saved` are the serials that they had last.
    #[must_use]
    pub fn new(zones: &[ZoneSettings], pins: &[Pin], saved: &[SavedSerial]) -> Self {
        let mut catalogue = Self {
            apps: HashMap::default(),
            parents: HashMap::default(),
            pins: BTreeMap::new(),
            zones: zones.iter().map(|zone| ZoneState::new(zone, zones, saved)).collect(),
            first_zones: BTreeMap::new(),
            directory: Directory::default(),
            plain: plain::Turn::default(),
            touched: BTreeMap::new(),
            applied: 0,
            epoch: 0,
            layouts: vec![Read { namespace: None, whole: false }],
        };
        for zone in zones {
            if let Some(namespace) = &zone.namespace {
                let first = catalogue.first_zones.entry(namespace.clone());
                first.or_insert_with(|| zone.name.clone());
            }
        }
        // A name belongs to the zone with the most labels that it ends with.
        catalogue.zones.sort_by_key(|zone| std::cmp::Reverse(zone.name().wire().len()));
        for pin in pins {
            let key = (pin.namespace.clone(), pin.app.clone());
            catalogue.touch(key.clone(), 0);
            catalogue.apps.entry(key.clone()).or_default();
            catalogue.pins.entry(key).or_default().push(pin.clone());
        }
        let pinned: Vec<AppKey> = catalogue.pins.keys().cloned().collect();
        pinned.iter().for_each(|key| catalogue.count(key, true));
        catalogue
    }

    /// Expects layouts besides our own, each of one namespace: their numbers count on from ours. Until all have been read
    /// whole nothing is known of what is not registered there.
    #[must_use]
    pub fn with_layouts(mut self, namespaces: impl IntoIterator<Item = Namespace>) -> Self {
        let read = |namespace| Read { namespace: Some(namespace), whole: false };
        self.layouts.extend(namespaces.into_iter().map(read));
        self
    }

    /// Takes one step of a mirror's view and says what happened to instances.
    pub fn apply(&mut self, origin: Origin, delta: &Delta<Parsed>) -> Vec<Event> {
        if let Some(read) = self.layouts.get_mut(origin.index()) {
            read.whole |= delta.whole;
        }
        // The first revision that answers may lack until what is touched is built: of a view that was read
        // anew any since the last, of another epoch any at all, since its revisions don't compare.
        let first = match delta.whole {
            // Watches of one registry run apart, and what another of them tells says nothing of how far ours has come. It is
            // taken for what comes next there, so that whoever has seen less has not seen it.
            _ if origin != Origin::NATIVE => self.applied + 1,
            _ if delta.epoch != self.epoch => 1,
            true => self.applied + 1,
            false => delta.revision,
        };
        let own = origin == Origin::NATIVE;
        let mut events = events::Steps::new(if own { delta.revision } else { first });
        for news in &delta.news {
            if is_repeated(news) {
                continue;
            }
            let emptied = self.forget(news, first);
            let filled = self.learn(news, first);
            if emptied != filled {
                emptied.iter().for_each(|app| self.went(app, first));
                filled.iter().for_each(|app| self.came(app, first));
            }
            events.note(news);
        }
        if origin == Origin::NATIVE {
            if delta.epoch != self.epoch {
                self.touched.values_mut().for_each(|touched| touched.revision = first);
                self.plain.renumber(first);
            }
            self.applied = delta.revision;
            self.epoch = delta.epoch;
        }
        events.finish()
    }

    /// Builds what was touched and is due; `clock` tells the time since any fixed moment.
    pub fn compile(&mut self, clock: &dyn Fn() -> Duration) -> Compiled {
        // First, since apps come after plain records.
        let mut oversized = Vec::new();
        let plain = self.build_plain(clock, &mut oversized);
        let mut built: Vec<Revision> = plain.into_iter().collect();
        let now = clock();
        self.hold_back(now);
        let due: Vec<AppKey> = self
            .touched
            .iter()
            .filter(|(_, touched)| touched.due <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            let began = clock();
            self.build(&key, &mut oversized);
            let ended = clock();
            built.extend(self.touched.remove(&key).map(|touched| touched.revision));
            if let Some(app) = self.apps.get_mut(&key) {
                app.built(ended, ended.saturating_sub(began));
            }
        }
        let revision = self.shown_revision();
        let layouts = &self.layouts;
        for zone in &mut self.zones {
            zone.settle_serial(knows(layouts, zone), revision);
        }
        let snapshot = Arc::new(Snapshot {
            revision,
            epoch: self.epoch,
            ready: layouts.first().is_some_and(|own| own.whole),
            unread: unread(layouts).collect(),
            directory: self.directory.clone(),
            zones: self.zones.iter().map(|zone| zone.view(knows(layouts, zone))).collect(),
        });
        let plain = self.plain.waiting().map(|(_, due)| due);
        let due = self.touched.values().map(|touched| touched.due).chain(plain).min();
        Compiled { snapshot, built, due, oversized }
    }

    /// The serials that the zones have now, to be saved.
    #[must_use]
    pub fn serials(&self) -> Vec<SavedSerial> {
        self.zones.iter().map(ZoneState::saved).collect()
    }

    /// Everything up to this revision is in the answers.
    fn shown_revision(&self) -> Revision {
        let apps = self.touched.values().map(|touched| touched.revision);
        let plain = self.plain.waiting().map(|(revision, _)| revision);
        let waiting = apps.chain(plain).min().map(|first| first.saturating_sub(1));
        waiting.map_or(self.applied, |waiting| waiting.min(self.applied))
    }

    fn touch(&mut self, key: AppKey, revision: Revision) {
        let due = self.apps.get(&key).map_or(Duration::ZERO, App::due);
        let touched = self.touched.entry(key).or_insert(Touched { revision, due });
        touched.revision = touched.revision.min(revision);
    }

    /// Has an app that came or went and the one above it wait for each other: a name goes from the one to the
    /// other in one step, or SRV records of the one would point to addresses of the other for a moment.
    fn hold_back(&mut self, now: Duration) {
        // Waiting goes from label to label; a name has at most 60 of them.
        loop {
            let late: Vec<(AppKey, Duration)> = self
                .touched
                .iter()
                .filter(|(key, _)| self.came_or_went(key))
                .filter_map(|(key, touched)| {
                    let parent = (key.0.clone(), key.1.parent()?);
                    let above = self.touched.get(&parent)?;
                    match (touched.due <= now, above.due <= now) {
                        (true, false) => Some((key.clone(), above.due)),
                        (false, true) => Some((parent, touched.due)),
                        _ => None,
                    }
                })
                .collect();
            if late.is_empty() {
                return;
            }
            for (key, due) in late {
                self.touched.entry(key).and_modify(|touched| touched.due = due);
            }
        }
    }

    /// Whether answers show an app that is no longer registered, or lack one that is.
    fn came_or_went(&self, key: &AppKey) -> bool {
        let shown = self.apps.get(key).is_some_and(|app| app.shown);
        shown != self.exists(key)
    }

    /// An app has its first instance.
    fn came(&mut self, key: &AppKey, revision: Revision) {
        // One that is pinned has been there all the time.
        if !self.pins.contains_key(key) {
            self.count(key, true);
        }
        self.touch_parent(key, revision);
    }

    /// An app has lost its last instance.
    fn went(&mut self, key: &AppKey, revision: Revision) {
        if !self.pins.contains_key(key) {
            self.count(key, false);
        }
        self.touch_parent(key, revision);
    }

    /// Counts an app among those below the one above it.
    fn count(&mut self, key: &AppKey, came: bool) {
        let Some(parent) = key.1.parent() else { return };
        let parent = (key.0.clone(), parent);
        let below = self.parents.entry(parent.clone()).or_insert(0);
        *below = if came { *below + 1 } else { below.saturating_sub(1) };
        if *below == 0 {
            self.parents.remove(&parent);
        }
    }

    /// An app's appearance or end decides who has the name one label up from it.
    fn touch_parent(&mut self, key: &AppKey, revision: Revision) {
        if let Some(parent) = key.1.parent() {
            let parent = (key.0.clone(), parent);
            if self.apps.contains_key(&parent) {
                self.touch(parent, revision);
            }
        }
    }

    /// Whether an app has instances, in answers or not.
    fn exists(&self, key: &AppKey) -> bool {
        self.pins.contains_key(key)
            || self.apps.get(key).is_some_and(|app| !app.instances().is_empty())
    }

    /// The zones that serve a namespace.
    fn zone_indexes(&self, namespace: &Namespace) -> impl Iterator<Item = usize> {
        (0..self.zones.len()).filter(|at| self.zones[*at].namespace() == Some(namespace))
    }
}

/// The layouts of other systems that have not been read whole yet.
fn unread(layouts: &[Read]) -> impl Iterator<Item = (Origin, Namespace)> {
    let unread = layouts.iter().enumerate().filter(|(_, read)| !read.whole);
    unread.filter_map(|(at, read)| Some((Origin(u16::try_from(at).ok()?), read.namespace.clone()?)))
}

/// Whether a key says what it said before: clients of other systems write the same anew with each heartbeat, some under
/// another lease, which is theirs alone.
fn is_repeated(news: &News<Parsed>) -> bool {
    match (&news.was, &news.now) {
        (
            Some(Kept { parsed: Parsed::Instance(was), .. }),
            Some(Kept { parsed: Parsed::Instance(now), .. }),
        ) => now.origin != Origin::NATIVE && was == now,
        _ => false,
    }
}

/// Whether all that a zone shows has been read.
fn knows(layouts: &[Read], zone: &ZoneState) -> bool {
    let shown = |read: &Read| read.namespace.as_ref().is_none_or(|namespace| zone.shows(namespace));
    layouts.iter().all(|read| read.whole || !shown(read))
}

/// A key as text, other octets escaped, for listings. Backslashes too, so that no two keys have one text. What is very long
/// is cut, with a hash of the whole.
fn printable(key: &[u8]) -> Arc<str> {
    let text: Arc<str> = match std::str::from_utf8(key) {
        Ok(text) if !text.chars().any(|c| c.is_control() || c == '\\') => text.into(),
        _ => key.escape_ascii().to_string().into(),
    };
    match cut(&text, KEY_CHARS_MAX) {
        None => text,
        Some(begin) => {
            let hash = BASE32_NOPAD.encode(&Sha256::digest(key)).to_ascii_lowercase();
            let hash = hash.get(..KEY_HASH_CHARS).unwrap_or_default();
            format!("{begin}...{hash}").into()
        }
    }
}
