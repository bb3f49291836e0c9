//! The catalogue against histories. `serving` tells what it serves, `records` which plain records, `serials` when a zone
//! gets a new one, `turns` when apps are built, `merging` what it makes of other layouts, `property` that the way there
//! does not matter.

mod merging;
mod property;
mod records;
mod reload;
mod serials;
mod serving;
mod turns;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::layout::foreign::{Foreign, System};
use crate::layout::native::{self, Keys};
use crate::layout::{Note, Registration};
use crate::model::{Instance, Label, Spec};
use crate::registry::mirror::{Kept, News};
use crate::registry::{Entry, LeaseId};
use crate::zone::Zone;
use crate::zone::block::{A_OCTETS, Addresses, SRV_TARGET};
use crate::zone::contents::Contents;
use crate::zone::snapshot::Found;
use crate::zone::wire;
use crate::zone::zonefile::ZoneFile;

/// A registry's keys, and the deltas that lead a catalogue along.
struct History {
    keys: Keys,
    zones: Vec<ZoneSettings>,
    state: BTreeMap<Bytes, Kept<Parsed>>,
    revision: Revision,
    catalogue: Catalogue,
}

impl History {
    fn new(pins: &[Pin]) -> Self {
        Self::of(&[ZoneSettings::default()], pins)
    }

    fn of(zones: &[ZoneSettings], pins: &[Pin]) -> Self {
        let mut history = Self {
            keys: Keys::new("/r/"),
            zones: zones.to_vec(),
            state: BTreeMap::new(),
            revision: 1,
            catalogue: catalogue(zones, pins),
        };
        for origin in SOURCES {
            let empty = Delta { revision: 1, epoch: 0, whole: true, news: Vec::new() };
            history.catalogue.apply(origin, &empty);
        }
        history
    }

    fn step(&mut self, changes: &[(Bytes, Option<Parsed>)]) -> Vec<Event> {
        self.revision += 1;
        self.step_of(Origin::NATIVE, changes)
    }

    /// A step of one of the layouts, whose watch stands where ours does.
    fn step_of(&mut self, origin: Origin, changes: &[(Bytes, Option<Parsed>)]) -> Vec<Event> {
        let revision = self.revision;
        let news = changes.iter().map(|(key, parsed)| {
            let now =
                parsed.clone().map(|parsed| Kept { revision, lease: LeaseId::new(7), parsed });
            let was = match &now {
                Some(kept) => self.state.insert(key.clone(), kept.clone()),
                None => self.state.remove(key),
            };
            News { key: key.clone(), was, now }
        });
        let delta = Delta { revision, epoch: 0, whole: false, news: news.collect() };
        self.catalogue.apply(origin, &delta)
    }

    /// A key of another layout, with any id.
    fn tell(&mut self, origin: Origin, app: &str, key: &str, told: Option<Told<'_>>) -> Vec<Event> {
        let parsed = told.map(|Told { id, body, disabled }| {
            Parsed::Instance(Arc::new(Registration {
                namespace: Namespace::default(),
                app: AppName::new(app).unwrap(),
                id: id.into(),
                origin,
                disabled,
                instance: registered(body),
            }))
        });
        let key = format!("{}{app}/{key}", String::from_utf8_lossy(folder(origin)));
        self.step_of(origin, &[(key.into(), parsed)])
    }

    fn put(&mut self, app: &str, id: &str, body: &str) -> Vec<Event> {
        let (key, parsed) = instance(&self.keys, app, id, body);
        self.step(&[(key, Some(parsed))])
    }

    /// A record as SkyDNS has it; its key's path, and its value or none.
    fn plain(&mut self, path: &str, value: Option<&str>) {
        let namespace = Namespace::default();
        let layout =
            Foreign { origin: PLAIN, system: System::Skydns, prefix: "/skydns/".into(), namespace };
        let key = Bytes::from(format!("/skydns/{path}"));
        let parsed = value.map(|value| {
            let value = Bytes::copy_from_slice(value.as_bytes());
            layout.parse(&Entry { key: key.clone(), value, revision: 0, lease: None })
        });
        self.step_of(PLAIN, &[(key, parsed)]);
    }

    fn delete(&mut self, app: &str, id: &str) -> Vec<Event> {
        let (key, _) = instance(&self.keys, app, id, BODY);
        self.step(&[(key, None)])
    }

    fn mark(&mut self, app: &str, id: Option<&str>, offline: bool) -> Vec<Event> {
        let (namespace, app) = (Namespace::default(), AppName::new(app).unwrap());
        let id = id.map(|id| Label::new(id).unwrap());
        let key = self.keys.offline(&namespace, &app, id.as_ref());
        let value = native::note_value(&Note { reason: "test".into(), ..Note::default() });
        let entry = Entry { key: key.clone(), value, revision: 0, lease: None };
        let parsed = self.keys.parse(&entry);
        self.step(&[(key, offline.then_some(parsed))])
    }

