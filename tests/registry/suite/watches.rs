//! Watches.

use std::time::Duration;

use rollcall::registry::{Change, Entry, Error, Txn, Watched, Write};

use super::{Fixture, put_leased, was_deleted, was_put, within};

pub(crate) async fn a_watch_tells_what_comes(f: Fixture) {
    f.put("before", "").await;
    let mut watch = f.watch_next().await;
    let put = f.put("k", "v").await;
    assert_eq!(f.batch(&mut *watch).await, (put, vec![was_put("k", "v")]));
    let delete = Txn { preconditions: vec![], writes: vec![Write::Delete(f.key("k"))] };
    let deleted = f.commit(delete).await;
    assert_eq!(f.batch(&mut *watch).await, (deleted, vec![was_deleted("k")]));

    let lease = f.registry().grant(60).await.unwrap().lease;
    let revision = f.commit(put_leased(&f.key("leased"), "v", lease)).await;
    let Watched::Batch { changes, .. } = within(watch.next()).await.unwrap() else {
        panic!("no progress was asked for");
    };
    let entry = Entry { key: f.key("leased"), value: "v".into(), revision, lease: Some(lease) };
    assert_eq!(changes, [Change::Put(entry)]);
}

pub(crate) async fn a_watch_tells_what_was(f: Fixture) {
    let one = f.put("k", "1").await;
    let two = f.put("k", "2").await;
    let three = f.put("other", "3").await;
    let mut watch = f.watch(two).await;
    assert_eq!(f.batch(&mut *watch).await, (two, vec![was_put("k", "2")]));
    assert_eq!(f.batch(&mut *watch).await, (three, vec![was_put("other", "3")]));
    let four = f.put("k", "4").await;
    assert_eq!(f.batch(&mut *watch).await, (four, vec![was_put("k", "4")]));
    let mut watch = f.watch(one).await;
    assert_eq!(f.batch(&mut *watch).await, (one, vec![was_put("k", "1")]));
}

pub(crate) async fn a_watch_keeps_to_its_prefix(f: Fixture) {
    let from = f.stamp().await.revision + 1;
    let mut watch = f.registry().watch(&f.key("a/"), from).await.unwrap();
    f.put("a", "").await;
    f.put("a0", "").await;
    let write = |name: &str| Write::Put { key: f.key(name), value: "v".into(), lease: None };
    let writes = vec![write("b/1"), write("a/1"), write("c/1")];
    let revision = f.commit(Txn { preconditions: vec![], writes }).await;
    assert_eq!(f.batch(&mut *watch).await, (revision, vec![was_put("a/1", "v")]));
}

pub(crate) async fn a_watch_tells_a_transaction_at_once(f: Fixture) {
    f.put("gone", "").await;
    let mut watch = f.watch_next().await;
    let mut writes: Vec<_> = (0..100)
        .map(|n| Write::Put { key: f.key(&format!("{n:02}")), value: "v".into(), lease: None })
        .collect();
    writes.push(Write::Delete(f.key("gone")));
    let revision = f.commit(Txn { preconditions: vec![], writes }).await;
    let (seen, changes) = f.batch(&mut *watch).await;
    assert_eq!((seen, changes.len()), (revision, 101));
    assert_eq!(changes[100], was_deleted("gone"));
}

pub(crate) async fn a_watch_does_not_disturb_another(f: Fixture) {
    let mut one = f.watch_next().await;
    let mut two = f.watch_next().await;
    let three = f.watch_next().await;
    let first = f.put("k", "1").await;
    assert_eq!(f.batch(&mut *one).await, (first, vec![was_put("k", "1")]));
    drop(three);
    let second = f.put("k", "2").await;
    assert_eq!(f.batch(&mut *one).await, (second, vec![was_put("k", "2")]));
    assert_eq!(f.batch(&mut *two).await, (first, vec![was_put("k", "1")]));
    drop(one);
    assert_eq!(f.batch(&mut *two).await, (second, vec![was_put("k", "2")]));
}

pub(crate) async fn a_watch_loses_nothing_when_a_wait_is_given_up(f: Fixture) {
    let mut watch = f.watch_next().await;
    for round in 0..20 {
        let value = round.to_string();
        let waited = tokio::time::timeout(Duration::from_millis(5), watch.next()).await;
        assert!(waited.is_err(), "nothing was written: {waited:?}");
        let revision = f.put("k", &value).await;
        // Given up at whatever moment the change is on its way.
        let mut seen = None;
        for _ in 0..10_000 {
            let pause = Duration::from_micros(50 * (round + 1));
            if let Ok(next) = tokio::time::timeout(pause, watch.next()).await {
                seen = Some(next.unwrap());
                break;
            }
        }
        let Some(Watched::Batch { revision: seen, changes }) = seen else {
            panic!("round {round}: {seen:?}");
        };
        assert_eq!((seen, changes.len()), (revision, 1));
    }
}

pub(crate) async fn a_watch_may_be_compacted(f: Fixture) {
    let then = f.put("k", "1").await;
    f.put("k", "2").await;
    f.put("k", "3").await;
    f.backend.compact().await;
    // Some registries know at once, some only when they are read.
    let error = match f.registry().watch(f.key("").as_ref(), then).await {
        Ok(mut watch) => within(watch.next()).await.unwrap_err(),
        Err(error) => error,
    };
    let Error::Compacted { oldest } = error else { panic!("{error:?}") };
    assert!(oldest > then, "{oldest} after {then}");
    let mut watch = f.watch_next().await;
    let next = f.put("k", "4").await;
    assert_eq!(f.batch(&mut *watch).await, (next, vec![was_put("k", "4")]));
}

pub(crate) async fn a_watch_gives_signs_of_life(f: Fixture) {
    let before = f.put("k", "1").await;
    let mut watch = f.watch_next().await;
    for _ in 0..3 {
        watch.request_progress().await.unwrap();
        let Watched::Progress(stamp) = within(watch.next()).await.unwrap() else {
            panic!("nothing was written");
        };
        assert!(stamp.revision >= before);
        assert_eq!(stamp.cluster, f.stamp().await.cluster);
    }
    let revision = f.put("k", "2").await;
    assert_eq!(f.batch(&mut *watch).await, (revision, vec![was_put("k", "2")]));
}
