//! The memory registry with what tests need besides: counts of calls, and trouble on demand.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rollcall::registry::memory::MemoryRegistry;
use rollcall::registry::{
    Committed, Entry, Error, Granted, LeaseId, Listing, Registry, Revision, Stamp, Txn, Watch,
};
use tokio::sync::watch;

/// What goes wrong with a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is not done.
    NotDone,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// Another writer was faster.
    Refused,
    /// It never ends.
    Hangs,
    /// It has a bug.
    Panics,
}

/// A registry that is watched by the test.
pub(crate) struct Watched {
    pub(crate) inner: Arc<MemoryRegistry>,
    /// What happens to every commit, until it is taken back.
    pub(crate) trouble: Mutex<Option<Trouble>>,
    pub(crate) renewals: AtomicU32,
    pub(crate) grants: AtomicU32,
    pub(crate) commits: AtomicU32,
    /// The leases that were revoked.
    pub(crate) revoked: watch::Sender<Vec<LeaseId>>,
}

impl Watched {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(MemoryRegistry::new()),
            trouble: Mutex::new(None),
            renewals: AtomicU32::new(0),
            grants: AtomicU32::new(0),
            commits: AtomicU32::new(0),
            revoked: watch::Sender::new(Vec::new()),
        }
    }

    pub(crate) fn set_trouble(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap() = trouble;
    }
}

#[async_trait]
impl Registry for Watched {
    async fn get(&self, key: &[u8]) -> Result<(Stamp, Option<Entry>), Error> {
        self.inner.get(key).await
    }

    async fn list(
        &self,
        prefix: &[u8],
        keys_only: bool,
        at: Option<Revision>,
    ) -> Result<Listing, Error> {
        self.inner.list(prefix, keys_only, at).await
    }

    async fn watch(&self, prefix: &[u8], from: Revision) -> Result<Box<dyn Watch>, Error> {
        self.inner.watch(prefix, from).await
    }

    async fn commit(&self, txn: Txn) -> Result<Committed, Error> {
        self.commits.fetch_add(1, SeqCst);
        let trouble = *self.trouble.lock().unwrap();
        match trouble {
            None => self.inner.commit(txn).await,
            Some(Trouble::NotDone) => Err(Error::Unavailable("no quorum".to_owned())),
            Some(Trouble::AnswerLost) => {
                self.inner.commit(txn).await?;
                Err(Error::Unknown("connection reset".to_owned()))
            }
            Some(Trouble::Refused) => Ok(Committed::Refused(self.inner.get(b"").await?.0)),
            Some(Trouble::Hangs) => std::future::pending().await,
            Some(Trouble::Panics) => panic!("on purpose"),
        }
    }

    async fn grant(&self, ttl_secs: u32) -> Result<Granted, Error> {
        self.grants.fetch_add(1, SeqCst);
        self.inner.grant(ttl_secs).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<u32, Error> {
        self.renewals.fetch_add(1, SeqCst);
        self.inner.renew(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<Stamp, Error> {
        let stamp = self.inner.revoke(lease).await;
        self.revoked.send_modify(|revoked| revoked.push(lease));
        stamp
    }

    async fn time_left(&self, lease: LeaseId) -> Result<u32, Error> {
        self.inner.time_left(lease).await
    }
}
