//! What happened before a history begins, as far as the registry still knows: its own history goes further back, and
//! over this server's starts.
//!
//! Two views tell it: that of the revision which the client has seen, and that at which the history begins. Of a key that
//! was written several times between them the last write is told, and nothing of one that came and went. When a key went,
//! is found by halving the revisions between.
//!
//! That spares most clients the error 401. Zan's takes it for no reason to read anew, and after a start of this server all
//! that wait would get it.
//!
//! Knows nothing of waiting.

use std::collections::BTreeMap;

use super::fault::{Code, Fault};
use super::history::{Told, Written};
use super::keys::{Keys, failed};
use super::node::{Action, Life, Node, is_hidden};
use crate::registry::{Entry, Revision};

/// Keys that may have gone meanwhile: each takes some questions, as many as the binary logarithm of the revisions between.
const GONE_MAX: usize = 32;

/// What is known of the past.
pub(super) enum Recalled {
    /// The first event of it.
    Event(Box<Told>),
    /// There was none.
    Nothing,
    /// It can't be told.
    Unknown,
}

/// One key's difference between two views.
struct Difference {
    revision: Revision,
    path: String,
    was: Option<Entry>,
    now: Option<Entry>,
}

impl Keys {
    /// The first event of a key, or of all in a folder, from one index to another, both of them included.
    pub(super) async fn recall(
        &self,
        path: &str,
        recursive: bool,
        from: Revision,
        to: Revision,
    ) -> Result<Recalled, Fault> {
        match self.first_difference(path, recursive, from, to).await {
            Ok(Some(first)) => Ok(Recalled::Event(Box::new(self.recalled(first)))),
            Ok(None) => Ok(Recalled::Nothing),
            Err(Some(fault)) if fault.code() != Code::EventIndexCleared => Err(fault),
            Err(_) => Ok(Recalled::Unknown),
        }
    }

    /// Fails without a fault where more is to be told than there is a way for.
    async fn first_difference(
        &self,
        path: &str,
        recursive: bool,
        from: Revision,
        to: Revision,
    ) -> Result<Option<Difference>, Option<Fault>> {
        let mut before = match from {
            0 | 1 => BTreeMap::new(),
            from => self.view(path, recursive, from - 1).await?,
        };
        let after = self.view(path, recursive, to).await?;
        let mut differences = Vec::new();
        for (path, now) in after {
            let was = before.remove(&path);
            if now.revision >= from {
                differences.push(Difference { revision: now.revision, path, was, now: Some(now) });
            }
        }
        if before.len() > GONE_MAX {
            return Err(None);
        }
        for (path, was) in before {
            let revision = self.deletion(&was, from, to).await?;
            differences.push(Difference { revision, path, was: Some(was), now: None });
        }
        differences.sort_by_key(|difference| difference.revision);
        match differences.as_slice() {
            [one, other, ..] if one.revision == other.revision => Err(None),
            _ => Ok(differences.into_iter().next()),
        }
    }

    /// All that a wait would be told of, as it stood at a revision.
    async fn view(
        &self,
        path: &str,
        recursive: bool,
        at: Revision,
    ) -> Result<BTreeMap<String, Entry>, Option<Fault>> {
        let key = self.shared.places.key(path);
        let mut below = if recursive { self.shared.places.below(path) } else { Vec::new() };
        // Often it holds what is below as well, and other keys that begin alike.
        below.extend(key.clone().filter(|key| !below.iter().any(|below| key.starts_with(below))));
        let (_, entries) = self.list_all(path, &below, false, Some(at)).await?;
        let folder = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        let asked = entries.into_iter().filter(|(other, _)| {
            other == path || recursive && other.starts_with(&folder) && !is_hidden(path, other)
        });
        Ok(asked.collect())
    }

    /// The revision that deleted a key which was there before `from`, and is not there at `to`.
    async fn deletion(
        &self,
        was: &Entry,
        from: Revision,
        to: Revision,
    ) -> Result<Revision, Option<Fault>> {
        let (mut there, mut gone) = (from - 1, to);
        while gone - there > 1 {
            let at = there + (gone - there) / 2;
            let listing = self.registry.list(&was.key, true, Some(at)).await;
            let listing = listing.map_err(|error| Some(failed(&error)))?;
            let is_there = listing.entries.iter().any(|entry| entry.key == was.key);
            *(if is_there { &mut there } else { &mut gone }) = at;
        }
        Ok(gone)
    }

    fn recalled(&self, difference: Difference) -> Told {
        let Difference { revision, path, was, now } = difference;
        let at = (self.shared.clock)();
        let lease = was.as_ref().filter(|_| now.is_none()).and_then(|was| was.lease);
        let action = match (&now, lease) {
            (Some(_), _) => Action::Set,
            (None, Some(_)) => Action::Expire,
            (None, None) => Action::Delete,
        };
        let was = was.map(|was| {
            let life = match action {
                Action::Expire => Life::Until(at, 0),
                _ => self.shared.lived(was.lease, at),
            };
            Node::file(&path, &was.value, life, was.revision)
        });
        let now = now.map(|Entry { value, lease, .. }| Written { value, lease, over: false });
        Told { revision, path, action, now, was, lease, at }
    }
}
