//! Zone files (RFC 1035 section 5): the apex of a zone and the records that no registration gives.
//!
//! ```text
//! text --entries--> tokens --normal--> one full line a record --wire (domain)--> records --rules--> zone
//!                     ^                  |
//!                     +---- $INCLUDE ----+
//! ```
//!
//! `entries` cuts the text into entries of tokens, each with its place; `normal` writes every record out in full on
//! one line (owner, time to live in seconds, class, `@` in data by name) and follows `$INCLUDE`; `wire` has the
//! crate `domain` read that line; `rules` holds what is wrong of the whole: no SOA, a CNAME beside other data, a
//! delegation. The first passes are ours because domain 0.12 takes a bare `@` in data for a label, without a word,
//! and knows no `1h`; and because its errors count lines of what it was given. All faults of a file are told, up to
//! a bound, not the first alone.
//!
//! Knows nothing of instances and claims; files are read by whoever hands their text in.

mod entries;
mod fields;
mod known;
mod normal;
mod rules;
mod wire;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::settings::ZoneName;

/// Most octets of a zone file and all that it includes: some 100 octets for each of [`RECORDS_MAX`] records is far
/// above use, and what is read is held in memory several times over.
pub const FILE_OCTETS_MAX: usize = 16 << 20;
/// Most records of a zone file.
pub const RECORDS_MAX: usize = 1_000_000;
/// Files that may be open at once, each included by the one before.
pub const INCLUDE_DEPTH_MAX: usize = 8;
/// Times that a zone file and those below it may say `$INCLUDE`.
pub const INCLUDES_MAX: usize = 1_000;
/// Faults that are told of one zone file. After the last, reading ends.
pub const FAULTS_MAX: usize = 20;

/// One static record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticRecord {
    /// Owner in wire form, lower case, relative to the zone: no zone suffix, no root label; empty at the apex.
    pub owner: Box<[u8]>,
    /// Type number.
    pub rtype: u16,
    /// Time to live in seconds.
    pub ttl_secs: u32,
    /// Data in wire form, names in it uncompressed.
    pub data: Box<[u8]>,
    /// Where it begins.
    pub place: Place,
}

/// A place in a zone file or in one that it includes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which of [`ZoneFile::files`].
    pub file: u16,
    /// The line, from 1; 0 where the file as a whole is meant.
    pub line: u32,
    /// The character in that line, from 1.
    pub column: u32,
}

/// A zone file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneFile {
    /// The file, and those that it includes, each once, as the configuration and `$INCLUDE` name them.
    pub files: Vec<Arc<Path>>,
    /// All records, SOA and NS included, in file order, none twice. Exactly one SOA, at the apex; at least
    /// one NS there; one time to live in a set; no CNAME beside other data.
    pub records: Vec<StaticRecord>,
}

/// Why a zone file can't be served. Displays as `path:line:column: message`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ZoneFileError {
    /// The file, or the included one.
    pub path: Arc<Path>,
    /// The line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// The character in that line, from 1; 0 where there is no line.
    pub column: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

/// All that keeps a zone file from being served, by place, [`FAULTS_MAX`] at most; never empty. Displays one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ZoneFileErrors(pub Vec<ZoneFileError>);

/// Gives the text of a file that is included, or says why it can't.
pub type ReadText<'r> = dyn FnMut(&Path) -> Result<String, String> + 'r;

impl ZoneFile {
    /// Reads a zone file's text, which must include no others. Names without a final dot are relative to the zone
    /// until `$ORIGIN` says otherwise.
    ///
    /// # Errors
    /// What can't be served, with its place.
    pub fn parse(path: &Path, text: &str, zone: &ZoneName) -> Result<Self, ZoneFileErrors> {
        let alone = &mut |_: &Path| Err("this text stands alone".to_owned());
        Self::parse_with(path, text, zone, alone)
    }

    /// The same for a text that may include others: `read` gives theirs.
    ///
    /// # Errors
    /// What can't be served, with its place.
    pub fn parse_with(
        path: &Path,
        text: &str,
        zone: &ZoneName,
        read: &mut ReadText<'_>,
    ) -> Result<Self, ZoneFileErrors> {
        let normal::Content { files, records, mut faults } =
            normal::content(path, text, zone, read);
        let (records, broken) = rules::check(records, &files, faults.is_empty());
        faults.extend(broken);
        if faults.is_empty() {
            return Ok(Self { files, records });
        }
        faults.sort_by_key(|fault| fault.place);
        faults.truncate(FAULTS_MAX);
        let errors = faults.into_iter().map(|Fault { place, message }| ZoneFileError {
            path: files.get(usize::from(place.file)).cloned().unwrap_or_else(|| path.into()),
            line: place.line as usize,
            column: place.column as usize,
            message,
        });
        Err(ZoneFileErrors(errors.collect()))
    }

    /// The file that the configuration names.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self.files.first() {
            Some(path) => path,
            None => Path::new(""),
        }
    }

    /// The file that a record stands in.
    #[must_use]
    pub fn path_of(&self, record: &StaticRecord) -> &Path {
        match self.files.get(usize::from(record.place.file)) {
            Some(path) => path,
            None => self.path(),
        }
    }
}

impl fmt::Display for ZoneFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, message } = self;
        match (line, column) {
            (0, _) => write!(f, "{}: {message}", path.display()),
            (line, 0) => write!(f, "{}:{line}: {message}", path.display()),
            (line, column) => write!(f, "{}:{line}:{column}: {message}", path.display()),
        }
    }
}

impl fmt::Display for ZoneFileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            let gap = if i == 0 { "" } else { "\n" };
            write!(f, "{gap}{error}")?;
        }
        Ok(())
    }
}

/// What is wrong, before it is known by which name the file goes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    place: Place,
    message: String,
}

impl Fault {
    fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into() }
    }
}

/// Type numbers that the passes treat by name (the IANA registry "Domain Name System parameters").
mod types {
    pub(super) const NS: u16 = 2;
    pub(super) const CNAME: u16 = 5;
    pub(super) const SOA: u16 = 6;
    pub(super) const SIG: u16 = 24;
    pub(super) const NXT: u16 = 30;
    pub(super) const DNAME: u16 = 39;
    pub(super) const OPT: u16 = 41;
    pub(super) const DS: u16 = 43;
    pub(super) const RRSIG: u16 = 46;
    pub(super) const NSEC: u16 = 47;
    pub(super) const DNSKEY: u16 = 48;
    pub(super) const NSEC3: u16 = 50;
    pub(super) const NSEC3PARAM: u16 = 51;
    pub(super) const CDS: u16 = 59;
    pub(super) const CDNSKEY: u16 = 60;
    pub(super) const ZONEMD: u16 = 63;
}

#[cfg(test)]
mod tests;
