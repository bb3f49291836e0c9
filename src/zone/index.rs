//! The names of a zone's apps: a persistent hash trie, read on every query and copied along one path on a change.
//!
//! ```text
//! Branch [16 nodes] -> Branch [16 nodes] -> Bucket [a few entries] -> block
//! ```
//!
//! At a million instances the upper branches are in the cache; a look-up waits for memory twice, at the bucket
//! and at the block, in whose first octets the app's name stands to be compared. A change copies a branch of
//! each level and a bucket: nodes are narrow because copying one touches all its children, to count the new
//! reference. Hashing is keyed, so that nobody can register names that meet in one bucket.
//!
//! Knows nothing of what a block holds.

use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::block::Block;

/// Children of a branch, and the bits of a hash that choose one.
const FAN: usize = 16;
const FAN_BITS: u32 = 4;
/// Entries of a bucket that is not divided: five cache lines at most, and with 16 children under a branch two on
/// average.
const BUCKET_MAX: usize = 8;
/// Levels of branches; the buckets below hold what comes. The upper half of the hash is the entries' tags.
const LEVELS_MAX: u32 = 32 / FAN_BITS;

/// Apps, and the names between them and the apex.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    root: Node,
    hashing: RandomState,
}

/// One name that is an app, or on the way to one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AppNode {
    /// The app's own names; none for a name on the way.
    pub(super) block: Option<Block>,
    /// How many apps are below this name.
    pub(super) below: u32,
}

#[derive(Debug, Clone)]
enum Node {
    Branch(Arc<[Self; FAN]>),
    Bucket(Arc<[Entry]>),
}

#[derive(Debug, Clone)]
struct Entry {
    /// The upper half of the name's hash.
    tag: u32,
    below: u32,
    held: Held,
}

/// What an entry holds, its name included.
#[derive(Debug, Clone)]
enum Held {
    App(Block),
    Between(Arc<[u8]>),
}

impl Default for Node {
    fn default() -> Self {
        Self::Bucket(Arc::default())
    }
}

impl Entry {
    fn new(tag: u32, name: &[u8], node: AppNode) -> Self {
        let held = match node.block {
            Some(block) => Held::App(block),
            None => Held::Between(name.into()),
        };
        Self { tag, below: node.below, held }
    }

    #[inline]
    fn name(&self) -> &[u8] {
        match &self.held {
            Held::App(block) => block.app(),
            Held::Between(own) => own,
        }
    }

    #[inline]
    fn is(&self, tag: u32, name: &[u8]) -> bool {
        self.tag == tag && self.name() == name
    }
}

impl Index {
    /// The block of an app, if it is one, and how many apps are below its name; none where nobody needs it.
    #[inline]
    pub(super) fn get(&self, name: &[u8]) -> Option<(Option<&Block>, u32)> {
        let (mut path, tag) = self.hash(name);
        let mut node = &self.root;
        loop {
            match node {
                Node::Branch(children) => {
                    node = &children[child(path)];
                    path >>= FAN_BITS;
                }
                Node::Bucket(entries) => {
                    let entry = entries.iter().find(|entry| entry.is(tag, name))?;
                    return Some(match &entry.held {
                        Held::App(block) => (Some(block), entry.below),
                        Held::Between(_) => (None, entry.below),
                    });
                }
            }
        }
    }

    /// A look-up in steps.
    #[inline]
    pub(super) fn walk(&self, name: &[u8]) -> Walk<'_> {
        let (path, tag) = self.hash(name);
        Walk { node: &self.root, path, tag }
    }

    /// The same, to be changed and put back.
    pub(super) fn node(&self, name: &[u8]) -> AppNode {
        let (block, below) = self.get(name).unwrap_or_default();
        AppNode { block: block.cloned(), below }
    }

    /// Puts a name's node in its place; one that nothing needs any more goes.
    pub(super) fn put(&mut self, name: &[u8], node: AppNode) {
        let (path, tag) = self.hash(name);
        if node.block.is_some() || node.below > 0 {
            let hashing = &self.hashing;
            let hash = |name: &[u8]| hashing.hash_one(name) as u32;
            insert(&mut self.root, path, 0, name, Entry::new(tag, name, node), &hash);
        } else {
            remove(&mut self.root, path, tag, name);
        }
    }

    /// All of it, in no order that means anything.
    #[cfg(test)]
    pub(super) fn entries(&self) -> Vec<(Vec<u8>, AppNode)> {
        fn gather(node: &Node, all: &mut Vec<(Vec<u8>, AppNode)>) {
            match node {
                Node::Branch(children) => children.iter().for_each(|child| gather(child, all)),
                Node::Bucket(entries) => all.extend(entries.iter().map(|entry| {
                    let block = match &entry.held {
                        Held::App(block) => Some(block.clone()),
                        Held::Between(_) => None,
                    };
                    (entry.name().to_vec(), AppNode { block, below: entry.below })
                })),
            }
        }
        let mut all = Vec::new();
        gather(&self.root, &mut all);
        all
    }

    /// Which way to go, from the lowest bits on, and the entry's tag.
    #[inline]
    fn hash(&self, name: &[u8]) -> (u32, u32) {
        let hash = self.hashing.hash_one(name);
        (hash as u32, (hash >> 32) as u32)
    }
}

/// A look-up that is made in steps, so that those of several names can wait for memory together. It only has the
/// octets fetched that a look-up and `Block::find` are going to read.
#[derive(Debug, Clone, Copy)]
pub struct Walk<'a> {
    node: &'a Node,
    path: u32,
    tag: u32,
}

