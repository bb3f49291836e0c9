//! What some names of a zone answer by static and plain records, as a zone file of its own would have it.
//!
//! Knows nothing of the text of zone files.

use std::collections::BTreeSet;

use super::snapshot::{Found, Snapshot};
use super::statics::{RrSet, SOA_NUMBERS_OCTETS, TYPE_SOA};
use super::{ZoneName, wire};
use crate::layout::FullName;

/// The serial that a zone begins with: a server that has its file raises it by itself.
const SERIAL: [u8; 4] = [0, 0, 0, 1];

/// The sets of the zone's own name, of these names and of those above them: each with its owner's absolute name in wire
/// form, the zone's own first.
#[must_use]
pub fn excerpt(
    snapshot: &Snapshot,
    zone: &ZoneName,
    names: &BTreeSet<FullName>,
) -> Vec<(Box<[u8]>, RrSet)> {
    let mut owners = BTreeSet::from([Box::from([])]);
    for name in names {
        let mut absolute = Vec::new();
        name.labels().for_each(|label| wire::push_label(&mut absolute, label.as_bytes()));
        absolute.push(0);
        let mut relative = zone.relative(&absolute).unwrap_or_default();
        while let Some((_, above)) = wire::split(relative) {
            owners.insert(Box::from(relative));
            relative = above;
        }
    }
    let mut sets = Vec::new();
    for owner in owners {
        let absolute = [&owner, zone.wire()].concat();
        let found = snapshot.zone(&absolute).map(|(zone, relative)| zone.find(relative));
        let Some(Found::Static(node)) = found else { continue };
        sets.extend(node.sets.iter().cloned().map(|set| (absolute.clone().into(), begun(set))));
    }
    sets
}

/// The same set; an SOA record with the serial that a zone begins with.
fn begun(mut set: RrSet) -> RrSet {
    if set.rtype == TYPE_SOA {
        for data in &mut set.data {
            let mut octets = data.to_vec();
            let at = octets.len().saturating_sub(SOA_NUMBERS_OCTETS);
            if let Some(serial) = octets.get_mut(at..at + SERIAL.len()) {
                serial.copy_from_slice(&SERIAL);
            }
            *data = octets.into();
        }
    }
    set
}
