//! Builds an app block from live instances and their claims.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::super::choice::Choice;
use super::super::claims::Held;
use super::super::wire;
use super::{Block, Branch, Instance, Name, Row, Target, What};
use crate::model::{Endpoint, Instance as Registered, Label};

/// An instance that is to be in answers.
#[derive(Debug, Clone, Copy)]
pub(in crate::zone) struct Live<'a> {
    /// Its labels.
    pub(in crate::zone) held: &'a Held,
    /// What it offers.
    pub(in crate::zone) instance: &'a Registered,
}

/// Weights of addresses are counted in these parts, so that an instance's weight can be split over its addresses.
const WEIGHT_PARTS: u64 = 1 << 20;

/// The block of an app; none where nothing is live. `tags` are those that hold their name; SRV weights are
/// multiplied by `scale`.
pub(in crate::zone) fn build(
    app: &[u8],
    live: &[Live<'_>],
    tags: &BTreeSet<Label>,
    scale: u16,
) -> Option<Block> {
    if live.is_empty() {
        return None;
    }
    let mut pools = Pools::default();
    let services = services(live);
    let mut names: BTreeMap<&Label, What> = BTreeMap::new();
    let mut instances = Vec::with_capacity(live.len());
    for (index, one) in live.iter().enumerate() {
        let first = pools.rows.len() as u32;
        let own =
            pools.target(&one.held.label, &one.instance.addresses, one.instance.host.as_deref());
        names.insert(&one.held.label, What::Instance(index as u32));
        for (at, endpoint) in one.instance.endpoints.iter().enumerate() {
            let target = match one.held.targets.get(at).and_then(Option::as_ref) {
                None => own,
                Some(label) => {
                    let target = pools.target(label, &endpoint.addresses, None);
                    names.insert(label, What::Target(target));
                    target
                }
            };
            let weight = endpoint.weight.unwrap_or(one.instance.weight);
            let labels = service_key(endpoint);
            pools.rows.push(Row {
                priority: one.instance.priority,
                weight: weight.saturating_mul(scale),
                port: endpoint.port,
                // At most 16 endpoints for each of 10,000 instances, and the search hits.
                service: services.binary_search(&labels).unwrap_or_default() as u32,
                target,
            });
        }
        instances.push(Instance { target: own, rows: first..pools.rows.len() as u32 });
    }
    let everyone: Vec<usize> = (0..live.len()).collect();
    let whole = branch(live, &instances, &everyone, &pools);
    let tagged = tagged(live, tags);
    let mut branches = Vec::with_capacity(tagged.len());
    for (tag, members) in tagged {
        names.insert(tag, What::Tag(branches.len() as u32));
        branches
            .push(Branch { srv: Choice::default(), ..branch(live, &instances, &members, &pools) });
    }
    let names =
        names.into_iter().map(|(label, what)| Name { text: pools.text(label), what }).collect();
    Some(Block {
        app: app.into(),
        names,
        instances: instances.into(),
        tags: branches.into(),
        whole,
        services: services.into(),
        text: pools.text.into(),
        targets: pools.targets.into(),
        rows: pools.rows.into(),
        v4: pools.v4.into(),
        v6: pools.v6.into(),
        hosts: pools.hosts.into(),
    })
}

/// What names and rows share.
#[derive(Default)]
struct Pools {
    text: Vec<u8>,
    texts: BTreeMap<Label, Range<u32>>,
    targets: Vec<Target>,
    rows: Vec<Row>,
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
    hosts: Vec<Box<[u8]>>,
}

impl Pools {
    fn text(&mut self, label: &Label) -> Range<u32> {
        if let Some(range) = self.texts.get(label.as_str()) {
            return range.clone();
        }
        let start = self.text.len() as u32;
        self.text.extend_from_slice(label.as_str().as_bytes());
        let range = start..self.text.len() as u32;
        self.texts.insert(label.clone(), range.clone());
        range
    }

    fn target(&mut self, label: &Label, addresses: &[IpAddr], host: Option<&str>) -> u32 {
        let (v4, v6) = (self.v4.len() as u32, self.v6.len() as u32);
        for address in addresses {
            match address {
                IpAddr::V4(address) => self.v4.push(*address),
                IpAddr::V6(address) => self.v6.push(*address),
            }
        }
        let host = host.and_then(host_wire).map(|wire| {
            self.hosts.push(wire);
            self.hosts.len() as u32 - 1
        });
        let text = self.text(label);
        let (v4, v6) = (v4..self.v4.len() as u32, v6..self.v6.len() as u32);
        self.targets.push(Target { text, v4, v6, host });
        self.targets.len() as u32 - 1
    }
}

/// The members of each tag that holds its name. One pass over the instances: where each has tags of its own, a
/// pass for each tag would take the square of their number.
fn tagged<'a>(live: &[Live<'a>], tags: &BTreeSet<Label>) -> BTreeMap<&'a Label, Vec<usize>> {
    let mut tagged: BTreeMap<&Label, Vec<usize>> = BTreeMap::new();
    for (index, one) in live.iter().enumerate() {
        for tag in one.instance.tags.iter().filter(|tag| tags.contains(*tag)) {
            tagged.entry(tag).or_default().push(index);
        }
    }
    tagged
}

