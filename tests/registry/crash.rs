//! The embedded registry on a disk that loses its power: what was acknowledged is there afterwards, and what
//! was not is there whole or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use rollcall::registry::embedded::EmbeddedRegistry;
use rollcall::registry::{Committed, LeaseId, Registry, Revision, Txn, Write};

use crate::disk::Disk;

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn one_writer_finds_all_that_was_acknowledged(seed in any::<u64>()) {
        block_on(write_and_crash(seed));
    }

    #[test]
    fn many_writers_find_all_that_was_acknowledged(seed in any::<u64>()) {
        block_on(race_and_crash(seed));
    }
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
}

/// All that a registry holds: keys with revision, value and lease; leases with their lengths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Held {
    revision: Revision,
    keys: BTreeMap<Bytes, (Revision, Bytes, Option<LeaseId>)>,
    leases: BTreeMap<LeaseId, u32>,
}

impl Held {
    async fn read(registry: &dyn Registry, leases: impl Iterator<Item = LeaseId>) -> Self {
        let listing = registry.list(b"", false, None).await.unwrap();
        let mut held = Self { revision: listing.stamp.revision, ..Self::default() };
        for entry in listing.entries {
            held.keys.insert(entry.key, (entry.revision, entry.value, entry.lease));
        }
        for lease in leases {
            if let Ok(ttl_secs) = registry.renew(lease).await {
                held.leases.insert(lease, ttl_secs);
            }
        }
        held
    }

    fn commit(&mut self, txn: &Txn) {
        let (mut keys, revision) = (self.keys.clone(), self.revision + 1);
        for write in &txn.writes {
            match write.clone() {
                Write::Put { key, value, lease } => {
                    drop(keys.insert(key, (revision, value, lease)));
                }
                Write::Delete(key) => drop(keys.remove(&key)),
            }
        }
        self.replace(keys);
    }

    fn revoke(&mut self, lease: LeaseId) {
        let mut keys = self.keys.clone();
        keys.retain(|_, (_, _, of)| *of != Some(lease));
        self.leases.remove(&lease);
        self.replace(keys);
    }

    fn replace(&mut self, keys: BTreeMap<Bytes, (Revision, Bytes, Option<LeaseId>)>) {
        self.revision += u64::from(keys != self.keys);
        self.keys = keys;
    }
}

/// One writer, whose every step is known: three lives of one disk.
async fn write_and_crash(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut disk = Disk::default();
    drop(EmbeddedRegistry::open_on(disk.clone()).unwrap());
    let (mut held, mut granted) = (Held { revision: 1, ..Held::default() }, Vec::new());
    for _ in 0..3 {
        disk.fail_after(random.u32(..150));
        let mut maybe = held.clone();
        if let Ok(registry) = EmbeddedRegistry::open_on(disk.clone()) {
            maybe = write_until_failure(&registry, &mut random, &mut held, &mut granted).await;
        }
        disk = disk.after_crash(&mut random);
        let registry = EmbeddedRegistry::open_on(disk.clone()).unwrap();
        let found = Held::read(&registry, granted.iter().copied()).await;
        assert!(found == held || found == maybe, "seed {seed}: {found:?} {held:?} {maybe:?}");
        held = found;
    }
}

/// Follows in `held` what was acknowledged; gives back what it is if the step that failed was done as well.
async fn write_until_failure(
    registry: &EmbeddedRegistry,
    random: &mut fastrand::Rng,
    held: &mut Held,
    granted: &mut Vec<LeaseId>,
) -> Held {
    for n in 0..100 {
        let mut after = held.clone();
        let alive: Vec<_> = held.leases.keys().copied().collect();
        let lease = random.choice(&alive).copied();
        let done = match (random.u8(..6), lease) {
            (0, _) => {
                let done = registry.grant(1_000).await;
                if let Ok(granted_now) = &done {
                    granted.push(granted_now.lease);
                    after.leases.insert(granted_now.lease, granted_now.ttl_secs);
                }
                done.map(drop)
            }
            (1, Some(lease)) => {
                after.revoke(lease);
                registry.revoke(lease).await.map(drop)
            }
            (_, lease) => {
                let txn = transaction(random, n, lease);
                after.commit(&txn);
                registry.commit(txn).await.map(drop)
            }
        };
        if done.is_err() {
            return after;
        }
        *held = after;
    }
    held.clone()
}

fn transaction(random: &mut fastrand::Rng, n: usize, lease: Option<LeaseId>) -> Txn {
    let mut writes = BTreeMap::new();
    for _ in 0..random.usize(1..8) {
        let key = Bytes::from(format!("k/{}", random.u8(..30)));
        let value = Bytes::from(format!("{n}-").repeat(random.usize(..400)));
        let put = Write::Put { key: key.clone(), value, lease };
        writes.insert(key.clone(), if random.u8(..4) == 0 { Write::Delete(key) } else { put });
    }
    Txn { preconditions: vec![], writes: writes.into_values().collect() }
}

/// Many writers at once, whose order only the registry knows. Each writes pairs of keys that nobody else has.
async fn race_and_crash(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let disk = Disk::default();
    let registry = Arc::new(EmbeddedRegistry::open_on(disk.clone()).unwrap());
    disk.fail_after(random.u32(..200));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..16 {
        let registry = Arc::clone(&registry);
        writers.spawn(async move {
            let mut acknowledged = Vec::new();
            for n in 0..20 {
                let [a, b] = ["a", "b"].map(|half| Write::Put {
                    key: format!("{writer}-{n}/{half}").into(),
                    value: "v".repeat(n * 50).into(),
                    lease: None,
                });
                let txn = Txn { preconditions: vec![], writes: vec![a, b] };
                match registry.commit(txn).await {
                    Ok(Committed::Done(at)) => {
                        acknowledged.push((format!("{writer}-{n}"), at.revision));
                    }
                    Ok(refused) => panic!("nothing was asked: {refused:?}"),
                    Err(_) => break,
                }
            }
            acknowledged
        });
    }
    let acknowledged: BTreeMap<_, _> = writers.join_all().await.into_iter().flatten().collect();
    drop(registry);

    let registry = EmbeddedRegistry::open_on(disk.after_crash(&mut random)).unwrap();
    let listing = registry.list(b"", false, None).await.unwrap();
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for entry in &listing.entries {
        let (pair, _) = std::str::from_utf8(&entry.key).unwrap().split_once('/').unwrap();
        found.entry(pair.to_owned()).or_default().push(entry.revision);
    }
    for (pair, revisions) in &found {
        assert!(matches!(revisions[..], [a, b] if a == b), "seed {seed}: {pair} {revisions:?}");
    }
    for (pair, revision) in &acknowledged {
        let is_there = found.get(pair).is_some_and(|there| there[0] == *revision);
        assert!(is_there, "seed {seed}: {pair} at {revision} was acknowledged");
    }
    let mut revisions: Vec<_> = found.values().map(|there| there[0]).collect();
    revisions.sort();
    let whole: Vec<_> = (2..=listing.stamp.revision).collect();
    assert_eq!(revisions, whole, "seed {seed}: no revision is missing before the last");
}
