//! Transactions: all of one or nothing.

use std::sync::Arc;

use bytes::Bytes;
use rollcall::registry::{Committed, Precondition, Registry, Txn, Write};

use super::{Fixture, put};

pub(crate) async fn a_transaction_has_one_revision(f: Fixture) {
    f.put("old", "").await;
    let write = |name: &str| Write::Put { key: f.key(name), value: "v".into(), lease: None };
    let writes =
        vec![write("b"), Write::Delete(f.key("old")), write("a"), Write::Delete(f.key("no"))];
    let revision = f.commit(Txn { preconditions: vec![], writes }).await;
    assert_eq!(f.names().await, ["a", "b"]);
    assert_eq!(f.get("a").await.unwrap().revision, revision);
    assert_eq!(f.get("b").await.unwrap().revision, revision);
    assert_eq!(f.put("c", "").await, revision + 1);
}

pub(crate) async fn a_put_of_the_same_value_is_a_change(f: Fixture) {
    let first = f.put("k", "v").await;
    let second = f.put("k", "v").await;
    assert!(second > first);
    assert_eq!(f.get("k").await.unwrap().revision, second);
}

pub(crate) async fn a_delete_removes_the_key(f: Fixture) {
    f.put("k", "v").await;
    let delete = Txn { preconditions: vec![], writes: vec![Write::Delete(f.key("k"))] };
    f.commit(delete.clone()).await;
    assert_eq!(f.get("k").await, None);
    f.commit(delete).await;
}

pub(crate) async fn absent_is_checked(f: Fixture) {
    let create = |value| Txn {
        preconditions: vec![Precondition::Absent(f.key("k"))],
        ..put(f.key("k"), value)
    };
    let first = f.commit(create("1")).await;
    let refused = f.registry().commit(create("2")).await.unwrap();
    assert!(matches!(refused, Committed::Refused(stamp) if stamp.revision == first));
    assert_eq!(f.get("k").await.unwrap().value, "1");
    f.commit(Txn { preconditions: vec![], writes: vec![Write::Delete(f.key("k"))] }).await;
    f.commit(create("3")).await;
}

pub(crate) async fn the_revision_is_checked(f: Fixture) {
    let first = f.put("k", "1").await;
    let replace = |revision, value| Txn {
        preconditions: vec![Precondition::At(f.key("k"), revision)],
        ..put(f.key("k"), value)
    };
    let second = f.commit(replace(first, "2")).await;
    for stale in [first, second + 1] {
        let refused = f.registry().commit(replace(stale, "3")).await.unwrap();
        assert!(matches!(refused, Committed::Refused(_)), "{stale}: {refused:?}");
    }
    assert_eq!(f.get("k").await.unwrap().value, "2");
    f.commit(Txn { preconditions: vec![], writes: vec![Write::Delete(f.key("k"))] }).await;
    let refused = f.registry().commit(replace(second, "4")).await.unwrap();
    assert!(matches!(refused, Committed::Refused(_)), "a key that is gone: {refused:?}");
}

pub(crate) async fn one_failed_precondition_refuses_all(f: Fixture) {
    let revision = f.put("there", "1").await;
    let preconditions = vec![
        Precondition::At(f.key("there"), revision),
        Precondition::Absent(f.key("not-there")),
        Precondition::Absent(f.key("there")),
    ];
    let writes = vec![
        Write::Delete(f.key("there")),
        Write::Put { key: f.key("other"), value: "".into(), lease: None },
    ];
    let mut txn = Txn { preconditions, writes };
    let refused = f.registry().commit(txn.clone()).await.unwrap();
    assert!(matches!(refused, Committed::Refused(stamp) if stamp.revision == revision));
    assert_eq!(f.names().await, ["there"]);
    txn.preconditions.pop();
    f.commit(txn).await;
    assert_eq!(f.names().await, ["other"]);
}

pub(crate) async fn of_racing_writers_one_wins(f: Fixture) {
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..8 {
        let registry = Arc::clone(&f.registry);
        let preconditions = vec![Precondition::Absent(f.key("k"))];
        let txn = Txn { preconditions, ..put(f.key("k"), &racer.to_string()) };
        racers.spawn(async move { (racer, registry.commit(txn).await.unwrap()) });
    }
    let ended = racers.join_all().await;
    let won: Vec<_> =
        ended.iter().filter(|(_, ended)| matches!(ended, Committed::Done(_))).collect();
    assert_eq!(won.len(), 1, "{ended:?}");
    assert_eq!(f.get("k").await.unwrap().value, won[0].0.to_string());
}

pub(crate) async fn no_increment_is_lost(f: Fixture) {
    f.put("n", "0").await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (registry, key) = (Arc::clone(&f.registry), f.key("n"));
        tasks.spawn(async move {
            for _ in 0..5 {
                increment(&*registry, &key).await;
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(f.get("n").await.unwrap().value, "40");
}

async fn increment(registry: &dyn Registry, key: &Bytes) {
    loop {
        let entry = registry.get(key).await.unwrap().1.unwrap();
        let n: u32 = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
        let txn = Txn {
            preconditions: vec![Precondition::At(key.clone(), entry.revision)],
            ..put(key.clone(), &(n + 1).to_string())
        };
        if let Committed::Done(_) = registry.commit(txn).await.unwrap() {
            return;
        }
    }
}
