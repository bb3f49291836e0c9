//! What this listener is about to do to a key, so that the watch, which only sees the outcome, can be told by its name.
//!
//! A watch can't tell `create` from `set`, nor a deletion from an expiry; and it shows a refresh that had to write. So each
//! write leaves a note before it is sent, under the key and the revision that the write is bound to: the change that
//! leads on from that revision is the one that was meant. What others do, other servers of ours among them, has no note: it
//! is told as `set`, and what went by what became of its lease (`wait`).
//!
//! Knows nothing of the registry's calls.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::node::Action;
use crate::registry::Revision;

/// Notes at once: those of writes that went unseen, since the registry was lost, are too many then.
const INTENTS_MAX: usize = 4_096;
/// A note that old will not be asked for any more.
const AGE_MAX: Duration = Duration::from_secs(60);

/// What is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Intent {
    /// What is done.
    pub(super) action: Action,
    /// Nobody is to hear of it, if the value stays as it was.
    pub(super) quiet: bool,
    /// The key is written to end at once.
    pub(super) over: bool,
}

/// The notes.
#[derive(Debug, Default)]
pub(super) struct Intents {
    notes: Mutex<HashMap<(Bytes, Revision), (Instant, Intent)>>,
}

impl Intents {
    /// Notes what is about to be done to a key that was written last at that revision; 0: that is not there.
    pub(super) fn note(&self, key: &Bytes, before: Revision, intent: Intent) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() >= INTENTS_MAX {
            notes.retain(|_, (noted, _)| noted.elapsed() < AGE_MAX);
        }
        if notes.len() < INTENTS_MAX {
            notes.insert((key.clone(), before), (Instant::now(), intent));
        }
    }

    /// It was not done.
    pub(super) fn forget(&self, key: &Bytes, before: Revision) {
        let _ = self.take(key, before);
    }

    /// What was meant by the change of a key that leads on from that revision.
    pub(super) fn take(&self, key: &Bytes, before: Revision) -> Option<Intent> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.remove(&(key.clone(), before)).map(|(_, intent)| intent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTENT: Intent = Intent { action: Action::Create, quiet: false, over: false };

    #[test]
    fn a_note_is_of_one_step_and_taken_once() {
        let (intents, key) = (Intents::default(), Bytes::from_static(b"/a"));
        intents.note(&key, 7, INTENT);
        assert_eq!(intents.take(&key, 8), None);
        assert_eq!(intents.take(&key, 7), Some(INTENT));
        assert_eq!(intents.take(&key, 7), None);
        intents.note(&key, 7, INTENT);
        intents.forget(&key, 7);
        assert_eq!(intents.take(&key, 7), None);
    }

    #[test]
    fn notes_are_bounded() {
        let intents = Intents::default();
        for n in 0..=INTENTS_MAX {
            intents.note(&Bytes::from(n.to_string()), 0, INTENT);
        }
        assert_eq!(intents.notes.lock().unwrap().len(), INTENTS_MAX);
    }
}
