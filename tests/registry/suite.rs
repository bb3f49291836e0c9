//! What every registry must do, as functions over the trait. Each gets a [`Fixture`] of its own, keeps to its
//! prefix, and asks for nothing in which etcd and our own registries may differ: how much longer a lease is
//! than asked, which revision a sign of life carries, whether a transaction without effect has a revision.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rollcall::registry::{
    Change, Committed, Entry, Error, LeaseId, Precondition, Registry, Revision, Stamp, Txn, Watch,
    Watched, Write,
};

/// A registry under test, with what the trait does not offer.
#[async_trait]
pub(crate) trait Backend: Send + Sync + 'static {
    /// The registry.
    fn registry(&self) -> Arc<dyn Registry>;

    /// Makes it forget its history up to now.
    async fn compact(&self);
}

/// What a case works with.
pub(crate) struct Fixture {
    backend: Box<dyn Backend>,
    registry: Arc<dyn Registry>,
    prefix: String,
}

/// Runs every case over the registries that `$setup` (an async function) makes; `paused` where the registry
/// lives by tokio's clock, `real` where it has a clock of its own.
macro_rules! battery {
    ($time:ident, $setup:path) => {
        battery! { @cases $time, cases, crate::suite, $setup;
            a_put_is_read_back,
            keys_and_values_are_octets,
            every_answer_carries_cluster_and_revision,
            a_listing_is_in_key_order_and_complete,
            a_listing_ends_where_its_prefix_ends,
            a_listing_of_keys_only_has_no_values,
            a_listing_can_be_of_an_older_revision,
            an_older_revision_may_be_compacted,
            a_transaction_has_one_revision,
            a_put_of_the_same_value_is_a_change,
            a_delete_removes_the_key,
            absent_is_checked,
            the_revision_is_checked,
            one_failed_precondition_refuses_all,
            of_racing_writers_one_wins,
            no_increment_is_lost,
            a_watch_tells_what_comes,
            a_watch_tells_what_was,
            a_watch_keeps_to_its_prefix,
            a_watch_tells_a_transaction_at_once,
            a_watch_does_not_disturb_another,
            a_watch_loses_nothing_when_a_wait_is_given_up,
            a_watch_may_be_compacted,
            a_watch_gives_signs_of_life,
            a_lease_is_at_least_as_long_as_asked,
            a_lease_that_ends_deletes_its_keys_at_one_revision,
            a_renewed_lease_lives_on,
            a_revoked_lease_deletes_its_keys_at_one_revision,
            a_lease_that_ended_is_not_found,
            a_put_on_a_dead_lease_writes_nothing,
            a_key_belongs_to_its_last_lease,
        }
    };
    (@cases $time:ident, $module:ident, $suite:path, $setup:path; $($case:ident,)*) => {
        mod $module {
            use $suite as suite;
            $(battery! { @case $time, $case, $setup })*
        }
    };
    (@case paused, $case:ident, $setup:path) => {
        #[tokio::test(start_paused = true)]
        async fn $case() {
            suite::$case($setup().await).await;
        }
    };
    (@case real, $case:ident, $setup:path) => {
        #[tokio::test]
        async fn $case() {
            suite::$case($setup().await).await;
        }
    };
}

impl Fixture {
    /// Cases over one shared registry don't meet: each has a prefix of its own.
    pub(crate) fn new(backend: impl Backend) -> Self {
        let registry = backend.registry();
        let prefix = format!("/suite/{:016x}/", fastrand::u64(..));
        Self { backend: Box::new(backend), registry, prefix }
    }

    pub(crate) fn registry(&self) -> &dyn Registry {
        &*self.registry
    }

    /// A key under the fixture's prefix.
    pub(crate) fn key(&self, name: &str) -> Bytes {
        format!("{}{name}", self.prefix).into()
    }

    pub(crate) async fn stamp(&self) -> Stamp {
        self.registry.get(&self.key("none")).await.unwrap().0
    }

    /// A transaction that must succeed.
    pub(crate) async fn commit(&self, txn: Txn) -> Revision {
        match self.registry.commit(txn).await.unwrap() {
            Committed::Done(stamp) => stamp.revision,
            Committed::Refused(stamp) => panic!("refused at {stamp:?}"),
        }
    }

    async fn put(&self, name: &str, value: &str) -> Revision {
        self.commit(put(self.key(name), value)).await
    }

    async fn get(&self, name: &str) -> Option<Entry> {
        self.registry.get(&self.key(name)).await.unwrap().1
    }

    async fn names(&self) -> Vec<String> {
        let listing = self.registry.list(self.prefix.as_bytes(), true, None).await.unwrap();
        listing.entries.iter().map(|entry| self.name(&entry.key)).collect()
    }

    fn name(&self, key: &[u8]) -> String {
        let name = key.strip_prefix(self.prefix.as_bytes()).expect("every key is under the prefix");
        String::from_utf8(name.to_vec()).unwrap()
    }

    async fn watch(&self, from: Revision) -> Box<dyn Watch> {
        self.registry.watch(self.prefix.as_bytes(), from).await.unwrap()
    }

    /// A watch on all that comes.
    pub(crate) async fn watch_next(&self) -> Box<dyn Watch> {
        self.watch(self.stamp().await.revision + 1).await
    }

    /// The next batch: its revision, and by name in order what was put (`Some`) or deleted.
    async fn batch(&self, watch: &mut dyn Watch) -> (Revision, Vec<(String, Option<String>)>) {
        match within(watch.next()).await.unwrap() {
            Watched::Batch { revision, changes } => {
                let mut seen: Vec<_> = changes
                    .iter()
                    .map(|change| match change {
                        Change::Put(entry) => {
                            assert_eq!(entry.revision, revision);
                            let value = String::from_utf8(entry.value.to_vec()).unwrap();
                            (self.name(&entry.key), Some(value))
                        }
                        Change::Delete(key) => (self.name(key), None),
                    })
                    .collect();
                seen.sort();
                (revision, seen)
            }
            Watched::Progress(stamp) => panic!("progress nobody asked for: {stamp:?}"),
        }
    }
}

pub(crate) fn put(key: impl Into<Bytes>, value: &str) -> Txn {
    let value = Bytes::copy_from_slice(value.as_bytes());
    Txn { preconditions: vec![], writes: vec![Write::Put { key: key.into(), value, lease: None }] }
}

pub(crate) fn put_leased(key: &Bytes, value: &str, lease: LeaseId) -> Txn {
    let value = Bytes::copy_from_slice(value.as_bytes());
    let writes = vec![Write::Put { key: key.clone(), value, lease: Some(lease) }];
    Txn { preconditions: vec![], writes }
}

/// Waits for what must come; in real time that is soon, and in paused time it is not waited for at all.
pub(crate) async fn within<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), event).await.expect("it comes within 30 s")
}

fn was_put(name: &str, value: &str) -> (String, Option<String>) {
    (name.to_owned(), Some(value.to_owned()))
}

fn was_deleted(name: &str) -> (String, Option<String>) {
    (name.to_owned(), None)
}

// Reading and writing.

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
    let under = |listing: rollcall::registry::Listing| -> Vec<_> {
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

// Transactions.

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

// Watches.

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

// Leases.

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
