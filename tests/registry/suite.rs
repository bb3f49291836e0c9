//! What every registry must do, as functions over the trait. Each gets a [`Fixture`] of its own, keeps to its
//! prefix, and asks for nothing in which etcd and our own registries may differ: how much longer a lease is
//! than asked, which revision a sign of life carries, whether a transaction without effect has a revision.

mod leases;
mod reads;
mod transactions;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rollcall::registry::{
    Change, Committed, Entry, LeaseId, Registry, Revision, Stamp, Txn, Watch, Watched, Write,
};

pub(crate) use self::leases::*;
pub(crate) use self::reads::*;
pub(crate) use self::transactions::*;
pub(crate) use self::watches::*;

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
