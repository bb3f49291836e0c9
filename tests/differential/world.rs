//! All records of all names, written out in the simplest way there is: what `answer()` finds by its tables is here
//! a line for each record.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use rollcall::layout::Registration;
use rollcall::model::{Endpoint, derived_label};

use crate::case::Case;
use crate::registered::{REGISTERED, STATICS, pool, text};

pub(crate) const A: u16 = 1;
pub(crate) const CNAME: u16 = 5;
pub(crate) const SOA: u16 = 6;
const PTR: u16 = 12;
const TXT: u16 = 16;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;

/// Records of one name and type.
#[derive(Debug, Clone, Default)]
pub(crate) struct Set {
    pub(crate) ttl: u32,
    /// As hickory writes them; a SOA's serial as `*`.
    pub(crate) data: BTreeSet<String>,
}

/// All records of a name by type; none for an empty non-terminal.
pub(crate) type Sets = BTreeMap<u16, Set>;

/// One zone's names.
pub(crate) struct Zone {
    /// In wire form, as all names here.
    pub(crate) apex: Vec<u8>,
    /// Whether an app might have any name of it that has no static records.
    pub(crate) registered: bool,
    pub(crate) negative_ttl: u32,
    statics: BTreeMap<Vec<u8>, Sets>,
    all: BTreeMap<Vec<u8>, Sets>,
}

/// Everything.
pub(crate) struct World {
    /// As the product is told it.
    pub(crate) case: Case,
    /// Those with more labels first.
    zones: Vec<Zone>,
    /// Names worth asking for, by what they are.
    pub(crate) names: BTreeMap<&'static str, Vec<String>>,
}

/// What a name is known to have.
pub(crate) enum Found<'a> {
    /// It is in none of our zones.
    Elsewhere,
    /// Nobody can say yet.
    Unknown,
    Missing(&'a Zone),
    Name(&'a Zone, &'a Sets),
}

impl World {
    pub(crate) fn new() -> Self {
        let case = Case::world(Path::new("world"), &text());
        let mut world = Self { case, zones: Vec::new(), names: BTreeMap::new() };
        for (name, lines) in STATICS {
            world.fix(name, lines);
        }
        for name in ["the.way.down.svc.", "down.svc.", "below.nothing.svc.", "_tcp.svc."] {
            world.name("between", name);
        }
        for zone in REGISTERED {
            world.register(zone);
        }
        world.zones.sort_by_key(|zone| std::cmp::Reverse(zone.apex.len()));
        world
    }

