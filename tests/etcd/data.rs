//! Transactions, leases, pages and history, up to etcd's limits.

use bytes::Bytes;
use rollcall::registry::{
    Change, Committed, Error, EtcdSettings, Precondition, Registry, Txn, Watched, Write,
};

use crate::support::etcd::Etcd;
use crate::support::soon;
use crate::{connect, next, put, refused, value, write};

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let etcd = Etcd::start().await;
    let registry = etcd.registry().await;
    let first = write(&registry, "a", "1").await;
    let txn = Txn {
        preconditions: vec![Precondition::At("a".into(), first), Precondition::Absent("b".into())],
        writes: vec![
            Write::Put { key: "b".into(), value: "1".into(), lease: None },
            Write::Delete("a".into()),
        ],
    };
    let Committed::Done(stamp) = registry.commit(txn.clone()).await.unwrap() else {
        panic!("both held")
    };
    assert_eq!(stamp.revision, first + 1);
    assert_eq!(
        (value(&registry, "a").await, value(&registry, "b").await),
        (None, Some("1".into()))
    );
    let again = registry.commit(txn).await.unwrap();
    assert_eq!(again, Committed::Refused(stamp), "nothing written, no revision used");

    let mut watch = registry.watch(b"", stamp.revision).await.unwrap();
    let Watched::Batch { revision, changes } = next(&mut watch).await.unwrap() else {
        panic!("no progress was asked for")
    };
    assert_eq!((revision, changes.len()), (stamp.revision, 2));
    assert!(changes.contains(&Change::Delete("a".into())), "{changes:?}");
}

#[tokio::test]
async fn a_lease_that_is_gone_is_not_found() {
    let etcd = Etcd::start().await;
    let registry = etcd.registry().await;
    let granted = registry.grant(60).await.unwrap();
    assert_eq!((granted.ttl_secs, registry.renew(granted.lease).await), (60, Ok(60)));
    registry.commit(put("k", "v", Some(granted.lease))).await.unwrap();
    assert_eq!(registry.get(b"k").await.unwrap().1.unwrap().lease, Some(granted.lease));
    registry.revoke(granted.lease).await.unwrap();
    assert_eq!(value(&registry, "k").await, None);

    assert_eq!(registry.renew(granted.lease).await, Err(Error::LeaseNotFound));
    assert_eq!(registry.time_left(granted.lease).await, Err(Error::LeaseNotFound));
    assert_eq!(registry.revoke(granted.lease).await, Err(Error::LeaseNotFound));
    let put = registry.commit(put("k", "v", Some(granted.lease))).await;
    assert_eq!(put, Err(Error::LeaseNotFound));
    assert_eq!(value(&registry, "k").await, None);
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let etcd = Etcd::start().await;
    let registry = etcd.registry().await;
    // Beyond etcd's own limit of 1.5 MiB, and beyond that of its transport.
    for octets in [1_800_000, 4_000_000] {
        let why = refused(registry.commit(put("k", vec![b'x'; octets], None)).await);
        assert!(why.contains("large"), "{why}");
    }
    let writes = (0..200).map(|n| Write::Delete(n.to_string().into())).collect();
    let why = refused(registry.commit(Txn { preconditions: vec![], writes }).await);
    assert!(why.contains("too many operations"), "{why}");
    write(&registry, "k", "still usable").await;
}

