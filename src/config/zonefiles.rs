//! Zone files on disk: their text, that of the files they include, and how all of them were when they were read.
//!
//! Knows nothing of how a zone file is written.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::problem::io_reason;
use crate::zone::ZoneName;
use crate::zone::zonefile::{FILE_OCTETS_MAX, ZoneFile, ZoneFileError, ZoneFileErrors};

/// What changes with a file. Times alone are too coarse on some file systems, or are set back by whoever copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    node: (u64, u64),
    octets: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// How files were just before they were read, by path; none where there was no file, or none that may be looked at.
pub type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

impl Stamp {
    /// That of a file as it is now.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let of = |of: Metadata| Self {
            node: (of.dev(), of.ino()),
            octets: of.len(),
            modified: (of.mtime(), of.mtime_nsec()),
            changed: (of.ctime(), of.ctime_nsec()),
        };
        std::fs::metadata(path).ok().map(of)
    }
}

/// Reads a zone file and those that it includes.
///
/// # Errors
/// That the file can't be read, or all that can't be served, with its place.
pub fn read_zone_file(
    path: &Path,
    zone: &ZoneName,
    stamps: &mut Stamps,
) -> Result<ZoneFile, ZoneFileErrors> {
    let text = text_of(path, stamps).map_err(|error| {
        let message = format!("cannot read this zone file: {}", io_reason(&error));
        ZoneFileErrors(vec![ZoneFileError { path: path.into(), line: 0, column: 0, message }])
    })?;
    parse(path, &text, zone, stamps)
}

/// The same for a file whose text was read already.
pub(super) fn parse(
    path: &Path,
    text: &str,
    zone: &ZoneName,
    stamps: &mut Stamps,
) -> Result<ZoneFile, ZoneFileErrors> {
    ZoneFile::parse_with(path, text, zone, &mut |included| {
        text_of(included, stamps).map_err(|error| io_reason(&error))
    })
}

/// A file's text, if it is a file and not too long.
pub(super) fn text_of(path: &Path, stamps: &mut Stamps) -> Result<String, Error> {
    // One that is included twice may change between; what was first seen of it is what is compared.
    stamps.entry(path.to_owned()).or_insert_with(|| Stamp::of(path));
    // Opening a pipe waits for its other end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut text = String::new();
    let read = File::open(path)?.take(FILE_OCTETS_MAX as u64 + 1).read_to_string(&mut text);
    let read = read.map_err(|error| match error.kind() {
        ErrorKind::InvalidData => Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"),
        _ => error,
    })?;
    if read > FILE_OCTETS_MAX {
        let message = format!("it is longer than {FILE_OCTETS_MAX} octets");
        return Err(Error::new(ErrorKind::InvalidData, message));
    }
    Ok(text)
}
