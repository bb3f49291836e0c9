//! Names that never leave the host, as other resolvers have it: their answers are the same everywhere.
//!
//! `localhost.` and the reverse names of loopback (RFC 6761 section 6.3, RFC 6303 section 4.2), `invalid.` (RFC 6761
//! section 6.4) and `onion.` (RFC 7686 section 2). `test.` and the reverse zones of private networks are forwarded:
//! whoever has them has them upstream. So is one of the names here that the configuration gives upstreams of its own.
//!
//! Knows nothing of who asks.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_resolver::proto::rr::rdata::{PTR, SOA};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::heard::Heard;
use super::name::suffix_at;
use crate::dns::answer::codes::{NOERROR, NXDOMAIN};

/// Times to live: what is answered never changes. The days of RFC 6303 section 3 are longer than needed.
const TTL_SECS: u32 = 3_600;

const LOCALHOST: &[u8] = b"\x09localhost\x00";
const INVALID: &[u8] = b"\x07invalid\x00";
const ONION: &[u8] = b"\x05onion\x00";
const LOOPBACK_V4: &[u8] = b"\x03127\x07in-addr\x04arpa\x00";
const LOOPBACK_V6: &[u8] = b"\x011\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\
    \x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x03ip6\x04arpa\x00";

/// The answer, if the name is one of those; `lower` is the name in wire form and lower case.
pub(super) fn answer(name: &Name, lower: &[u8], rtype: RecordType) -> Option<Heard> {
    let below = |zone: &[u8]| suffix_at(lower, zone);
    let found = |data: RData| Heard {
        answers: vec![Record::from_rdata(name.clone(), TTL_SECS, data)],
        ..Heard::bare(NOERROR)
    };
    if let Some(at) = below(LOCALHOST) {
        return Some(match rtype {
            RecordType::A => found(RData::A(Ipv4Addr::LOCALHOST.into())),
            RecordType::AAAA => found(RData::AAAA(Ipv6Addr::LOCALHOST.into())),
            _ => negative(name, lower, at, NOERROR),
        });
    }
    if let Some(at) = below(LOOPBACK_V4).or_else(|| below(LOOPBACK_V6)) {
        return Some(match rtype {
            // The zone itself is no address.
            RecordType::PTR if at > 0 || lower == LOOPBACK_V6 => Name::from_ascii("localhost.")
                .map_or_else(
                    |_| negative(name, lower, at, NOERROR),
                    |localhost| found(RData::PTR(PTR(localhost))),
                ),
            _ => negative(name, lower, at, NOERROR),
        });
    }
    let at = below(INVALID).or_else(|| below(ONION))?;
    Some(negative(name, lower, at, NXDOMAIN))
}

/// No such name, or no such data, with the SOA of the zone that begins at that octet of the name (RFC 6303 section 3).
fn negative(name: &Name, lower: &[u8], at: usize, rcode: u16) -> Heard {
    let labels = lower.get(at..).map_or(0, label_count);
    let zone = name.trim_to(labels);
    let soa = Name::from_ascii("nobody.invalid.")
        .map(|nobody| SOA::new(zone.clone(), nobody, 1, 3_600, 1_200, 604_800, TTL_SECS));
    let soa = soa.map(|soa| Record::from_rdata(zone, TTL_SECS, RData::SOA(soa)));
    Heard { authorities: soa.into_iter().collect(), ..Heard::bare(rcode) }
}

fn label_count(mut wire: &[u8]) -> usize {
    let mut count = 0;
    while let Some((length @ 1.., rest)) = wire.split_first() {
        wire = rest.get(usize::from(*length)..).unwrap_or_default();
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::super::name;
    use super::*;

    fn ask(text: &str, rtype: RecordType) -> Option<(u16, String)> {
        let asked = Name::from_ascii(text).unwrap();
        let heard = answer(&asked, &name::lower(&asked), rtype)?;
        let first = heard.answers.iter().chain(&heard.authorities).next().unwrap();
        Some((heard.rcode, format!("{} {} {}", first.name, first.record_type(), first.data)))
    }

    #[test]
    fn names_that_never_leave() {
        let said = |text, rtype| ask(text, rtype).unwrap();
        use RecordType::{A, AAAA, MX, PTR};
        assert_eq!(said("localhost.", A), (NOERROR, "localhost. A 127.0.0.1".into()));
        assert_eq!(said("a.LOCALHOST.", AAAA), (NOERROR, "a.LOCALHOST. AAAA ::1".into()));
        let (rcode, soa) = said("a.localhost.", MX);
        assert!(rcode == NOERROR && soa.starts_with("localhost. SOA localhost. nobody.invalid."));
        let one = "1.0.0.127.in-addr.arpa.";
        assert_eq!(said(one, PTR), (NOERROR, format!("{one} PTR localhost.")));
        let v6 = format!("1.{}ip6.arpa.", "0.".repeat(31));
        assert_eq!(said(&v6, PTR), (NOERROR, format!("{v6} PTR localhost.")));
        for text in ["a.invalid.", "b.c.onion."] {
            assert_eq!(said(text, A).0, NXDOMAIN, "{text}");
        }
        for text in ["a.test.", "1.0.0.10.in-addr.arpa.", "localhost.example.", "notinvalid."] {
            assert_eq!(ask(text, PTR), None, "{text}");
        }
    }
}
