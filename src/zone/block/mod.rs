//! An app block: the immutable table of one app's own names in one zone, and their records, ready to be sent.
//!
//! All of it is one run of octets, small numbers in front, so that a query reads a few neighbouring cache lines:
//!
//! ```text
//! header     where each part stands, then the app's labels
//! target     how many addresses, then their records; behind an instance's own its rows follow
//! row        target, service, label, then the SRV record
//! details    behind an instance's rows: its TXT record
//! services   labels ("_tcp" "_nova"), sorted
//! choices    as `choice` has them; members are places of rows or address records
//! branch     of the app, and of each tag: its choices of addresses and rows
//! names      sorted: "i-1" -> its target, "v2" -> its branch
//! ```
//!
//! Records are whole, with the question's name as their owner; whoever sends one as glue puts another
//! pointer in front. Any can be sent in any order: SRV targets are written out (RFC 2782). Names are found by
//! binary search, so that a hostile name costs no more than a plain one.
//!
//! Knows nothing of messages: `dns` chooses what is sent.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

mod branch;
mod browse;
mod build;
mod details;
mod format;
mod node;
mod services;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub use browse::Details;
pub(super) use build::{Live, Shape, build};
pub use format::{A_OCTETS, AAAA_OCTETS, SRV_TARGET};
pub use node::{Addresses, Node, Row, Rows};

use self::format::{
    APP_OCTETS, BRANCH_COUNT, BRANCH_SERVICE_OCTETS, BRANCH_SERVICES, HEADER, KIND_INSTANCE,
    KIND_TAG, KIND_TARGET, LARGEST, NAME_COUNT, NAME_OCTETS, NAMES, ROW_HEADER, ROW_LABEL,
    ROW_OCTETS, ROW_REPEATS, ROW_SERVICE, ROW_TARGET, SERVICE_COUNT, SERVICE_OCTETS, SERVICES,
    TARGET_HEADER, WHOLE, partition_point, search,
};
use self::node::Kind;
use super::choice::Choice;
use super::packed::{NUMBER, place_at, slice, u16_at, u32_at};
use super::wire;

/// Octets of a cache line, and lines that a core fetches at once.
const LINE_OCTETS: usize = 64;
const WARM_LINES: usize = 16;

/// All names of one app in one zone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Block {
    octets: Arc<[u8]>,
}

impl Block {
    /// The app's labels in wire form, relative to the zone.
    #[must_use]
    pub fn app(&self) -> &[u8] {
        slice(&self.octets, HEADER, place_at(&self.octets, APP_OCTETS))
    }

    /// Octets of the largest answer section that a name of this block has.
    #[must_use]
    pub fn answer_octets_max(&self) -> usize {
        place_at(&self.octets, LARGEST)
    }