    /// The first zone's file is written anew: the apex, and then this.
    fn file(&mut self, body: &str) {
        let text = format!("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n{body}");
        let zone = &mut self.zones[0];
        let file = ZoneFile::parse("svc.zone".as_ref(), &text, &zone.name).unwrap();
        zone.file = Some(Arc::new(file));
        self.catalogue.replace(Contents::new(&self.zones[0], &self.zones));
    }

    fn snapshot(&mut self) -> Arc<Snapshot> {
        compile(&mut self.catalogue)
    }

    /// The same state, learnt at once by a catalogue that knew nothing.
    fn learnt_at_once(&self, pins: &[Pin]) -> Arc<Snapshot> {
        let mut catalogue = catalogue(&self.zones, pins);
        for origin in SOURCES {
            let own = self.state.iter().filter(|(key, _)| key.starts_with(folder(origin)));
            let news = own.map(|(key, kept)| News {
                key: key.clone(),
                was: None,
                now: Some(kept.clone()),
            });
            let (revision, news) = (self.revision, news.collect());
            catalogue.apply(origin, &Delta { revision, epoch: 0, whole: true, news });
        }
        compile(&mut catalogue)
    }
}

/// What a key of another layout says.
#[derive(Clone, Copy)]
struct Told<'a> {
    id: &'a str,
    body: &'a str,
    disabled: bool,
}

/// The layout of plain records.
const PLAIN: Origin = Origin(3);
/// Our own layout, two others, and that one.
const SOURCES: [Origin; 4] = [Origin::NATIVE, Origin(1), Origin(2), PLAIN];

fn catalogue(zones: &[ZoneSettings], pins: &[Pin]) -> Catalogue {
    let others = SOURCES.iter().skip(1).map(|_| Namespace::default());
    Catalogue::new(zones, pins, &[]).with_layouts(others)
}

/// Where a layout has its keys.
fn folder(origin: Origin) -> &'static [u8] {
    match origin {
        Origin::NATIVE => b"/r/",
        Origin(1) => b"/one/",
        PLAIN => b"/skydns/",
        _ => b"/two/",
    }
}

const BODY: &str = r#"{"address":"10.0.0.7","port":9000}"#;

fn compile(catalogue: &mut Catalogue) -> Arc<Snapshot> {
    // Every app is due an hour later.
    catalogue.compile(&|| Duration::from_secs(3_600)).snapshot
}

fn registered(body: &str) -> Instance {
    serde_json::from_str::<Spec>(body).unwrap().resolve(None).unwrap()
}

/// A pin of an app to two addresses of this machine.
fn pin(app: &str) -> Pin {
    Pin {
        namespace: Namespace::default(),
        app: AppName::new(app).unwrap(),
        protocol: crate::model::Protocol::default(),
        transport: crate::model::Transport::Tcp,
        endpoints: vec!["127.0.0.1:9000".parse().unwrap(), "127.0.0.2:9001".parse().unwrap()],
    }
}

fn zone(name: &str) -> ZoneSettings {
    ZoneSettings { name: name.parse().unwrap(), ..ZoneSettings::default() }
}

/// Any id, as a foreign layout would hand it in.
fn instance(keys: &Keys, app: &str, id: &str, body: &str) -> (Bytes, Parsed) {
    let app = AppName::new(app).unwrap();
    let key = format!("{}default/instances/{app}/{id}", keys.prefix());
    let registration = Registration {
        namespace: Namespace::default(),
        app,
        id: id.into(),
        origin: Origin::NATIVE,
        disabled: false,
        instance: registered(body),
    };
    (key.into(), Parsed::Instance(Arc::new(registration)))
}

fn app_of<'s>(snapshot: &'s Snapshot, app: &str) -> &'s crate::zone::AppView {
    snapshot.directory.app(&Namespace::default(), &AppName::new(app).unwrap()).unwrap()
}

fn wire(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    name.split('.').filter(|label| !label.is_empty()).for_each(|label| {
        wire::push_label(&mut wire, label.as_bytes());
    });
    wire
}

/// The address in an A record.
fn address(record: &[u8]) -> String {
    let octets: [u8; 4] = *record.last_chunk().unwrap();
    std::net::Ipv4Addr::from(octets).to_string()
}

/// The first label of the target in an SRV record.
fn target_label(record: &[u8]) -> &[u8] {
    wire::split(&record[SRV_TARGET..]).unwrap().0
}

fn a(zone: &Zone, name: &str) -> Vec<String> {
    let mut all: Vec<String> = match zone.find(&wire(name)) {
        Found::App(node) => match node.a() {
            Some(Addresses::Own(own)) => own.chunks_exact(A_OCTETS).map(address).collect(),
            Some(Addresses::Chosen(choice)) => {
                let mut all = Vec::new();
                choice.visit(1, |member| {
                    all.push(address(node.block().record(member, A_OCTETS)));
                    true
                });
                all
            }
            None => vec!["no data".into()],
        },
        Found::Between => vec!["between".into()],
        Found::Missing => vec!["missing".into()],
        other => vec![format!("{other:?}")],
    };
    all.sort();
    all
}
