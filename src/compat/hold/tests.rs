//! Holding against a registry in memory, under a clock of our own.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Hold, HoldError, Loss, Lost, Over, Reason, TTL_SECS, Target};
use crate::compat::{Compat, Files, Metrics, Room};
use crate::layout::native::{Keys, instance_value};
use crate::model::{Instance, Namespace, Spec, default_id};
use crate::registry::memory::MemoryRegistry;
use crate::registry::mirror::Statuses;
use crate::registry::{Entry, LeaseId, Registry, Txn, Write};
use crate::supervise::Tasks;
use crate::zone::{Catalogue, Guard, Published, ZoneSettings};

/// Files in memory.
#[derive(Default)]
pub(super) struct Disk(Mutex<HashMap<String, Vec<u8>>>);

impl Files for Disk {
    fn load(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }

    fn save(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().insert(name.to_owned(), content.to_vec());
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new("data").join(name)
    }
}

/// A registry, and one listener that holds.
struct World {
    registry: Arc<MemoryRegistry>,
    keys: Keys,
    hold: Hold,
    lost: mpsc::Receiver<Lost>,
    tasks: Tasks,
    metrics: Metrics,
}

impl World {
    fn new() -> Self {
        Self::beside(Arc::new(MemoryRegistry::new()))
    }

    /// Another server of the same registry.
    fn beside(registry: Arc<MemoryRegistry>) -> Self {
        let zones = [ZoneSettings::default()];
        let first = Catalogue::new(&zones, &[], &[]).compile(&|| Duration::ZERO).snapshot;
        let compat = Compat {
            registry: registry.clone(),
            shared_registry: true,
            keys: Keys::new("/r/"),
            guard: Guard::new(&zones),
            published: Arc::new(Published::new(first)),
            hosts: Vec::new(),
            listening: Vec::new(),
            dns_is_open: false,
            allow_loopback: false,
            files: Arc::new(Disk::default()),
            metrics: Metrics::new(&mut prometheus_client::registry::Registry::default()),
            followed: Statuses::default(),
            wall_clock: || SystemTime::UNIX_EPOCH,
        };
        let (keys, metrics) = (compat.keys.clone(), compat.metrics.clone());
        let tasks = Tasks::new(CancellationToken::new());
        let (hold, lost) = Hold::start(&Room {
            name: "test",
            compat: Arc::new(compat),
            namespace: Namespace::default(),
            tasks: &tasks,
            stop: tasks.stop_token(),
        });
        Self { registry, keys, hold, lost, tasks, metrics }
    }

    async fn put(&self, target: Target, instance: Instance) -> Result<u64, HoldError> {
        self.hold.put(target, instance, Over::SamePlace).await
    }

    async fn entry(&self, target: &Target) -> Option<Entry> {
        let key = self.keys.instance(&target.namespace, &target.app, &target.id);
        self.registry.get(&key).await.unwrap().1
    }

    /// The lease and the revision of what is registered.
    async fn held(&self, target: &Target) -> Option<(LeaseId, u64)> {
        self.entry(target).await.map(|entry| (entry.lease.unwrap(), entry.revision))
    }

    async fn departed(&self, target: &Target) -> Option<String> {
        let key = self.keys.departed(&target.namespace, &target.app, &target.id);
        let entry = self.registry.get(&key).await.unwrap().1?;
        Some(String::from_utf8(entry.value.to_vec()).unwrap())
    }

    /// Somebody else writes that.
    async fn write(&self, write: Write) {
        let txn = Txn { preconditions: Vec::new(), writes: vec![write] };
        self.registry.commit(txn).await.unwrap();
    }

    async fn overwrite(&self, target: &Target, instance: &Instance) -> LeaseId {
        let lease = self.registry.grant(30).await.unwrap().lease;
        let key = self.keys.instance(&target.namespace, &target.app, &target.id);
        let value = instance_value(instance);
        self.write(Write::Put { key, value, lease: Some(lease) }).await;
        lease
    }
}

/// Two servers of one registry.
fn two() -> (World, World) {
    let first = World::new();
    let second = World::beside(first.registry.clone());
    (first, second)
}

