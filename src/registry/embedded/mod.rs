//! The registry on local disk, for one machine: the memory registry's core behind a crash-safe store.
//!
//! ```text
//!     commit, grant, revoke, expiry --> queue --> State ahead --> Store (one durable commit) --> Core
//!     get, list, watch, renew, time_left <-------------------------------------------------------'
//! ```
//!
//! A write is acknowledged, and seen by readers and watches, once it is durable, never before; writes that
//! arrive together share one commit. Renewals are in memory only, so after a restart every lease gets its
//! full length again, as in etcd. History is in memory only as well: a watch from before a restart hears
//! [`Error::Compacted`].
//!
//! When the disk fails, nothing is acknowledged any more until a restart: what a failed commit left on disk
//! can't be known, not even by reading it back (the kernel may show what never got there). Reads go on.
//!
//! Knows nothing of DNS and HTTP, nor of what keys and values mean.

mod open;
mod store;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::open::OpenError;

use self::store::Store;
use self::writer::Writer;
use super::memory::core::Core;
use super::memory::expiry;
use super::memory::state::{self, Answer, Op, State};
use super::{
    Committed, Entry, Error, Granted, LeaseId, Listing, Registry, Revision, Stamp, Txn, Watch,
};

/// A registry in a data directory that it has for itself. Dropping it waits for the write under way and frees
/// the directory.
#[derive(Debug)]
pub struct EmbeddedRegistry {
    core: Arc<Core>,
    writer: Arc<Writer>,
    /// Ends the expiry task when the registry is dropped.
    _expiry: JoinSet<()>,
}

impl EmbeddedRegistry {
    /// Opens the registry in a data directory; makes both where there are none. Reads all of it, so it is slow
    /// where there is much. Leases end by a task of the current tokio runtime.
    ///
    /// # Errors
    /// Where another process holds the directory, or it can't be read and written, or holds what is no
    /// registry of ours.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        open::in_dir(dir).map(Self::start)
    }

    /// Whether there is a registry in a directory. Opening makes one where there is none.
    #[must_use]
    pub fn is_in(dir: &Path) -> bool {
        open::is_in(dir)
    }

    /// For tests of crashes: opens the registry on storage that is no file.
    ///
    /// # Errors
    /// As [`EmbeddedRegistry::open`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[doc(hidden)]
    pub fn open_on(storage: impl redb::StorageBackend) -> Result<Self, OpenError> {
        open::on(storage).map(Self::start)
    }

    /// For tests of failure behaviour: forgets all history, as a compaction at the current revision does.
    #[doc(hidden)]
    pub fn forget_history(&self) {
        self.core.forget_history();
    }

    fn start((store, state): (Store, State)) -> Self {
        let core = Arc::new(Core::new(state));
        let writer = Arc::new(Writer::new(Arc::clone(&core), store));
        let mut expiry = JoinSet::new();
        expiry.spawn(expiry::run(Arc::clone(&core), Arc::clone(&writer)));
        Self { core, writer, _expiry: expiry }
    }

    async fn run(&self, op: Op) -> Result<Answer, Error> {
        self.core.check_open()?;
        self.writer.run(op).await
    }
}

impl Drop for EmbeddedRegistry {
    fn drop(&mut self) {
        self.core.close();
        self.writer.close();
    }
}

#[async_trait]
impl Registry for EmbeddedRegistry {
    async fn get(&self, key: &[u8]) -> Result<(Stamp, Option<Entry>), Error> {
        self.core.get(key)
    }

    async fn list(
        &self,
        prefix: &[u8],
        keys_only: bool,
        at: Option<Revision>,
    ) -> Result<Listing, Error> {
        self.core.list(prefix, keys_only, at)
    }

    async fn watch(&self, prefix: &[u8], from: Revision) -> Result<Box<dyn Watch>, Error> {
        Ok(Box::new(self.core.watch(prefix, from)?))
    }

    async fn commit(&self, txn: Txn) -> Result<Committed, Error> {
        self.run(Op::Commit(txn)).await.map(Answer::into_committed)
    }

    async fn grant(&self, ttl_secs: u32) -> Result<Granted, Error> {
        let (lease, ttl_secs) = state::new_lease(ttl_secs);
        let answer = self.run(Op::Grant { lease, ttl_secs }).await?;
        Ok(Granted { stamp: answer.stamp, lease, ttl_secs })
    }

    async fn renew(&self, lease: LeaseId) -> Result<u32, Error> {
        self.core.renew(lease, Instant::now())
    }

    async fn revoke(&self, lease: LeaseId) -> Result<Stamp, Error> {
        self.run(Op::End(lease)).await.map(|answer| answer.stamp)
    }

    async fn time_left(&self, lease: LeaseId) -> Result<u32, Error> {
        self.core.time_left(lease, Instant::now())
    }
}
