//! Random histories against a stupid model, which keeps the whole map of every revision and says for each
//! operation what must be seen.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use rollcall::registry::embedded::EmbeddedRegistry;
use rollcall::registry::memory::MemoryRegistry;
use rollcall::registry::{
    Change, Committed, Entry, Error, LeaseId, Precondition, Registry, Revision, Txn, Watch,
    Watched, Write,
};
use tokio::time::Instant;

use crate::disk::Disk;
use crate::suite::within;

/// One operation; indices choose among what the model has seen so far.
#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(u8, Option<Index>, bool)>, Vec<(u8, Guess)>),
    Grant(u32),
    Renew(Index),
    Revoke(Index),
    Wait(u64),
    ListAt(Index),
    Compact,
    Reopen,
}

/// What a precondition expects of a key.
#[derive(Debug, Clone, Copy)]
enum Guess {
    Absent,
    Right,
    Stale,
}

fn step() -> impl Strategy<Value = Step> {
    let guess =
        prop_oneof![3 => Just(Guess::Right), 1 => Just(Guess::Absent), 1 => Just(Guess::Stale)];
    let write =
        (0..KEYS, proptest::option::weighted(0.6, any::<Index>()), prop::bool::weighted(0.7));
    prop_oneof![
        8 => (vec(write, 0..5), vec((0..KEYS, guess), 0..2)).prop_map(|(w, p)| Step::Commit(w, p)),
        3 => (0..20_u32).prop_map(Step::Grant),
        2 => any::<Index>().prop_map(Step::Renew),
        1 => any::<Index>().prop_map(Step::Revoke),
        2 => (0..12_u64).prop_map(Step::Wait),
        2 => any::<Index>().prop_map(Step::ListAt),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn memory_does_as_the_model(steps in vec(step(), 1..60)) {
        in_paused_time(async { run(Memory(MemoryRegistry::new()), steps).await });
    }

    #[test]
    fn embedded_does_as_the_model(steps in vec(step(), 1..60)) {
        in_paused_time(async { run(Embedded::new(), steps).await });
    }
}

fn in_paused_time(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap().block_on(test);
}

/// A registry under test.
trait Subject {
    fn registry(&self) -> &dyn Registry;
    fn compact(&self);
    /// Closes and opens it again; false where that would be another registry.
    fn reopen(&mut self) -> bool;
}

struct Memory(MemoryRegistry);

impl Subject for Memory {
    fn registry(&self) -> &dyn Registry {
        &self.0
    }

    fn compact(&self) {
        self.0.forget_history();
    }

    fn reopen(&mut self) -> bool {
        false
    }
}

/// On a disk in memory: a thousand real syncs would take minutes.
struct Embedded {
    registry: Option<EmbeddedRegistry>,
    disk: Disk,
}

impl Embedded {
    fn new() -> Self {
        let disk = Disk::default();
        Self { registry: Some(EmbeddedRegistry::open_on(disk.clone()).unwrap()), disk }
    }
}

impl Subject for Embedded {
    fn registry(&self) -> &dyn Registry {
        self.registry.as_ref().unwrap()
    }

    fn compact(&self) {
        self.registry.as_ref().unwrap().forget_history();
    }

    fn reopen(&mut self) -> bool {
        self.registry = None;
        self.registry = Some(EmbeddedRegistry::open_on(self.disk.clone()).unwrap());
        true
    }
}

type Map = BTreeMap<Bytes, Entry>;

/// All that ever was.
struct Model {
    /// The map at each revision, from the first.
    maps: Vec<Map>,
    /// The first revision that a watch may start from.
    oldest: Revision,
    /// Lease: length and end.
    leases: BTreeMap<LeaseId, (u32, Instant)>,
    /// All leases ever granted, in that order.
    granted: Vec<LeaseId>,
}

impl Model {
    fn revision(&self) -> Revision {
        self.maps.len() as Revision
    }

    fn now(&self) -> &Map {
        self.maps.last().unwrap()
    }

    fn key(key: u8) -> Bytes {
        format!("k/{key}").into()
    }

    fn lease(&self, index: Index) -> Option<LeaseId> {
        (!self.granted.is_empty()).then(|| *index.get(&self.granted))
    }

    fn is_alive(&self, lease: LeaseId) -> bool {
        self.leases.contains_key(&lease)
    }

    /// Ends a lease.
    fn end(&mut self, lease: LeaseId) {
        self.leases.remove(&lease);
        let mut map = self.now().clone();
        map.retain(|_, entry| entry.lease != Some(lease));
        self.advance(map);
    }

    /// The next revision, if there is anything new in it.
    fn advance(&mut self, map: Map) {
        if map != *self.now() {
            self.maps.push(map);
        }
    }

    /// Leases that have ended by now, those that ended first in front.
    fn expire(&mut self) {
        let now = Instant::now();
        let mut due: Vec<_> = self
            .leases
            .iter()
            .map(|(lease, (_, end))| (*end, *lease))
            .filter(|d| d.0 <= now)
            .collect();
        due.sort();
        for (_, lease) in due {
            self.end(lease);
        }
    }

    fn txn(&self, writes: &[(u8, Option<Index>, bool)], guesses: &[(u8, Guess)]) -> Txn {
        let mut by_key = BTreeMap::new();
        for (n, (key, lease, is_put)) in writes.iter().enumerate() {
            let key = Self::key(*key);
            let value = format!("{}-{n}", self.revision()).into();
            let lease = lease.and_then(|index| self.lease(index));
            let put = Write::Put { key: key.clone(), value, lease };
            by_key.insert(key.clone(), if *is_put { put } else { Write::Delete(key) });
        }
        let preconditions = guesses.iter().map(|(key, guess)| {
            let key = Self::key(*key);
            match (guess, self.now().get(&key)) {
                (Guess::Right, Some(entry)) => Precondition::At(key, entry.revision),
                (Guess::Right | Guess::Absent, _) => Precondition::Absent(key),
                (Guess::Stale, Some(entry)) => Precondition::At(key, entry.revision - 1),
                (Guess::Stale, None) => Precondition::At(key, self.revision()),
            }
        });
        Txn { preconditions: preconditions.collect(), writes: by_key.into_values().collect() }
    }

    /// What a transaction must end with, and the map that it leads to.
    fn commit(&mut self, txn: &Txn) -> Result<bool, Error> {
        let holds = |condition: &Precondition| match condition {
            Precondition::Absent(key) => !self.now().contains_key(key),
            Precondition::At(key, at) => self.now().get(key).is_some_and(|e| e.revision == *at),
        };
        if !txn.preconditions.iter().all(holds) {
            return Ok(false);
        }
        let (mut map, revision) = (self.now().clone(), self.revision() + 1);
        for write in &txn.writes {
            match write.clone() {
                Write::Put { lease: Some(lease), .. } if !self.is_alive(lease) => {
                    return Err(Error::LeaseNotFound);
                }
                Write::Put { key, value, lease } => {
                    map.insert(key.clone(), Entry { key, value, revision, lease });
                }
                Write::Delete(key) => drop(map.remove(&key)),
            }
        }
        self.advance(map);
        Ok(true)
    }

    /// What a watch tells of a revision.
    fn changes(&self, revision: Revision) -> Vec<Change> {
        let (before, after) = (self.map(revision - 1), self.map(revision));
        let puts =
            after.values().filter(|entry| entry.revision == revision).cloned().map(Change::Put);
        let deletes = before.keys().filter(|key| !after.contains_key(*key)).cloned();
        let mut changes: Vec<_> = puts.chain(deletes.map(Change::Delete)).collect();
        changes.sort_by(|one, other| one.key().cmp(other.key()));
        changes
    }

    fn map(&self, revision: Revision) -> &Map {
        &self.maps[usize::try_from(revision).unwrap() - 1]
    }
}

async fn run(mut subject: impl Subject, steps: Vec<Step>) {
    let mut model =
        Model { maps: vec![Map::new()], oldest: 1, leases: BTreeMap::new(), granted: Vec::new() };
    let mut watch = subject.registry().watch(b"k/", 2).await.unwrap();
    let mut seen = 1;
    for step in steps {
        match step {
            Step::Compact => {
                subject.compact();
                model.oldest = model.revision() + 1;
            }
            Step::Reopen => {
                if subject.reopen() {
                    // A registry that has no past yet has none to forget.
                    model.oldest = if model.revision() == 1 { 1 } else { model.revision() + 1 };
                    for (ttl_secs, end) in model.leases.values_mut() {
                        *end = Instant::now() + Duration::from_secs((*ttl_secs).into());
                    }
                    watch = subject.registry().watch(b"k/", model.revision() + 1).await.unwrap();
                }
            }
            step => apply(subject.registry(), &mut model, step).await,
        }
        follow(&model, &mut *watch, &mut seen).await;
        compare(subject.registry(), &model).await;
    }
    replay(subject.registry(), &model).await;
}

async fn apply(registry: &dyn Registry, model: &mut Model, step: Step) {
    match step {
        Step::Commit(writes, guesses) => {
            let txn = model.txn(&writes, &guesses);
            let done = registry.commit(txn.clone()).await.map(|committed| match committed {
                Committed::Done(stamp) => (true, stamp.revision),
                Committed::Refused(stamp) => (false, stamp.revision),
            });
            let expected = model.commit(&txn);
            assert_eq!(done, expected.map(|is_done| (is_done, model.revision())));
        }
        Step::Grant(ttl_secs) => {
            let granted = registry.grant(ttl_secs).await.unwrap();
            assert_eq!(granted.ttl_secs, ttl_secs.max(1));
            let end = Instant::now() + Duration::from_secs(granted.ttl_secs.into());
            model.leases.insert(granted.lease, (granted.ttl_secs, end));
            model.granted.push(granted.lease);
        }
        Step::Renew(index) => {
            let Some(lease) = model.lease(index) else { return };
            let renewed = registry.renew(lease).await;
            let Some((ttl_secs, end)) = model.leases.get_mut(&lease) else {
                return assert_eq!(renewed, Err(Error::LeaseNotFound));
            };
            *end = Instant::now() + Duration::from_secs((*ttl_secs).into());
            assert_eq!(renewed, Ok(*ttl_secs));
        }
        Step::Revoke(index) => {
            let Some(lease) = model.lease(index) else { return };
            let revoked = registry.revoke(lease).await.map(|stamp| stamp.revision);
            if model.is_alive(lease) {
                model.end(lease);
                assert_eq!(revoked, Ok(model.revision()));
            } else {
                assert_eq!(revoked, Err(Error::LeaseNotFound));
            }
        }
        Step::Wait(secs) => {
            // The odd milliseconds keep the ends of leases away from the moments that are looked at.
            tokio::time::sleep(Duration::from_millis(secs * 1_000 + 137)).await;
            model.expire();
        }
        Step::ListAt(index) => {
            let at = index.index(model.maps.len()) as Revision + 1;
            let listed = registry.list(b"k/", false, Some(at)).await;
            if at == model.revision() || at + 1 >= model.oldest {
                let listing = listed.unwrap();
                assert_eq!(listing.stamp.revision, at);
                assert!(listing.entries.iter().eq(model.map(at).values()), "{at}: {listing:?}");
            } else {
                assert_eq!(listed, Err(Error::Compacted { oldest: model.oldest }));
            }
        }
        Step::Compact | Step::Reopen => unreachable!("done by the caller"),
    }
}

/// The watch tells every revision of the model, each at once; so the registry is where the model is.
async fn follow(model: &Model, watch: &mut dyn Watch, seen: &mut Revision) {
    while *seen < model.revision() {
        *seen += 1;
        assert_eq!(next(watch).await, (*seen, model.changes(*seen)));
    }
}

async fn next(watch: &mut dyn Watch) -> (Revision, Vec<Change>) {
    let Watched::Batch { revision, mut changes } = within(watch.next()).await.unwrap() else {
        panic!("no progress was asked for");
    };
    changes.sort_by(|one, other| one.key().cmp(other.key()));
    (revision, changes)
}

async fn compare(registry: &dyn Registry, model: &Model) {
    let listing = registry.list(b"", false, None).await.unwrap();
    assert_eq!(listing.stamp.revision, model.revision());
    assert!(listing.entries.iter().eq(model.now().values()), "{listing:?} {:?}", model.now());
    for key in 0..KEYS {
        let key = Model::key(key);
        let (stamp, entry) = registry.get(&key).await.unwrap();
        assert_eq!((stamp, entry.as_ref()), (listing.stamp, model.now().get(&key)));
    }
    for lease in &model.granted {
        let expected = match model.leases.get(lease) {
            Some((_, end)) => Ok((*end - Instant::now()).as_secs() as u32),
            None => Err(Error::LeaseNotFound),
        };
        assert_eq!(registry.time_left(*lease).await, expected);
    }
}

/// A watch from the oldest revision tells all since then.
async fn replay(registry: &dyn Registry, model: &Model) {
    let mut watch = registry.watch(b"k/", model.oldest).await.unwrap();
    for revision in model.oldest.max(2)..=model.revision() {
        assert_eq!(next(&mut *watch).await, (revision, model.changes(revision)));
    }
    let before = registry.watch(b"k/", model.oldest - 1).await.map(drop);
    assert_eq!(before, Err(Error::Compacted { oldest: model.oldest }));
}

/// Few, so that they meet.
const KEYS: u8 = 5;
