//! Zone files (RFC 1035 section 5): the apex of a zone and the records that no registration gives.
//!
//! Three passes. `entries` cuts the text into entries of tokens, each with its line; `normal` writes every
//! record out in full on one line (owner, time to live in seconds, class, `@` in data by name), which the
//! crate `domain` then reads; `rules` holds what is wrong of the whole: no SOA, a CNAME beside other data,
//! a delegation. The first pass is ours because domain 0.12 takes a bare `@` in data for a label, without a
//! word, and knows no `1h`; and because its errors count lines of what it was given.
//!
//! Knows nothing of instances and claims; the file was read by whoever hands its text in.

mod entries;
mod normal;
mod rules;

use std::path::Path;
use std::sync::Arc;

use super::settings::ZoneName;

/// Longest zone file, in octets: some 100 octets for each of [`RECORDS_MAX`] records is far above use, and
/// what is read is held in memory several times over.
pub const FILE_OCTETS_MAX: usize = 16 << 20;
/// Most records of a zone file.
pub const RECORDS_MAX: usize = 1_000_000;

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
    /// Line in the file where it begins, from 1.
    pub line: usize,
}

/// A zone file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneFile {
    /// The file as the configuration names it, for messages.
    pub path: Arc<Path>,
    /// All records, SOA and NS included, in file order, none twice. Exactly one SOA, at the apex; at least
    /// one NS there; one time to live in a set; no CNAME beside other data.
    pub records: Vec<StaticRecord>,
}

/// Why a zone file can't be served. Displays as `path:line: message`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {message}", path.display())]
pub struct ZoneFileError {
    /// The file.
    pub path: Arc<Path>,
    /// The line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

impl ZoneFile {
    /// Reads a zone file's text. Names without a final dot are relative to the zone until `$ORIGIN` says
    /// otherwise.
    ///
    /// # Errors
    /// The first thing that can't be served, with its line.
    pub fn parse(path: &Path, text: &str, zone: &ZoneName) -> Result<Self, ZoneFileError> {
        let path: Arc<Path> = path.into();
        read(text, zone)
            .map(|records| Self { path: path.clone(), records })
            .map_err(|fault| ZoneFileError { path, line: fault.line, message: fault.message })
    }
}

/// What is wrong, before it is known of which file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    line: usize,
    message: String,
}

impl Fault {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

fn read(text: &str, zone: &ZoneName) -> Result<Vec<StaticRecord>, Fault> {
    if text.len() > FILE_OCTETS_MAX {
        let message =
            format!("is {} octets long, at most {FILE_OCTETS_MAX} are allowed", text.len());
        return Err(Fault::new(0, message));
    }
    let records = normal::records(text, zone)?;
    rules::check(records)
}

/// Type numbers that the passes treat by name (the IANA registry "Domain Name System parameters").
mod types {
    pub(super) const NS: u16 = 2;
    pub(super) const CNAME: u16 = 5;
    pub(super) const SOA: u16 = 6;
    pub(super) const DNAME: u16 = 39;
    pub(super) const OPT: u16 = 41;
    pub(super) const DS: u16 = 43;
    pub(super) const RRSIG: u16 = 46;
    pub(super) const NSEC: u16 = 47;
    pub(super) const NSEC3: u16 = 50;
    pub(super) const NSEC3PARAM: u16 = 51;
}

#[cfg(test)]
mod tests;
