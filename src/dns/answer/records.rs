//! Writes the records of a name that exists: those of apps and static ones, and the glue of both.
//!
//! Records are written in an order drawn from the seed, as many as fit, so that what is left out varies.
//! Numbers are those of docs/dns-behaviour.md.

use super::browse;
use super::out::Picks;
use super::query::NAME_OCTETS_MAX;
use super::reply::{Full, Reply, Section};
use crate::zone::statics::{self, RrSet, StaticNode};
use crate::zone::{
    A_OCTETS, AAAA_OCTETS, Addresses, Block, Found, Node, Row, Rows, SRV_TARGET, Snapshot, Zone,
    choice,
};

const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const TYPE_MX: u16 = 15;
const TYPE_TXT: u16 = 16;
const TYPE_AAAA: u16 = 28;
const TYPE_SRV: u16 = 33;
const TYPE_ANY: u16 = 255;

/// Octets of SRV data before the target: priority, weight, port (RFC 2782).
const SRV_NUMBERS: usize = 6;

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
    picks.clear(false);
    let block = node.block();
    let a = |reply: &mut Reply<'_>| addresses(reply, block, node.a()?, A_OCTETS, seed).into();
    let aaaa =
        |reply: &mut Reply<'_>| addresses(reply, block, node.aaaa()?, AAAA_OCTETS, seed).into();
    let mut srv = |reply: &mut Reply<'_>| srv(reply, picks, block, node.srv()?, seed).into();
    let written: Option<Written> = match rtype {
        TYPE_A => a(reply),
        TYPE_AAAA => aaaa(reply),
        TYPE_SRV => srv(reply),
        TYPE_PTR => browse::pointers(reply, zone, node, seed),
        TYPE_TXT => browse::details(reply, zone, node),
        // RFC 8482 section 4.1: one RRset is enough.
        TYPE_ANY => a(reply)
            .or_else(|| aaaa(reply))
            .or_else(|| srv(reply))
            .or_else(|| browse::pointers(reply, zone, node, seed)),
        _ => None,
    };
    written.unwrap_or(Written::None)
}

fn addresses(
    reply: &mut Reply<'_>,
    block: &Block,
    all: Addresses<'_>,
    each: usize,
    seed: u64,
) -> Written {
    let mut complete = true;
    let mut write = |record: &[u8]| {
        complete = reply.ready(Section::Answer, record).is_ok();
        complete
    };
    match all {
        Addresses::Own(own) => {
            let start = start(own.len() / each, seed) * each;
            let (front, behind) = own.split_at_checked(start).unwrap_or_default();
            let _ = behind.chunks_exact(each).chain(front.chunks_exact(each)).all(write);
        }
        Addresses::Chosen(choice) => choice.visit(seed, |member| write(block.record(member, each))),
    }
    if complete { Written::All } else { Written::Some }
}

