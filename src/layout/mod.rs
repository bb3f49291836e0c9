//! How keys and values are written in a registry: our own way ([`native`]), and other systems' ways ([`foreign`]).
//!
//! A layout turns one entry into a [`Parsed`], or into a reason to skip it. Pure: one bad key is listed, and
//! never hides another (law 4, docs/architecture.md).
//!
//! Knows nothing of registries as clients, of DNS, of the clock.

pub mod foreign;
pub mod native;
mod plain;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::plain::{FullName, PlainRecord};
use crate::model::{AppName, Instance, Label, Namespace, RawId};
use crate::registry::Origin;

/// What one key says. Cheap to clone: the mirror and the catalogue share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// An instance is registered.
    Instance(Arc<Registration>),
    /// A record under a name of its own.
    Plain(Arc<PlainRecord>),
    /// An operator took an instance, or a whole app, out of answers.
    Offline(Arc<OfflineMark>),
    /// An instance was deregistered: its key goes in the same revision.
    Departed(Arc<Departure>),
    /// Bookkeeping of the servers themselves; answers don't depend on it.
    Bookkeeping,
    /// Not readable; the key is listed with this reason.
    Rejected(Arc<str>),
}

/// A registration as its layout names it. `app` and `id` are raw: of our own layout always legal, of others
/// mapped by claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Where the app lives.
    pub namespace: Namespace,
    /// The app, after mapping.
    pub app: AppName,
    /// The id, raw.
    pub id: RawId,
    /// Whose key says so.
    pub origin: Origin,
    /// The layout itself says that it takes no traffic; our own says so by offline marks.
    pub disabled: bool,
    /// What is registered.
    pub instance: Instance,
}

/// An operator's mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfflineMark {
    /// Where the app lives.
    pub namespace: Namespace,
    /// The app.
    pub app: AppName,
    /// The instance; none: the whole app.
    pub id: Option<Label>,
    /// The id that another layout gave it: that instance is meant, and none of ours, whatever label it is served under.
    pub of: Option<RawId>,
    /// Who, when, why.
    pub note: Note,
}

/// An explicit departure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// Where the app lives.
    pub namespace: Namespace,
    /// The app.
    pub app: AppName,
    /// The instance.
    pub id: Label,
    /// Who, when, why.
    pub note: Note,
}

/// Who did something, when and why. Every field may be missing: other writers put such keys too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    /// Who: an address or a token's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// When, in RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub at: String,
    /// Why, in the operator's words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
