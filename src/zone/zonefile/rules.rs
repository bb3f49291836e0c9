//! What a zone's records must be together (RFC 1034 section 3.6.2, RFC 2181), and what is not served.
//!
//! What is refused here is what would be answered wrongly: it needs the server to do more than to look the record
//! up, and this one does not.
//!
//! Knows nothing of how they were written.

use std::path::Path;
use std::sync::Arc;

use domain::base::iana::Rtype;

use super::{Fault, Place, StaticRecord, types};

/// Checks all records and drops those that are there twice; gives what is wrong with them. `complete` says that none
/// is missing because it could not be read.
pub(super) fn check(
    mut records: Vec<StaticRecord>,
    files: &[Arc<Path>],
    complete: bool,
) -> (Vec<StaticRecord>, Vec<Fault>) {
    let mut faults: Vec<Fault> = records.iter().filter_map(alone).collect();
    faults.extend(apex(&records, files, complete));
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_unstable_by(|a, b| {
        let key = |at: usize| (&records[at].owner, records[at].rtype, &records[at].data, at);
        key(*a).cmp(&key(*b))
    });
    let mut doubles = vec![false; records.len()];
    for of_one in order.chunk_by(|a, b| records[*a].owner == records[*b].owner) {
        for pair in of_one.windows(2) {
            let (one, next) = (&records[pair[0]], &records[pair[1]]);
            if one.rtype == next.rtype && one.data == next.data && one.ttl_secs == next.ttl_secs {
                doubles[pair[1]] = true;
            } else {
                faults.extend(unequal(one, next, files));
            }
        }
        faults.extend(alias(of_one.iter().map(|at| &records[*at]), &doubles, of_one, files));
    }
    let mut keep = doubles.iter().map(|double| !double);
    records.retain(|_| keep.next().unwrap_or(true));
    (records, faults)
}

/// What one record may not be, whatever stands beside it.
fn alone(record: &StaticRecord) -> Option<Fault> {
    let refuse = |message: &str| Some(Fault::new(record.place, message));
    match record.rtype {
        types::SOA if !record.owner.is_empty() => refuse("SOA below the zone's own name"),
        types::NS if !record.owner.is_empty() => refuse(
            "NS below the zone's own name: a delegation is answered with a referral, which is not served",
        ),
        types::CNAME if record.owner.is_empty() => refuse(
            "CNAME at the zone's own name, where SOA and NS are: an alias has nothing else (RFC 1034 section 3.6.2)",
        ),
        _ => None,
    }
}

/// Why a type can't be served at all, whatever its data.
pub(super) fn refused_type(rtype: u16) -> Option<&'static str> {
    Some(match rtype {
        types::DNAME => {
            "DNAME is not served: each name below it would need an answer made for it (RFC 6672)"
        }
        types::DS => "DS belongs to a delegation, which is not served",
        types::RRSIG | types::NSEC | types::NSEC3 | types::NSEC3PARAM | types::SIG | types::NXT => {
            "signed zones are not served: leave out RRSIG, NSEC, NSEC3 and NSEC3PARAM records"
        }
        types::DNSKEY | types::CDS | types::CDNSKEY => {
            "signed zones are not served: leave out DNSKEY, CDS and CDNSKEY records"
        }
        types::ZONEMD => {
            "ZONEMD is a digest of the whole zone, which changes with what is registered (RFC 8976): leave it out"
        }
        // Questions and transports have these, zones do not (RFC 6895 section 3.1).
        0 | types::OPT | 128..=255 => "a type of questions and messages, not of data",
        _ => return None,
    })
}

/// One SOA and at least one NS.
fn apex(records: &[StaticRecord], files: &[Arc<Path>], complete: bool) -> Vec<Fault> {
    let at_apex = |rtype| records.iter().filter(move |r| r.owner.is_empty() && r.rtype == rtype);
    let mut soas = at_apex(types::SOA);
    let Some(soa) = soas.next() else {
        let message = "has no SOA record: give one at the zone's own name";
        return if complete { vec![Fault::new(Place::default(), message)] } else { Vec::new() };
    };
    let mut faults: Vec<Fault> = soas
        .filter(|other| other.data != soa.data)
        .map(|second| {
            let first = shown(soa.place, second.place, files);
            Fault::new(second.place, format!("second SOA record, the first is on {first}"))
        })
        .collect();
    if complete && at_apex(types::NS).next().is_none() {
        let message = "has no NS record: give one at the zone's own name";
        faults.push(Fault::new(Place::default(), message));
    }
    faults
}

/// One set has one time to live.
fn unequal(one: &StaticRecord, next: &StaticRecord, files: &[Arc<Path>]) -> Option<Fault> {
    if one.rtype != next.rtype || one.ttl_secs == next.ttl_secs {
        return None;
    }
    let (earlier, later) = if one.place <= next.place { (one, next) } else { (next, one) };
    let message = format!(
        "{} records of one name have times to live {} ({}) and {}: make them equal (RFC 2181 section 5.2)",
        Rtype::from_int(one.rtype),
        earlier.ttl_secs,
        shown(earlier.place, later.place, files),
        later.ttl_secs,
    );
    Some(Fault::new(later.place, message))
}

/// An alias has nothing beside it; of one name the first place that breaks this is told.
fn alias<'r>(
    of_one: impl Iterator<Item = &'r StaticRecord> + Clone,
    doubles: &[bool],
    order: &[usize],
    files: &[Arc<Path>],
) -> Option<Fault> {
    let all = || of_one.clone().zip(order).filter(|(_, at)| !doubles[**at]).map(|(one, _)| one);
    let alias = all().find(|one| one.rtype == types::CNAME && !one.owner.is_empty())?;
    let other = all().filter(|one| !std::ptr::eq(*one, alias)).min_by_key(|one| one.place)?;
    let (earlier, later) = if alias.place <= other.place { (alias, other) } else { (other, alias) };
    let message = format!(
        "CNAME beside other data ({}): an alias has nothing else (RFC 2181 section 10.1)",
        shown(earlier.place, later.place, files)
    );
    Some(Fault::new(later.place, message))
}

/// A place for whoever is told of another one.
fn shown(place: Place, from: Place, files: &[Arc<Path>]) -> String {
    match files.get(usize::from(place.file)) {
        Some(path) if place.file != from.file => format!("{}:{}", path.display(), place.line),
        _ => format!("line {}", place.line),
    }
}
