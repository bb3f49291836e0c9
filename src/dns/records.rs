//! Writes the records of a name that exists: those of apps and static ones, and the glue of both.
//!
//! Records are written in an order drawn from the seed, as many as fit, so that what is left out varies.
//! Numbers are those of docs/dns-behaviour.md.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::net::{Ipv4Addr, Ipv6Addr};

use super::query::NAME_OCTETS_MAX;
use super::reply::{Full, Owner, POINTER_MAX, Picks, Reply, Section};
use crate::zone::statics::{self, RrSet, StaticNode};
use crate::zone::{Addresses, Block, Found, Goal, Node, Row, Rows, Snapshot, Zone, choice};

const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_MX: u16 = 15;
const TYPE_AAAA: u16 = 28;
const TYPE_SRV: u16 = 33;
const TYPE_ANY: u16 = 255;

/// Octets of SRV data before the target: priority, weight, port (RFC 2782).
const SRV_NUMBERS: usize = 6;
/// The question's name stands right behind the header.
const QUESTION: Owner<'static> = Owner::At(super::reply::QUESTION_PLACE);

/// How much of a set was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// The name has nothing of that type.
    None,
    /// A part: the rest does not fit.
    Some,
    /// All of it.
    All,
}

/// Writes what an app's name has of a type.
pub(super) fn write_app(
    reply: &mut Reply<'_>,
    picks: &mut Picks,
    zone: &Zone,
    node: Node<'_>,
    rtype: u16,
    seed: u64,
) -> Written {
    picks.clear();
    let ttl = zone.ttl_secs;
    let a = |reply: &mut Reply<'_>| {
        node.a().map(|all| {
            addresses(all, seed, |one: Ipv4Addr| record(reply, TYPE_A, ttl, &one.octets()))
        })
    };
    let aaaa = |reply: &mut Reply<'_>| {
        node.aaaa().map(|all| {
            addresses(all, seed, |one: Ipv6Addr| record(reply, TYPE_AAAA, ttl, &one.octets()))
        })
    };
    let written = match rtype {
        TYPE_A => a(reply),
        TYPE_AAAA => aaaa(reply),
        TYPE_SRV => node.srv().map(|rows| srv(reply, picks, zone, node.block(), rows, seed)),
        // RFC 8482 section 4.1: one RRset is enough.
        TYPE_ANY => a(reply)
            .or_else(|| aaaa(reply))
            .or_else(|| node.srv().map(|rows| srv(reply, picks, zone, node.block(), rows, seed))),
        _ => None,
    };
    written.unwrap_or(Written::None)
}

fn record(reply: &mut Reply<'_>, rtype: u16, ttl: u32, data: &[u8]) -> bool {
    reply.record(Section::Answer, QUESTION, rtype, ttl, &[data]).is_ok()
}

fn addresses<A: Copy>(
    all: Addresses<'_, A>,
    seed: u64,
    mut write: impl FnMut(A) -> bool,
) -> Written {
    let mut complete = true;
    match all {
        Addresses::Own(own) => {
            complete = rotated(own, seed).all(|address| write(*address));
        }
        Addresses::Chosen(choice, pool) => choice.visit(seed, |member| {
            // Members are places in the pool.
            complete = pool.get(member as usize).is_none_or(|address| write(*address));
            complete
        }),
    }
    if complete { Written::All } else { Written::Some }
}

fn srv(
    reply: &mut Reply<'_>,
    picks: &mut Picks,
    zone: &Zone,
    block: &Block,
    rows: Rows<'_>,
    seed: u64,
) -> Written {
    let mut complete = true;
    let mut write = |row: &Row| {
        match srv_record(reply, zone, block, row) {
            Some(Ok(place)) => picks.push(row.target(), place + SRV_NUMBERS),
            Some(Err(Full)) => complete = false,
            None => {}
        }
        // 12: records differ in length: while there is none yet, a shorter one may fit.
        complete || reply.is_empty()
    };
    match rows {
        Rows::Chosen(choice) => {
            choice.visit(seed, |member| block.row(member).is_none_or(&mut write));
        }
        Rows::Few(few, service) => {
            let mut members = [(0, 0); choice::EXACT_MAX];
            let mut count = 0;
            let offered = few.iter().zip(0..).filter(|(row, _)| row.offers(service));
            for (member, (row, at)) in members.iter_mut().zip(offered) {
                *member = (at, row.weight.into());
                count += 1;
            }
            let row = |at: u32| few.get(at as usize);
            choice::visit_few(members.get(..count).unwrap_or_default(), seed, |at| {
                row(at).is_none_or(&mut write)
            });
        }
    }
    if complete { Written::All } else { Written::Some }
}

