//! Zone files on disk: their text and that of the files they include, with how all of them were when they were read.
//!
//! Knows nothing of how a zone file is written.

use std::io::{Error, ErrorKind};
use std::path::Path;

use super::problem::io_reason;
use crate::files::{self, Stamp, Stamps};
use crate::zone::ZoneName;
use crate::zone::zonefile::{FILE_OCTETS_MAX, ZoneFile, ZoneFileError, ZoneFileErrors};

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
    String::from_utf8(files::read(path, FILE_OCTETS_MAX)?)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}
