//! Plain records of a layout in a zone: they have names of their own at any depth, as SkyDNS and CoreDNS have them.
//!
//! ```text
//! r1.redis.cluster.local  10.0.0.1:6379      A, SRV of r1.redis, and of redis
//! r2.redis.cluster.local  10.0.0.2:6379      A, SRV of r2.redis, and of redis
//! ```
//!
//! A name answers from all records at it and below it: the addresses of their hosts, an SRV record for each that has a
//! port, which points to the record's own name or to the host it gives, mail and texts. A record that says nothing but
//! another name is an alias, where it stands alone. In `arpa` that is what an address points to, and a name answers from
//! records at it alone. The zone's own name has what is below `apex.dns`, as there. A set has the shortest time to live of
//! its records, the zone's at most. Where the records nearest to the name that have a group all have the same, those of
//! other groups are left out.
//!
//! ```text
//! Tree: who wants which name, who has it --names that changed--> answers of each name --> Plain: what queries read
//! ```
//!
//! Whoever wants a name that static records have, or a zone below, is rejected; apps come after plain records. The cost of
//! a change is that of the names above it, with at most [`RECORDS_MAX`] records each: of more the first by name answer.
//!
//! Knows nothing of keys and values, and nothing of messages.

mod names;
mod plains;
mod sets;
mod tree;

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use foldhash::quality::FixedState;
use imbl::shared_ptr::DefaultSharedPtr;

pub(super) use self::names::absolute;
pub(super) use self::plains::{Outcome, Plains};
use super::statics::StaticNode;
use crate::model::limits;

/// Records that one name answers from.
pub(super) const RECORDS_MAX: usize = limits::INSTANCES_MAX;

/// The names that plain records have or are below, as queries find them. Never changed, only replaced; its copies share
/// all that is equal.
#[derive(Debug, Clone)]
pub(super) struct Plain {
    /// Relative to the zone.
    names: imbl::GenericHashMap<Box<[u8]>, Arc<StaticNode>, RandomState, DefaultSharedPtr>,
    /// The zone's own name, with what its zone file says of it.
    apex: Option<Arc<StaticNode>>,
}

impl Default for Plain {
    fn default() -> Self {
        Self { names: imbl::GenericHashMap::with_hasher(RandomState::default()), apex: None }
    }
}

impl Plain {
    /// A name below the zone's; one without sets merely exists.
    #[inline]
    pub(super) fn find(&self, relative: &[u8]) -> Option<&StaticNode> {
        self.names.get(relative).map(|node| &**node)
    }

    /// The zone's own name, if any record is for it.
    pub(super) fn apex(&self) -> Option<&StaticNode> {
        self.apex.as_deref()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.apex.is_none()
    }

    /// The first record that a name answers from; none where it answers nothing.
    pub(super) fn place(&self, relative: &[u8]) -> Option<&str> {
        self.find(relative).and_then(StaticNode::place)
    }

    /// Puts a name's answers in the place of those it had. Gives what that adds to the digest of all, and whether who has
    /// the name is another by now.
    pub(super) fn put(&mut self, relative: &[u8], node: Option<StaticNode>) -> (u64, bool) {
        let before = self.find(relative);
        if before == node.as_ref() {
            return (0, false);
        }
        let digest = |node: Option<&StaticNode>| node.map_or(0, |node| digest(relative, node));
        let added = digest(node.as_ref()).wrapping_sub(digest(before));
        let place =
            |node: Option<&StaticNode>| node.and_then(|node| node.place().map(str::to_owned));
        let moved = place(before) != place(node.as_ref());
        match node {
            Some(node) => _ = self.names.insert(relative.into(), Arc::new(node)),
            None => _ = self.names.remove(relative),
        }
        (added, moved)
    }

    /// Puts in what the zone's own name has.
    pub(super) fn put_apex(&mut self, node: Option<StaticNode>) {
        self.apex = node.map(Arc::new);
    }

    /// All of it, for comparison.
    #[cfg(test)]
    pub(super) fn listing(&self) -> Vec<String> {
        let names = self.names.iter();
        let mut all: Vec<String> =
            names.map(|(name, node)| format!("{} {node:?}", name.escape_ascii())).collect();
        all.sort();
        all.extend(self.apex.iter().map(|node| format!("apex {node:?}")));
        all
    }
}

/// The same for equal records, on every run of the same version. Names that merely exist are no records.
fn digest(relative: &[u8], node: &StaticNode) -> u64 {
    if node.sets.is_empty() { 0 } else { FixedState::default().hash_one((relative, &node.sets)) }
}
