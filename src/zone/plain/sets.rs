//! What a name answers from the records at it and below it.
//!
//! Knows nothing of who else wants the name.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::names;
use super::tree::Held;
use crate::layout::PlainRecord;
use crate::layout::foreign::Host;
use crate::zone::block::Shape;
use crate::zone::statics::{RrSet, TYPE_CNAME, TYPE_PTR};
use crate::zone::wire;

const TYPE_A: u16 = 1;
const TYPE_MX: u16 = 15;
const TYPE_TXT: u16 = 16;
const TYPE_AAAA: u16 = 28;
const TYPE_SRV: u16 = 33;

/// Octets of a string of a text (RFC 1035 section 3.3.14).
const STRING_OCTETS_MAX: usize = 255;

/// The sets of a name, in the order of their types, from the records at it and below it. `owner` is its path.
pub(super) fn sets(owner: &[u8], records: &[Held<'_>], shape: Shape<'_>) -> Vec<RrSet> {
    let mut sets = Sets { shape, sets: BTreeMap::new() };
    let absolute = |path: &[u8]| [&names::turned(path), shape.zone].concat();
    let arpa = names::is_arpa(shape.zone);
    let (mut alone, mut notes) = (Vec::new(), Vec::new());
    // Names of networks are not those of their addresses.
    let shown = of_one_group(records).filter(|held| !arpa || held.path == owner);
    for held in shown {
        let record = held.record;
        let own = || strip(absolute(held.path), record.target_strip);
        match &record.host {
            Some(Host::Address(address)) => {
                match address {
                    IpAddr::V4(address) => sets.add(TYPE_A, record, &[&address.octets()]),
                    IpAddr::V6(address) => sets.add(TYPE_AAAA, record, &[&address.octets()]),
                }
                if record.port.is_some() || record.mail {
                    sets.services(record, &own());
                }
            }
            Some(Host::Name(name)) if record.port.is_some() || record.mail => {
                sets.services(record, &names::text(name));
            }
            Some(Host::Name(name)) if arpa => {
                sets.add(TYPE_PTR, record, &[&names::text(name)]);
            }
            Some(Host::Name(_)) => alone.push(held),
            None => {}
        }
        match &record.text {
            Some(text) if record.is_note => notes.push((record, text)),
            Some(text) => sets.text(record, text),
            None => {}
        }
    }
    if sets.sets.is_empty() {
        sets.alias(&alone, &absolute(owner));
    }
    if !sets.sets.contains_key(&TYPE_CNAME) {
        notes.into_iter().for_each(|(record, text)| sets.text(record, text));
    }
    sets.finish()
}

struct Sets<'a> {
    shape: Shape<'a>,
    sets: BTreeMap<u16, RrSet>,
}

impl Sets<'_> {
    fn add(&mut self, rtype: u16, record: &PlainRecord, data: &[&[u8]]) {
        let longest = self.shape.ttl_secs;
        let ttl_secs = record.ttl_secs.map_or(longest, |secs| secs.min(longest));
        let set = self.sets.entry(rtype).or_insert(RrSet { rtype, ttl_secs, data: Vec::new() });
        // One set has one time to live (RFC 2181 section 5.2).
        set.ttl_secs = set.ttl_secs.min(ttl_secs);
        set.data.push(match data {
            [whole] => Arc::from(*whole),
            parts => parts.concat().into(),
        });
    }

    /// What points to a host.
    fn services(&mut self, record: &PlainRecord, target: &[u8]) {
        let priority = record.priority.to_be_bytes();
        if let Some(port) = record.port {
            let weight = record.weight.saturating_mul(self.shape.srv_weight_scale).to_be_bytes();
            self.add(TYPE_SRV, record, &[&priority, &weight, &port.to_be_bytes(), target]);
        }
        if record.mail {
            self.add(TYPE_MX, record, &[&priority, target]);
        }
    }

    fn text(&mut self, record: &PlainRecord, text: &str) {
        let mut data = Vec::with_capacity(text.len() + 1);
        for string in text.as_bytes().chunks(STRING_OCTETS_MAX) {
            data.push(string.len() as u8);
            data.extend_from_slice(string);
        }
        self.add(TYPE_TXT, record, &[&data]);
    }

    /// An alias has nothing beside it, and is one (RFC 2181 section 10.1): of several names none is the one. One that
    /// leads to itself, as a record below its own target would make it, leads nowhere.
    fn alias(&mut self, alone: &[Held<'_>], owner: &[u8]) {
        let Some(first) = alone.first() else { return };
        let same = |other: &Held<'_>| other.record.host == first.record.host;
        let Some(Host::Name(name)) = &first.record.host else { return };
        let target = names::text(name);
        if alone.iter().all(same) && *target != *owner {
            alone.iter().for_each(|held| self.add(TYPE_CNAME, held.record, &[&target]));
        }
    }

    /// Each record once (RFC 2181 section 5), in an order that says nothing of who came first.
    fn finish(self) -> Vec<RrSet> {
        let mut sets: Vec<RrSet> = self.sets.into_values().collect();
        for set in &mut sets {
            set.data.sort_unstable();
            set.data.dedup();
        }
        sets
    }
}

/// The records that a name shows: the group of those nearest to it that have one decides, if they agree
/// (coredns/coredns, plugin/etcd/msg/service.go).
fn of_one_group<'a>(records: &[Held<'a>]) -> impl Iterator<Item = Held<'a>> {
    let grouped = records.iter().filter(|held| held.record.group.is_some());
    let labels = |held: &Held<'_>| wire::label_count(held.path);
    let nearest = grouped.clone().map(labels).min();
    let mut deciding = grouped.filter(|held| Some(labels(held)) == nearest);
    let first = deciding.next().and_then(|held| held.record.group.as_ref());
    let group = first.filter(|_| deciding.all(|held| held.record.group.as_ref() == first));
    records.iter().copied().filter(move |held| {
        let own = held.record.group.as_ref();
        group.is_none() || own.is_none() || own == group
    })
}

/// A name without its first labels; whole where it has no more than those.
fn strip(name: Vec<u8>, labels: usize) -> Vec<u8> {
    let mut rest = name.as_slice();
    for _ in 0..labels {
        match wire::split(rest) {
            Some((_, behind)) if wire::split(behind).is_some() => rest = behind,
            _ => return name,
        }
    }
    rest.to_vec()
}
