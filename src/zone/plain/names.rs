//! Names of plain records in wire form, and as paths: the labels of a name last to first, each behind its length, so that
//! what is below a name begins with it and stands together in order.
//!
//! Knows nothing of records.

use crate::layout::FullName;
use crate::zone::wire;

/// Names of addresses are below this one (RFC 1035 section 3.5, RFC 3596 section 2.5).
const ARPA: &[u8] = b"\x04arpa\x00";

/// A name in wire form, with the root label.
pub(in crate::zone) fn absolute(name: &FullName) -> Box<[u8]> {
    text(name.as_str())
}

/// The same of a host name: labels of 1 to 63 octets joined by dots, 253 in all.
pub(super) fn text(name: &str) -> Box<[u8]> {
    let mut octets = Vec::with_capacity(name.len() + 2);
    name.split('.').for_each(|label| wire::push_label(&mut octets, label.as_bytes()));
    octets.push(0);
    octets.into()
}

/// Whether it is a name for addresses, which point to hosts.
pub(super) fn is_arpa(absolute: &[u8]) -> bool {
    absolute.ends_with(ARPA)
}

/// The path of a relative name, or the relative name of a path.
pub(super) fn turned(name: &[u8]) -> Box<[u8]> {
    let mut octets = vec![0; name.len()];
    let mut free = octets.as_mut_slice();
    let mut rest = name;
    while let Some((label, behind)) = wire::split(rest) {
        let (front, place) = free.split_at_mut(free.len().saturating_sub(1 + label.len()));
        // A label has at most 63 octets.
        place
            .iter_mut()
            .zip([label.len() as u8].iter().chain(label))
            .for_each(|(to, from)| *to = *from);
        (free, rest) = (front, behind);
    }
    octets.into()
}

/// The paths of the names above one, farthest first, without the zone's own and with the name itself.
pub(super) fn way(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (label, _) = wire::split(path.get(at..)?)?;
        at += 1 + label.len();
        path.get(..at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_names_turned() {
        let name = b"\x02r1\x05redis\x01x";
        let path = b"\x01x\x05redis\x02r1";
        assert_eq!(*turned(name), *path);
        assert_eq!(*turned(path), *name);
        assert_eq!(*turned(b""), *b"");
        let all: Vec<&[u8]> = way(path).collect();
        assert_eq!(all, [&b"\x01x"[..], b"\x01x\x05redis", path]);
        assert_eq!(way(b"").count(), 0);
        let name = FullName::new(["a", "b"]).unwrap();
        assert_eq!(*absolute(&name), *b"\x01a\x01b\x00");
        assert!(is_arpa(b"\x0210\x07in-addr\x04arpa\x00") && !is_arpa(b"\x05xarpa\x00"));
    }
}
