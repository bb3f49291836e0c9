//! Which plain records want which names of a zone, and which have them.
//!
//! A key that is a name as it is written has that name, beside all others of the kind. Of keys that are mapped to one name
//! the first has it, unless one that is written so does; the others have their derived names (docs/architecture.md, law
//! 4: none of them hides another).
//!
//! Knows nothing of what a name answers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::names;
use crate::layout::PlainRecord;

/// The labels of a relative name, last to first.
type Path = Box<[u8]>;

/// A record where it is: the name's path first, then the key.
type Placed = BTreeMap<(Path, Bytes), Wanted>;

/// The plain records of a zone.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// By the name that each wants.
    wanted: Placed,
    /// By the name that each has.
    held: Placed,
    /// Names that others may have by now.
    unsettled: BTreeSet<Path>,
    /// Names that may answer otherwise by now.
    changed: BTreeSet<Path>,
    /// Keys that are not served as meant.
    listed: BTreeSet<Bytes>,
}

/// A record, and its other name, where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    record: Arc<PlainRecord>,
    derived: Option<Path>,
}

/// Where a record is, and what is to be said of that; or why it is nowhere.
type Decided = Result<(Path, Option<String>), String>;

/// A record at a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held<'t> {
    /// The name, as a path.
    pub(super) path: &'t [u8],
    /// Its key.
    pub(super) key: &'t Bytes,
    pub(super) record: &'t PlainRecord,
}

/// What became of the records since the tree was settled last.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Paths of names that may answer otherwise.
    pub(super) names: BTreeSet<Path>,
    /// Keys, and why they are not served as meant; none: they are by now.
    pub(super) listed: Vec<(Bytes, Option<String>)>,
}

impl Tree {
    /// Takes in a record that wants a relative name; `derived` is its other one.
    pub(super) fn put(
        &mut self,
        relative: &[u8],
        derived: Option<&[u8]>,
        key: &Bytes,
        record: &Arc<PlainRecord>,
    ) {
        let path = names::turned(relative);
        let wanted = Wanted { record: record.clone(), derived: derived.map(names::turned) };
        self.unsettled.insert(path.clone());
        self.wanted.insert((path, key.clone()), wanted);
    }

    /// Takes out a record that wanted a relative name. Gives whether its key was listed.
    pub(super) fn remove(&mut self, relative: &[u8], key: &Bytes) -> bool {
        let path = names::turned(relative);
        if let Some(gone) = self.wanted.remove(&(path.clone(), key.clone())) {
            self.release(&path, key);
            if let Some(derived) = &gone.derived {
                self.release(derived, key);
            }
            self.unsettled.insert(path);
        }
        self.listed.remove(key)
    }

    /// Whether nobody wants anything.
    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Has a relative name decided anew: who comes before plain records there is another.
    pub(super) fn touch(&mut self, relative: &[u8]) {
        self.unsettled.insert(names::turned(relative));
    }

    /// The same of all names that records with derived names want.
    pub(super) fn touch_derived(&mut self) {
        let mapped = self.wanted.iter().filter(|(_, wanted)| wanted.derived.is_some());
        self.unsettled.extend(mapped.map(|((path, _), _)| path.clone()));
    }

    /// Decides who has the names that were touched; `taken` says who, of those that come before plain records, has a
    /// relative name.
    pub(super) fn settle(&mut self, taken: &dyn Fn(&[u8]) -> Option<String>) -> Changes {
        let mut listed = Vec::new();
        for path in std::mem::take(&mut self.unsettled) {
            for (key, wanted, decided) in self.decide(&path, taken) {
                let (at, reason) = match decided {
                    Ok((at, note)) => (Some(at), note),
                    Err(reason) => (None, Some(reason)),
                };
                for other in [Some(&path), wanted.derived.as_ref()].into_iter().flatten() {
                    if at.as_ref() != Some(other) {
                        self.release(other, &key);
                    }
                }
                if let Some(at) = at {
                    self.hold(at, &key, wanted);
                }
                let was = match reason {
                    Some(_) => !self.listed.insert(key.clone()),
                    None => self.listed.remove(&key),
                };
                if was || reason.is_some() {
                    listed.push((key, reason));
                }
            }
        }
        let mut names = BTreeSet::new();
        for path in std::mem::take(&mut self.changed) {
            // The zone's own name, which has no way, has what is at it.
            names.insert(Path::default());
            names.extend(names::way(&path).map(Path::from));
        }
        Changes { names, listed }
    }

