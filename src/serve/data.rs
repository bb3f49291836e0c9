//! The data directory: what must survive this server, and belongs to one process at a time.
//!
//! Knows nothing of what its files mean.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::compat::Files;
use crate::config::io_reason;
use crate::files;

/// A data directory that this process holds.
#[derive(Debug)]
pub(super) struct Data {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The system refuses it.
    #[error(
        "cannot use data directory {}: {}: make it a directory that this user may write to, or choose another \
         with --data",
        path.display(), io_reason(source)
    )]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another server has it.
    #[error(
        "data directory {} is in use: another rollcall holds its lock: stop that one, or give this one a \
         directory of its own with --data",
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
    },
}

impl Files for Data {
    fn load(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.read(name)
    }

    fn save(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.replace(name, content)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Data {
    /// Creates the directory if need be, and takes its lock.
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let unusable = |source| DataError::Unusable { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(unusable)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// What to say where the system refuses a file of it.
    pub(super) fn unusable(&self, source: io::Error) -> DataError {
        DataError::Unusable { path: self.path.clone(), source }
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A file's content; none if it is not there.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path.join(name)) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces a file as a whole: after a crash it is the old one or the new one.
    pub(super) fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        files::replace(&self.path.join(name), content)
    }

    /// Takes a file away, if it is there.
    pub(super) fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.path.join(name));
    }
}
