//! Where registrations live: keys with revisions, leases and a watch, after etcd's model.
//!
//! [`Registry`] is the small trait that the product needs; `memory`, `embedded` and `etcd` implement it,
//! and one test suite (`tests/registry/`) runs over all of them. [`mirror`] keeps a copy of one prefix
//! and says what changed.
//!
//! Knows nothing of DNS and HTTP, nor of what keys and values mean.

pub mod embedded;
pub mod etcd;
pub mod memory;
pub mod mirror;
pub mod settings;

pub use settings::{EtcdSettings, Tls};

use std::fmt;
use std::num::NonZeroU64;

use async_trait::async_trait;
use bytes::Bytes;

/// Which of the prefixes that a server reads a thing comes from: each is read by a mirror of its own. In this order what
/// they say of one instance counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(pub u16);

impl Origin {
    /// Our own layout, which is always read, and written.
    pub const NATIVE: Self = Self(0);

    /// Its place in a list of all.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A registry's count of its changes: every commit has the next one. Starts above 0.
pub type Revision = u64;

/// A lease's id; keys bound to it end with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(NonZeroU64);

impl LeaseId {
    /// The lease with that number; 0 means "no lease" in etcd, hence none here.
    #[must_use]
    pub fn new(id: u64) -> Option<Self> {
        NonZeroU64::new(id).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// Reads what [`fmt::Display`] writes: 16 hex digits, as etcdctl shows them; leading zeros may be missing.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|b| b.is_ascii_hexdigit());
        if digits { u64::from_str_radix(text, 16).ok().and_then(Self::new) } else { None }
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseId({self})")
    }
}

/// Which registry answered, and where it stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The cluster's id: another one means that this is another registry.
    pub cluster: u64,
    /// Its revision at the answer.
    pub revision: Revision,
}

/// One key as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Bytes,
    /// Its value; empty in a listing of keys only.
    pub value: Bytes,
    /// The revision that wrote it last (etcd's `mod_revision`).
    pub revision: Revision,
    /// The lease it is bound to; none: permanent.
    pub lease: Option<LeaseId>,
}

/// All keys of a prefix at one revision (`stamp.revision`), in key order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The revision that all entries belong to.
    pub stamp: Stamp,
    /// The entries, in key order.
    pub entries: Vec<Entry>,
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Written.
    Put(Entry),
    /// Gone: deleted, or its lease ended; a watch can't tell.
    Delete(Bytes),
}

impl Change {
    /// The key that changed.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Delete(key) => key,
        }
    }
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// All changes that one revision made under the prefix. Revisions rise.
    Batch {
        /// The revision.
        revision: Revision,
        /// Its changes.
        changes: Vec<Change>,
    },
    /// A sign of life, with the registry's revision. Says nothing of what was delivered.
    Progress(Stamp),
}

/// A condition of a [`Txn`] on one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// The key does not exist.
    Absent(Bytes),
    /// The key was written last at that revision.
    At(Bytes, Revision),
}

/// One write of a [`Txn`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Writes a key, bound to a lease or to none.
    Put {
        /// The key.
        key: Bytes,
        /// Its value.
        value: Bytes,
        /// The lease that it ends with.
        lease: Option<LeaseId>,
    },
    /// Deletes a key; one that does not exist is no error.
    Delete(Bytes),
}

/// Conditions and writes that happen together at one revision, or not at all. No key is written twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// What must hold.
    pub preconditions: Vec<Precondition>,
    /// What is then done.
    pub writes: Vec<Write>,
}

/// How a [`Txn`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Done, and durable. A transaction that changed nothing keeps the revision as it was.
    Done(Stamp),
    /// A precondition failed; nothing was written.
    Refused(Stamp),
}

/// A fresh lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// Where the registry stood.
    pub stamp: Stamp,
    /// Its id.
    pub lease: LeaseId,
    /// Its length in seconds, as the registry gave it (it may be longer than asked).
    pub ttl_secs: u32,
}

/// Why a registry did not do what it was asked; each variant is something a caller does differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not reached, or without a quorum. What was asked was **not** done; asking again is right.
    #[error("registry unavailable: {0}")]
    Unavailable(String),
    /// The answer was lost: what was asked may or may not have been done.
    #[error("registry answer lost: {0}")]
    Unknown(String),
    /// The history asked for is gone; list again. `oldest` is the first revision still there.
    #[error("revision compacted, the oldest kept is {oldest}")]
    Compacted {
        /// First revision that a watch may start from.
        oldest: Revision,
    },
    /// No such lease: it ended, or never was.
    #[error("lease not found")]
    LeaseNotFound,
    /// Refused for a reason that asking again does not change (credentials, size, quota): an operator must act.
    #[error("registry refused: {0}")]
    Refused(String),
}

/// A watch on one prefix. Dropping it ends it.
#[async_trait]
pub trait Watch: Send {
    /// The next news. Cancel-safe. After an error the watch is over.
    async fn next(&mut self) -> Result<Watched, Error>;

    /// Asks for a [`Watched::Progress`], as proof that the registry still speaks to this watch.
    async fn request_progress(&mut self) -> Result<(), Error>;
}

/// A registry. All calls are bounded in time by the implementation, and reads are linearizable.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// One key, or none.
    async fn get(&self, key: &[u8]) -> Result<(Stamp, Option<Entry>), Error>;

    /// All keys under a prefix, at one revision: the current one, or `at` (an older one may be compacted).
    async fn list(
        &self,
        prefix: &[u8],
        keys_only: bool,
        at: Option<Revision>,
    ) -> Result<Listing, Error>;

    /// All changes under a prefix from revision `from` on, inclusive. `from` may be the next revision to
    /// come, and not beyond it.
    async fn watch(&self, prefix: &[u8], from: Revision) -> Result<Box<dyn Watch>, Error>;

    /// Runs a transaction. [`Error::LeaseNotFound`] (nothing written) where a put names a lease that ended.
    async fn commit(&self, txn: Txn) -> Result<Committed, Error>;

    /// A lease of at least `ttl_secs` seconds.
    async fn grant(&self, ttl_secs: u32) -> Result<Granted, Error>;

    /// Starts a lease's time anew and gives its length in seconds.
    async fn renew(&self, lease: LeaseId) -> Result<u32, Error>;

    /// Ends a lease and deletes its keys at one revision.
    async fn revoke(&self, lease: LeaseId) -> Result<Stamp, Error>;

    /// Seconds until a lease ends.
    async fn time_left(&self, lease: LeaseId) -> Result<u32, Error>;
}