    /// What a name in lower case has, on a server that has read its registry or not.
    pub(crate) fn find(&self, name: &[u8], ready: bool) -> Found<'_> {
        let Some(zone) = self.zones.iter().find(|zone| below(name, &zone.apex)) else {
            return Found::Elsewhere;
        };
        if ready || !zone.registered {
            return zone.all.get(name).map_or(Found::Missing(zone), |sets| Found::Name(zone, sets));
        }
        match zone.statics.get(name) {
            Some(sets) if !sets.is_empty() => Found::Name(zone, sets),
            _ => Found::Unknown,
        }
    }

    /// The addresses of a host of ours: A, then AAAA.
    pub(crate) fn addresses(&self, host: &[u8], ready: bool) -> Vec<(u16, &Set)> {
        let Found::Name(_, sets) = self.find(host, ready) else { return Vec::new() };
        [A, AAAA].iter().filter_map(|rtype| Some((*rtype, sets.get(rtype)?))).collect()
    }

    /// Whether a name is a zone's.
    pub(crate) fn is_apex(&self, name: &[u8]) -> bool {
        self.zones.iter().any(|zone| zone.apex == name)
    }

    fn name(&mut self, kind: &'static str, name: &str) {
        let names = self.names.entry(kind).or_default();
        if !names.iter().any(|other| other == name) {
            names.push(name.to_owned());
        }
    }

    /// Writes out a zone's static records.
    fn fix(&mut self, name: &str, lines: &str) {
        let soa = lines.lines().next().unwrap().split_whitespace();
        let numbers: Vec<u32> = soa.filter_map(|word| word.parse().ok()).collect();
        let mut zone = Zone {
            apex: wire(name),
            registered: REGISTERED.iter().any(|(registered, ..)| *registered == name),
            negative_ttl: numbers[0].min(*numbers.last().unwrap()),
            statics: BTreeMap::new(),
            all: BTreeMap::new(),
        };
        for line in lines.lines().chain(pool(name).lines()) {
            let mut words = line.trim().splitn(4, ' ');
            let mut word = || words.next().unwrap();
            let (label, ttl) = (word(), word().parse().unwrap());
            let (rtype, data) = (type_number(word()), word());
            let (kind, owner) = match label {
                "@" => ("apex", name.to_owned()),
                _ if rtype == CNAME => ("alias", format!("{label}.{name}")),
                _ => ("static", format!("{label}.{name}")),
            };
            self.name(kind, &owner);
            zone.add(&owner, rtype, ttl, displayed(rtype, data));
        }
        zone.statics = zone.all.clone();
        self.zones.push(zone);
    }

    /// Writes out what is registered for a zone.
    fn register(&mut self, (zone, namespace, ttl, scale): (&str, &str, u32, u16)) {
        let online = |one: &&Registration| {
            !self.case.marks.iter().any(|mark| {
                (&mark.namespace, &mark.app) == (&one.namespace, &one.app)
                    && mark.id.as_ref().is_none_or(|id| id.as_str() == &*one.id)
            })
        };
        let ours = self.case.registrations.iter().filter(|one| one.namespace.as_str() == namespace);
        let live: Vec<Registration> = ours.filter(online).cloned().collect();
        let apex = wire(zone);
        let at = self.zones.iter().position(|zone| zone.apex == apex).unwrap();
        for one in &live {
            let app = format!("{}.{zone}", one.app);
            let targets = self.services(at, one, &app, (ttl, scale));
            let records = &mut self.zones[at];
            for (name, addresses) in &targets {
                records.addresses(name, addresses, ttl);
            }
            // The app's name, and its tags', have the addresses of those that take traffic.
            let others: Vec<_> = live.iter().filter(|other| other.app == one.app).collect();
            let tags = one.instance.tags.iter().map(Some);
            for tag in tags.chain([None]) {
                let group = others.iter().filter(|other| match tag {
                    Some(tag) => other.instance.tags.contains(tag),
                    None => true,
                });
                if takes_traffic(one, group.copied()) {
                    let name = tag.map_or_else(|| app.clone(), |tag| format!("{tag}.{app}"));
                    for (_, addresses) in &targets {
                        records.addresses(&name, addresses, ttl);
                    }
                }
            }
        }
    }

    /// Writes out an instance's services, and gives its targets with their addresses.
    fn services(
        &mut self,
        at: usize,
        one: &Registration,
        app: &str,
        (ttl, scale): (u32, u16),
    ) -> Vec<(String, Vec<IpAddr>)> {
        let own = format!("{}.{app}", one.id);
        let tags: Vec<String> =
            one.instance.tags.iter().map(|tag| format!("{tag}.{app}")).collect();
        let mut targets = vec![(own.clone(), one.instance.addresses.clone())];
        for endpoint in &one.instance.endpoints {
            let Endpoint { protocol, transport, port, addresses, .. } = endpoint;
            let mut target = own.clone();
            if !addresses.is_empty() {
                let raw = format!("{protocol}/{transport}/{port}");
                target = format!("{}.{app}", derived_label(&one.id, raw.as_bytes()));
                self.name("derived target", &target);
                targets.push((target.clone(), addresses.clone()));
            }
            let weight = endpoint.weight.unwrap_or(one.instance.weight).saturating_mul(scale);
            let data = format!("{} {weight} {port} {target}", one.instance.priority);
            let service = |of: &str| format!("_{protocol}._{transport}.{of}");
            let mut names = vec![app.to_owned(), service(app), service(&own)];
            names.extend(tags.iter().map(|tag| service(tag)));
            // The name that it is listed by (RFC 6763).
            let listed = format!("{}.{}", one.id, service(app));
            names.push(listed.clone());
            for name in &names {
                self.zones[at].add(name, SRV, ttl, data.clone());
            }
            let types = format!("_services._dns-sd._udp.{app}");
            let zone = &mut self.zones[at];
            zone.add(&types, PTR, ttl, service(app));
            zone.add(&service(app), PTR, ttl, listed.clone());
            zone.add(&listed, TXT, ttl, details(one));
            // Of a crowd a few stand for all.
            if one.app.as_str() == "crowd" {
                self.name("crowd", app);
                self.name("crowd", &service(app));
                if one.id.len() > 3 {
                    continue;
                }
            } else {
                self.name("app", app);
                self.name("service", &service(app));
                self.name("listed", &types);
                self.name("listed", &listed);
                self.name("between", &format!("_udp.{app}"));
            }
            self.name("instance", &own);
            self.name("service of an instance", &service(&own));
            self.name("between", &format!("_{transport}.{own}"));
            self.name("between", &format!("_{transport}.{app}"));
            self.name("between", &format!("_dns-sd._udp.{app}"));
            for tag in &tags {
                self.name("tag", tag);
                self.name("service of a tag", &service(tag));
            }
        }
        targets
    }
}

