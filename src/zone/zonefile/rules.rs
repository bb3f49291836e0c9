//! What a zone's records must be together (RFC 1034 section 3.6.2, RFC 2181), and what is not served yet.
//!
//! Knows nothing of how they were written.

use domain::base::iana::Rtype;

use super::{Fault, StaticRecord, types};

/// Checks all records and drops those that are there twice.
pub(super) fn check(mut records: Vec<StaticRecord>) -> Result<Vec<StaticRecord>, Fault> {
    for record in &records {
        alone(record)?;
    }
    apex(&records)?;
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_unstable_by(|a, b| {
        let key = |at: usize| (&records[at].owner, records[at].rtype, &records[at].data, at);
        key(*a).cmp(&key(*b))
    });
    let mut first: Option<Fault> = None;
    let mut doubles = vec![false; records.len()];
    for pair in order.windows(2) {
        let (one, next) = (&records[pair[0]], &records[pair[1]]);
        if one.owner != next.owner {
            continue;
        }
        if one.rtype == next.rtype && one.data == next.data && one.ttl_secs == next.ttl_secs {
            doubles[pair[1]] = true;
            continue;
        }
        // Records of one owner follow one another, CNAME before most types but after A and NS: whichever
        // comes first, the two that meet are named.
        if let Some(fault) = together(one, next)
            && first.as_ref().is_none_or(|earlier| fault.line < earlier.line)
        {
            first = Some(fault);
        }
    }
    if let Some(fault) = first {
        return Err(fault);
    }
    let mut keep = doubles.iter().map(|double| !double);
    records.retain(|_| keep.next().unwrap_or(true));
    Ok(records)
}

/// What one record may not be, whatever stands beside it.
fn alone(record: &StaticRecord) -> Result<(), Fault> {
    let refuse = |message: &str| Err(Fault::new(record.line, message));
    if labels(&record.owner).any(|label| label == b"*") {
        return refuse("wildcards are not served yet: write the names out");
    }
    match record.rtype {
        types::SOA if !record.owner.is_empty() => refuse("SOA below the zone's own name"),
        types::NS if !record.owner.is_empty() => {
            refuse("NS below the zone's own name: delegations are not served yet")
        }
        _ => Ok(()),
    }
}

/// Why a type can't be served at all, whatever its data.
pub(super) fn refused_type(rtype: u16) -> Option<&'static str> {
    Some(match rtype {
        types::DNAME => "DNAME is not served yet",
        types::DS => "DS belongs to a delegation, which is not served yet",
        types::RRSIG | types::NSEC | types::NSEC3 | types::NSEC3PARAM => {
            "signed zones are not served: leave out RRSIG, NSEC and NSEC3 records"
        }
        // Questions and transports have these, zones do not (RFC 6895 section 3.1).
        0 | types::OPT | 128..=255 => "a type of questions and messages, not of data",
        _ => return None,
    })
}

/// One SOA and at least one NS.
fn apex(records: &[StaticRecord]) -> Result<(), Fault> {
    let at_apex = |rtype| records.iter().filter(move |r| r.owner.is_empty() && r.rtype == rtype);
    let mut soas = at_apex(types::SOA);
    let Some(soa) = soas.next() else {
        return Err(Fault::new(0, "has no SOA record: give one at the zone's own name"));
    };
    if let Some(second) = soas.find(|other| other.data != soa.data) {
        let message = format!("second SOA record, the first is on line {}", soa.line);
        return Err(Fault::new(second.line, message));
    }
    if at_apex(types::NS).next().is_none() {
        return Err(Fault::new(0, "has no NS record: give one at the zone's own name"));
    }
    Ok(())
}

/// What two different records of one owner may not be together.
fn together(one: &StaticRecord, next: &StaticRecord) -> Option<Fault> {
    let (earlier, later) = if one.line <= next.line { (one, next) } else { (next, one) };
    if one.rtype == types::CNAME || next.rtype == types::CNAME {
        let message = format!(
            "CNAME beside other data (line {}): an alias has nothing else (RFC 2181 section 10.1)",
            earlier.line
        );
        return Some(Fault::new(later.line, message));
    }
    (one.rtype == next.rtype && one.ttl_secs != next.ttl_secs).then(|| {
        let message = format!(
            "{} records of one name have times to live {} (line {}) and {}: make them equal (RFC 2181 section 5.2)",
            Rtype::from_int(one.rtype), earlier.ttl_secs, earlier.line, later.ttl_secs,
        );
        Fault::new(later.line, message)
    })
}

/// The labels of a relative name in wire form.
fn labels(owner: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = owner;
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first()?;
        let (label, after) = after.split_at_checked(usize::from(*length))?;
        rest = after;
        Some(label)
    })
}
