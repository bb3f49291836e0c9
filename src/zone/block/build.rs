//! Builds an app block from live instances and their claims.
//!
//! One pass over the instances writes their addresses and rows; the branches (see [`super::branch`]) and the
//! tables of names follow, since they hold places of those.
#![allow(
    clippy::indexing_slicing,
    reason = "off the query path; places are those of what was written just before"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use super::super::claims::Held;
use super::super::packed::{place, push, set};
use super::super::wire;
use super::Block;
use super::branch::{Branches, Built, Made};
use super::details;
use super::format::{
    APP_OCTETS, HEADER, KIND_INSTANCE, KIND_TAG, KIND_TARGET, LARGEST, NAME_COUNT, NAMES,
    ROW_HEADER, ROW_LABEL, ROW_REPEATS, SERVICE_COUNT, SERVICES, SRV_TARGET, WHOLE,
};
use super::services::Services;
use crate::model::{Endpoint, Instance as Registered, Label};

/// An instance that is to be in answers.
#[derive(Debug, Clone, Copy)]
pub(in crate::zone) struct Live<'a> {
    /// Its labels.
    pub(in crate::zone) held: &'a Held,
    /// What it offers.
    pub(in crate::zone) instance: &'a Registered,
}

/// What all records of a zone have in common.
#[derive(Debug, Clone, Copy)]
pub(in crate::zone) struct Shape<'a> {
    /// The zone's name in wire form, with the root label.
    pub(in crate::zone) zone: &'a [u8],
    /// Time to live, in seconds.
    pub(in crate::zone) ttl_secs: u32,
    /// SRV weights are multiplied by this.
    pub(in crate::zone) srv_weight_scale: u16,
    /// The names of tags have SRV records too.
    pub(in crate::zone) tags_have_srv: bool,
}

/// The question's name, which stands right behind the header.
const OWNER: u16 = 0xc000 | 12;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const TYPE_SRV: u16 = 33;
const CLASS_IN: u16 = 1;
/// What an instance takes as a rule: room for that many octets is made at first.
const INSTANCE_OCTETS_USUAL: usize = 128;

/// The block of an app; none where nothing is live. `tags` are those that hold their name.
pub(in crate::zone) fn build(
    app: &[u8],
    live: &[Live<'_>],
    tags: &BTreeSet<Label>,
    shape: Shape<'_>,
) -> Option<Block> {
    if live.is_empty() {
        return None;
    }
    let services = Services::of(live);
    let mut writer = Writer {
        octets: Vec::with_capacity(HEADER + app.len() + live.len() * INSTANCE_OCTETS_USUAL),
        names: Vec::with_capacity(live.len() + tags.len()),
        rows: Vec::with_capacity(live.len()),
        app,
        shape,
    };
    writer.octets.resize(HEADER, 0);
    writer.octets.extend_from_slice(app);
    let instances: Vec<Built> = live.iter().map(|one| writer.instance(one, &services)).collect();
    let Writer { mut octets, mut names, rows, .. } = writer;

    let tagged = tagged(live, tags);
    let (services_at, service_count) = services.write(&mut octets);
    let mut branches = Branches::new(&mut octets, &instances, &rows);
    let whole = branches.whole();
    for (tag, members) in tagged {
        let at = branches.tag(&members, shape.tags_have_srv);
        names.push(Name { label: tag.as_str(), text: None, kind: KIND_TAG, rows: 0, at });
    }
    let largest = branches.largest();
    names.sort_by(|a, b| a.label.cmp(b.label));
    let (names_at, name_count) = write_names(&mut octets, &names);
    for (at, number) in [
        (APP_OCTETS, app.len() as u32),
        (LARGEST, u32::try_from(largest).unwrap_or(u32::MAX)),
        (WHOLE, whole),
        (SERVICES, services_at),
        (SERVICE_COUNT, service_count),
        (NAMES, names_at),
        (NAME_COUNT, name_count),
    ] {
        set(&mut octets, at, number);
    }
    Some(Block { octets: octets.into() })
}

struct Writer<'a> {
    octets: Vec<u8>,
    names: Vec<Name<'a>>,
    rows: Vec<Made>,
    app: &'a [u8],
    shape: Shape<'a>,
}