/// What an instance says of itself, as hickory writes it: strings without anything between them.
fn details(one: &Registration) -> String {
    one.instance.meta.iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// Whether an instance is among those of its group that take traffic: of the lowest priority that has weight,
/// or anyone where nobody has.
fn takes_traffic<'a>(one: &Registration, group: impl Iterator<Item = &'a Registration>) -> bool {
    let heavy = group.filter(|other| other.instance.weight > 0);
    match heavy.map(|other| other.instance.priority).min() {
        Some(priority) => one.instance.weight > 0 && one.instance.priority == priority,
        None => true,
    }
}

impl Zone {
    fn addresses(&mut self, name: &str, addresses: &[IpAddr], ttl: u32) {
        for address in addresses {
            let rtype = if address.is_ipv4() { A } else { AAAA };
            self.add(name, rtype, ttl, address.to_string());
        }
    }

    fn add(&mut self, name: &str, rtype: u16, ttl: u32, data: String) {
        let mut name = wire(name);
        let set = self.all.entry(name.clone()).or_default().entry(rtype).or_default();
        set.ttl = ttl;
        set.data.insert(data);
        // Every name on the way exists.
        while name != self.apex {
            name.drain(..=usize::from(name[0]));
            self.all.entry(name.clone()).or_default();
        }
    }
}

/// How hickory writes data that a zone file has as text.
fn displayed(rtype: u16, data: &str) -> String {
    match rtype {
        SOA => without_serial(data),
        16 => data.trim_matches('"').to_owned(),
        65_280 => "AQID".to_owned(),
        _ => data.to_owned(),
    }
}

/// A SOA's data with `*` for the serial.
pub(crate) fn without_serial(data: &str) -> String {
    let mut words: Vec<&str> = data.split(' ').collect();
    words[2] = "*";
    words.join(" ")
}

fn type_number(text: &str) -> u16 {
    match text {
        "A" => A,
        "NS" => 2,
        "CNAME" => CNAME,
        "SOA" => SOA,
        "MX" => 15,
        "TXT" => 16,
        "AAAA" => AAAA,
        "SRV" => SRV,
        "TYPE65280" => 65_280,
        other => panic!("{other}"),
    }
}

/// A name of plain labels in wire form.
pub(crate) fn wire(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// Whether a name is that one or below it, label by label.
fn below(name: &[u8], above: &[u8]) -> bool {
    let mut rest = name;
    loop {
        if rest == above {
            return true;
        }
        match rest[0] {
            0 => return false,
            length => rest = &rest[usize::from(length) + 1..],
        }
    }
}
