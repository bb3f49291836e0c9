//! The registry in memory: complete, for tests, and the core of the embedded one.
//!
//! ```text
//!     commit, grant, revoke --> State::apply(op) --> Step --> History --> watches
//!     renew, time_left      --> Deadlines --due--> expiry task --> apply(End)
//! ```
//!
//! `state` is a pure, synchronous machine; `core` keeps what readers see of it behind one lock; the
//! files here only bring operations to it. The embedded registry puts a disk between `apply` and what
//! readers see, and shares everything else.
//!
//! Knows nothing of disks, DNS and HTTP, nor of what keys and values mean.

pub(super) mod core;
pub(super) mod deadlines;
pub(super) mod expiry;
mod history;
pub(super) mod state;
mod watch;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::core::Core;
use self::expiry::EndLeases;
use self::state::{Answer, Op, State};
use super::{
    Committed, Entry, Error, Granted, LeaseId, Listing, Registry, Revision, Stamp, Txn, Watch,
};

/// A registry that lives and dies with the process.
#[derive(Debug)]
pub struct MemoryRegistry {
    core: Arc<Core>,
    /// Ends the expiry task when the registry is dropped.
    _expiry: JoinSet<()>,
}

impl MemoryRegistry {
    /// An empty registry with a cluster id of its own. Leases end by a task of the current tokio runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new() -> Self {
        let core = Arc::new(Core::new(State::new(fastrand::u64(1..))));
        let mut expiry = JoinSet::new();
        expiry.spawn(expiry::run(Arc::clone(&core), InMemory(Arc::clone(&core))));
        Self { core, _expiry: expiry }
    }

    /// For tests of failure behaviour: `false` cuts the registry off, so that every call fails with
    /// [`Error::Unavailable`] and every open watch ends with it; `true` brings it back as it was. Leases go on
    /// ending meanwhile, as those of a registry behind a broken network do.
    pub fn set_available(&self, available: bool) {
        self.core.set_available(available);
    }

    /// For tests of failure behaviour: forgets all history, as a compaction at the current revision does.
    pub fn forget_history(&self) {
        self.core.forget_history();
    }

    fn run(&self, op: Op) -> Result<Answer, Error> {
        self.core.run(op, Instant::now())
    }
}

impl Default for MemoryRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for MemoryRegistry {
    fn drop(&mut self) {
        self.core.close();
    }
}

#[async_trait]
impl Registry for MemoryRegistry {
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
        self.run(Op::Commit(txn)).map(Answer::into_committed)
    }

    async fn grant(&self, ttl_secs: u32) -> Result<Granted, Error> {
        let (lease, ttl_secs) = state::new_lease(ttl_secs);
        let answer = self.run(Op::Grant { lease, ttl_secs })?;
        Ok(Granted { stamp: answer.stamp, lease, ttl_secs })
    }

    async fn renew(&self, lease: LeaseId) -> Result<u32, Error> {
        self.core.renew(lease, Instant::now())
    }

    async fn revoke(&self, lease: LeaseId) -> Result<Stamp, Error> {
        self.run(Op::End(lease)).map(|answer| answer.stamp)
    }

    async fn time_left(&self, lease: LeaseId) -> Result<u32, Error> {
        self.core.time_left(lease, Instant::now())
    }
}

/// Ends leases at once.
struct InMemory(Arc<Core>);

impl EndLeases for InMemory {
    async fn end(&self, leases: Vec<LeaseId>) -> Vec<LeaseId> {
        self.0.end_all(leases, Instant::now())
    }
}