/// A label below the app and what it names.
struct Name<'a> {
    label: &'a str,
    /// Where its text stands already: in an SRV record's target.
    text: Option<u32>,
    kind: u8,
    /// Of an instance.
    rows: u8,
    at: u32,
}

/// Where an SRV record points.
enum Goal<'a> {
    /// To that label of the app.
    Label(&'a str),
    /// To a host elsewhere, in wire form with the root label.
    Host(&'a [u8]),
}

impl<'a> Writer<'a> {
    fn instance(&mut self, one: &Live<'a>, services: &Services<'a>) -> Built {
        let (held, instance) = (one.held, one.instance);
        let host = instance.host.as_deref().and_then(host_wire);
        let label_of = |at: usize| held.targets.get(at).and_then(Option::as_ref);
        // Rows follow one another right behind the instance's own target, so other targets come first.
        let others: Vec<Option<u32>> = (0..)
            .zip(&instance.endpoints)
            .map(|(at, endpoint)| label_of(at).map(|_| self.target(&endpoint.addresses)))
            .collect();
        let own = self.target(&instance.addresses);
        let first = self.rows.len();
        let mut text = None;
        for (at, (endpoint, other)) in instance.endpoints.iter().zip(others).enumerate() {
            let (label, target) = (label_of(at), other.unwrap_or(own));
            let to = match (label, &host) {
                (None, Some(host)) => Goal::Host(host),
                _ => Goal::Label(label.unwrap_or(&held.label).as_str()),
            };
            let row = self.row(instance, endpoint, services.index(endpoint), target, to);
            // Behind the length of its first label.
            let in_target = Some(row + (ROW_HEADER + SRV_TARGET + 1) as u32);
            match label {
                Some(label) => self.names.push(Name {
                    label: label.as_str(),
                    text: in_target,
                    kind: KIND_TARGET,
                    rows: 0,
                    at: target,
                }),
                None if host.is_none() => text = text.or(in_target),
                None => {}
            }
        }
        let rows = first..self.rows.len();
        details::write(&mut self.octets, &instance.meta, self.shape.ttl_secs);
        let text = text.unwrap_or_else(|| {
            let at = place(&self.octets) + 1;
            wire::push_label(&mut self.octets, held.label.as_str().as_bytes());
            at
        });
        self.label_rows(rows.clone(), text - 1);
        // At most 16 of them.
        self.names.push(Name {
            label: held.label.as_str(),
            text: Some(text),
            kind: KIND_INSTANCE,
            rows: rows.len() as u8,
            at: own,
        });
        Built { target: own, rows, weight: instance.weight, priority: instance.priority }
    }

    /// Writes a target's address records, and gives their place.
    fn target(&mut self, addresses: &[IpAddr]) -> u32 {
        let at = place(&self.octets);
        let v4 = addresses.iter().filter(|address| address.is_ipv4()).count();
        // At most 16 of them.
        self.octets.extend_from_slice(&[v4 as u8, (addresses.len() - v4) as u8]);
        for address in addresses {
            if let IpAddr::V4(v4) = address {
                self.record(TYPE_A, &v4.octets());
            }
        }
        for address in addresses {
            if let IpAddr::V6(v6) = address {
                self.record(TYPE_AAAA, &v6.octets());
            }
        }
        at
    }

    fn row(
        &mut self,
        instance: &Registered,
        endpoint: &Endpoint,
        service: u32,
        target: u32,
        to: Goal<'_>,
    ) -> u32 {
        let at = place(&self.octets);
        let weight = endpoint.weight.unwrap_or(instance.weight);
        let weight = weight.saturating_mul(self.shape.srv_weight_scale);
        let (priority, port) = (instance.priority, endpoint.port);
        push(&mut self.octets, target);
        push(&mut self.octets, service);
        // The label's place, which is known when all rows are written.
        push(&mut self.octets, 0);
        let length_at = self.octets.len();
        self.octets.extend_from_slice(&[0, 0]);
        let start = self.octets.len();
        self.record_header(TYPE_SRV, 0);
        for number in [priority, weight, port] {
            self.octets.extend_from_slice(&number.to_be_bytes());
        }
        let to_host = matches!(to, Goal::Host(_));
        match to {
            Goal::Host(host) => self.octets.extend_from_slice(host),
            Goal::Label(label) => {
                wire::push_label(&mut self.octets, label.as_bytes());
                self.octets.extend_from_slice(self.app);
                self.octets.extend_from_slice(self.shape.zone);
            }
        }
        // A record header and two names of 255 octets at most.
        let octets = (self.octets.len() - start) as u16;
        self.octets[length_at..start].copy_from_slice(&octets.to_le_bytes());
        let data = octets - RECORD_HEADER as u16;
        self.octets[start + RECORD_HEADER - 2..start + RECORD_HEADER]
            .copy_from_slice(&data.to_be_bytes());
        self.rows.push(Made {
            place: at,
            octets,
            service,
            target,
            priority,
            weight,
            port,
            to_host,
        });
        at
    }

    /// Writes into an instance's rows where its label stands, and which of them say nothing new of its services.
    fn label_rows(&mut self, rows: Range<usize>, label: u32) {
        for row in rows.clone() {
            let Made { place, service, .. } = self.rows[row];
            let repeats = self.rows[rows.start..row].iter().any(|other| other.service == service);
            let repeats = if repeats { ROW_REPEATS } else { 0 };
            set(&mut self.octets, place as usize + ROW_LABEL, label | repeats);
        }
    }

    fn record(&mut self, rtype: u16, data: &[u8]) {
        self.record_header(rtype, data.len() as u16);
        self.octets.extend_from_slice(data);
    }

    fn record_header(&mut self, rtype: u16, data_octets: u16) {
        record_header(&mut self.octets, rtype, self.shape.ttl_secs, data_octets);
    }
}

/// Owner pointer, type, class, TTL and length (RFC 1035 section 4.1.3).
pub(super) const RECORD_HEADER: usize = 12;

/// Appends the octets in front of a record's data.
pub(super) fn record_header(octets: &mut Vec<u8>, rtype: u16, ttl_secs: u32, data_octets: u16) {
    for number in [OWNER, rtype, CLASS_IN] {
        octets.extend_from_slice(&number.to_be_bytes());
    }
    octets.extend_from_slice(&ttl_secs.to_be_bytes());
    octets.extend_from_slice(&data_octets.to_be_bytes());
}

/// Writes the table of names, which are sorted, and gives its place and their number.
fn write_names(octets: &mut Vec<u8>, names: &[Name<'_>]) -> (u32, u32) {
    let texts: Vec<u32> = names
        .iter()
        .map(|name| {
            name.text.unwrap_or_else(|| {
                let at = place(octets);
                octets.extend_from_slice(name.label.as_bytes());
                at
            })
        })
        .collect();
    let at = place(octets);
    for (name, text) in names.iter().zip(texts) {
        push(octets, text);
        // A label has at most 63 octets.
        octets.extend_from_slice(&[name.label.len() as u8, name.kind, name.rows, 0]);
        push(octets, name.at);
    }
    (at, names.len() as u32)
}

/// The members of each tag that holds its name. One pass over the instances: where each has tags of its own, a
/// pass for each tag would take the square of their number.
fn tagged<'a>(live: &[Live<'a>], tags: &BTreeSet<Label>) -> BTreeMap<&'a Label, Vec<usize>> {
    let mut tagged: BTreeMap<&Label, Vec<usize>> = BTreeMap::new();
    if tags.is_empty() {
        return tagged;
    }
    for (index, one) in live.iter().enumerate() {
        for tag in one.instance.tags.iter().filter(|tag| tags.contains(*tag)) {
            tagged.entry(tag).or_default().push(index);
        }
    }
    tagged
}

/// A host name in wire form with the root label; none where it is none.
fn host_wire(host: &str) -> Option<Arc<[u8]>> {
    let mut wire = Vec::with_capacity(host.len() + 2);
    for label in host.trim_end_matches('.').split('.') {
        if !(1..=63).contains(&label.len()) {
            return None;
        }
        wire::push_label(&mut wire, label.to_ascii_lowercase().as_bytes());
    }
    wire.push(0);
    (wire.len() <= 255).then(|| wire.into())
}
