//! The choices of an app and of each of its tags: which addresses and rows they have, with what weights.
#![allow(
    clippy::indexing_slicing,
    reason = "off the query path; places are those of what was written just before"
)]

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use foldhash::quality::FixedState;

use super::super::choice::{self, Given};
use super::super::packed::{place, push};
use super::format::{A_OCTETS, AAAA_OCTETS, ROW_HEADER, TARGET_HEADER};

/// Weights of addresses are counted in these parts, so that an instance's weight can be split over its addresses.
const WEIGHT_PARTS: u64 = 1 << 20;

/// An instance that was written.
pub(super) struct Built {
    /// The place of its addresses.
    pub(super) target: u32,
    /// Its rows, among all.
    pub(super) rows: Range<usize>,
    pub(super) weight: u16,
    pub(super) priority: u16,
}

/// A row that was written.
pub(super) struct Made {
    pub(super) place: u32,
    /// Octets of its record.
    pub(super) octets: u16,
    pub(super) service: u32,
    /// The place of its target's addresses.
    pub(super) target: u32,
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    /// It points to a host elsewhere, and others may too.
    pub(super) to_host: bool,
}

/// Writes branches.
pub(super) struct Branches<'a> {
    octets: &'a mut Vec<u8>,
    instances: &'a [Built],
    rows: &'a [Made],
    /// Places of choices by their octets' hash: tags often have the members of another, or all.
    written: HashMap<u64, Range<usize>, FixedState>,
    scratch: Vec<Given>,
    /// Octets of the largest set that was written.
    largest: usize,
    /// Whether a row points to a host elsewhere.
    hosts: bool,
}

/// The targets of one instance, each once: at most its own and one for each endpoint.
type Targets = Vec<u32>;

impl<'a> Branches<'a> {
    pub(super) fn new(octets: &'a mut Vec<u8>, instances: &'a [Built], rows: &'a [Made]) -> Self {
        Self {
            octets,
            instances,
            rows,
            written: HashMap::default(),
            scratch: Vec::with_capacity(rows.len()),
            largest: 0,
            hosts: rows.iter().any(|row| row.to_host),
        }
    }

    /// Octets of the largest set that was written.
    pub(super) fn largest(&self) -> usize {
        self.largest
    }

    /// Writes the branch of the app itself, and gives its place.
    pub(super) fn whole(&mut self) -> u32 {
        let members: Vec<usize> = (0..self.instances.len()).collect();
        let (srv, octets) = self.whole_srv(&members);
        self.largest = octets;
        self.branch(&members, srv)
    }

    /// The choice of all different rows of some instances, and the octets that those take.
    fn whole_srv(&mut self, members: &[usize]) -> (u32, usize) {
        let all = self.members_rows(members).filter(|row| !self.is_repeated(*row)).collect();
        let all = self.once(all);
        let octets = all.iter().map(|row| usize::from(self.rows[*row].octets)).sum();
        (self.rows_choice(all), octets)
    }

    /// Writes the branch of a tag with those instances, and gives its place.
    pub(super) fn tag(&mut self, members: &[usize], has_srv: bool) -> u32 {
        // As a rule a tag's own name has no SRV records.
        let srv = if has_srv { self.whole_srv(members).0 } else { 0 };
        self.branch(members, srv)
    }

    fn branch(&mut self, members: &[usize], srv: u32) -> u32 {
        let mut rows: Vec<usize> = self.members_rows(members).collect();
        // Stable, and one look at each where all are of one service.
        rows.sort_by_key(|row| self.rows[*row].service);
        let mut services = Vec::new();
        for of_one in rows.chunk_by(|a, b| self.rows[*a].service == self.rows[*b].service) {
            let choice = self.once(of_one.to_vec());
            services.push((self.rows[of_one[0]].service, self.rows_choice(choice)));
        }
        let priority = self.address_priority(members);
        let a = self.addresses(members, priority, A_OCTETS);
        let aaaa = self.addresses(members, priority, AAAA_OCTETS);
        let at = place(self.octets);
        for number in [a, aaaa, srv, services.len() as u32] {
            push(self.octets, number);
        }
        for (service, choice) in services {
            push(self.octets, service);
            push(self.octets, choice);
        }
        at
    }

    fn members_rows(&self, members: &[usize]) -> impl Iterator<Item = usize> {
        members.iter().flat_map(|member| self.instances[*member].rows.clone())
    }

    /// Those of the rows that make different records: instances that are known by one host may offer one port.
    fn once(&self, mut rows: Vec<usize>) -> Vec<usize> {
        if self.hosts {
            let mut seen = HashSet::new();
            rows.retain(|row| {
                let Made { place, octets, .. } = self.rows[*row];
                let start = place as usize + ROW_HEADER;
                seen.insert(&self.octets[start..start + usize::from(octets)])
            });
        }
        rows
    }

    /// Whether an earlier row makes the same record: endpoints that differ in protocol alone have different names
    /// of their own, but at the app's they are one record (RFC 2181 section 5). Only rows of one instance have
    /// one target.
    fn is_repeated(&self, row: usize) -> bool {
        let of = &self.rows[row];
        let record = |row: &Made| (row.priority, row.weight, row.port);
        self.before(row).any(|other| record(other) == record(of))
    }

