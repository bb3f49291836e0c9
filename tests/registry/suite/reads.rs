//! Reading and writing single keys.

use bytes::Bytes;
use rollcall::registry::{Committed, Entry, Error, Listing, Precondition, Stamp, Txn, Write};

use super::{Fixture, put_leased};

pub(crate) async fn a_put_is_read_back(f: Fixture) {
    assert_eq!(f.get("k").await, None);
    let first = f.put("k", "1").await;
    let mut expected = Entry { key: f.key("k"), value: "1".into(), revision: first, lease: None };
    assert_eq!(f.get("k").await, Some(expected.clone()));
    expected.revision = f.put("k", "2").await;
    expected.value = "2".into();
    assert!(expected.revision > first);
    assert_eq!(f.get("k").await, Some(expected));
}

pub(crate) async fn keys_and_values_are_octets(f: Fixture) {
    let mut key = f.key("").to_vec();
    key.extend([0, 0xff, b'/', 0x80]);
    let key = Bytes::from(key);
    for value in [Bytes::from_static(&[0, 0xff, 0xfe]), Bytes::new()] {
        let write = Write::Put { key: key.clone(), value: value.clone(), lease: None };
        f.commit(Txn { preconditions: vec![], writes: vec![write] }).await;
        let listing = f.registry().list(&key, false, None).await.unwrap();
        assert_eq!((&listing.entries[0].key, &listing.entries[0].value), (&key, &value));
    }
}

pub(crate) async fn every_answer_carries_cluster_and_revision(f: Fixture) {
    let at_first = f.stamp().await;
    assert!(at_first.revision > 0);
    let revision = f.put("k", "1").await;
    assert!(revision > at_first.revision);
    let here = Stamp { cluster: at_first.cluster, revision };
    assert_eq!(f.stamp().await, here);
    assert_eq!(f.registry().list(f.key("").as_ref(), false, None).await.unwrap().stamp, here);
    let granted = f.registry().grant(60).await.unwrap();
    assert_eq!(granted.stamp, here);
    assert_eq!(f.registry().revoke(granted.lease).await.unwrap().cluster, here.cluster);
    let refused = Txn { preconditions: vec![Precondition::Absent(f.key("k"))], writes: vec![] };
    assert_eq!(f.registry().commit(refused).await, Ok(Committed::Refused(here)));
}

pub(crate) async fn a_listing_is_in_key_order_and_complete(f: Fixture) {
    // More than a page of any registry that reads in pages.
    let names: Vec<_> = (0..2_100).map(|n| format!("{n:04}")).collect();
    let mut last = 0;
    for hundred in names.rchunks(100) {
        let writes = hundred.iter().rev().map(|name| Write::Put {
            key: f.key(name),
            value: name.clone().into(),
            lease: None,
        });
        last = f.commit(Txn { preconditions: vec![], writes: writes.collect() }).await;
    }
    let listing = f.registry().list(f.key("").as_ref(), false, None).await.unwrap();
    assert_eq!(listing.stamp.revision, last);
    let listed: Vec<_> = listing.entries.iter().map(|entry| f.name(&entry.key)).collect();
    assert_eq!(listed, names);
    assert!(listing.entries.iter().zip(&names).all(|(entry, name)| entry.value == *name));
}

pub(crate) async fn a_listing_ends_where_its_prefix_ends(f: Fixture) {
    for name in ["a", "a/", "a/1", "a/2", "a0", "b"] {
        f.put(name, "").await;
    }
    let under = |listing: Listing| -> Vec<_> {
        listing.entries.iter().map(|entry| f.name(&entry.key)).collect()
    };
    let listing = f.registry().list(&f.key("a/"), false, None).await.unwrap();
    assert_eq!(under(listing), ["a/", "a/1", "a/2"]);
    let listing = f.registry().list(&f.key("c"), false, None).await.unwrap();
    assert!(listing.entries.is_empty());
}

pub(crate) async fn a_listing_of_keys_only_has_no_values(f: Fixture) {
    let lease = f.registry().grant(60).await.unwrap().lease;
    let one = f.put("1", "one").await;
    let two = f.commit(put_leased(&f.key("2"), "two", lease)).await;
    let listing = f.registry().list(f.key("").as_ref(), true, None).await.unwrap();
    let entry =
        |name, revision, lease| Entry { key: f.key(name), value: Bytes::new(), revision, lease };
    assert_eq!(listing.entries, [entry("1", one, None), entry("2", two, Some(lease))]);
}

pub(crate) async fn a_listing_can_be_of_an_older_revision(f: Fixture) {
    f.put("changed", "1").await;
    let then = f.put("deleted", "1").await;
    f.put("changed", "2").await;
    f.put("changed", "3").await;
    f.commit(Txn { preconditions: vec![], writes: vec![Write::Delete(f.key("deleted"))] }).await;
    f.put("new", "1").await;

    let listing = f.registry().list(f.key("").as_ref(), false, Some(then)).await.unwrap();
    assert_eq!(listing.stamp.revision, then);
    let entry =
        |name, revision| Entry { key: f.key(name), value: "1".into(), revision, lease: None };
    assert_eq!(listing.entries, [entry("changed", then - 1), entry("deleted", then)]);
    assert_eq!(f.names().await, ["changed", "new"]);
}

pub(crate) async fn an_older_revision_may_be_compacted(f: Fixture) {
    let then = f.put("k", "1").await;
    f.put("k", "2").await;
    let now = f.put("k", "3").await;
    f.backend.compact().await;
    let error = f.registry().list(f.key("").as_ref(), false, Some(then)).await.unwrap_err();
    assert!(matches!(error, Error::Compacted { .. }), "{error:?}");
    let listing = f.registry().list(f.key("").as_ref(), false, Some(now)).await.unwrap();
    assert_eq!(listing.entries[0].value, "3", "the current revision is never compacted");
}
