//! The immutable, complete set of answers that one moment shows.

use super::directory::Directory;
use crate::registry::Revision;

/// Everything that answers and the API's reads come from. Never changed, only replaced.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The registry's revision that this shows.
    pub revision: Revision,
    /// Counts the breaks in the registry's history; revisions of different epochs don't compare.
    pub epoch: u64,
    /// Whether every source has had one complete view (law 1 of the design).
    pub ready: bool,
    /// What is registered.
    pub directory: Directory,
}
