//! Between the client's types and ours.
//!
//! Knows nothing of calls.

use bytes::Bytes;
use etcd_client::{Event, KeyValue, ResponseHeader};

use crate::registry::{Change, Entry, Error, LeaseId, Revision, Stamp};

/// Who answered, and where it stood.
pub(super) fn stamp(header: Option<&ResponseHeader>) -> Result<Stamp, Error> {
    let header = header.ok_or_else(|| Error::Unknown("etcd's answer has no header".to_owned()))?;
    Ok(Stamp { cluster: header.cluster_id(), revision: revision(header.revision()) })
}

/// etcd counts in signed numbers, none of them negative.
pub(super) fn revision(revision: i64) -> Revision {
    u64::try_from(revision).unwrap_or(0)
}

/// A lease's id; etcd's 0 means none.
pub(super) fn lease(id: i64) -> Option<LeaseId> {
    LeaseId::new(id.cast_unsigned())
}

/// A lease's seconds, which etcd limits to 9,000,000,000.
pub(super) fn seconds(ttl: i64) -> u32 {
    u32::try_from(ttl).unwrap_or(if ttl < 0 { 0 } else { u32::MAX })
}

/// A stored key.
pub(super) fn entry(kv: KeyValue) -> Entry {
    let (revision, lease) = (revision(kv.mod_revision()), lease(kv.lease()));
    let (key, value) = kv.into_key_value();
    Entry { key: key.into(), value: value.into(), revision, lease }
}

/// What an event did, and the revision that did it. None for an event without a key.
///
/// Told by the key's version, which a deletion sets to 0 and a put makes at least 1: the client's own
/// reading of the event's type panics on a number it does not know.
pub(super) fn change(event: &Event) -> Option<(Revision, Change)> {
    let kv = event.kv()?;
    let revision = revision(kv.mod_revision());
    if kv.version() == 0 {
        return Some((revision, Change::Delete(Bytes::copy_from_slice(kv.key()))));
    }
    Some((revision, Change::Put(entry(kv.clone()))))
}

/// First key and end of a prefix's range. etcd takes no empty key, and `\0` as end for "to the last".
pub(super) fn range_of(prefix: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let start = if prefix.is_empty() { vec![0] } else { prefix.to_vec() };
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return (start, end);
        }
    }
    (start, vec![0])
}

/// The first key that can follow this one.
pub(super) fn after(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_where_its_prefix_does() {
        let range = |prefix: &[u8]| range_of(prefix);
        assert_eq!(range(b"/rollcall/"), (b"/rollcall/".to_vec(), b"/rollcall0".to_vec()));
        assert_eq!(range(b"a\xff"), (b"a\xff".to_vec(), b"b".to_vec()));
        assert_eq!(range(b"\xff\xff"), (b"\xff\xff".to_vec(), vec![0]));
        assert_eq!(range(b""), (vec![0], vec![0]));
    }

    #[test]
    fn lease_ids_keep_all_64_bits() {
        assert_eq!(lease(0), None);
        let odd = lease(-2).unwrap();
        assert_eq!(odd.get().cast_signed(), -2);
    }

    #[test]
    fn seconds_saturate() {
        assert_eq!(seconds(30), 30);
        assert_eq!(seconds(-1), 0);
        assert_eq!(seconds(9_000_000_000), u32::MAX);
    }
}
