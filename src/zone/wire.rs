//! Names in wire form (RFC 1035 section 3.1): labels, each behind its length.
//!
//! A *relative* name here is the labels alone, without the root label at the end and without the zone's
//! labels; the empty name is the zone's apex. All are lower case.

use crate::model::AppName;

/// Appends one label, which has 1 to 63 octets.
pub fn push_label(wire: &mut Vec<u8>, label: &[u8]) {
    debug_assert!((1..=63).contains(&label.len()), "a label has 1 to 63 octets");
    wire.push(label.len() as u8);
    wire.extend_from_slice(label);
}

/// An app's name, relative to its zone.
pub(super) fn relative(app: &AppName) -> Box<[u8]> {
    let mut wire = Vec::with_capacity(app.as_str().len() + 1);
    app.labels().for_each(|label| push_label(&mut wire, label.as_bytes()));
    wire.into()
}

/// The app that has a relative name, if that is a name that an app may have.
pub(super) fn app(name: &[u8]) -> Option<AppName> {
    let labels =
        std::iter::successors(split(name), |(_, rest)| split(rest)).map(|(label, _)| label);
    // A dot in a label is none between labels.
    let legal = labels.map(|label| str::from_utf8(label).ok().filter(|text| !text.contains('.')));
    let labels: Option<Vec<&str>> = legal.collect();
    AppName::new(&labels?.join(".")).ok()
}

/// The same name with one label in front.
pub(super) fn child(label: &str, parent: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(1 + label.len() + parent.len());
    push_label(&mut wire, label.as_bytes());
    wire.extend_from_slice(parent);
    wire
}

/// The first label and what is behind it; none at the end, or where the octets are no labels.
pub fn split(wire: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = wire.split_first()?;
    if length == 0 { None } else { rest.split_at_checked(length.into()) }
}

/// The names above a relative name, nearest first, the apex (the empty name) not included.
pub(super) fn above(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(split(wire).map(|(_, rest)| rest), |name| {
        split(name).map(|(_, rest)| rest)
    })
    .take_while(|name| !name.is_empty())
}

/// How many labels a relative name has.
pub(super) fn label_count(wire: &[u8]) -> usize {
    std::iter::successors(split(wire), |(_, rest)| split(rest)).count()
}
