//! What a listener must remember across restarts: a file of its own in the data directory.
//!
//! A file that can't be read stops the start: instances that were registered once, and won't register again before they
//! restart, would be gone without a word.
//!
//! Knows nothing of what is remembered.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::compat::{Files, Room};

/// The version of the file's form that this code writes, and the highest it reads.
const VERSION: u32 = 1;

/// A file that was there and can't be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot read what {listener} clients had registered from {}: {why}: restore that file, or take it away; then each \
     instance is unknown until it registers again",
    path.display()
)]
pub struct SavedError {
    listener: &'static str,
    path: PathBuf,
    why: String,
}

/// The file. Cloning gives the same.
#[derive(Clone)]
pub(in crate::compat) struct Saved {
    inner: Arc<Inner>,
}

struct Inner {
    files: Arc<dyn Files>,
    name: String,
    /// Saves that were asked for.
    asked: AtomicU64,
    /// Those that have been done. Held while one is written: one file is not written twice at once.
    done: Mutex<u64>,
}

#[derive(Serialize, Deserialize)]
struct Stored<T> {
    version: u32,
    saved: T,
}

impl Saved {
    /// Reads what was saved last; the default where nothing was.
    pub(in crate::compat) fn open<T: DeserializeOwned + Default>(
        room: &Room<'_>,
    ) -> Result<(Self, T), SavedError> {
        Self::read(room.compat.files.clone(), room.name)
    }

    pub(super) fn read<T: DeserializeOwned + Default>(
        files: Arc<dyn Files>,
        listener: &'static str,
    ) -> Result<(Self, T), SavedError> {
        let name = file(listener);
        let saved = match files.load(&name) {
            Ok(None) => Ok(T::default()),
            Ok(Some(content)) => decode(&content),
            Err(error) => Err(error.to_string()),
        };
        let path = files.path(&name);
        let saved = saved.map_err(|why| SavedError { listener, path, why })?;
        let (asked, done) = (AtomicU64::new(0), Mutex::new(0));
        Ok((Self { inner: Arc::new(Inner { files, name, asked, done }) }, saved))
    }

    /// What to say where the content is no use.
    pub(in crate::compat) fn broken(room: &Room<'_>, why: String) -> SavedError {
        let path = room.compat.files.path(&file(room.name));
        SavedError { listener: room.name, path, why }
    }

    /// Saves what that gives, when its turn comes. Returns once it is on disk, or what is newer.
    pub(in crate::compat) async fn save<T: Serialize>(
        &self,
        current: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<()> {
        let inner = self.inner.clone();
        let turn = inner.asked.fetch_add(1, SeqCst) + 1;
        let save = move || {
            let mut done = inner.done.lock().unwrap_or_else(PoisonError::into_inner);
            if *done >= turn {
                return Ok(());
            }
            let latest = inner.asked.load(SeqCst);
            let stored = Stored { version: VERSION, saved: current() };
            let content = serde_json::to_vec(&stored).map_err(io::Error::other)?;
            inner.files.save(&inner.name, &content)?;
            *done = latest;
            Ok(())
        };
        tokio::task::spawn_blocking(save).await.map_err(io::Error::other)?
    }
}

fn file(listener: &str) -> String {
    format!("compat-{listener}.json")
}

fn decode<T: DeserializeOwned>(content: &[u8]) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }

    let unreadable = |error: serde_json::Error| format!("its content is not readable: {error}");
    let Versioned { version } = serde_json::from_slice(content).map_err(unreadable)?;
    if version > VERSION {
        return Err(format!("it has version {version}, this server reads up to {VERSION}"));
    }
    serde_json::from_slice::<Stored<T>>(content).map(|stored| stored.saved).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Disk;
    use super::*;

    #[tokio::test]
    async fn what_was_saved_is_there_again() {
        let disk = Arc::new(Disk::default());
        let (saved, nothing) = Saved::read::<Vec<String>>(disk.clone(), "haunt").unwrap();
        assert!(nothing.is_empty());
        saved.save(|| vec!["a".to_owned()]).await.unwrap();
        saved.save(|| vec!["a".to_owned(), "b".to_owned()]).await.unwrap();
        assert_eq!(Saved::read::<Vec<String>>(disk.clone(), "haunt").unwrap().1, ["a", "b"]);
        assert_eq!(Saved::read::<Vec<String>>(disk, "consul").unwrap().1, Vec::<String>::new());
    }

    #[tokio::test]
    async fn saves_that_come_together_are_written_once_or_in_turn() {
        let disk = Arc::new(Disk::default());
        let (saved, _) = Saved::read::<u64>(disk.clone(), "haunt").unwrap();
        let newest = Arc::new(AtomicU64::new(0));
        let mut saves = tokio::task::JoinSet::new();
        for _ in 0..100 {
            newest.fetch_add(1, SeqCst);
            let (saved, newest) = (saved.clone(), newest.clone());
            saves.spawn(async move { saved.save(move || newest.load(SeqCst)).await.unwrap() });
        }
        saves.join_all().await;
        assert_eq!(Saved::read::<u64>(disk, "haunt").unwrap().1, 100);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_what_to_do() {
        for (content, why) in [
            ("{", "its content is not readable: EOF"),
            ("[]", "its content is not readable"),
            (r#"{"version":2,"saved":[]}"#, "it has version 2, this server reads up to 1"),
            (r#"{"version":1,"saved":[7]}"#, "its content is not readable: invalid type"),
        ] {
            let disk = Arc::new(Disk::default());
            disk.save("compat-haunt.json", content.as_bytes()).unwrap();
            let Err(error) = Saved::read::<Vec<String>>(disk, "haunt") else {
                panic!("{content} was read")
            };
            let said = error.to_string();
            let begin =
                "cannot read what haunt clients had registered from data/compat-haunt.json: ";
            assert!(said.starts_with(begin) && said.contains(why), "{said}");
            assert!(said.contains("restore that file, or take it away"), "{said}");
        }
    }
}