fn srv(
    reply: &mut Reply<'_>,
    picks: &mut Picks,
    block: &Block,
    rows: Rows<'_>,
    seed: u64,
) -> Written {
    picks.clear(matches!(rows, Rows::Chosen(_, true)));
    let mut complete = true;
    let mut write = |member: u32| {
        let Row { target, record } = block.row(member);
        match reply.ready(Section::Answer, record) {
            Ok(place) => picks.push(target, place + SRV_TARGET),
            Err(Full) => complete = false,
        }
        // 12: records differ in length: while there is none yet, a shorter one may fit.
        complete || reply.is_empty()
    };
    match rows {
        Rows::Chosen(choice, _) => choice.visit(seed, write),
        Rows::Few(few) => {
            let mut members = [(0, 0); choice::EXACT_MAX];
            let mut count = 0;
            for (place, member) in members.iter_mut().zip(few.members()) {
                *place = member;
                count += 1;
            }
            choice::visit_few(members.get(..count).unwrap_or_default(), seed, &mut write);
        }
    }
    if complete { Written::All } else { Written::Some }
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
    // No record is picked twice.
    picks.clear(true);
    let Some(set) = static_set(node, rtype) else { return Written::None };
    if set.rtype == statics::TYPE_SOA {
        let soa = zone.statics().soa();
        let (names, times) = soa.around_serial();
        let data = [names, &zone.serial.to_be_bytes(), times];
        let owner = reply.owner();
        let fits = reply.record(Section::Answer, owner, set.rtype, soa.ttl_secs, &data);
        return if fits.is_ok() { Written::All } else { Written::Some };
    }
    let target = target_place(set.rtype);
    let mut written = Written::All;
    for (data, at) in rotated(&set.data, seed).zip(rotated_places(set.data.len(), seed)) {
        let owner = reply.owner();
        match reply.record(Section::Answer, owner, set.rtype, set.ttl_secs, &[data]) {
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
        _ => node.set(rtype),
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
    found: Found<'_>,
    rtype: u16,
) {
    match found {
        Found::App(node) => {
            for (target, place) in picks.once() {
                let (v4, v6) = node.block().glue(target);
                let fits = match v4.is_empty() && v6.is_empty() {
                    // Only instances that are known by a host name have no addresses.
                    true => known_host_glue(reply, picks, snapshot, node.block(), place),
                    false => app_glue(reply, place, v4, v6),
                };
                if !fits {
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

/// The addresses of one target of an app; whether all fit.
fn app_glue(reply: &mut Reply<'_>, owner: usize, v4: &[u8], v6: &[u8]) -> bool {
    reply.glue(owner, v4, A_OCTETS).is_ok() && reply.glue(owner, v6, AAAA_OCTETS).is_ok()
}

/// One RRset, whole or not at all: part of one would pass for all of it, since TC stays clear.
fn glue_set<D: AsRef<[u8]>>(
    reply: &mut Reply<'_>,
    owner: usize,
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
        if !host_glue(reply, snapshot, host, place) {
            return;
        }
    }
}

/// The addresses of the host that an instance is known by, whose name, in lower case, stands at that place; several may be
/// known by one.
#[cold]
fn known_host_glue(
    reply: &mut Reply<'_>,
    picks: &Picks,
    snapshot: &Snapshot,
    block: &Block,
    place: usize,
) -> bool {
    let mut host = [0; NAME_OCTETS_MAX];
    let name = reply.name(place);
    let Some(host) = host.get_mut(..name.len()) else { return true };
    host.copy_from_slice(name);
    if snapshot.zone(host).is_none() {
        return true;
    }
    let is_known_host = |target: u32| block.glue(target) == (&[], &[]);
    let mut before = picks.once().take_while(|(_, other)| *other != place);
    let is_told = before.any(|(target, at)| is_known_host(target) && reply.name(at) == host);
    is_told || host_glue(reply, snapshot, host, place)
}

/// The addresses of a host whose name stands at that place, where it is in a zone of ours; whether all fit.
fn host_glue(reply: &mut Reply<'_>, snapshot: &Snapshot, host: &[u8], place: usize) -> bool {
    let mut lower = [0; NAME_OCTETS_MAX];
    let Some(name) = lower.get_mut(..host.len()) else { return true };
    name.copy_from_slice(host);
    name.make_ascii_lowercase();
    let Some((zone, relative)) = snapshot.zone(name) else { return true };
    let own = |addresses| match addresses {
        Some(Addresses::Own(own)) => own,
        _ => &[],
    };
    match zone.find(relative) {
        Found::App(node) => app_glue(reply, place, own(node.a()), own(node.aaaa())),
        Found::Static(node) => [TYPE_A, TYPE_AAAA]
            .iter()
            .filter_map(|rtype| node.set(*rtype))
            .all(|set| glue_set(reply, place, set.rtype, set.ttl_secs, set.data.iter())),
        Found::Between | Found::Missing | Found::Unknown => true,
    }
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
