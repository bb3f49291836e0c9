//! Opening: the data directory, its lock, and what to tell an operator where that fails.
//!
//! Knows nothing of what a registry does.

use std::fs::{self, File};
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

/// Opens the registry in a directory; makes both where there are none.
pub(super) fn in_dir(dir: &Path) -> Result<(Store, State), OpenError> {
    let failed = |source| OpenError::Io { dir: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(failed)?;
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join(FILE))
        .map_err(failed)?;
    // The directory's own entry must be durable, or a power cut could lose the whole file.
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
    load(dir, |builder| builder.create_file(file))
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

/// What redb may keep of its file in memory; the registry itself holds every key, so this serves writes only.
const CACHE_OCTETS: usize = 32 * 1024 * 1024;
