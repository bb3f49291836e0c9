//! Members that are dead, hang, or lose their leader.

use std::time::Duration;

use rollcall::registry::{Error, EtcdSettings, LeaseId, Registry, Watched};
use tokio::time::Instant;

use crate::support::etcd::{DeadEnd, Etcd, settings};
use crate::support::{soon, until};
use crate::{connect, next, put, value, write};

#[tokio::test]
async fn a_dead_member_costs_no_call() {
    let etcd = Etcd::start().await;
    let dead = DeadEnd::new();
    let registry = connect(settings([dead.url(), etcd.url()])).await;
    let started = Instant::now();
    for _ in 0..50 {
        write(&registry, "k", "v").await;
        assert_eq!(value(&registry, "k").await.unwrap(), "v");
    }
    let (stamp, _) = registry.get(b"k").await.unwrap();
    let mut watch = registry.watch(b"k", stamp.revision).await.unwrap();
    assert!(matches!(next(&mut watch).await, Ok(Watched::Batch { .. })));
    // The dead one is left alone once it failed: a pause a call would take longer.
    assert!(started.elapsed() < settings([]).call_timeout, "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_etcd_that_is_not_there_fails_in_time_and_did_nothing() {
    let dead = DeadEnd::new();
    let registry = connect(settings([dead.url()])).await;
    let lease = LeaseId::new(7).unwrap();
    let started = Instant::now();
    let (get, list, watch, commit, grant, renew, revoke, left) = tokio::join!(
        registry.get(b"k"),
        registry.list(b"k", false, None),
        registry.watch(b"k", 1),
        registry.commit(put("k", "v", None)),
        registry.grant(10),
        registry.renew(lease),
        registry.revoke(lease),
        registry.time_left(lease),
    );
    assert!(started.elapsed() < settings([]).call_timeout + SLACK);
    let errors = [
        get.map(drop),
        list.map(drop),
        watch.map(drop),
        commit.map(drop),
        grant.map(drop),
        renew.map(drop),
        revoke.map(drop),
        left.map(drop),
    ];
    for error in errors {
        let Err(Error::Unavailable(why)) = error else { panic!("{error:?}") };
        assert!(why.contains("Connection refused"), "{why}");
    }
}

#[tokio::test]
async fn an_etcd_that_hangs_fails_in_time_and_may_have_written() {
    let etcd = Etcd::start().await;
    let registry = etcd.registry().await;
    let lease = registry.grant(60).await.unwrap().lease;
    let mut watch = registry.watch(b"k", 1).await.unwrap();
    etcd.pause();
    let started = Instant::now();
    let (get, commit, renew, revoke) = tokio::join!(
        registry.get(b"k"),
        registry.commit(put("k", "v", None)),
        registry.renew(lease),
        registry.revoke(lease),
    );
    assert!(started.elapsed() < settings([]).call_timeout + SLACK);
    assert!(matches!(get, Err(Error::Unavailable(_))), "{get:?}");
    assert!(matches!(renew, Err(Error::Unavailable(_))), "{renew:?}");
    assert!(matches!(commit, Err(Error::Unknown(_))), "{commit:?}");
    assert!(matches!(revoke, Err(Error::Unknown(_))), "{revoke:?}");
    let ended = next(&mut watch).await;
    assert!(matches!(ended, Err(Error::Unavailable(_))), "keep-alive pings end it: {ended:?}");
    assert_eq!(next(&mut watch).await, ended, "and it stays ended");

    etcd.resume();
    until("it answers again", async || registry.get(b"k").await.is_ok()).await;
}

#[tokio::test]
async fn a_hanging_member_does_not_hold_up_reads_from_another() {
    // Two clusters of one stand for two members; which of them answers is told by its key.
    let (hanging, healthy) = (Etcd::start().await, Etcd::start().await);
    healthy.put("k", "healthy").await;
    hanging.pause();
    let registry = connect(settings([hanging.url(), healthy.url()])).await;
    for _ in 0..5 {
        assert_eq!(value(&registry, "k").await.unwrap(), "healthy");
    }
}

#[tokio::test]
async fn a_lost_leader_is_bridged_and_a_lost_majority_is_told() {
    let mut members = Etcd::start_three().await;
    let patient = EtcdSettings {
        // An election takes a second or two.
        call_timeout: Duration::from_secs(8),
        ..settings(members.iter().map(Etcd::url))
    };
    let registry = connect(patient).await;
    write(&registry, "k", "1").await;
    let mut leader = 0;
    while !members[leader].leads().await {
        leader += 1;
    }
    members[leader].kill().await;
    // One call, no error: it was repeated until there was a new leader.
    assert_eq!(value(&registry, "k").await.unwrap(), "1");
    write(&registry, "k", "2").await;

    let last = connect(settings([members[(leader + 1) % 3].url()])).await;
    let mut watch = last.watch(b"k", 1).await.unwrap();
    assert!(matches!(next(&mut watch).await, Ok(Watched::Batch { .. })));
    members[(leader + 2) % 3].kill().await;
    // It would go stale in silence, were a leader not required.
    let ended = soon("the watch without a leader ends", async {
        loop {
            if let Err(error) = watch.next().await {
                return error;
            }
        }
    });
    assert!(matches!(ended.await, Error::Unavailable(_)));
    let error = last.get(b"k").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    let error = last.commit(put("k", "3", None)).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("no leader")), "{error:?}");
}

/// What a busy machine may add to a time-out.
const SLACK: Duration = Duration::from_secs(2);