fn srv_record(
    reply: &mut Reply<'_>,
    zone: &Zone,
    block: &Block,
    row: &Row,
) -> Option<Result<usize, Full>> {
    let [p1, p2] = row.priority.to_be_bytes();
    let [w1, w2] = row.weight.to_be_bytes();
    let [o1, o2] = row.port.to_be_bytes();
    let numbers = [p1, p2, w1, w2, o1, o2];
    let write = |reply: &mut Reply<'_>, data: &[&[u8]]| {
        reply.record(Section::Answer, QUESTION, TYPE_SRV, zone.ttl_secs, data)
    };
    Some(match block.goal(row)? {
        Goal::Label(label) => {
            let length = [u8::try_from(label.len()).ok()?];
            write(reply, &[&numbers, &length, label, block.app(), zone.name().wire()])
        }
        Goal::Host(host) => write(reply, &[&numbers, host]),
    })
}

/// Writes what a static name has of a type.
pub(super) fn write_static(
    reply: &mut Reply<'_>,
    picks: &mut Picks,
    zone: &Zone,
    node: &StaticNode,
    rtype: u16,
    seed: u64,
) -> Written {
    picks.clear();
    let Some(set) = static_set(node, rtype) else { return Written::None };
    if set.rtype == statics::TYPE_SOA {
        let soa = zone.statics().soa();
        let (names, times) = soa.around_serial();
        let data = [names, &zone.serial.to_be_bytes(), times];
        let fits = reply.record(Section::Answer, QUESTION, set.rtype, soa.ttl_secs, &data);
        return if fits.is_ok() { Written::All } else { Written::Some };
    }
    let target = target_place(set.rtype);
    let mut written = Written::All;
    for (data, at) in rotated(&set.data, seed).zip(rotated_places(set.data.len(), seed)) {
        match reply.record(Section::Answer, QUESTION, set.rtype, set.ttl_secs, &[data]) {
            Ok(place) => {
                if let (Some(target), Ok(at)) = (target, u32::try_from(at)) {
                    picks.push(at, place + target);
                }
            }
            // As with SRV records of apps: a shorter one may fit.
            Err(Full) => written = Written::Some,
        }
        if written == Written::Some && !reply.is_empty() {
            break;
        }
    }
    written
}

/// The set that answers a question for a type.
fn static_set(node: &StaticNode, rtype: u16) -> Option<&RrSet> {
    match rtype {
        TYPE_ANY => node.sets.first(),
        _ => node.set(rtype).or_else(|| node.set(TYPE_CNAME)),
    }
}

/// Where the name of a host stands in a type's data, for those types that have one.
fn target_place(rtype: u16) -> Option<usize> {
    match rtype {
        statics::TYPE_NS => Some(0),
        TYPE_MX => Some(2),
        TYPE_SRV => Some(SRV_NUMBERS),
        _ => None,
    }
}

/// 11: for each target in answer order its A, then its AAAA records; each target once. From the first set that
/// does not fit all is left out, and the reply is whole without it (RFC 2181 section 9).
pub(super) fn write_glue(
    reply: &mut Reply<'_>,
    picks: &Picks,
    snapshot: &Snapshot,
    zone: &Zone,
    found: Found<'_>,
    rtype: u16,
) {
    match found {
        Found::App(node) => {
            for (target, place) in picks.once() {
                let Some((v4, v6)) = node.block().glue(target) else { continue };
                let owner = match pointer(place) {
                    Some(owner) => owner,
                    None => match node.block().label(target) {
                        Some(label) => Owner::Whole(label, node.block().app(), zone.name().wire()),
                        None => continue,
                    },
                };
                if !glue(reply, owner, zone.ttl_secs, v4, v6) {
                    return;
                }
            }
        }
        Found::Static(node) => {
            if let Some(set) = static_set(node, rtype) {
                static_glue(reply, picks, snapshot, set);
            }
        }
        Found::Between | Found::Missing | Found::Unknown => {}
    }
}

