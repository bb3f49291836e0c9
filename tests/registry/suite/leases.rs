//! Leases.

use std::time::Duration;

use rollcall::registry::{Error, LeaseId, Txn, Write};

use super::{Fixture, put_leased, was_deleted};

pub(crate) async fn a_lease_is_at_least_as_long_as_asked(f: Fixture) {
    let granted = f.registry().grant(60).await.unwrap();
    assert!(granted.ttl_secs >= 60);
    let left = f.registry().time_left(granted.lease).await.unwrap();
    assert!(left <= granted.ttl_secs && left + 5 >= granted.ttl_secs, "{left} of {granted:?}");
    assert_eq!(f.registry().renew(granted.lease).await, Ok(granted.ttl_secs));
    let other = f.registry().grant(60).await.unwrap();
    assert_ne!(other.lease, granted.lease);
}

pub(crate) async fn a_lease_that_ends_deletes_its_keys_at_one_revision(f: Fixture) {
    let lease = f.registry().grant(SHORT_SECS).await.unwrap().lease;
    f.put("permanent", "v").await;
    for name in ["a", "b", "c"] {
        f.commit(put_leased(&f.key(name), "v", lease)).await;
    }
    let mut watch = f.watch_next().await;
    let (revision, changes) = f.batch(&mut *watch).await;
    assert_eq!(changes, [was_deleted("a"), was_deleted("b"), was_deleted("c")]);
    assert_eq!(f.names().await, ["permanent"]);
    assert_eq!(f.stamp().await.revision, revision);
    assert_eq!(f.registry().renew(lease).await, Err(Error::LeaseNotFound));
    assert_eq!(f.registry().time_left(lease).await, Err(Error::LeaseNotFound));
}

pub(crate) async fn a_renewed_lease_lives_on(f: Fixture) {
    let granted = f.registry().grant(SHORT_SECS).await.unwrap();
    f.commit(put_leased(&f.key("k"), "v", granted.lease)).await;
    let mut watch = f.watch_next().await;
    // Twice its length, renewed three times within each.
    for _ in 0..6 {
        let third = Duration::from_secs(granted.ttl_secs.into()) / 3;
        let ended = tokio::time::timeout(third, watch.next()).await;
        assert!(ended.is_err(), "{ended:?}");
        assert_eq!(f.registry().renew(granted.lease).await, Ok(granted.ttl_secs));
    }
    assert_eq!(f.batch(&mut *watch).await.1, [was_deleted("k")]);
}

pub(crate) async fn a_revoked_lease_deletes_its_keys_at_one_revision(f: Fixture) {
    let lease = f.registry().grant(60).await.unwrap().lease;
    let other = f.registry().grant(60).await.unwrap().lease;
    f.commit(put_leased(&f.key("a"), "v", lease)).await;
    f.commit(put_leased(&f.key("b"), "v", lease)).await;
    f.commit(put_leased(&f.key("other"), "v", other)).await;
    let mut watch = f.watch_next().await;
    let stamp = f.registry().revoke(lease).await.unwrap();
    let seen = f.batch(&mut *watch).await;
    assert_eq!(seen, (stamp.revision, vec![was_deleted("a"), was_deleted("b")]));
    assert_eq!(f.names().await, ["other"]);
}

pub(crate) async fn a_lease_that_ended_is_not_found(f: Fixture) {
    let lease = f.registry().grant(60).await.unwrap().lease;
    f.registry().revoke(lease).await.unwrap();
    let never = LeaseId::new(0x1234_5678).unwrap();
    for lease in [lease, never] {
        assert_eq!(f.registry().renew(lease).await, Err(Error::LeaseNotFound));
        assert_eq!(f.registry().time_left(lease).await, Err(Error::LeaseNotFound));
        assert_eq!(f.registry().revoke(lease).await, Err(Error::LeaseNotFound));
    }
}

pub(crate) async fn a_put_on_a_dead_lease_writes_nothing(f: Fixture) {
    let lease = f.registry().grant(60).await.unwrap().lease;
    f.registry().revoke(lease).await.unwrap();
    let revision = f.put("there", "1").await;
    let writes = vec![
        Write::Put { key: f.key("a"), value: "".into(), lease: None },
        Write::Delete(f.key("there")),
        Write::Put { key: f.key("b"), value: "".into(), lease: Some(lease) },
    ];
    let error = f.registry().commit(Txn { preconditions: vec![], writes }).await;
    assert_eq!(error, Err(Error::LeaseNotFound));
    assert_eq!(f.names().await, ["there"]);
    assert_eq!(f.stamp().await.revision, revision);
}

pub(crate) async fn a_key_belongs_to_its_last_lease(f: Fixture) {
    let first = f.registry().grant(60).await.unwrap().lease;
    let second = f.registry().grant(60).await.unwrap().lease;
    for name in ["moved", "freed", "stayed"] {
        f.commit(put_leased(&f.key(name), "v", first)).await;
    }
    f.commit(put_leased(&f.key("moved"), "v", second)).await;
    f.put("freed", "v").await;
    f.registry().revoke(first).await.unwrap();
    assert_eq!(f.names().await, ["freed", "moved"]);
    assert_eq!(f.get("freed").await.unwrap().lease, None);
    assert_eq!(f.get("moved").await.unwrap().lease, Some(second));
    f.registry().revoke(second).await.unwrap();
    assert_eq!(f.names().await, ["freed"]);
}

/// A lease to wait for in real time; etcd makes it longer if it must.
const SHORT_SECS: u32 = 2;