    /// The name with these labels in front of the app's; none where it does not exist.
    #[must_use]
    #[inline]
    pub fn find(&self, relative: &[u8]) -> Option<Node<'_>> {
        self.warm();
        let (service, rest) = service_labels(relative);
        let kind = match wire::split(rest) {
            None => match service {
                Asked::None => Kind::App,
                asked => {
                    let own = self.branch_service(place_at(&self.octets, WHOLE), asked);
                    match own.or_else(|| browse::way(relative))? {
                        Kind::Service(place) => Kind::AppService(place),
                        other => other,
                    }
                }
            },
            Some((label, [])) => match (self.named(label), service) {
                (None, _) => browse::types(relative)?,
                (Some(named), asked) => self.named_service(named, asked)?,
            },
            Some((label, behind)) => self.listed(self.named(label)?, behind)?,
        };
        Some(Node { block: self, kind })
    }

    /// What a label has in front of it.
    fn named_service(&self, named: Named, asked: Asked<'_>) -> Option<Kind> {
        match (named.kind, asked) {
            (KIND_INSTANCE | KIND_TARGET, Asked::None) => Some(Kind::Target(named.at)),
            (KIND_INSTANCE, asked) => self.instance_service(named, asked),
            (KIND_TAG, Asked::None) => Some(Kind::Tag(named.at)),
            (KIND_TAG, asked) => self.branch_service(named.at, asked),
            _ => None,
        }
    }

    /// One SRV record of [`Rows`].
    #[must_use]
    #[inline]
    pub fn row(&self, member: u32) -> Row<'_> {
        let at = member as usize;
        let len = u16_at(&self.octets, at + ROW_OCTETS).into();
        Row {
            target: u32_at(&self.octets, at + ROW_TARGET),
            record: slice(&self.octets, at + ROW_HEADER, len),
        }
    }

    /// The label of the instance that a row of [`Node::instances`] belongs to, its length in front; none where a row
    /// before has said so.
    #[must_use]
    pub fn label(&self, member: u32) -> Option<&[u8]> {
        let at = u32_at(&self.octets, member as usize + ROW_LABEL);
        if at & ROW_REPEATS != 0 {
            return None;
        }
        let length = *self.octets.get(at as usize)?;
        Some(slice(&self.octets, at as usize, 1 + usize::from(length)))
    }

    /// One address record of [`Addresses::Chosen`], of so many octets.
    #[must_use]
    #[inline]
    pub fn record(&self, member: u32, octets: usize) -> &[u8] {
        slice(&self.octets, member as usize, octets)
    }

    /// The A and the AAAA records of an SRV record's target ([`Row::target`]), each one behind the other.
    #[must_use]
    #[inline]
    pub fn glue(&self, target: u32) -> (&[u8], &[u8]) {
        let at = target as usize;
        let counts = slice(&self.octets, at, TARGET_HEADER);
        let [v4, v6] = counts.first_chunk().map_or([0, 0], |counts: &[u8; 2]| *counts);
        let v4 = usize::from(v4) * A_OCTETS;
        let at = at + TARGET_HEADER;
        (slice(&self.octets, at, v4), slice(&self.octets, at + v4, usize::from(v6) * AAAA_OCTETS))
    }

    /// Reads one octet of each cache line of a small block: what a query reads one after the other, each place from
    /// the one before, is fetched from memory all at once. Of a large block, of which there are few, it is some lines
    /// in vain.
    #[inline]
    pub(in crate::zone) fn warm(&self) {
        let lines = self.octets.iter().step_by(LINE_OCTETS).take(WARM_LINES);
        std::hint::black_box(lines.fold(0, |sum, octet| sum ^ octet));
    }

    /// What a label is.
    fn named(&self, label: &[u8]) -> Option<Named> {
        let (at, count) = (place_at(&self.octets, NAMES), place_at(&self.octets, NAME_COUNT));
        let names = slice(&self.octets, at, count * NAME_OCTETS);
        let entry = |index: usize| slice(names, index * NAME_OCTETS, NAME_OCTETS);
        let found = search(count, |index| {
            let entry = entry(index);
            let len = entry.get(NUMBER).copied().unwrap_or_default();
            slice(&self.octets, place_at(entry, 0), len.into()).cmp(label)
        })?;
        let entry = entry(found);
        let (kind, rows) = (*entry.get(NUMBER + 1)?, *entry.get(NUMBER + 2)?);
        Some(Named { kind, rows, at: place_at(entry, 2 * NUMBER) })
    }

    /// The labels of a service, the transport's in front.
    fn service_labels(&self, index: usize) -> &[u8] {
        let at = place_at(&self.octets, SERVICES) + index * SERVICE_OCTETS;
        slice(&self.octets, place_at(&self.octets, at), place_at(&self.octets, at + NUMBER))
    }

    fn service(&self, protocol: &[u8], transport: &[u8]) -> Option<u32> {
        let found = search(place_at(&self.octets, SERVICE_COUNT), |index| {
            // As if the two were one: this is how they are sorted.
            let labels = self.service_labels(index);
            let (front, behind) = labels.split_at(labels.len().min(transport.len()));
            front.cmp(transport).then_with(|| behind.cmp(protocol))
        });
        u32::try_from(found?).ok()
    }

    /// The services of a transport.
    fn transport(&self, transport: &[u8]) -> Range<u32> {
        let count = place_at(&self.octets, SERVICE_COUNT);
        let start = partition_point(count, |index| self.service_labels(index) < transport);
        let end = partition_point(count, |index| {
            let labels = self.service_labels(index);
            labels < transport || labels.starts_with(transport)
        });
        // There are no more services than rows.
        start as u32..end as u32
    }

    fn branch_service(&self, branch: usize, asked: Asked<'_>) -> Option<Kind> {
        let count = place_at(&self.octets, branch + BRANCH_COUNT);
        let entry = |index: usize| branch + BRANCH_SERVICES + index * BRANCH_SERVICE_OCTETS;
        let service_of = |index: usize| u32_at(&self.octets, entry(index));
        match asked {
            Asked::Service(protocol, transport) => {
                let service = self.service(protocol, transport)?;
                // The app itself has all of them.
                let same = service as usize;
                let found = if same < count && service_of(same) == service {
                    same
                } else {
                    search(count, |index| service_of(index).cmp(&service))?
                };
                Some(Kind::Service(place_at(&self.octets, entry(found) + NUMBER)))
            }
            Asked::Transport(transport) => {
                let services = self.transport(transport);
                let next = partition_point(count, |index| service_of(index) < services.start);
                (next < count && services.contains(&service_of(next))).then_some(Kind::Between)
            }
            Asked::None => None,
        }
    }

    fn instance_service(&self, instance: Named, asked: Asked<'_>) -> Option<Kind> {
        let mut rows = self.instance_rows(instance).map(|(_, service)| service);
        match asked {
            Asked::Service(protocol, transport) => {
                let service = self.service(protocol, transport)?;
                rows.any(|of| of == service).then_some(Kind::InstanceService(instance, service))
            }
            Asked::Transport(transport) => {
                let services = self.transport(transport);
                rows.any(|of| services.contains(&of)).then_some(Kind::Between)
            }
            Asked::None => None,
        }
    }

    /// The rows of an instance with their services.
    fn instance_rows(&self, instance: Named) -> impl Iterator<Item = (u32, u32)> {
        let (v4, v6) = self.glue(instance.at as u32);
        // Behind its own target, which is far below 4 GiB.
        let mut at = (instance.at + TARGET_HEADER + v4.len() + v6.len()) as u32;
        (0..instance.rows).map(move |_| {
            let row = at;
            at = self.behind(row);
            (row, u32_at(&self.octets, row as usize + ROW_SERVICE))
        })
    }

    /// What stands behind a row.
    fn behind(&self, row: u32) -> u32 {
        let octets = u16_at(&self.octets, row as usize + ROW_OCTETS);
        row.saturating_add(ROW_HEADER as u32 + u32::from(octets))
    }

    fn choice(&self, place: usize) -> Choice<'_> {
        Choice::read(&self.octets, place)
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({}, {} octets)", self.app().escape_ascii(), self.octets.len())
    }
}

/// What a label below the app is.
#[derive(Debug, Clone, Copy)]
struct Named {
    kind: u8,
    /// How many rows an instance has.
    rows: u8,
    /// The place of its target or branch.
    at: usize,
}

/// What stands in front of the app, the instance or the tag.
#[derive(Clone, Copy)]
enum Asked<'a> {
    None,
    /// `_tcp` in wire form.
    Transport(&'a [u8]),
    /// `_nova` and `_tcp` in wire form.
    Service(&'a [u8], &'a [u8]),
}

/// Takes one or two labels with an underscore off the front.
fn service_labels(relative: &[u8]) -> (Asked<'_>, &[u8]) {
    let Some((first, behind)) = wire::split(relative).filter(|(label, _)| label.starts_with(b"_"))
    else {
        return (Asked::None, relative);
    };
    let (first, _) = relative.split_at(1 + first.len());
    match wire::split(behind).filter(|(label, _)| label.starts_with(b"_")) {
        Some((second, _)) => {
            let (second, rest) = behind.split_at(1 + second.len());
            (Asked::Service(first, second), rest)
        }
        None => (Asked::Transport(first), behind),
    }
}