impl Walk<'_> {
    /// To the bucket, of which the first and the last entry are fetched.
    #[inline]
    pub fn to_bucket(&mut self) {
        loop {
            match self.node {
                Node::Branch(children) => {
                    self.node = &children[child(self.path)];
                    self.path >>= FAN_BITS;
                }
                Node::Bucket(entries) => {
                    let tag = |entry: Option<&Entry>| entry.map(|entry| entry.tag);
                    black_box((tag(entries.first()), tag(entries.last())));
                    return;
                }
            }
        }
    }

    /// To the block of the entry that may be the one, which is fetched.
    #[inline]
    pub fn to_block(self) {
        let Node::Bucket(entries) = self.node else { return };
        if let Some(entry) = entries.iter().find(|entry| entry.tag == self.tag)
            && let Held::App(block) = &entry.held
        {
            block.warm();
        }
    }
}

#[inline]
fn child(path: u32) -> usize {
    path as usize % FAN
}

/// Puts an entry into the place of the one with its name, or beside the others. `path` are the bits of its hash
/// that are left at this level.
fn insert(
    node: &mut Node,
    path: u32,
    level: u32,
    name: &[u8],
    entry: Entry,
    hash: &dyn Fn(&[u8]) -> u32,
) {
    match node {
        Node::Branch(children) => {
            // Copied if a snapshot holds it, changed in place if none does.
            let children = Arc::make_mut(children);
            insert(&mut children[child(path)], path >> FAN_BITS, level + 1, name, entry, hash);
        }
        Node::Bucket(entries) => {
            let tag = entry.tag;
            let others = entries.iter().filter(|other| !other.is(tag, name)).cloned();
            let all: Vec<Entry> = others.chain([entry]).collect();
            if all.len() > BUCKET_MAX && level < LEVELS_MAX {
                let mut buckets: [Vec<Entry>; FAN] = Default::default();
                for entry in all {
                    let path = hash(entry.name()) >> (level * FAN_BITS);
                    buckets[child(path)].push(entry);
                }
                // If all went one way, that bucket is divided when the next one comes.
                let buckets = buckets.map(bucket);
                *node = Node::Branch(Arc::new(buckets));
            } else {
                *node = bucket(all);
            }
        }
    }
}

/// A bucket; empty ones share one allocation.
fn bucket(entries: Vec<Entry>) -> Node {
    if entries.is_empty() { Node::default() } else { Node::Bucket(entries.into()) }
}

fn remove(node: &mut Node, path: u32, tag: u32, name: &[u8]) {
    match node {
        Node::Branch(children) => {
            let children = Arc::make_mut(children);
            remove(&mut children[child(path)], path >> FAN_BITS, tag, name);
            if let Some(few) = few_left(children) {
                *node = Node::Bucket(few);
            }
        }
        Node::Bucket(entries) => {
            let others = entries.iter().filter(|other| !other.is(tag, name)).cloned();
            *node = bucket(others.collect());
        }
    }
}

/// What is left of a branch, if one bucket can hold it with room to spare: one that is full would be divided at
/// the next coming.
fn few_left(children: &[Node; FAN]) -> Option<Arc<[Entry]>> {
    let mut left = 0;
    for child in children {
        match child {
            Node::Bucket(entries) => left += entries.len(),
            Node::Branch(_) => return None,
        }
    }
    let entries = children.iter().flat_map(|child| match child {
        Node::Bucket(entries) => entries.as_ref(),
        Node::Branch(_) => &[],
    });
    (left <= BUCKET_MAX / 2).then(|| entries.cloned().collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn name(number: u32) -> [u8; 4] {
        number.to_be_bytes()
    }

    fn below(index: &Index, number: u32) -> Option<u32> {
        index.get(&name(number)).map(|(_, below)| below)
    }

    fn put(index: &mut Index, number: u32, below: u32) {
        index.put(&name(number), AppNode { block: None, below });
    }

    fn depth(node: &Node) -> u32 {
        match node {
            Node::Branch(children) => 1 + children.iter().map(depth).max().unwrap_or_default(),
            Node::Bucket(_) => 0,
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map_and_its_copies_do_not_change(
            steps in proptest::collection::vec((0_u32..300, 0_u32..3), 1..1_000),
        ) {
            let (mut index, mut model) = (Index::default(), BTreeMap::new());
            let mut copies = Vec::new();
            for (at, (number, value)) in steps.into_iter().enumerate() {
                put(&mut index, number, value);
                if value > 0 {
                    model.insert(number, value);
                } else {
                    model.remove(&number);
                }
                if at % 100 == 0 {
                    copies.push((index.clone(), model.clone()));
                }
            }
            copies.push((index, model));
            for (index, model) in copies {
                for number in 0..300 {
                    prop_assert_eq!(below(&index, number), model.get(&number).copied());
                }
            }
        }
    }

    #[test]
    fn it_is_flat_and_shrinks_to_one_bucket() {
        let mut index = Index::default();
        (0..100_000).for_each(|number| put(&mut index, number, 1));
        assert!(depth(&index.root) <= 6, "{}", depth(&index.root));
        (0..99_998).for_each(|number| put(&mut index, number, 0));
        assert_eq!(depth(&index.root), 0);
        assert_eq!((below(&index, 0), below(&index, 99_999)), (None, Some(1)));
    }

    #[test]
    fn names_of_one_hash_meet_in_a_bucket_that_grows() {
        let mut root = Node::default();
        for number in 0..100 {
            let node = AppNode { block: None, below: 1 };
            insert(&mut root, 0, 0, &name(number), Entry::new(0, &name(number), node), &|_| 0);
        }
        assert_eq!(depth(&root), LEVELS_MAX);
        for number in 0..100 {
            remove(&mut root, 0, 0, &name(number));
        }
        assert_eq!(depth(&root), 0);
    }
}
