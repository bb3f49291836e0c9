//! SOA serials: a zone gets a new one when, and only when, its records change.
//!
//! The next serial is the larger, in RFC 1982 arithmetic, of the one before plus 1 and the low 32 bits of the
//! registry's revision: so servers that share a registry have nearly the same, and none ever goes back. The
//! last serial of each zone is kept in the data directory together with a digest of what it stood for,
//! so that a restart without a change gives no new one.

use serde::{Deserialize, Serialize};

use super::settings::ZoneName;
use crate::registry::Revision;

/// A zone's serial and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSerial {
    /// The zone.
    pub zone: ZoneName,
    /// Its serial.
    pub serial: u32,
    /// Digest of the records that it stands for; none: of none yet.
    pub digest: Option<u64>,
}

/// The serial after `last`, at that revision.
pub(super) fn next(last: u32, revision: Revision) -> u32 {
    let after = last.wrapping_add(1);
    // The low 32 bits are what is wanted.
    let wanted = (revision & u64::from(u32::MAX)) as u32;
    if is_after(wanted, after) { wanted } else { after }
}

/// Whether `a` is later than `b` (RFC 1982 section 3.2).
fn is_after(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_revision_and_never_goes_back() {
        assert_eq!(next(0, 7), 7);
        assert_eq!(next(7, 7), 8);
        assert_eq!(next(100, 7), 101);
        assert_eq!(next(u32::MAX, 3), 3);
        assert_eq!(next(u32::MAX, 0), 0);
        assert_eq!(next(5, (1 << 32) + 9), 9);
    }
}
