//! What is registered, and all records of all names, written out in the simplest way there is: what `answer()`
//! finds by its tables is here a line for each record.
//!
//! Nothing here wants another's name: who gets one is tested elsewhere (`tests/cases/claims.case`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use rollcall::layout::Registration;
use rollcall::model::{Endpoint, derived_label};

use crate::case::Case;

pub(crate) const A: u16 = 1;
pub(crate) const CNAME: u16 = 5;
pub(crate) const SOA: u16 = 6;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;

/// Static records by zone: owner, TTL, type, data; every name in data in full, so that it reads as decoded.
const STATICS: [(&str, &str); 3] = [
    (
        "svc.",
        "@ 60 SOA ns1.svc. hostmaster.svc. 1 2 3 4 5
         @ 60 NS ns1.svc.
         @ 60 NS ns.elsewhere.example.
         @ 60 MX 10 mx.svc.
         ns1 60 A 192.0.2.53
         ns1 60 AAAA 2001:db8::53
         mx 60 A 192.0.2.25
         www 30 CNAME ns1.svc.
         text 30 TXT \"plain words\"
         odd 30 TYPE65280 \\# 3 010203
         _web._tcp 30 SRV 1 2 3 i-1.few.svc.
         _web._tcp 30 SRV 1 2 4 ns1.svc.
         on.the.way.down 60 A 192.0.2.9",
    ),
    (
        "staging.svc.",
        "@ 20 SOA ns1.svc. hostmaster.svc. 1 2 3 4 50
         @ 20 NS ns1.svc.
         fixed 20 A 192.0.2.77",
    ),
    (
        "plain.example.",
        "@ 300 SOA ns.plain.example. hostmaster.plain.example. 1 2 3 4 7
         @ 300 NS ns.plain.example.
         ns 300 A 192.0.2.66",
    ),
];

/// Time to live of what is registered, and factor of SRV weights, in the zones that have any.
const REGISTERED: [(&str, &str, u32, u16); 2] =
    [("svc.", "default", 5, 1), ("staging.svc.", "staging", 9, 256)];

/// Records of one name and type.
#[derive(Debug, Default)]
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
        let text = text();
        let case = Case::world(Path::new("world"), &text);
        let mut world = Self { case, zones: Vec::new(), names: BTreeMap::new() };
        for (name, lines) in STATICS {
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
                world.name(kind, &owner);
                zone.add(&owner, rtype, ttl, displayed(rtype, data));
            }
            world.zones.push(zone);
        }
        for zone in &mut world.zones {
            zone.statics = std::mem::take(&mut zone.all);
            let copy = |set: &Set| Set { ttl: set.ttl, data: set.data.clone() };
            let copied = zone.statics.iter().map(|(name, sets)| {
                (name.clone(), sets.iter().map(|(rtype, set)| (*rtype, copy(set))).collect())
            });
            zone.all = copied.collect();
        }
        for name in ["the.way.down.svc.", "down.svc.", "below.nothing.svc.", "_tcp.svc."] {
            world.name("between", name);
        }
        // Their zones come first above, too.
        for (at, zone) in REGISTERED.into_iter().enumerate() {
            world.register(at, zone);
        }
        // A zone below a zone: the name on the way exists, and the zone's own names are not the upper one's.
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

    /// Writes out what is registered for a zone.
    fn register(&mut self, at: usize, (zone, namespace, ttl, scale): (&str, &str, u32, u16)) {
        let online = |one: &&Registration| {
            !self.case.marks.iter().any(|mark| {
                (&mark.namespace, &mark.app) == (&one.namespace, &one.app)
                    && mark.id.as_ref().is_none_or(|id| id.as_str() == &*one.id)
            })
        };
        let ours = self.case.registrations.iter().filter(|one| one.namespace.as_str() == namespace);
        let live: Vec<Registration> = ours.filter(online).cloned().collect();
        for one in &live {
            let app = format!("{}.{zone}", one.app);
            let own = format!("{}.{app}", one.id);
            let tags: Vec<String> =
                one.instance.tags.iter().map(|tag| format!("{tag}.{app}")).collect();
            let crowded = one.app.as_str() == "crowd";
            // Of a crowd a few stand for all.
            let asked = !crowded || one.id.len() < 4;
            let mut targets = vec![(own.clone(), one.instance.addresses.clone())];
            for endpoint in &one.instance.endpoints {
                let Endpoint { protocol, transport, port, addresses, .. } = endpoint;
                let target = if addresses.is_empty() {
                    own.clone()
                } else {
                    let raw = format!("{protocol}/{transport}/{port}");
                    let label = format!("{}.{app}", derived_label(&one.id, raw.as_bytes()));
                    self.name("derived target", &label);
                    targets.push((label.clone(), addresses.clone()));
                    label
                };
                let weight = endpoint.weight.unwrap_or(one.instance.weight).saturating_mul(scale);
                let data = format!("{} {weight} {port} {target}", one.instance.priority);
                let service = |of: &str| format!("_{protocol}._{transport}.{of}");
                self.zones[at].add(&app, SRV, ttl, data.clone());
                self.zones[at].add(&service(&app), SRV, ttl, data.clone());
                self.zones[at].add(&service(&own), SRV, ttl, data.clone());
                self.name(if crowded { "crowd" } else { "service" }, &service(&app));
                for tag in &tags {
                    self.zones[at].add(&service(tag), SRV, ttl, data.clone());
                    self.name("service of a tag", &service(tag));
                }
                if asked {
                    self.name("service of an instance", &service(&own));
                    self.name("between", &format!("_{transport}.{own}"));
                    self.name("between", &format!("_{transport}.{app}"));
                }
            }
            for (name, addresses) in &targets {
                self.zones[at].addresses(name, addresses, ttl);
            }
            self.name(if crowded { "crowd" } else { "app" }, &app);
            if asked {
                self.name("instance", &own);
            }
            for tag in &tags {
                self.name("tag", tag);
            }
            let members = |all: &[String]| {
                let group: Vec<&Registration> = live
                    .iter()
                    .filter(|other| other.app == one.app)
                    .filter(|other| {
                        all.is_empty()
                            || other
                                .instance
                                .tags
                                .iter()
                                .any(|tag| all.contains(&format!("{tag}.{app}")))
                    })
                    .collect();
                weighed(&group, one)
            };
            if members(&[]) {
                for (_, addresses) in &targets {
                    self.zones[at].addresses(&app, addresses, ttl);
                }
            }
            for tag in &tags {
                if members(std::slice::from_ref(tag)) {
                    for (_, addresses) in &targets {
                        self.zones[at].addresses(tag, addresses, ttl);
                    }
                }
            }
        }
    }
}