    /// The records at a path and below it.
    pub(super) fn below(&self, path: &[u8]) -> impl Iterator<Item = Held<'_>> {
        from(&self.held, path).take_while(move |held| held.path.starts_with(path))
    }

    /// The records at a path.
    pub(super) fn at(&self, path: &[u8]) -> impl Iterator<Item = Held<'_>> {
        from(&self.held, path).take_while(move |held| held.path == path)
    }

    /// For each record that wants a name, where it is by now and what is to be said of that, or why it is nowhere.
    fn decide(
        &self,
        path: &Path,
        taken: &dyn Fn(&[u8]) -> Option<String>,
    ) -> Vec<(Bytes, Wanted, Decided)> {
        let start = (path.clone(), Bytes::new());
        let all = self.wanted.range((Bound::Included(start), Bound::Unbounded));
        let all = all.take_while(|((at, _), _)| at == path);
        // Those that are written so, then by key.
        let mut wanting: Vec<_> = all.map(|((_, key), wanted)| (key, wanted)).collect();
        wanting.sort_by_key(|(_, wanted)| wanted.record.derived.is_some());
        let refuse = |path: &[u8], place: String| {
            format!("{} is not served: {place}", shown(&names::turned(path)))
        };
        let winner = taken(&names::turned(path));
        let mut decided = Vec::with_capacity(wanting.len());
        for (index, (key, wanted)) in wanting.iter().enumerate() {
            let is_mapped = wanted.record.derived.is_some();
            let outcome = match &winner {
                Some(place) => Err(refuse(path, place.clone())),
                None if !is_mapped || index == 0 => Ok((path.clone(), None)),
                None => match wanted.derived.as_ref() {
                    None => Err("its derived name is too long, or in no zone".to_owned()),
                    Some(derived) => match taken(&names::turned(derived)) {
                        Some(place) => Err(refuse(derived, place)),
                        None => {
                            let at = shown(&names::turned(derived));
                            let note = format!(
                                "it is served under the derived name {at}: another record has its own"
                            );
                            Ok((derived.clone(), Some(note)))
                        }
                    },
                },
            };
            decided.push(((*key).clone(), (*wanted).clone(), outcome));
        }
        decided
    }

    fn hold(&mut self, at: Path, key: &Bytes, wanted: Wanted) {
        let place = (at.clone(), key.clone());
        if self.held.get(&place) != Some(&wanted) {
            self.held.insert(place, wanted);
            self.changed.insert(at);
        }
    }

    fn release(&mut self, at: &Path, key: &Bytes) {
        if self.held.remove(&(at.clone(), key.clone())).is_some() {
            self.changed.insert(at.clone());
        }
    }
}

fn from<'t>(placed: &'t Placed, path: &[u8]) -> impl Iterator<Item = Held<'t>> {
    let start = (Path::from(path), Bytes::new());
    let all = placed.range((Bound::Included(start), Bound::Unbounded));
    all.map(|((path, key), Wanted { record, .. })| Held { path, key, record })
}

/// A relative name for messages.
fn shown(relative: &[u8]) -> String {
    let labels = std::iter::successors(crate::zone::wire::split(relative), |(_, rest)| {
        crate::zone::wire::split(rest)
    });
    let labels: Vec<String> = labels.map(|(label, _)| label.escape_ascii().to_string()).collect();
    labels.join(".")
}
