//! What our own registries promise beyond the trait: they are exact about time, and refuse where etcd is
//! lenient or differs from version to version.

use std::time::Duration;

use rollcall::registry::{Committed, Error, Txn, Watched, Write};
use tokio::time::Instant;

use crate::suite::{Fixture, put_leased, within};

/// Runs every case over the registries that `$setup` makes, in paused time.
macro_rules! local_battery {
    ($setup:path) => {
        battery! { @cases paused, local_cases, crate::local, $setup;
            a_lease_lasts_exactly_its_ttl,
            leases_that_end_together_end_at_a_revision_each,
            a_lease_granted_later_may_end_earlier,
            a_transaction_without_effect_makes_no_revision,
            the_future_is_refused,
            a_key_is_written_once_in_a_transaction,
        }
    };
}

pub(crate) async fn a_lease_lasts_exactly_its_ttl(f: Fixture) {
    let start = Instant::now();
    let granted = f.registry().grant(10).await.unwrap();
    assert_eq!(granted.ttl_secs, 10);
    f.commit(put_leased(&f.key("k"), "v", granted.lease)).await;
    let mut watch = f.watch_next().await;

    tokio::time::advance(Duration::from_millis(3_500)).await;
    assert_eq!(f.registry().time_left(granted.lease).await, Ok(6));
    assert_eq!(f.registry().renew(granted.lease).await, Ok(10));
    assert_eq!(f.registry().time_left(granted.lease).await, Ok(10));

    tokio::time::timeout(Duration::from_millis(9_900), watch.next())
        .await
        .expect_err("nothing happens before the lease ends");
    assert_eq!(f.registry().time_left(granted.lease).await, Ok(0));
    within(watch.next()).await.unwrap();
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(13_500), "{took:?}");
    assert!(took < Duration::from_millis(13_600), "{took:?}");
    assert_eq!(f.registry().grant(0).await.unwrap().ttl_secs, 1, "a lease lasts at least a second");
}

pub(crate) async fn leases_that_end_together_end_at_a_revision_each(f: Fixture) {
    for key in ["a", "b", "c"] {
        let lease = f.registry().grant(10).await.unwrap().lease;
        f.commit(put_leased(&f.key(key), "v", lease)).await;
    }
    let mut watch = f.watch_next().await;
    let mut revisions = Vec::new();
    for _ in 0..3 {
        let Watched::Batch { revision, changes } = within(watch.next()).await.unwrap() else {
            panic!("no progress was asked for");
        };
        assert_eq!(changes.len(), 1);
        revisions.push(revision);
    }
    assert!(revisions.is_sorted_by(|one, other| one < other), "{revisions:?}");
}

pub(crate) async fn a_lease_granted_later_may_end_earlier(f: Fixture) {
    let long = f.registry().grant(3_000).await.unwrap().lease;
    tokio::time::advance(Duration::from_secs(1)).await;
    let short = f.registry().grant(5).await.unwrap().lease;
    f.commit(put_leased(&f.key("short"), "v", short)).await;
    let mut watch = f.watch_next().await;
    let start = Instant::now();
    within(watch.next()).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    f.registry().renew(long).await.unwrap();
}

pub(crate) async fn a_transaction_without_effect_makes_no_revision(f: Fixture) {
    let before = f.stamp().await;
    let nothing = Txn { preconditions: vec![], writes: vec![Write::Delete(f.key("k"))] };
    assert_eq!(f.registry().commit(nothing).await, Ok(Committed::Done(before)));
    assert_eq!(f.registry().commit(Txn::default()).await, Ok(Committed::Done(before)));
    f.registry().grant(10).await.unwrap();
    assert_eq!(f.stamp().await, before, "a lease alone makes none either");
}

pub(crate) async fn the_future_is_refused(f: Fixture) {
    let next = f.stamp().await.revision + 1;
    let list = f.registry().list(b"", false, Some(next)).await.unwrap_err();
    assert!(matches!(list, Error::Refused(why) if why.contains("in the future")));
    let watch = f.registry().watch(b"", next + 1).await.map(drop).unwrap_err();
    assert!(matches!(watch, Error::Refused(why) if why.contains("in the future")));
}

pub(crate) async fn a_key_is_written_once_in_a_transaction(f: Fixture) {
    let (key, before) = (f.key("k"), f.stamp().await);
    let write =
        |value: &'static str| Write::Put { key: key.clone(), value: value.into(), lease: None };
    let twice = Txn { preconditions: vec![], writes: vec![write("1"), write("2")] };
    let error = f.registry().commit(twice).await.unwrap_err();
    assert!(matches!(error, Error::Refused(why) if why.contains("written twice")));
    assert_eq!(f.stamp().await, before);
}
