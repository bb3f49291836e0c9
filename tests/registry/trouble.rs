//! The embedded registry on a disk that fails, or is slow: nothing is acknowledged or shown before its time, and
//! whoever waits hears what is the matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rollcall::registry::embedded::EmbeddedRegistry;
use rollcall::registry::{Error, Registry, Txn, Watched};
use tokio::task::JoinSet;

use crate::disk::Disk;
use crate::suite::{put, put_leased, within};

#[tokio::test]
async fn a_failed_disk_acknowledges_nothing_and_shows_nothing() {
    let disk = Disk::default();
    let registry = EmbeddedRegistry::open_on(disk.clone()).unwrap();
    let lease = registry.grant(60).await.unwrap().lease;
    registry.commit(put_leased(&"k".into(), "1", lease)).await.unwrap();
    let before = registry.list(b"", false, None).await.unwrap();
    let mut watch = registry.watch(b"", before.stamp.revision + 1).await.unwrap();

    disk.fail_after(0);
    let error = registry.commit(put("k", "2")).await.unwrap_err();
    let Error::Unknown(why) = error else { panic!("{error:?}") };
    assert!(disk.has_failed());
    assert!(why.starts_with("cannot write to disk: "), "{why}");
    assert!(why.ends_with(": free or repair it, then restart the server"), "{why}");
    let unavailable = Err(Error::Unavailable(why));
    assert_eq!(registry.commit(put("other", "3")).await.map(drop), unavailable);
    assert_eq!(registry.commit(Txn::default()).await.map(drop), unavailable);
    assert_eq!(registry.grant(60).await.map(drop), unavailable);
    assert_eq!(registry.revoke(lease).await.map(drop), unavailable);

    assert_eq!(registry.list(b"", false, None).await.unwrap(), before, "reads go on");
    assert_eq!(registry.renew(lease).await, Ok(60));
    watch.request_progress().await.unwrap();
    let progress = within(watch.next()).await.unwrap();
    assert_eq!(progress, Watched::Progress(before.stamp));
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_end_cannot_be_saved_stays() {
    let disk = Disk::default();
    let registry = EmbeddedRegistry::open_on(disk.clone()).unwrap();
    let lease = registry.grant(10).await.unwrap().lease;
    registry.commit(put_leased(&"k".into(), "1", lease)).await.unwrap();
    disk.fail_after(0);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(disk.has_failed(), "its end was tried");
    assert_eq!(registry.get(b"k").await.unwrap().1.unwrap().value, "1");
    drop(registry);

    let survived = disk.after_crash(&mut fastrand::Rng::with_seed(1));
    let registry = EmbeddedRegistry::open_on(survived).unwrap();
    assert_eq!(registry.time_left(lease).await, Ok(10));
}

#[tokio::test]
async fn nothing_is_shown_before_it_is_durable() {
    let disk = Disk::default();
    let registry = Arc::new(EmbeddedRegistry::open_on(disk.clone()).unwrap());
    let lease = registry.grant(60).await.unwrap().lease;
    let before = registry.get(b"k").await.unwrap();
    let mut watch = registry.watch(b"", before.0.revision + 1).await.unwrap();

    let held = disk.hold_syncs();
    let writer = Arc::clone(&registry);
    let mut writes = JoinSet::new();
    writes.spawn(async move { writer.commit(put("k", "v")).await });
    disk.sync_is_held().await;
    assert_eq!(registry.get(b"k").await.unwrap(), before);
    assert_eq!(registry.renew(lease).await, Ok(60), "renewals don't wait for the disk");
    watch.request_progress().await.unwrap();
    assert_eq!(watch.next().await, Ok(Watched::Progress(before.0)));
    assert!(writes.try_join_next().is_none());

    drop(held);
    within(writes.join_all()).await.pop().unwrap().unwrap();
    assert_eq!(registry.get(b"k").await.unwrap().1.unwrap().value, "v");
    within(watch.next()).await.unwrap();
}

#[tokio::test]
async fn writes_that_arrive_together_share_a_commit() {
    let disk = Disk::default();
    let registry = Arc::new(EmbeddedRegistry::open_on(disk.clone()).unwrap());
    let before = disk.syncs();
    registry.commit(put("alone", "v")).await.unwrap();
    let of_one = disk.syncs() - before;

    let held = disk.hold_syncs();
    let submitted = Arc::new(AtomicUsize::new(0));
    let mut writes = JoinSet::new();
    for n in 0..500 {
        let (registry, submitted) = (Arc::clone(&registry), Arc::clone(&submitted));
        writes.spawn(async move {
            // A write is submitted as soon as it is waited for, and no other task runs in between.
            submitted.fetch_add(1, Ordering::Relaxed);
            registry.commit(put(format!("{n}"), "v")).await.unwrap()
        });
    }
    let before = disk.syncs();
    while submitted.load(Ordering::Relaxed) < 500 {
        tokio::task::yield_now().await;
    }
    drop(held);
    within(writes.join_all()).await;
    let of_many = disk.syncs() - before;
    assert!(of_many <= 2 * of_one, "{of_one} syncs for one write, {of_many} for 500");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_takes_too_long_leaves_the_outcome_open() {
    let disk = Disk::default();
    let registry = Arc::new(EmbeddedRegistry::open_on(disk.clone()).unwrap());
    let held = disk.hold_syncs();
    let writer = Arc::clone(&registry);
    let mut writes = JoinSet::new();
    writes.spawn(async move { writer.commit(put("k", "v")).await });
    disk.sync_is_held().await;
    tokio::time::advance(Duration::from_secs(5)).await;
    let error = writes.join_all().await.pop().unwrap().unwrap_err();
    let why = "the disk took longer than 4 s: look for what else keeps it busy";
    assert_eq!(error, Error::Unknown(why.to_owned()));

    let mut watch = registry.watch(b"k", 2).await.unwrap();
    drop(held);
    within(watch.next()).await.unwrap();
    assert_eq!(registry.get(b"k").await.unwrap().1.unwrap().value, "v", "this one was done");
}

#[tokio::test(start_paused = true)]
async fn the_queue_for_the_disk_is_bounded() {
    let disk = Disk::default();
    let registry = Arc::new(EmbeddedRegistry::open_on(disk.clone()).unwrap());
    let held = disk.hold_syncs();
    let mut writes = JoinSet::new();
    let value = "v".repeat(1_000_000);
    for n in 0..100 {
        let (registry, txn) = (Arc::clone(&registry), put(format!("{n}"), &value));
        writes.spawn(async move { registry.commit(txn).await });
    }
    disk.sync_is_held().await;
    let turned_away = within(writes.join_next()).await.unwrap().unwrap().unwrap_err();
    let Error::Unavailable(why) = turned_away else { panic!("{turned_away:?}") };
    assert!(why.ends_with(" writes wait for the disk already"), "{why}");

    drop(held);
    let ended = within(writes.join_all()).await;
    let done = ended.iter().filter(|ended| ended.is_ok()).count();
    let kept = registry.list(b"", true, None).await.unwrap().entries.len();
    assert!((60..80).contains(&done), "64 MiB may wait, and a group beside: {done}");
    assert_eq!(done, kept);
}

#[tokio::test]
async fn whoever_waits_when_the_registry_is_dropped_hears_of_it() {
    let disk = Disk::default();
    let registry = EmbeddedRegistry::open_on(disk.clone()).unwrap();
    let mut watch = registry.watch(b"", 2).await.unwrap();
    registry.commit(put("k", "v")).await.unwrap();
    drop(registry);
    let error = watch.next().await.unwrap_err();
    assert_eq!(error, Error::Unavailable("it was closed".to_owned()));
    let registry = EmbeddedRegistry::open_on(disk).unwrap();
    assert_eq!(registry.get(b"k").await.unwrap().1.unwrap().value, "v");
}

#[tokio::test]
async fn a_panic_while_writing_is_told_and_stops_the_writes() {
    let disk = Disk::default();
    let registry = EmbeddedRegistry::open_on(disk.clone()).unwrap();
    registry.commit(put("k", "1")).await.unwrap();
    disk.panic_on_write();
    let why = "a write panicked: restart the server".to_owned();
    assert_eq!(registry.commit(put("k", "2")).await, Err(Error::Unknown(why.clone())));
    assert_eq!(registry.commit(put("k", "3")).await, Err(Error::Unavailable(why)));
    assert_eq!(registry.get(b"k").await.unwrap().1.unwrap().value, "1");
}
