//! The plain records of one zone while it is being built: what is registered, and what answers show of it.
//!
//! Knows nothing of apps, nor of who decides when it is built.

use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::quality::FixedState;

use super::names::turned;
use super::sets::sets;
use super::tree::{Changes, Held, Tree};
use super::{Plain, RECORDS_MAX};
use crate::layout::PlainRecord;
use crate::zone::block::Shape;
use crate::zone::statics::{RrSet, StaticNode, Statics, TYPE_CNAME};

/// The path of the records that the zone's own name has (coredns/coredns, plugin/etcd/README.md).
const APEX: &[u8] = b"\x03dns\x04apex";

/// A zone's plain records.
#[derive(Debug, Default)]
pub(in crate::zone) struct Plains {
    tree: Tree,
    shown: Plain,
    apex_digest: u64,
}

/// What a build changed.
#[derive(Debug, Default)]
pub(in crate::zone) struct Outcome {
    /// Relative names that another has by now.
    pub(in crate::zone) moved: Vec<Box<[u8]>>,
    /// Keys, and why they are not served as meant; none: they are by now.
    pub(in crate::zone) listed: Vec<(Bytes, Option<String>)>,
    /// Relative names that were built, each with the octets of its largest set.
    pub(in crate::zone) built: Vec<(Box<[u8]>, usize)>,
    /// What is added to the digest of the zone.
    pub(in crate::zone) digest: u64,
}

impl Plains {
    /// Takes in a record that wants a relative name; `derived` is its other one.
    pub(in crate::zone) fn put(
        &mut self,
        relative: &[u8],
        derived: Option<&[u8]>,
        key: &Bytes,
        record: &Arc<PlainRecord>,
    ) {
        self.tree.put(relative, derived, key, record);
    }

    /// Takes out a record that wanted a relative name. Gives whether its key was listed.
    pub(in crate::zone) fn remove(&mut self, relative: &[u8], key: &Bytes) -> bool {
        self.tree.remove(relative, key)
    }

    /// Has relative names decided anew that static records took or gave back. Gives whether there is anything to decide.
    pub(in crate::zone) fn touch<'n>(&mut self, names: impl Iterator<Item = &'n [u8]>) -> bool {
        if self.tree.is_empty() {
            return false;
        }
        names.for_each(|name| self.tree.touch(name));
        self.tree.touch_derived();
        true
    }

    /// What queries read.
    pub(in crate::zone) fn shown(&self) -> &Plain {
        &self.shown
    }

    /// Decides and builds what was touched; `taken` says who, of those that come before plain records, has a relative
    /// name.
    pub(in crate::zone) fn build(
        &mut self,
        shape: Shape<'_>,
        statics: &Statics,
        printable: &dyn Fn(&[u8]) -> Arc<str>,
        taken: &dyn Fn(&[u8]) -> Option<String>,
    ) -> Outcome {
        let Changes { names, listed } = self.tree.settle(taken);
        let mut outcome = Outcome { listed, ..Outcome::default() };
        for path in names.iter().filter(|path| !path.is_empty()) {
            let records: Vec<Held<'_>> = self.tree.below(path).take(RECORDS_MAX).collect();
            let node = records.first().map(|first| {
                let sets = sets(path, &records, shape);
                let octets = sets.iter().map(RrSet::answer_octets).max();
                outcome.built.push((turned(path), octets.unwrap_or_default()));
                StaticNode::registered(sets, printable(first.key).to_string())
            });
            let name = turned(path);
            let (digest, moved) = self.shown.put(&name, node);
            outcome.digest = outcome.digest.wrapping_add(digest);
            if moved {
                outcome.moved.push(name);
            }
        }
        outcome.digest = outcome.digest.wrapping_add(self.build_apex(shape, statics));
        outcome
    }

    /// The zone's own name: what the zone file has there, and of the records what that has not. It is no alias.
    fn build_apex(&mut self, shape: Shape<'_>, statics: &Statics) -> u64 {
        let records = self.tree.at(&[]).chain(self.tree.below(APEX));
        let records: Vec<Held<'_>> = records.take(RECORDS_MAX).collect();
        let fixed = statics.find(&[]).cloned().unwrap_or_default();
        let is_free = |set: &RrSet| set.rtype != TYPE_CNAME && fixed.set(set.rtype).is_none();
        let mut own = sets(&[], &records, shape);
        own.retain(is_free);
        let digest = if own.is_empty() { 0 } else { FixedState::default().hash_one(&own) };
        let added = digest.wrapping_sub(std::mem::replace(&mut self.apex_digest, digest));
        let apex = (!own.is_empty()).then(|| {
            let mut apex = fixed.clone();
            apex.sets.append(&mut own);
            apex
        });
        self.shown.put_apex(apex);
        added
    }
}