fn one(address: &str, port: u16) -> (Target, Instance) {
    let text = format!(r#"{{"address":"{address}","port":{port}}}"#);
    let spec: Spec = serde_json::from_str(&text).unwrap();
    let instance = spec.resolve(None).unwrap();
    let id = default_id(address.parse().unwrap(), port);
    let target = Target { namespace: Namespace::default(), app: "pay".parse().unwrap(), id };
    (target, instance)
}

async fn pass(secs: u64) {
    sleep(Duration::from_secs(secs)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_put_stays_under_one_lease_and_is_written_once() {
    let world = World::new();
    let (target, instance) = one("10.0.0.1", 80);
    let revision = world.put(target.clone(), instance.clone()).await.unwrap();
    let held = world.held(&target).await.unwrap();
    assert_eq!(held.1, revision);
    for _ in 0..60 {
        pass(10).await;
        assert_eq!(world.held(&target).await, Some(held));
    }
    // The same again is nothing new.
    assert_eq!(world.put(target.clone(), instance).await, Ok(revision));
    assert_eq!(world.held(&target).await, Some(held));
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_is_written_again() {
    let world = World::new();
    let (target, instance) = one("10.0.0.1", 80);
    world.put(target.clone(), instance).await.unwrap();
    let (lease, _) = world.held(&target).await.unwrap();
    // An operator revokes the lease, or deletes the key.
    world.registry.revoke(lease).await.unwrap();
    assert_eq!(world.held(&target).await, None);
    pass(u64::from(TTL_SECS) / 3 + 1).await;
    let (second, _) = world.held(&target).await.expect("written again");
    assert_ne!(second, lease);
    let key = world.keys.instance(&target.namespace, &target.app, &target.id);
    world.write(Write::Delete(key)).await;
    pass(u64::from(TTL_SECS) / 3 + 1).await;
    assert_eq!(world.held(&target).await.map(|(lease, _)| lease), Some(second));
    // The registry is away for longer than the lease.
    world.registry.set_available(false);
    pass(300).await;
    world.registry.set_available(true);
    assert_eq!(world.held(&target).await, None);
    pass(11).await;
    assert!(world.held(&target).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_the_registry_does_not_take_is_said_and_tried_on() {
    let world = World::new();
    let (target, instance) = one("10.0.0.1", 80);
    world.registry.set_available(false);
    let began = Instant::now();
    let refused = world.put(target.clone(), instance.clone()).await.unwrap_err();
    assert!(matches!(refused, HoldError::Pending(_)), "{refused:?}");
    assert!(began.elapsed() < super::WAIT);
    pass(60).await;
    let counted = || (world.metrics.held("test").get(), world.metrics.unwritten("test").get());
    assert_eq!(counted(), (1, 1));
    world.registry.set_available(true);
    pass(11).await;
    assert!(world.held(&target).await.is_some());
    assert_eq!(counted(), (1, 0));
    // The same of what is to go: nobody comes back.
    world.registry.set_available(false);
    world.hold.remove(target.clone(), instance, Reason::Unregistered).await.unwrap_err();
    pass(5).await;
    world.registry.set_available(true);
    pass(11).await;
    assert_eq!(world.held(&target).await, None);
    assert_eq!(counted(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_is_gone_at_once_with_a_note() {
    let world = World::new();
    let (target, instance) = one("10.0.0.1", 80);
    world.put(target.clone(), instance.clone()).await.unwrap();
    world.hold.remove(target.clone(), instance.clone(), Reason::Unregistered).await.unwrap();
    assert_eq!(world.held(&target).await, None);
    let note = world.departed(&target).await.unwrap();
    assert_eq!(note, r#"{"v":1,"by":"test","at":"1970-01-01T00:00:00Z","reason":"unregistered"}"#);
    pass(100).await;
    assert_eq!(world.held(&target).await, None);
    // Nobody held that, and another server wrote it: gone if it is just that, left alone else.
    let (other, content) = one("10.0.0.2", 80);
    world.overwrite(&other, &content).await;
    world.hold.remove(other.clone(), instance, Reason::Unregistered).await.unwrap();
    assert!(world.held(&other).await.is_some());
    let ours = Instance { ttl: Some(TTL_SECS), ..content.clone() };
    world.overwrite(&other, &ours).await;
    world.hold.remove(other.clone(), content, Reason::Unregistered).await.unwrap();
    assert_eq!(world.held(&other).await, None);
}

#[tokio::test(start_paused = true)]
async fn who_speaks_last_has_the_id_and_renewals_overwrite_nobody() {
    let world = World::new();
    let (target, instance) = one("10.0.0.1", 80);
    let foreign = Instance { weight: 7, ..instance.clone() };
    world.overwrite(&target, &foreign).await;
    world.put(target.clone(), instance.clone()).await.unwrap();
    let weight = async || {
        let entry = world.entry(&target).await.unwrap();
        String::from_utf8(entry.value.to_vec()).unwrap().contains("\"weight\":7")
    };
    assert!(!weight().await);
    let lease = world.overwrite(&target, &foreign).await;
    for _ in 0..10 {
        pass(10).await;
        world.registry.renew(lease).await.unwrap();
        assert!(weight().await);
    }
    // Its owner stops: the one that stood back is there again.
    pass(45).await;
    assert!(!weight().await);
}

#[tokio::test(start_paused = true)]
async fn two_instances_of_one_id_are_told_of_each_other() {
    for away in [false, true] {
        let (mut first, mut second) = two();
        let (target, one_place) = one("10.0.0.1", 80);
        let (_, other_place) = one("10.0.0.2", 80);
        first.registry.set_available(!away);
        let (one, other) = tokio::join!(
            first.put(target.clone(), one_place),
            second.put(target.clone(), other_place.clone())
        );
        first.registry.set_available(true);
        if !away {
            assert!(matches!((&one, &other), (Ok(_), Err(HoldError::Others))), "{one:?} {other:?}");
        }
        pass(15).await;
        // Whose it is keeps it; the other one is told, whether it waited or not.
        let held = first.held(&target).await;
        pass(300).await;
        assert_eq!(first.held(&target).await, held);
        let told = [first.lost.try_recv(), second.lost.try_recv()];
        let taken = Lost { target: target.clone(), why: Loss::Taken };
        assert_eq!(told.iter().filter(|told| **told == Ok(taken.clone())).count(), 1, "{told:?}");
        // Its own, where it was or where it is, is written over.
        let moved = Instance { weight: 9, ..other_place };
        if !away {
            first.hold.remove(target.clone(), moved.clone(), Reason::Deregistered).await.unwrap();
            assert_eq!(second.put(target.clone(), moved).await.map(|_| ()), Ok(()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_moved_to_another_server_is_not_taken_away_by_the_first() {
    let (first, second) = two();
    let (target, instance) = one("10.0.0.1", 80);
    first.put(target.clone(), instance.clone()).await.unwrap();
    let (before, _) = first.held(&target).await.unwrap();
    // It stops and is back, while its client has gone to the other one.
    let third = World::beside(first.registry.clone());
    first.tasks.stop_token().cancel();
    second.put(target.clone(), instance.clone()).await.unwrap();
    let (moved, _) = second.held(&target).await.unwrap();
    assert_ne!(moved, before, "a lease of its own");
    third.hold.resume(target.clone(), instance.clone()).await;
    pass(45).await;
    for reason in [Reason::Critical, Reason::Closed, Reason::Deregistered] {
        third.hold.remove(target.clone(), instance.clone(), reason).await.unwrap();
        assert_eq!(second.held(&target).await.map(|(lease, _)| lease), Some(moved), "{reason:?}");
        third.hold.resume(target.clone(), instance.clone()).await;
        pass(11).await;
    }
    // Nobody misses the second one, once the first holds it too.
    second.tasks.stop_token().cancel();
    drop(second.hold);
    for _ in 0..60 {
        pass(1).await;
        assert!(third.held(&target).await.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_deregistered_elsewhere_stays_away_until_it_is_put_again() {
    for at_first in [false, true] {
        let (mut first, second) = two();
        let (target, instance) = one("10.0.0.1", 80);
        first.put(target.clone(), instance.clone()).await.unwrap();
        second.put(target.clone(), instance.clone()).await.unwrap();
        pass(15).await;
        let at = if at_first { &first } else { &second };
        at.hold.remove(target.clone(), instance.clone(), Reason::Unregistered).await.unwrap();
        for _ in 0..120 {
            pass(1).await;
            assert_eq!(first.held(&target).await, None, "at the first: {at_first}");
        }
        let dismissed = Lost { target: target.clone(), why: Loss::Dismissed };
        assert_eq!(first.lost.try_recv().ok(), (!at_first).then_some(dismissed));
        assert!(!first.hold.holds(&target).await);
        // The client speaks again; a lease that is lost after that is no word of anybody's.
        first.put(target.clone(), instance.clone()).await.unwrap();
        assert_eq!(first.departed(&target).await, None);
        let (lease, _) = first.held(&target).await.unwrap();
        first.registry.revoke(lease).await.unwrap();
        pass(11).await;
        assert!(first.held(&target).await.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_server_finds_silent_the_other_may_still_hear() {
    let (first, mut second) = two();
    let (target, instance) = one("10.0.0.1", 80);
    second.put(target.clone(), instance.clone()).await.unwrap();
    first.put(target.clone(), instance.clone()).await.unwrap();
    pass(15).await;
    first.hold.remove(target.clone(), instance.clone(), Reason::Closed).await.unwrap();
    assert_eq!(first.held(&target).await, None);
    pass(11).await;
    assert!(second.held(&target).await.is_some());
    assert!(second.lost.try_recv().is_err());
    // A person's word of it is heard.
    let key = second.keys.instance(&target.namespace, &target.app, &target.id);
    let departed = second.keys.departed(&target.namespace, &target.app, &target.id);
    second.write(Write::Delete(key)).await;
    let value = r#"{"v":1,"by":"alice","at":"2026-01-01T00:00:00Z","reason":""}"#.into();
    let lease = Some(second.registry.grant(60).await.unwrap().lease);
    second.write(Write::Put { key: departed, value, lease }).await;
    pass(100).await;
    assert_eq!(second.held(&target).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_back_in_time_goes_on_without_a_write() {
    let first = World::new();
    let (target, instance) = one("10.0.0.1", 80);
    first.put(target.clone(), instance.clone()).await.unwrap();
    let held = first.held(&target).await;
    let registry = first.registry.clone();
    first.tasks.stop_token().cancel();
    drop(first.hold);
    first.tasks.join(Duration::from_secs(6)).await.unwrap();
    pass(15).await;
    // Its end took nothing away.
    let second = World::beside(registry);
    assert_eq!(second.held(&target).await, held);
    second.hold.resume(target.clone(), instance.clone()).await;
    pass(100).await;
    assert_eq!(second.held(&target).await, held);
    // Another registration came meanwhile: it is left alone.
    let (other, content) = one("10.0.0.2", 80);
    let lease = second.overwrite(&other, &Instance { weight: 7, ..content.clone() }).await;
    second.hold.resume(other.clone(), content).await;
    pass(5).await;
    assert_eq!(second.held(&other).await.map(|(lease, _)| lease), Some(lease));
}

#[tokio::test(start_paused = true)]
async fn leases_end_with_the_server() {
    let world = World::new();
    let (target, instance) = one("10.0.0.1", 80);
    world.put(target.clone(), instance).await.unwrap();
    let World { registry, keys, hold, tasks, .. } = world;
    drop((hold, tasks));
    pass(u64::from(TTL_SECS) - 1).await;
    let key = keys.instance(&target.namespace, &target.app, &target.id);
    assert!(registry.get(&key).await.unwrap().1.is_some());
    pass(3).await;
    assert_eq!(registry.get(&key).await.unwrap().1, None);
}

/// A reporter that comes every so often keeps an instance alive for good; then it stops.
async fn beats(every: u64) {
    let world = World::new();
    let (target, instance) = one("10.0.0.1", 80);
    let beat = async || {
        let until = Instant::now() + Duration::from_secs(45);
        world.hold.put_until(target.clone(), instance.clone(), 53, until).await.unwrap();
    };
    beat().await;
    let written = world.held(&target).await.unwrap();
    for _ in 0..20 {
        for _ in 0..every {
            pass(1).await;
            assert_eq!(world.held(&target).await, Some(written), "every {every} s");
        }
        beat().await;
    }
    pass(44).await;
    assert!(world.held(&target).await.is_some());
    pass(2).await;
    assert_eq!(world.held(&target).await, None);
    assert!(world.departed(&target).await.unwrap().contains("nothing was heard of it"));
    // It comes back.
    beat().await;
    assert!(world.held(&target).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_reporter_within_its_time_never_flaps_and_a_silent_one_goes() {
    for every in [1, 7, 8, 9, 10, 30, 44] {
        beats(every).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_zone_or_nobody_else_could_use_is_refused() {
    let world = World::new();
    let (target, instance) = one("127.0.0.1", 80);
    let refused = world.put(target, instance).await.unwrap_err();
    assert!(matches!(refused, HoldError::Loopback(_)), "{refused:?}");
    let (target, instance) = one("10.0.0.1", 80);
    let target = Target { namespace: "other".parse().unwrap(), ..target };
    let refused = world.put(target, instance).await.unwrap_err();
    assert!(matches!(refused, HoldError::Unserved(_)), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn as_many_are_held_as_may_be() {
    let world = World::new();
    let (target, instance) = one("10.0.0.1", 80);
    let at = |n: usize| Target { id: format!("i-{n}").parse().unwrap(), ..target.clone() };
    for n in 0..super::HELD_MAX {
        world.hold.resume(at(n), instance.clone()).await;
    }
    let refused = world.put(at(super::HELD_MAX), instance.clone()).await;
    assert_eq!(refused, Err(HoldError::Full(super::HELD_MAX)));
    world.hold.remove(at(0), instance.clone(), Reason::Unregistered).await.unwrap();
    world.put(at(super::HELD_MAX), instance).await.unwrap();
}