/// Whether an instance is among those of its group that take traffic: of the lowest priority that has weight,
/// or anyone where nobody has.
fn weighed(group: &[&Registration], one: &Registration) -> bool {
    let best = group.iter().filter(|other| other.instance.weight > 0);
    match best.map(|other| other.instance.priority).min() {
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

/// Static records that no datagram of 512 octets holds.
fn pool(zone: &str) -> String {
    let each = (1..=60).map(|n| format!("pool 60 A 192.0.2.{n}\n"));
    if zone == "svc." { each.collect() } else { String::new() }
}

/// The world in the language of cases.
fn text() -> String {
    let mut text = String::new();
    for (zone, records) in STATICS {
        match REGISTERED.iter().find(|(name, ..)| *name == zone) {
            Some((_, namespace, ttl, scale)) => {
                writeln!(text, "zone {zone} {namespace} ttl={ttl} scale={scale}").unwrap();
            }
            None => writeln!(text, "zone {zone} -").unwrap(),
        }
        writeln!(text, "file {zone}").unwrap();
        for line in records.lines().chain(pool(zone).lines()) {
            writeln!(text, "  {}", line.trim()).unwrap();
        }
    }
    text.push_str(concat!(
        r#"instance one/i-1 {"address":"10.0.0.1","port":9000}"#, "\n",
        r#"instance few/i-{1..5} {"addresses":["10.1.0.{}","fd00:1::{}"],"port":9000,"tags":["v1"]}"#, "\n",
        r#"instance few/j-{1..2} {"address":"fd00:1:1::{}","port":9001,"tags":["v2","v1"]}"#, "\n",
        r#"instance many/i-{1..40} {"addresses":["10.2.0.{}","fd00:2::{}"],"port":9000,"weight":{},"tags":["v1"]}"#, "\n",
        r#"instance drained/i-{1..3} {"address":"10.3.0.{}","port":9000,"weight":0}"#, "\n",
        r#"instance ranked/a-{1..3} {"address":"10.4.0.{}","port":9000,"priority":5,"weight":0,"tags":["t"]}"#, "\n",
        r#"instance ranked/b-{1..3} {"address":"10.4.1.{}","port":9000,"priority":10,"weight":{},"tags":["t"]}"#, "\n",
        r#"instance ranked/c-{1..3} {"addresses":["10.4.2.{}","fd00:4::{}"],"port":9000,"priority":20,"tags":["u"]}"#, "\n",
        r#"instance split/s-{1..4} {"addresses":["10.5.0.{}","fd00:5::{}"],"tags":["v1"],"endpoints":[{"port":9000},"#,
        r#"{"protocol":"admin","port":9001,"addresses":["10.5.1.{}","fd00:5:1::{}"],"weight":7},"#,
        r#"{"protocol":"nova","transport":"udp","port":9000},{"protocol":"http","port":8080,"weight":1}]}"#, "\n",
        r#"instance wide/w-{1..3} {"addresses":["10.6.0.{}","10.6.1.{}","10.6.2.{}","10.6.3.{}","10.6.4.{}","10.6.5.{}","#,
        r#""10.6.6.{}","10.6.7.{}","fd00:6::{}","fd00:6:1::{}","fd00:6:2::{}","fd00:6:3::{}"],"port":9000}"#, "\n",
        r#"instance below.few/i-{1..2} {"address":"10.7.0.{}","port":9000}"#, "\n",
        r#"instance far.below.nothing/i-{1..2} {"address":"10.8.0.{}","port":9000}"#, "\n",
        r#"instance gone/i-{1..2} {"address":"10.9.0.{}","port":9000}"#, "\n",
        "offline gone\n",
        r#"instance half/i-{1..4} {"address":"10.10.0.{}","port":9000,"tags":["v1"]}"#, "\n",
        "offline half/i-2\n",
        r#"instance shared/i-{1..3} {"address":"10.11.0.1","port":900{}}"#, "\n",
        r#"instance staging:few/i-{1..3} {"addresses":["10.12.0.{}","fd00:12::{}"],"port":9000,"tags":["v1"]}"#, "\n",
    ));
    for n in 0..1_000_u32 {
        let v4 = Ipv4Addr::from_bits(0x0a40_0000 + n);
        writeln!(
            text,
            "instance crowd/i-{n} {{\"addresses\":[\"{v4}\",\"fd00:64::{n}\"],\"port\":9000,\"weight\":{}}}",
            n % 7
        )
        .unwrap();
    }
    text
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
