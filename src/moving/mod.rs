//! Registrations from elsewhere, brought into our own layout in etcd: those of other systems, and those of an embedded
//! registry; and records that have no app, for a zone file.
//!
//! ```text
//! foreign tree    --layout--> instances --ids--> keys, values --+
//!                                                               +--> plan --copy--> etcd
//! embedded registry ---------------------------> keys, values --+
//! records of a DNS server --layout--> catalogue --> records of a zone file
//! ```
//!
//! A copy never outlives what it is a copy of. One that has a lease in the same etcd is bound to that very lease: its app
//! renews both with one heartbeat, and both end together. Leases of an embedded registry are made in etcd under the ids
//! that they had, so that programs that hold an incarnation go on with it.
//!
//! Knows nothing of servers, and of how DNS writes names and records.

mod copy;
mod foreign;
mod ids;
mod own;
mod plain;

pub use copy::{Report, Target};
pub use plain::ZoneRecords;

use bytes::Bytes;

use crate::layout::foreign::Foreign;
use crate::layout::native::Keys;
use crate::registry::{Entry, LeaseId};

/// What is to be written, and what is not.
#[derive(Debug, Default)]
pub struct Plan {
    /// In the order of their sources.
    pub writes: Vec<Planned>,
    /// What can't be copied.
    pub skipped: Vec<Skipped>,
}

/// One key that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What it is a copy of: a key, with its system in front where that is another one.
    pub from: String,
    /// The key in our layout.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
    /// The lease that it ends with.
    pub lease: Option<LeaseId>,
}

/// One key that is not copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The key as it stands in its registry.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// What is to be done with what would stay for ever as a copy, and may not be meant to: registrations without a lease, and
/// in a file, which has none, those with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permanent {
    /// They are left out.
    Skip,
    /// They are copied, to stay until somebody takes them away.
    Copy,
}

impl Plan {
    /// For the entries of another system's tree; `there` is what our own layout holds already.
    #[must_use]
    pub fn of_foreign(
        layout: &Foreign,
        entries: &[Entry],
        there: &[Entry],
        keys: &Keys,
        permanent: Permanent,
    ) -> Self {
        foreign::plan(layout, entries, there, keys, permanent)
    }

    /// For the entries of a registry in our own layout.
    #[must_use]
    pub fn of_own(entries: &[Entry], keys: &Keys) -> Self {
        own::plan(entries, keys)
    }

    fn skip(&mut self, entry: &Entry, reason: impl Into<String>) {
        self.skipped.push(Skipped { key: text_of(&entry.key), reason: reason.into() });
    }
}

/// A key as people read it.
fn text_of(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}
