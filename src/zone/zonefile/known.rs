//! What the data consist of of types that are in use and that `domain` does not read: written as octets, they can be
//! held against that at least, since a resolver that knows the type drops the whole message if they are something else.
//!
//! Knows nothing of zones.

use domain::base::iana::Rtype;

/// Longest name, and longest label (RFC 1035 section 2.3.4).
const NAME_OCTETS_MAX: usize = 255;
const LABEL_OCTETS_MAX: usize = 63;

/// A part of the data.
#[derive(Debug, Clone, Copy)]
enum Field {
    /// So many octets.
    Octets(usize),
    /// A name, uncompressed (RFC 3597 section 4).
    Name,
    /// So many octets at least, to the end.
    Rest(usize),
}

/// Whether data have the fields of their type; none where they are not known here.
pub(super) fn are_whole(rtype: Rtype, data: &[u8]) -> Option<bool> {
    let mut rest = data;
    for field in of(rtype)? {
        let octets = match *field {
            Field::Octets(octets) => Some(octets),
            Field::Name => name_octets(rest),
            Field::Rest(least) => Some(rest.len()).filter(|octets| *octets >= least),
        };
        let Some(behind) = octets.and_then(|octets| rest.get(octets..)) else { return Some(false) };
        rest = behind;
    }
    Some(rest.is_empty())
}

fn of(rtype: Rtype) -> Option<&'static [Field]> {
    use Field::{Name, Octets, Rest};
    Some(match rtype.to_int() {
        // AFSDB and RT, RFC 1183 sections 1 and 3.3; KX, RFC 2230 section 3.
        18 | 21 | 36 => &[Octets(2), Name],
        // PX, RFC 2163 section 4.
        26 => &[Octets(2), Name, Name],
        // LOC, RFC 1876 section 2.
        29 => &[Octets(16)],
        // CERT, RFC 4398 section 2.
        37 => &[Rest(6)],
        // EUI48 and EUI64, RFC 7043 sections 3.1 and 4.1.
        108 => &[Octets(6)],
        109 => &[Octets(8)],
        // URI, RFC 7553 section 4.5: a target of one octet is the least.
        256 => &[Rest(5)],
        _ => return None,
    })
}

/// How long the name is that octets begin with.
fn name_octets(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let label = usize::from(*octets.get(at)?);
        at += 1 + label;
        if label > LABEL_OCTETS_MAX || at > NAME_OCTETS_MAX {
            return None;
        }
        if label == 0 {
            return Some(at);
        }
    }
}