    /// The rows before that one which have its target.
    fn before(&self, row: usize) -> impl Iterator<Item = &'a Made> {
        let target = self.rows[row].target;
        self.rows[..row].iter().rev().take(MAX_BEFORE).filter(move |other| other.target == target)
    }

    /// A choice of rows, marked if no two of them have one target.
    fn rows_choice(&mut self, chosen: Vec<usize>) -> u32 {
        let mut targets: Targets = chosen.iter().map(|row| self.rows[*row].target).collect();
        // Targets were written in the order of their rows.
        targets.sort_unstable();
        let distinct = targets.windows(2).all(|two| two[0] != two[1]);
        self.scratch.clear();
        self.scratch.extend(chosen.into_iter().map(|row| {
            let Made { place, priority, weight, .. } = self.rows[row];
            (place, priority, u64::from(weight))
        }));
        self.choice(distinct)
    }

    /// Writes what is in the scratch, or finds that it is written already.
    fn choice(&mut self, mark: bool) -> u32 {
        let start = self.octets.len();
        let at = choice::write(self.octets, &mut self.scratch, mark);
        let hash = std::hash::BuildHasher::hash_one(&FixedState::default(), &self.octets[start..]);
        match self.written.get(&hash) {
            Some(same) if self.octets[same.clone()] == self.octets[start..] => {
                self.octets.truncate(start);
                same.start as u32
            }
            _ => {
                self.written.insert(hash, start..self.octets.len());
                at
            }
        }
    }

    /// The lowest priority number that has weight; one for both families: whoever has both would else reach by
    /// the one what is held back in the other.
    fn address_priority(&self, members: &[usize]) -> Option<u16> {
        let has_address =
            |member: &&Built| self.targets(member).any(|target| self.counts(target) != [0, 0]);
        let members = members.iter().map(|member| &self.instances[*member]);
        let weighty = members.filter(|member| member.weight > 0).filter(has_address);
        weighty.map(|member| member.priority).min()
    }

    /// The addresses of one family: each once, those of that priority; weights of instances on one address added
    /// up, an instance's weight split over its addresses. Where nobody has weight, all of them alike.
    fn addresses(&mut self, members: &[usize], priority: Option<u16>, each: usize) -> u32 {
        // Address, place of its record, weight.
        let mut shares: Vec<(u128, u32, u64)> = Vec::with_capacity(members.len());
        for member in members.iter().map(|member| &self.instances[*member]) {
            let weight = match priority {
                None => 1,
                Some(priority) if member.priority == priority => {
                    u64::from(member.weight) * WEIGHT_PARTS
                }
                Some(_) => 0,
            };
            if weight == 0 {
                continue;
            }
            let first = shares.len();
            for target in self.targets(member) {
                let records = self.records(target, each);
                shares.extend(records.map(|(address, at)| (address, at, weight)));
            }
            if shares.len() > first + 1 {
                let mut own = shares.split_off(first);
                own.sort_unstable();
                own.dedup_by_key(|(address, _, _)| *address);
                shares.append(&mut own);
            }
            let own = &mut shares[first..];
            let share = (weight / (own.len().max(1) as u64)).max(1);
            own.iter_mut().for_each(|(_, _, weight)| *weight = share);
        }
        shares.sort_unstable();
        self.scratch.clear();
        for of_one in shares.chunk_by(|a, b| a.0 == b.0) {
            let weight = of_one.iter().map(|(_, _, weight)| weight).sum();
            self.scratch.push((of_one[0].1, 0, if priority.is_none() { 1 } else { weight }));
        }
        self.largest = self.largest.max(self.scratch.len() * each);
        self.choice(false)
    }

    /// The targets of an instance, each once.
    fn targets(&self, of: &Built) -> impl Iterator<Item = u32> + use<'a> {
        let rows = of.rows.clone();
        let (own, all) = (of.target, self.rows);
        let others = all[rows].iter().map(|row| row.target).filter(move |target| *target != own);
        // Each endpoint with addresses of its own has a target of its own.
        std::iter::once(own).chain(others)
    }

    /// How many A and AAAA records a target has.
    fn counts(&self, target: u32) -> [u8; TARGET_HEADER] {
        let at = target as usize;
        [self.octets[at], self.octets[at + 1]]
    }

    /// The addresses of a target in one family, with the places of their records.
    fn records(&self, target: u32, each: usize) -> impl Iterator<Item = (u128, u32)> {
        let [v4, v6] = self.counts(target).map(usize::from);
        let first = target as usize + TARGET_HEADER;
        let (first, count) =
            if each == A_OCTETS { (first, v4) } else { (first + v4 * A_OCTETS, v6) };
        (0..count).map(move |index| {
            let at = first + index * each;
            let address = &self.octets[at + RECORD_HEADER..at + each];
            (address.iter().fold(0, |sum, octet| sum << 8 | u128::from(*octet)), at as u32)
        })
    }
}

/// Rows of one instance stand together, and it has at most 16.
const MAX_BEFORE: usize = crate::model::limits::ENDPOINTS_MAX - 1;
/// What stands before an address in its record.
const RECORD_HEADER: usize = 12;
