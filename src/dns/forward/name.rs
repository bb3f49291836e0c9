//! Names as the resolver's library has them, in the wire form that ours have.
//!
//! Knows nothing of what they stand for.

use hickory_resolver::proto::rr::Name;

/// A name in wire form, the root label included.
pub(super) fn wire(name: &Name) -> Vec<u8> {
    let mut wire = Vec::with_capacity(name.len() + 2);
    for label in name.iter() {
        // A label has at most 63 octets.
        wire.push(label.len() as u8);
        wire.extend_from_slice(label);
    }
    wire.push(0);
    wire
}

/// The same in lower case (RFC 4343). Lengths are below 64, so that folding letters leaves them alone.
pub(super) fn lower(name: &Name) -> Vec<u8> {
    let mut wire = wire(name);
    wire.make_ascii_lowercase();
    wire
}

/// Where, in a name, one begins that is the same or above it; both in wire form and lower case.
pub(super) fn suffix_at(name: &[u8], suffix: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = name.get(at..)?;
        if rest == suffix {
            return Some(at);
        }
        match rest.first() {
            Some(length @ 1..) => at += 1 + usize::from(*length),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_begins_at_a_label() {
        let name = |text: &str| lower(&Name::from_ascii(text).unwrap());
        let whole = name("WWW.example.org.");
        assert_eq!(suffix_at(&whole, &whole), Some(0));
        assert_eq!(suffix_at(&whole, &name("example.org")), Some(4));
        assert_eq!(suffix_at(&whole, &[0]), Some(16));
        assert_eq!(suffix_at(&whole, &name("ample.org.")), None);
        // The octets agree, but they begin inside a label.
        assert_eq!(suffix_at(b"\x04ab\x01c\x00", b"\x01c\x00"), None);
    }
}
