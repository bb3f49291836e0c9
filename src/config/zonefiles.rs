//! Zone files on disk: their text, and that of the files they include.
//!
//! Knows nothing of how a zone file is written.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _};
use std::path::Path;

use super::problem::io_reason;
use crate::zone::ZoneName;
use crate::zone::zonefile::{FILE_OCTETS_MAX, ZoneFile, ZoneFileError, ZoneFileErrors};

/// Reads a zone file and those that it includes. `asked` is told of each before it is opened.
///
/// # Errors
/// That the file can't be read, or all that can't be served, with its place.
pub fn read_zone_file(
    path: &Path,
    zone: &ZoneName,
    asked: &mut dyn FnMut(&Path),
) -> Result<ZoneFile, ZoneFileErrors> {
    asked(path);
    let text = text_of(path).map_err(|error| {
        let message = format!("cannot read this zone file: {}", io_reason(&error));
        ZoneFileErrors(vec![ZoneFileError { path: path.into(), line: 0, column: 0, message }])
    })?;
    parse(path, &text, zone, asked)
}

/// The same for a file whose text was read already.
pub(super) fn parse(
    path: &Path,
    text: &str,
    zone: &ZoneName,
    asked: &mut dyn FnMut(&Path),
) -> Result<ZoneFile, ZoneFileErrors> {
    ZoneFile::parse_with(path, text, zone, &mut |included| {
        asked(included);
        text_of(included).map_err(|error| io_reason(&error))
    })
}

/// A file's text, if it is a file and not too long.
pub(super) fn text_of(path: &Path) -> Result<String, Error> {
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
