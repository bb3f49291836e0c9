//! Folders without any key, which our registry can't hold: made by a client, or left when the last key went, since etcd 2
//! keeps those. This server remembers them while it runs, some of them; another one, and itself after a start, says that
//! there is no such folder. Clients of both answers do the same: nobody is there.
//!
//! Knows nothing of the registry.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::registry::Revision;

/// Folders remembered.
const FOLDERS_MAX: usize = 10_000;

/// The folders, each with the index that made it.
#[derive(Debug, Default)]
pub(super) struct Folders {
    known: Mutex<BTreeMap<String, Revision>>,
}

impl Folders {
    /// There is such a folder, as are those that it is in. The oldest index counts.
    pub(super) fn add(&self, path: &str, revision: Revision) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        for folder in ends.filter_map(|end| path.get(..end)).filter(|folder| folder.len() > 1) {
            if known.len() < FOLDERS_MAX {
                known.entry(folder.to_owned()).or_insert(revision);
            }
        }
    }

    /// A key has gone: what it was in stays.
    pub(super) fn left(&self, path: &str, revision: Revision) {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.add(folder, revision);
        }
    }

    /// Whether there is such a folder, and since when.
    #[must_use]
    pub(super) fn get(&self, path: &str) -> Option<Revision> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(path).copied()
    }

    /// The folders in a folder, at any depth.
    #[must_use]
    pub(super) fn below(&self, path: &str) -> Vec<(String, Revision)> {
        let folder = format!("{}/", path.trim_end_matches('/'));
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let below =
            known.range(folder.clone()..).take_while(|(known, _)| known.starts_with(&folder));
        below.map(|(path, revision)| (path.clone(), *revision)).collect()
    }

    /// A folder and all in it are gone.
    pub(super) fn remove(&self, path: &str) {
        let folder = format!("{path}/");
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known, _| known != path && !known.starts_with(&folder));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stays_until_it_is_removed() {
        let folders = Folders::default();
        folders.left("/a/b/c", 7);
        folders.left("/a/b/d", 9);
        folders.left("/top", 9);
        assert_eq!((folders.get("/a"), folders.get("/a/b")), (Some(7), Some(7)));
        assert_eq!((folders.get("/a/b/c"), folders.get("/"), folders.get("")), (None, None, None));
        assert_eq!(folders.below("/a"), [("/a/b".to_owned(), 7)]);
        assert_eq!(folders.below("/").len(), 2);
        folders.add("/ab", 8);
        folders.remove("/a");
        assert_eq!((folders.get("/a/b"), folders.get("/ab")), (None, Some(8)));
    }

    #[test]
    fn they_are_bounded() {
        let folders = Folders::default();
        for n in 0..=FOLDERS_MAX {
            folders.add(&format!("/{n}"), 1);
        }
        assert_eq!(folders.below("/").len(), FOLDERS_MAX);
    }
}