fn glue(
    reply: &mut Reply<'_>,
    owner: Owner<'_>,
    ttl: u32,
    v4: &[Ipv4Addr],
    v6: &[Ipv6Addr],
) -> bool {
    glue_set(reply, owner, TYPE_A, ttl, v4.iter().map(Ipv4Addr::octets))
        && glue_set(reply, owner, TYPE_AAAA, ttl, v6.iter().map(Ipv6Addr::octets))
}

/// One RRset, whole or not at all: part of one would pass for all of it, since TC stays clear.
fn glue_set<D: AsRef<[u8]>>(
    reply: &mut Reply<'_>,
    owner: Owner<'_>,
    rtype: u16,
    ttl: u32,
    mut set: impl Iterator<Item = D>,
) -> bool {
    let before = reply.mark();
    let fits = set
        .all(|data| reply.record(Section::Additional, owner, rtype, ttl, &[data.as_ref()]).is_ok());
    if !fits {
        reply.rewind(before);
    }
    fits
}

/// The addresses of hosts that static records name, where those hosts are in a zone of ours.
fn static_glue(reply: &mut Reply<'_>, picks: &Picks, snapshot: &Snapshot, set: &RrSet) {
    let Some(at) = target_place(set.rtype) else { return };
    let host_of = |index: u32| set.data.get(index as usize).and_then(|data| data.get(at..));
    for (nth, (index, place)) in picks.once().enumerate() {
        let Some(host) = host_of(index) else { continue };
        // Two records may name one host: on two ports, with two preferences.
        let mut before = picks.once().take(nth).filter_map(|(index, _)| host_of(index));
        if before.any(|other| other.eq_ignore_ascii_case(host)) {
            continue;
        }
        let mut lower = [0; NAME_OCTETS_MAX];
        let Some(name) = lower.get_mut(..host.len()) else { continue };
        name.copy_from_slice(host);
        name.make_ascii_lowercase();
        let Some((zone, relative)) = snapshot.zone(name) else { continue };
        let owner = pointer(place).unwrap_or(Owner::Whole(&[], &[], host));
        let fits = match zone.find(relative) {
            Found::App(node) => {
                let v4 = match node.a() {
                    Some(Addresses::Own(own)) => own,
                    _ => &[],
                };
                let v6 = match node.aaaa() {
                    Some(Addresses::Own(own)) => own,
                    _ => &[],
                };
                glue(reply, owner, zone.ttl_secs, v4, v6)
            }
            Found::Static(node) => [TYPE_A, TYPE_AAAA]
                .iter()
                .filter_map(|rtype| node.set(*rtype))
                .all(|set| glue_set(reply, owner, set.rtype, set.ttl_secs, set.data.iter())),
            Found::Between | Found::Missing | Found::Unknown => true,
        };
        if !fits {
            return;
        }
    }
}

/// The owner that stands at that place, where a pointer reaches it.
fn pointer(place: usize) -> Option<Owner<'static>> {
    if place > POINTER_MAX { None } else { u16::try_from(place).ok().map(Owner::At) }
}

fn rotated<T>(all: &[T], seed: u64) -> impl Iterator<Item = &T> {
    let (behind, front) = all.split_at(start(all.len(), seed));
    front.iter().chain(behind)
}

fn rotated_places(count: usize, seed: u64) -> impl Iterator<Item = usize> {
    let start = start(count, seed);
    (start..count).chain(0..start)
}

/// A fair place to begin at.
fn start(count: usize, seed: u64) -> usize {
    if count < 2 { 0 } else { fastrand::Rng::with_seed(seed).usize(0..count) }
}
