//! How long HTTP caches may keep a reply (RFC 8484 section 5.1): no longer than any resolver would.
//!
//! Knows nothing of HTTP.

/// The SOA record's type number (RFC 1035 section 3.2.2).
const TYPE_SOA: u16 = 6;
/// Response codes that caches may keep: no error, and no such name.
const KEPT: [u8; 2] = [0, 3];

/// The smallest TTL of the answer section, or of a negative answer the life that its SOA record gives (RFC 2308
/// section 5). None of anything else: that is true at this moment only.
pub(super) fn freshness_secs(reply: &[u8]) -> Option<u32> {
    let count = |at: usize| Some(u16::from_be_bytes([*reply.get(at)?, *reply.get(at + 1)?]));
    if !KEPT.contains(&(reply.get(3)? & 0x0f)) {
        return None;
    }
    let (questions, answers, authorities) = (count(4)?, count(6)?, count(8)?);
    let mut at = 12;
    for _ in 0..questions {
        at = after_name(reply, at)? + 4;
    }
    let mut least = None;
    for _ in 0..answers {
        let record = Record::at(reply, at)?;
        least = Some(least.map_or(record.ttl_secs, |least: u32| least.min(record.ttl_secs)));
        at = record.end;
    }
    for _ in 0..authorities {
        if least.is_some() {
            break;
        }
        let record = Record::at(reply, at)?;
        if record.rtype == TYPE_SOA {
            let minimum = reply.get(record.end.checked_sub(4)?..record.end)?;
            let minimum = u32::from_be_bytes(minimum.try_into().ok()?);
            least = Some(record.ttl_secs.min(minimum));
        }
        at = record.end;
    }
    least
}

/// What matters of a record (RFC 1035 section 4.1.3).
struct Record {
    rtype: u16,
    ttl_secs: u32,
    end: usize,
}

impl Record {
    fn at(message: &[u8], at: usize) -> Option<Self> {
        let at = after_name(message, at)?;
        let [t0, t1, _, _, l0, l1, l2, l3, d0, d1] =
            *message.get(at..at + 10)?.first_chunk::<10>()?;
        let end = at + 10 + usize::from(u16::from_be_bytes([d0, d1]));
        let whole = end <= message.len();
        let ttl_secs = u32::from_be_bytes([l0, l1, l2, l3]);
        whole.then_some(Self { rtype: u16::from_be_bytes([t0, t1]), ttl_secs, end })
    }
}

/// Where a name ends.
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += usize::from(length) + 1,
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(rcode: u8, answers: u8, authorities: u8, records: &[&[u8]]) -> Vec<u8> {
        let mut octets = vec![0, 0, 0x84, rcode, 0, 1, 0, answers, 0, authorities, 0, 0];
        octets.extend_from_slice(b"\x01a\x03svc\x00\x00\x01\x00\x01");
        octets.extend(records.concat());
        octets
    }

    const FIVE: &[u8] = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a\x00\x00\x01";
    const SIXTY: &[u8] = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x02";
    /// TTL 9, MINIMUM 3.
    const SOA: &[u8] = b"\xc0\x0e\x00\x06\x00\x01\x00\x00\x00\x09\x00\x16\x00\x00\
        \x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00\x03";

    #[test]
    fn the_smallest_time_to_live_counts() {
        assert_eq!(freshness_secs(&message(0, 2, 0, &[SIXTY, FIVE])), Some(5));
        assert_eq!(freshness_secs(&message(0, 1, 1, &[SIXTY, SOA])), Some(60));
        assert_eq!(freshness_secs(&message(3, 0, 1, &[SOA])), Some(3));
        assert_eq!(freshness_secs(&message(0, 0, 2, &[FIVE, SOA])), Some(3));
    }

    #[test]
    fn what_is_true_for_the_moment_is_not_kept() {
        assert_eq!(freshness_secs(&message(2, 0, 0, &[])), None);
        assert_eq!(freshness_secs(&message(5, 0, 1, &[SOA])), None);
        assert_eq!(freshness_secs(&message(0, 0, 0, &[])), None);
        assert_eq!(freshness_secs(&message(0, 1, 0, &[&FIVE[..12]])), None);
        assert_eq!(freshness_secs(&[]), None);
    }
}