#[tokio::test]
async fn a_long_listing_is_of_one_revision() {
    let etcd = Etcd::start().await;
    let paged = EtcdSettings { page_entries: 100, ..etcd.settings() };
    let registry = connect(paged).await;
    let key = |n: usize| Bytes::from(format!("/p/{n:05}"));
    let mut last = 0;
    for round in ["old", "new"] {
        for start in (0..KEYS).step_by(100) {
            let writes = (start..start + 100)
                .map(|n| Write::Put { key: key(n), value: round.into(), lease: None })
                .collect();
            let done = registry.commit(Txn { preconditions: vec![], writes }).await.unwrap();
            let Committed::Done(stamp) = done else { panic!("{done:?}") };
            if round == "old" {
                last = stamp.revision;
            }
        }
    }
    write(&registry, "/q", "beyond the prefix").await;
    let then = registry.list(b"/p/", false, Some(last)).await.unwrap();
    assert_eq!(then.stamp.revision, last);
    assert!(
        then.entries.iter().map(|entry| &entry.key).eq(&(0..KEYS).map(key).collect::<Vec<_>>())
    );
    assert!(then.entries.iter().all(|entry| entry.value == "old" && entry.revision <= last));

    // Written to all the while, it still shows one moment: first and last key are written together.
    let both = async |n: u32| {
        let value = Bytes::from(n.to_string());
        let write = |k| Write::Put { key: key(k), value: value.clone(), lease: None };
        let writes = vec![write(0), write(KEYS - 1)];
        registry.commit(Txn { preconditions: vec![], writes }).await.unwrap();
    };
    both(0).await;
    let writing = async {
        for n in 1.. {
            both(n).await;
        }
    };
    let listing = async {
        for _ in 0..20 {
            let now = registry.list(b"/p/", false, None).await.unwrap();
            assert_eq!(now.entries.len(), KEYS);
            assert_eq!(now.entries[0].revision, now.entries[KEYS - 1].revision);
            assert!(now.entries.iter().all(|entry| entry.revision <= now.stamp.revision));
        }
    };
    tokio::select! {
        () = writing => unreachable!("it writes for ever"),
        () = soon("listings", listing) => {}
    }
}

#[tokio::test]
async fn pages_too_large_for_a_message_are_cut() {
    let etcd = Etcd::start().await;
    let registry = etcd.registry().await;
    // 30 MB on what would be one page.
    let value = Bytes::from(vec![b'x'; 1_000_000]);
    for n in 0..30 {
        registry.commit(put(format!("/p/{n:02}"), value.clone(), None)).await.unwrap();
    }
    let listing = registry.list(b"/p/", false, None).await.unwrap();
    assert_eq!(listing.entries.len(), 30);
    assert!(listing.entries.iter().all(|entry| entry.value == value));
    // A watch may tell all of it in one message, far above the client's default limit.
    let first = listing.entries[0].revision;
    let mut watch = registry.watch(b"/p/", first).await.unwrap();
    for n in 0..30 {
        let Watched::Batch { revision, .. } = next(&mut watch).await.unwrap() else {
            panic!("no progress was asked for")
        };
        assert_eq!(revision, first + n);
    }
}

#[tokio::test]
async fn compacted_history_says_what_is_left() {
    let etcd = Etcd::start().await;
    let registry = etcd.registry().await;
    let first = write(&registry, "k", "1").await;
    registry
        .commit(Txn { preconditions: vec![], writes: vec![Write::Delete("k".into())] })
        .await
        .unwrap();
    let last = write(&registry, "k", "3").await;
    etcd.compact(last - 1).await;

    let oldest = Error::Compacted { oldest: last };
    assert_eq!(registry.list(b"k", false, Some(first)).await, Err(oldest.clone()));
    // From the deletion itself: etcd would skip it without a word.
    for from in [first, last - 1] {
        let mut watch = registry.watch(b"k", from).await.unwrap();
        assert_eq!(next(&mut watch).await, Err(oldest.clone()));
        assert_eq!(next(&mut watch).await, Err(oldest.clone()), "and it stays ended");
    }
    let mut watch = registry.watch(b"k", last).await.unwrap();
    let Watched::Batch { revision, changes } = next(&mut watch).await.unwrap() else {
        panic!("no progress was asked for")
    };
    assert_eq!((revision, changes.len()), (last, 1));
}

#[tokio::test]
async fn a_watch_from_the_future_is_refused_instead_of_silent() {
    let etcd = Etcd::start().await;
    let registry = etcd.registry().await;
    let now = write(&registry, "k", "1").await;
    let why = refused(registry.watch(b"k", now + 2).await.map(drop));
    assert!(why.contains(&format!("etcd is at {now}")), "{why}");
    let mut watch = registry.watch(b"k", now + 1).await.unwrap();
    watch.request_progress().await.unwrap();
    assert!(
        matches!(next(&mut watch).await, Ok(Watched::Progress(stamp)) if stamp.revision == now)
    );
}

/// More than the thousand that etcd's own tools put on a page.
const KEYS: usize = 1_500;