/// Transport first, as [`Block`] sorts them.
fn service_key(endpoint: &Endpoint) -> Box<[u8]> {
    let mut key = Vec::with_capacity(24);
    wire::push_label(&mut key, format!("_{}", endpoint.transport).as_bytes());
    wire::push_label(&mut key, format!("_{}", endpoint.protocol).as_bytes());
    key.into()
}

fn services(live: &[Live<'_>]) -> Vec<Box<[u8]>> {
    let all: BTreeSet<_> =
        live.iter().flat_map(|one| &one.instance.endpoints).map(service_key).collect();
    all.into_iter().collect()
}

/// A host name in wire form with the root label; none where it is none.
fn host_wire(host: &str) -> Option<Box<[u8]>> {
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

fn branch(live: &[Live<'_>], instances: &[Instance], members: &[usize], pools: &Pools) -> Branch {
    let rows = || members.iter().flat_map(|member| instances[*member].rows.clone());
    let row = |at: u32| &pools.rows[at as usize];
    let choice = |at: &mut dyn Iterator<Item = u32>| {
        Choice::new(at.map(|at| (at, row(at).priority, row(at).weight.into())))
    };
    let mut by_service: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for at in rows() {
        by_service.entry(row(at).service).or_default().push(at);
    }
    let offers = |member: &usize| {
        let of = &instances[*member];
        let rows = of.rows.clone().map(|at| row(at).target);
        let mut targets: Vec<u32> = std::iter::once(of.target).chain(rows).collect();
        targets.sort_unstable();
        targets.dedup();
        (live[*member].instance, targets)
    };
    let offers: Vec<_> = members.iter().map(offers).collect();
    let v4 = |target: u32| pools.targets[target as usize].v4.clone();
    let v6 = |target: u32| pools.targets[target as usize].v6.clone();
    // One for both families: whoever has both would else reach by the one what is held back in the other.
    let has_address = |target: &u32| !(v4(*target).is_empty() && v6(*target).is_empty());
    let priority = offers
        .iter()
        .filter(|(instance, targets)| instance.weight > 0 && targets.iter().any(has_address))
        .map(|(instance, _)| instance.priority)
        .min();
    Branch {
        a: addresses(&offers, priority, &pools.v4, v4),
        aaaa: addresses(&offers, priority, &pools.v6, v6),
        srv: choice(&mut once(rows(), &pools.rows).into_iter()),
        by_service: by_service
            .into_iter()
            .map(|(service, rows)| (service, choice(&mut rows.into_iter())))
            .collect(),
    }
}

/// The rows that make different records: endpoints that differ in protocol alone have different names of
/// their own, but at the app's they are one record (RFC 2181 section 5).
fn once(all: impl Iterator<Item = u32>, rows: &[Row]) -> Vec<u32> {
    let mut seen = BTreeSet::new();
    all.filter(|at| {
        let Row { priority, weight, port, target, .. } = rows[*at as usize];
        seen.insert((priority, weight, port, target))
    })
    .collect()
}

/// The addresses of one family: each once, those of that priority, which is the lowest number that has weight;
/// weights of instances on one address added up, an instance's weight split over its addresses. Where nobody
/// has weight, all of them alike.
fn addresses<A: Ord + Copy>(
    offers: &[(&Registered, Vec<u32>)],
    priority: Option<u16>,
    pool: &[A],
    range: impl Fn(u32) -> Range<u32>,
) -> Choice {
    let own = |targets: &[u32]| -> BTreeMap<A, u32> {
        targets
            .iter()
            .flat_map(|target| range(*target))
            .rev()
            .map(|at| (pool[at as usize], at))
            .collect()
    };
    let mut sums: BTreeMap<A, (u32, u64)> = BTreeMap::new();
    for (instance, targets) in offers {
        let own = own(targets);
        let weight = match priority {
            None => 1,
            Some(priority) if instance.priority == priority => {
                u64::from(instance.weight) * WEIGHT_PARTS
            }
            Some(_) => 0,
        };
        if weight == 0 {
            continue;
        }
        let share = (weight / (own.len().max(1) as u64)).max(1);
        for (address, at) in own {
            sums.entry(address).or_insert((at, 0)).1 += share;
        }
    }
    let all_alike = priority.is_none();
    Choice::new(sums.into_values().map(|(at, weight)| (at, 0, if all_alike { 1 } else { weight })))
}
