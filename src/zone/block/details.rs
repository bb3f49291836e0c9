//! What an instance says of itself, while its block is built (RFC 6763 section 6).
//!
//! Knows nothing of the other parts of a block.
#![allow(
    clippy::indexing_slicing,
    reason = "off the query path; places are those of what was written just before"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use super::build::{RECORD_HEADER, record_header};
use super::format::DETAILS_HEADER;
use crate::model::limits;

const TYPE_TXT: u16 = 16;
/// The key that says by which version of a protocol's rules the others are to be read (RFC 6763 section 6.7).
const TXT_VERSION: &str = "txtvers";
/// Octets of a TXT record at most: what our limits on meta allow, lengths and header included.
const TXT_OCTETS_MAX: usize = limits::META_OCTETS_MAX + limits::META_PAIRS_MAX + RECORD_HEADER;

/// Writes what an instance says of itself as a TXT record: one string for each pair, `txtvers` first
/// (RFC 6763 sections 6.4 and 6.7).
pub(super) fn write(octets: &mut Vec<u8>, meta: &BTreeMap<Arc<str>, Arc<str>>, ttl_secs: u32) {
    let length_at = octets.len();
    octets.extend_from_slice(&[0; DETAILS_HEADER]);
    let start = octets.len();
    let is_version = |key: &str| key.eq_ignore_ascii_case(TXT_VERSION);
    let (version, others): (Vec<_>, Vec<_>) = meta.iter().partition(|(key, _)| is_version(key));
    for (key, value) in version.into_iter().chain(others) {
        let pair = key.len() + 1 + value.len();
        // Ours are within the limits; what a foreign layout says too much of is left out.
        let Ok(length) = u8::try_from(pair) else { continue };
        if !is_txt_key(key) || octets.len() - start + pair > TXT_OCTETS_MAX {
            continue;
        }
        // Keys are one whatever their case, and the first counts.
        let mut before = meta.keys().take_while(|other| *other != key);
        if before.any(|other| other.eq_ignore_ascii_case(key)) {
            continue;
        }
        if octets.len() == start {
            record_header(octets, TYPE_TXT, ttl_secs, 0);
        }
        octets.push(length);
        for part in [key.as_bytes(), b"=", value.as_bytes()] {
            octets.extend_from_slice(part);
        }
    }
    // Bounded above.
    let length = (octets.len() - start) as u16;
    octets[length_at..start].copy_from_slice(&length.to_le_bytes());
    if let Some(data) = length.checked_sub(RECORD_HEADER as u16) {
        octets[start + RECORD_HEADER - 2..start + RECORD_HEADER]
            .copy_from_slice(&data.to_be_bytes());
    }
}

/// Whether a key may stand in a TXT record: printable ASCII but `=` (RFC 6763 section 6.4).
fn is_txt_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|octet| matches!(octet, 0x20..=0x7e) && octet != b'=')
}
