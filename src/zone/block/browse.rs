//! The names by which an app's instances are browsed and described (RFC 6763, DNS-based service discovery): its
//! service types, the instances of each, and what each instance says of itself.
//!
//! ```text
//! _services._dns-sd._udp.app   PTR   _nova._tcp.app           (section 9)
//! _nova._tcp.app               PTR   i-1._nova._tcp.app       (section 4.1)
//! i-1._nova._tcp.app           SRV, TXT                       (sections 5 and 6)
//! ```
//!
//! Knows nothing of messages.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::super::choice::Choice;
use super::super::packed::{place_at, slice, u16_at};
use super::format::{DETAILS_HEADER, KIND_INSTANCE, SERVICE_COUNT};
use super::node::{Kind, Node};
use super::{Asked, Block, Named, service_labels};

/// The name of the list of service types, and those on the way to it, in front of the app's.
const TYPES: &[u8] = b"\x09_services\x07_dns-sd\x04_udp";
const WAYS: [&[u8]; 2] = [b"\x07_dns-sd\x04_udp", b"\x04_udp"];

/// The TXT data of one that has nothing to say: one empty string (RFC 6763 section 6.1).
const NOTHING: &[u8] = &[0];

/// What an instance says of itself.
#[derive(Debug, Clone, Copy)]
pub enum Details<'a> {
    /// A TXT record, with the question's name as its owner.
    Record(&'a [u8]),
    /// The data of one, since there is nothing to be said.
    Nothing(&'static [u8]),
}

/// The list of service types, if it is that name in front of the app's.
pub(super) fn types(relative: &[u8]) -> Option<Kind> {
    (relative == TYPES).then_some(Kind::Types)
}

/// A name on the way to that list.
pub(super) fn way(relative: &[u8]) -> Option<Kind> {
    WAYS.contains(&relative).then_some(Kind::Between)
}

impl Block {
    /// An instance under a service of its own: `i-1._nova._tcp`.
    pub(super) fn listed(&self, named: Named, behind: &[u8]) -> Option<Kind> {
        match service_labels(behind) {
            (asked @ Asked::Service(..), []) if named.kind == KIND_INSTANCE => {
                match self.instance_service(named, asked)? {
                    Kind::InstanceService(instance, service) => {
                        Some(Kind::Listed(instance, service))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl<'a> Node<'a> {
    /// The instances that offer the service whose name this is: members are for [`Block::label`].
    #[must_use]
    pub fn instances(&self) -> Option<Choice<'a>> {
        match self.kind {
            Kind::AppService(place) => Some(self.block.choice(place)),
            _ => None,
        }
    }

    /// The service types of the app, if this is the name of their list: of each the labels of transport and protocol.
    #[must_use]
    pub fn types(&self) -> Option<impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a>> {
        let block = self.block;
        let count = place_at(&block.octets, SERVICE_COUNT);
        matches!(self.kind, Kind::Types).then(|| {
            (0..count).map(|index| {
                let labels = block.service_labels(index);
                let transport = labels.first().map_or(0, |length| 1 + usize::from(*length));
                labels.split_at(transport.min(labels.len()))
            })
        })
    }

    /// How many octets of the question's name stand in front of the app's, where this is the list of its types.
    #[must_use]
    pub fn types_octets() -> usize {
        TYPES.len()
    }

    /// What the instance says of itself.
    #[must_use]
    pub fn details(&self) -> Option<Details<'a>> {
        let Kind::Listed(instance, _) = self.kind else { return None };
        let block = self.block;
        let (last, _) = block.instance_rows(instance).last()?;
        let at = block.behind(last) as usize;
        let octets = u16_at(&block.octets, at);
        Some(match octets {
            0 => Details::Nothing(NOTHING),
            some => Details::Record(slice(&block.octets, at + DETAILS_HEADER, some.into())),
        })
    }
}
