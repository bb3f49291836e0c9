//! placeholder: the mirror's public types
use super::{Entry, LeaseId, Revision};
use bytes::Bytes;
use std::sync::Arc;

/// What a mirror keeps of one key: never the raw value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept<P> {
    /// The revision that wrote it last.
    pub revision: Revision,
    /// The lease it is bound to.
    pub lease: Option<LeaseId>,
    /// What the parse function made of the value.
    pub parsed: P,
}

/// One key's news: what it was and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News<P> {
    /// The key.
    pub key: Bytes,
    /// What it was before, if it was there.
    pub was: Option<Kept<P>>,
    /// What it is now, if it is there.
    pub now: Option<Kept<P>>,
}

/// A step from one view of the prefix to the next. Applied whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta<P> {
    /// The revision that the view shows after this step.
    pub revision: Revision,
    /// Counts the times that a view replaced another as a whole because the registry's history broke
    /// (another cluster, a backup restored): revisions of different epochs don't compare.
    pub epoch: u64,
    /// The whole view was read anew: these are its differences from the view before (of the first: everything).
    /// A first delta has it set, even when the prefix is empty.
    pub whole: bool,
    /// What changed, in key order within a revision.
    pub news: Vec<News<P>>,
}

/// What makes a value of a key; `serve` hands a layout's in.
pub type Parse<P> = Arc<dyn Fn(&Entry) -> P + Send + Sync>;
