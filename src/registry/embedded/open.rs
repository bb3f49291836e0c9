//! Opening: the data directory, its lock, and what to tell an operator where that fails.
//!
//! Knows nothing of what a registry does.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError};

use super::store::{FORMAT_NOW, LoadError, Store};
use crate::registry::memory::state::State;

/// Why the registry of a data directory can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "cannot open registry in {}: another process holds it: stop that process, or give this one a \
         data directory of its own", dir.display()
    )]
    Held {
        /// The directory.
        dir: PathBuf,
    },
    /// It can't be read or written.
    #[error("cannot open registry in {}: {}: {}", dir.display(), lower(source), advice(source))]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A later version wrote it.
    #[error(
        "cannot open registry in {}: its format is {found} and this version reads up to {FORMAT_NOW}: \
         run the version that wrote it, or a later one", dir.display()
    )]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// Its format.
        found: u64,
    },
    /// It holds what no registry of ours holds.
    #[error(
        "cannot open registry in {}: {FILE} is damaged: {why}: restore it from a backup, or move it away \
         to begin with an empty registry", dir.display()
    )]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Whether there is a registry in a directory.
pub(super) fn is_in(dir: &Path) -> bool {
    dir.join(FILE).is_file()
}

/// Opens the registry in a directory; makes both where there are none.
pub(super) fn in_dir(dir: &Path) -> Result<(Store, State), OpenError> {
    let failed = |source| OpenError::Io { dir: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(failed)?;
    let lock = open_file(&dir.join(LOCK_FILE)).map_err(failed)?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::Held { dir: dir.to_owned() },
        TryLockError::Error(source) => failed(source),
    })?;
    if !dir.join(FILE).try_exists().map_err(failed)? {
        create(dir)?;
    }
    let file = open_file(&dir.join(FILE)).map_err(failed)?;
    let (store, state) = load(dir, |builder| builder.create_file(file))?;
    Ok((store.holding(lock), state))
}

/// Makes an empty registry aside and moves it in place whole: a file that redb had only begun to make when the
/// power went, it would refuse for ever.
fn create(dir: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Io { dir: dir.to_owned(), source };
    let begun = dir.join(BEGUN_FILE);
    let file = open_file(&begun).map_err(failed)?;
    // What an earlier start had begun.
    file.set_len(0).map_err(failed)?;
    drop(load(dir, |builder| builder.create_file(file))?);
    fs::rename(&begun, dir.join(FILE)).map_err(failed)?;
    // The entry in the directory must be durable as well, or a power cut could lose the whole file.
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
}

fn open_file(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

/// Opens the registry on other storage.
pub(super) fn on(storage: impl redb::StorageBackend) -> Result<(Store, State), OpenError> {
    load(Path::new("memory"), |builder| builder.create_with_backend(storage))
}

fn load(
    dir: &Path,
    open: impl FnOnce(&redb::Builder) -> Result<Database, DatabaseError>,
) -> Result<(Store, State), OpenError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_OCTETS);
    let database = open(&builder).map_err(|error| refused(dir, error.into()))?;
    Store::load(database).map_err(|error| match error {
        LoadError::Database(error) => refused(dir, error),
        LoadError::Newer(found) => OpenError::Newer { dir: dir.to_owned(), found },
        LoadError::Inconsistent(why) => OpenError::Damaged { dir: dir.to_owned(), why },
    })
}

fn refused(dir: &Path, error: redb::Error) -> OpenError {
    let dir = dir.to_owned();
    match error {
        redb::Error::DatabaseAlreadyOpen => OpenError::Held { dir },
        redb::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
            OpenError::Io { dir, source }
        }
        error => OpenError::Damaged { dir, why: lower(&error) },
    }
}

/// System messages begin with a capital; ours have them in the middle of a line.
fn lower(error: &impl ToString) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "let this user write there, or choose another data directory"
        }
        _ => "check the path and its disk, or choose another data directory",
    }
}

/// The registry's file in its data directory.
const FILE: &str = "registry.redb";

/// A registry that is not complete yet.
const BEGUN_FILE: &str = "registry.redb.new";

/// Locked by the process that has the directory. A file of its own, since redb locks its file only after it
/// was made.
const LOCK_FILE: &str = "registry.lock";

/// What redb may keep of its file in memory: the branches of its trees, so that a write looks for its place
/// there. The registry itself holds every key, and what is read once at the start would fill any cache and stay;
/// a larger one makes no write faster.
const CACHE_OCTETS: usize = 4 * 1024 * 1024;
