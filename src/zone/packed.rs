//! Numbers and slices in one run of octets: how blocks and choices are kept, so that a query finds all of an app
//! in neighbouring cache lines.
//!
//! Little endian, unaligned. A place that is not there reads as 0 or as nothing: what was written by
//! [`super::block`] is whole, and a fault there must cost an answer, never the server.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

/// Octets of a place or a count.
pub(super) const NUMBER: usize = 4;

/// The number of 16 bits there.
#[inline]
pub(super) fn u16_at(octets: &[u8], at: usize) -> u16 {
    octets.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |two| u16::from_le_bytes(*two))
}

/// The number of 32 bits there.
#[inline]
pub(super) fn u32_at(octets: &[u8], at: usize) -> u32 {
    octets.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |four| u32::from_le_bytes(*four))
}

/// The number of 32 bits there, as a place.
#[inline]
pub(super) fn place_at(octets: &[u8], at: usize) -> usize {
    u32_at(octets, at) as usize
}

/// The number of 64 bits there.
#[inline]
pub(super) fn u64_at(octets: &[u8], at: usize) -> u64 {
    octets.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |eight| u64::from_le_bytes(*eight))
}

/// So many octets from there.
#[inline]
pub(super) fn slice(octets: &[u8], at: usize, len: usize) -> &[u8] {
    octets.get(at..).and_then(|behind| behind.get(..len)).unwrap_or_default()
}

/// The place where the next octet will stand. A block of the largest app stays below 1 GiB: 10,000 instances of 16
/// endpoints with 272 addresses, names of 255 octets and 16 tags that all of them have.
pub(super) fn place(octets: &[u8]) -> u32 {
    octets.len() as u32
}

/// Appends a number.
pub(super) fn push(octets: &mut Vec<u8>, number: u32) {
    octets.extend_from_slice(&number.to_le_bytes());
}

/// Overwrites a number that was appended before.
pub(super) fn set(octets: &mut [u8], at: usize, number: u32) {
    if let Some(four) = octets.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *four = number.to_le_bytes();
    }
}
