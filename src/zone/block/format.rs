//! Where things stand in a block's octets. Numbers are those of [`super::super::packed`].
//!
//! Knows nothing of what is asked.

use super::super::packed::NUMBER;

/// Octets of an A record: owner pointer, type, class, TTL and length are 12 (RFC 1035 section 4.1.3).
pub const A_OCTETS: usize = 16;
/// Octets of an AAAA record.
pub const AAAA_OCTETS: usize = 28;
/// Where the target's name begins in an SRV record: behind priority, weight and port (RFC 2782).
pub const SRV_TARGET: usize = 18;
/// Where the weight stands in an SRV record.
pub(super) const SRV_WEIGHT: usize = 14;

/// Places in the header.
pub(super) const APP_OCTETS: usize = 0;
pub(super) const LARGEST: usize = NUMBER;
pub(super) const WHOLE: usize = 2 * NUMBER;
pub(super) const SERVICES: usize = 3 * NUMBER;
pub(super) const SERVICE_COUNT: usize = 4 * NUMBER;
pub(super) const NAMES: usize = 5 * NUMBER;
pub(super) const NAME_COUNT: usize = 6 * NUMBER;
pub(super) const HEADER: usize = 7 * NUMBER;

/// A name: place of its label; the label's length, its kind, and how many rows an instance has; place of the
/// branch or target that it names.
pub(super) const NAME_OCTETS: usize = 3 * NUMBER;
pub(super) const KIND_INSTANCE: u8 = 0;
pub(super) const KIND_TARGET: u8 = 1;
pub(super) const KIND_TAG: u8 = 2;

/// A service: place and length of its labels.
pub(super) const SERVICE_OCTETS: usize = 2 * NUMBER;

/// A branch: places of its choices of A, AAAA and SRV records, how many services it has; then each of those with
/// the place of its choice.
pub(super) const BRANCH_A: usize = 0;
pub(super) const BRANCH_AAAA: usize = NUMBER;
pub(super) const BRANCH_SRV: usize = 2 * NUMBER;
pub(super) const BRANCH_COUNT: usize = 3 * NUMBER;
pub(super) const BRANCH_SERVICES: usize = 4 * NUMBER;
pub(super) const BRANCH_SERVICE_OCTETS: usize = 2 * NUMBER;

/// A target: how many A and AAAA records follow; they do. Behind an instance's own come its rows, then its details.
pub(super) const TARGET_HEADER: usize = 2;

/// A row: its target, its service, its instance's label, its record's length; then the record.
pub(super) const ROW_TARGET: usize = 0;
pub(super) const ROW_SERVICE: usize = NUMBER;
/// The place of the label's length.
pub(super) const ROW_LABEL: usize = 2 * NUMBER;
pub(super) const ROW_OCTETS: usize = 3 * NUMBER;
pub(super) const ROW_HEADER: usize = 3 * NUMBER + 2;
/// In the place of the label: the row before is of the same instance and service too. Blocks stay far below 2 GiB.
pub(super) const ROW_REPEATS: u32 = 1 << 31;

/// Details: the length of a TXT record, 0 where there is none; then the record.
pub(super) const DETAILS_HEADER: usize = 2;

/// Binary search over entries that are no slice.
#[inline]
pub(super) fn search(count: usize, compare: impl Fn(usize) -> std::cmp::Ordering) -> Option<usize> {
    let at = partition_point(count, |index| compare(index).is_lt());
    (at < count && compare(at).is_eq()).then_some(at)
}

/// Where the entries begin of which that is not true.
#[inline]
pub(super) fn partition_point(count: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
