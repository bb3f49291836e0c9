//! The catalogue against histories: what it serves, and that the way there does not matter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::layout::native::{self, Keys};
use crate::layout::{Note, Registration};
use crate::model::{Instance, Label, Spec};
use crate::registry::mirror::Kept;
use crate::registry::{Entry, LeaseId};
use crate::zone::block::{Addresses, Goal};
use crate::zone::event::Cause;
use crate::zone::snapshot::Found;
use crate::zone::{State, Zone};

/// A registry's keys, and the deltas that lead a catalogue along.
struct History {
    keys: Keys,
    state: BTreeMap<Bytes, Kept<Parsed>>,
    revision: Revision,
    catalogue: Catalogue,
}

impl History {
    fn new(pins: &[Pin]) -> Self {
        let mut history = Self {
            keys: Keys::new("/r/"),
            state: BTreeMap::new(),
            revision: 1,
            catalogue: Catalogue::new(&[ZoneSettings::default()], pins, &[]),
        };
        history.catalogue.apply(&Delta { revision: 1, epoch: 0, whole: true, news: Vec::new() });
        history
    }

    fn step(&mut self, changes: &[(Bytes, Option<Parsed>)]) -> Vec<Event> {
        self.revision += 1;
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
        self.catalogue.apply(&delta)
    }

    fn put(&mut self, app: &str, id: &str, body: &str) -> Vec<Event> {
        let (key, parsed) = instance(&self.keys, app, id, body);
        self.step(&[(key, Some(parsed))])
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

    fn snapshot(&mut self) -> Arc<Snapshot> {
        compile(&mut self.catalogue)
    }

    /// The same state, learnt at once by a catalogue that knew nothing.
    fn learnt_at_once(&self, pins: &[Pin]) -> Arc<Snapshot> {
        let mut catalogue = Catalogue::new(&[ZoneSettings::default()], pins, &[]);
        let news = self.state.iter().map(|(key, kept)| News {
            key: key.clone(),
            was: None,
            now: Some(kept.clone()),
        });
        let delta = Delta { revision: self.revision, epoch: 0, whole: true, news: news.collect() };
        catalogue.apply(&delta);
        compile(&mut catalogue)
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

/// Any id, as a foreign layout would hand it in.
fn instance(keys: &Keys, app: &str, id: &str, body: &str) -> (Bytes, Parsed) {
    let app = AppName::new(app).unwrap();
    let key = format!("{}default/instances/{app}/{id}", keys.prefix());
    let registration = Registration {
        namespace: Namespace::default(),
        app,
        id: id.into(),
        instance: registered(body),
    };
    (key.into(), Parsed::Instance(Arc::new(registration)))
}

fn wire(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    name.split('.').filter(|label| !label.is_empty()).for_each(|label| {
        crate::zone::wire::push_label(&mut wire, label.as_bytes());
    });
    wire
}

fn a(zone: &Zone, name: &str) -> Vec<String> {
    let mut all: Vec<String> = match zone.find(&wire(name)) {
        Found::App(node) => match node.a() {
            Some(Addresses::Own(own)) => own.iter().map(ToString::to_string).collect(),
            Some(Addresses::Chosen(choice, pool)) => {
                let mut all = Vec::new();
                choice.visit(1, |member| {
                    all.push(pool[member as usize].to_string());
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

/// All answers of a snapshot that don't depend on chance, serials apart.
fn answers(snapshot: &Snapshot) -> impl PartialEq + std::fmt::Debug + use<> {
    let zones: Vec<_> = snapshot
        .zones
        .iter()
        .map(|zone| {
            let apps: BTreeMap<_, _> = zone
                .apps
                .iter()
                .map(|(name, node)| (name.clone(), (node.block.clone(), node.below)))
                .collect();
            (zone.name.clone(), zone.app_labels_max, zone.ready, apps)
        })
        .collect();
    let directory: Vec<_> = snapshot.directory.apps.values().cloned().collect();
    let rejected: Vec<_> = snapshot.directory.rejected(None).collect();
    (snapshot.revision, zones, directory, rejected)
}

#[test]
fn an_instance_comes_under_all_its_names_and_goes_from_all() {
    let mut history = History::new(&[]);
    let events =
        history.put("greeter", "i-1", r#"{"address":"10.0.0.7","port":9000,"tags":["v2"]}"#);
    assert_eq!(events[0].cause, Cause::Registered);
    let snapshot = history.snapshot();
    let zone = &snapshot.zones[0];
    for name in ["greeter", "i-1.greeter", "v2.greeter"] {
        assert_eq!(a(zone, name), ["10.0.0.7"], "{name}");
    }
    for name in ["_tcp.greeter", "_tcp.i-1.greeter", "_tcp.v2.greeter"] {
        assert!(
            matches!(zone.find(&wire(name)), Found::App(node) if node.srv().is_none()),
            "{name}"
        );
    }
    for name in ["_nova._tcp.greeter", "_nova._tcp.i-1.greeter", "_nova._tcp.v2.greeter"] {
        assert!(
            matches!(zone.find(&wire(name)), Found::App(node) if node.srv().is_some()),
            "{name}"
        );
    }
    for name in ["_http._tcp.greeter", "_udp.greeter", "i-2.greeter", "x.i-1.greeter", "other"] {
        assert!(matches!(zone.find(&wire(name)), Found::Missing), "{name}");
    }
    let serial = zone.serial;
    history.delete("greeter", "i-1");
    let snapshot = history.snapshot();
    let zone = &snapshot.zones[0];
    for name in ["greeter", "i-1.greeter", "_tcp.greeter", "_nova._tcp.greeter"] {
        assert!(matches!(zone.find(&wire(name)), Found::Missing), "{name}");
    }
    assert!(zone.serial > serial);
    assert_eq!(snapshot.directory.apps.len(), 0);
}

#[test]
fn an_app_takes_the_name_of_an_instance_which_keeps_a_derived_one() {
    let mut history = History::new(&[]);
    history.put("greeter", "b", r#"{"address":"10.0.0.1","port":1}"#);
    history.put("b.greeter", "i", r#"{"address":"10.0.0.2","port":2}"#);
    let snapshot = history.snapshot();
    let zone = &snapshot.zones[0];
    assert_eq!(a(zone, "b.greeter"), ["10.0.0.2"]);
    let view =
        snapshot.directory.instance(&Namespace::default(), &AppName::new("greeter").unwrap(), "b");
    let label = view.unwrap().label.clone().unwrap();
    assert!(label.as_str().starts_with("b-"), "{label}");
    assert_eq!(a(zone, &format!("{label}.greeter")), ["10.0.0.1"]);
    let rejected: Vec<_> = snapshot.directory.rejected(None).collect();
    assert_eq!(rejected.len(), 1);
    assert!(rejected[0].reason.contains("the app b.greeter"), "{rejected:?}");
    // And gets its own back when the app goes.
    history.delete("b.greeter", "i");
    let snapshot = history.snapshot();
    assert_eq!(a(&snapshot.zones[0], "b.greeter"), ["10.0.0.1"]);
    assert_eq!(snapshot.directory.rejected_count(), 0);
}

#[test]
fn names_between_exist_and_cease() {
    let mut history = History::new(&[]);
    history.put("go.micro.srv.greeter", "i", BODY);
    let snapshot = history.snapshot();
    for name in ["micro.srv.greeter", "srv.greeter", "greeter"] {
        assert_eq!(a(&snapshot.zones[0], name), ["between"], "{name}");
    }
    history.delete("go.micro.srv.greeter", "i");
    let snapshot = history.snapshot();
    assert_eq!(a(&snapshot.zones[0], "srv.greeter"), ["missing"]);
    assert!(snapshot.zones[0].apps.is_empty());
}

#[test]
fn of_illegal_ids_with_one_mapping_the_smallest_gets_the_plain_label() {
    let mut history = History::new(&[]);
    history.put("x", "a_b", r#"{"address":"10.0.0.1","port":1}"#);
    history.put("x", "a.b", r#"{"address":"10.0.0.2","port":1}"#);
    assert_eq!(a(&history.snapshot().zones[0], "a-b.x"), ["10.0.0.2"]);
    history.put("x", "a-b", r#"{"address":"10.0.0.3","port":1}"#);
    let snapshot = history.snapshot();
    assert_eq!(a(&snapshot.zones[0], "a-b.x"), ["10.0.0.3"]);
    assert_eq!(snapshot.directory.rejected_count(), 2);
}

#[test]
fn marks_take_instances_and_apps_out_and_say_so() {
    let mut history = History::new(&[]);
    history.put("x", "i", r#"{"address":"10.0.0.1","port":1}"#);
    history.put("x", "j", r#"{"address":"10.0.0.2","port":1}"#);
    assert_eq!(history.mark("x", Some("i"), true)[0].cause, Cause::Offline);
    let snapshot = history.snapshot();
    assert_eq!(a(&snapshot.zones[0], "x"), ["10.0.0.2"]);
    assert_eq!(a(&snapshot.zones[0], "i.x"), ["missing"]);
    let app = snapshot.directory.app(&Namespace::default(), &AppName::new("x").unwrap()).unwrap();
    assert!(matches!(&app.instances[0].state, State::Offline(mark) if mark.note.reason == "test"));
    // The mark outlives the registration.
    history.delete("x", "i");
    history.put("x", "i", r#"{"address":"10.0.0.9","port":1}"#);
    assert_eq!(a(&history.snapshot().zones[0], "x"), ["10.0.0.2"]);
    history.mark("x", None, true);
    assert_eq!(a(&history.snapshot().zones[0], "x"), ["missing"]);
    history.mark("x", None, false);
    assert_eq!(history.mark("x", Some("i"), false)[0].cause, Cause::Online);
    assert_eq!(a(&history.snapshot().zones[0], "x"), ["10.0.0.2", "10.0.0.9"]);
}

#[test]
fn weights_and_priorities_decide_which_addresses_an_app_has() {
    let mut history = History::new(&[]);
    let mut put = |id: &str, address: &str, weight: u16, priority: u16| {
        let body = format!(
            r#"{{"address":"{address}","port":1,"weight":{weight},"priority":{priority}}}"#
        );
        history.put("x", id, &body);
        history.snapshot()
    };
    put("a", "10.0.0.1", 0, 10);
    assert_eq!(
        a(&put("b", "10.0.0.2", 0, 20).zones[0], "x"),
        ["10.0.0.1", "10.0.0.2"],
        "all are 0"
    );
    assert_eq!(
        a(&put("c", "10.0.0.3", 5, 20).zones[0], "x"),
        ["10.0.0.3"],
        "weight 0 is no new traffic"
    );
    let snapshot = put("d", "10.0.0.4", 5, 15);
    assert_eq!(a(&snapshot.zones[0], "x"), ["10.0.0.4"], "the lowest priority that has weight");
    assert_eq!(a(&snapshot.zones[0], "a.x"), ["10.0.0.1"], "its own name keeps it");
}

#[test]
fn a_departure_is_told_from_an_expiry() {
    let mut history = History::new(&[]);
    history.put("x", "i", BODY);
    history.put("x", "j", BODY);
    let (key, _) = instance(&history.keys, "x", "i", BODY);
    let (namespace, app, id) =
        (Namespace::default(), AppName::new("x").unwrap(), Label::new("i").unwrap());
    let departed = history.keys.departed(&namespace, &app, &id);
    let value = native::note_value(&Note { by: "10.0.0.7".into(), ..Note::default() });
    let entry = Entry { key: departed.clone(), value, revision: 0, lease: None };
    let parsed = history.keys.parse(&entry);
    let events = history.step(&[(departed, Some(parsed)), (key, None)]);
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].cause, events[0].id.as_deref()), (Cause::Departed, Some("i")));
    assert_eq!(events[0].note.as_ref().unwrap().by, "10.0.0.7");
    assert_eq!(history.delete("x", "j")[0].cause, Cause::Expired);
}

#[test]
fn a_heartbeat_like_rewrite_keeps_the_serial() {
    let mut history = History::new(&[]);
    history.put("x", "i", BODY);
    let serial = history.snapshot().zones[0].serial;
    assert_eq!(history.put("x", "i", BODY), []);
    let snapshot = history.snapshot();
    assert_eq!((snapshot.zones[0].serial, snapshot.revision), (serial, 3));
    history.put("x", "i", r#"{"address":"10.0.0.7","port":9000,"meta":{"a":"b"}}"#);
    assert_eq!(history.snapshot().zones[0].serial, serial, "meta data is in no record yet");
    history.put("x", "i", r#"{"address":"10.0.0.7","port":9001}"#);
    assert_eq!(history.snapshot().zones[0].serial, 5);
}

#[test]
fn a_saved_serial_survives_a_restart_without_a_change() {
    let mut history = History::new(&[]);
    history.put("x", "i", BODY);
    let serial = history.snapshot().zones[0].serial;
    let saved = history.catalogue.serials();
    let restart = |history: &History, saved: &[SavedSerial]| {
        let mut catalogue = Catalogue::new(&[ZoneSettings::default()], &[], saved);
        let news = history
            .state
            .iter()
            .map(|(key, kept)| News { key: key.clone(), was: None, now: Some(kept.clone()) })
            .collect();
        catalogue.apply(&Delta { revision: history.revision, epoch: 0, whole: true, news });
        compile(&mut catalogue).zones[0].serial
    };
    assert_eq!(restart(&history, &saved), serial);
    history.put("x", "j", r#"{"address":"10.0.0.8","port":1}"#);
    assert_eq!(restart(&history, &saved), 3);
}

#[test]
fn nothing_is_known_before_the_first_view() {
    let mut catalogue = Catalogue::new(&[ZoneSettings::default()], &[], &[]);
    let snapshot = compile(&mut catalogue);
    let zone = &snapshot.zones[0];
    assert!(!snapshot.ready);
    assert!(matches!(zone.find(&wire("x")), Found::Unknown));
    assert!(matches!(zone.find(&[]), Found::Static(_)), "the apex is known");
    catalogue.apply(&Delta { revision: 1, epoch: 0, whole: true, news: Vec::new() });
    assert!(matches!(compile(&mut catalogue).zones[0].find(&wire("x")), Found::Missing));
}

#[test]
fn pins_replace_what_is_registered() {
    let pin = Pin {
        namespace: Namespace::default(),
        app: AppName::new("x").unwrap(),
        protocol: crate::model::Protocol::default(),
        transport: crate::model::Transport::Tcp,
        endpoints: vec!["127.0.0.1:9000".parse().unwrap(), "127.0.0.2:9001".parse().unwrap()],
    };
    let mut history = History::new(std::slice::from_ref(&pin));
    history.put("x", "i", BODY);
    history.mark("x", None, true);
    let snapshot = history.snapshot();
    assert_eq!(a(&snapshot.zones[0], "x"), ["127.0.0.1", "127.0.0.2"]);
    assert_eq!(a(&snapshot.zones[0], "pin-2.x"), ["127.0.0.2"]);
    assert_eq!(a(&snapshot.zones[0], "i.x"), ["missing"]);
    let app = snapshot.directory.app(&Namespace::default(), &pin.app).unwrap();
    let states: Vec<_> =
        app.instances.iter().map(|one| (&*one.registration.id, &one.state)).collect();
    assert_eq!(
        states,
        [("i", &State::Pinned), ("pin-1", &State::Online), ("pin-2", &State::Online)]
    );
}

#[test]
fn an_app_built_a_moment_ago_waits_and_the_revision_tells() {
    let mut history = History::new(&[]);
    let clock = std::cell::Cell::new(Duration::from_millis(1_000));
    // Each look at the clock takes a millisecond: a build takes one, and the app rests for twenty.
    let tick = || {
        clock.set(clock.get() + Duration::from_millis(1));
        clock.get()
    };
    history.put("x", "i", BODY);
    let first = history.catalogue.compile(&tick);
    assert_eq!((first.snapshot.revision, first.due), (2, None));
    history.put("x", "j", r#"{"address":"10.0.0.8","port":1}"#);
    history.put("y", "i", BODY);
    let second = history.catalogue.compile(&tick);
    assert_eq!(second.snapshot.revision, 2, "revision 3 is not shown yet");
    assert_eq!(a(&second.snapshot.zones[0], "x"), ["10.0.0.7"]);
    assert_eq!(a(&second.snapshot.zones[0], "y"), ["10.0.0.7"], "others don't wait");
    clock.set(second.due.unwrap());
    let third = history.catalogue.compile(&tick);
    assert_eq!((third.snapshot.revision, third.due), (4, None));
    assert_eq!(a(&third.snapshot.zones[0], "x"), ["10.0.0.7", "10.0.0.8"]);
}

/// A few names that collide in every way there is.
const APPS: [&str; 5] = ["x", "b.x", "c.b.x", "b-1.x", "y"];
const IDS: [&str; 9] = ["b", "c", "b-1", "b_1", "b.1", "B-1", "i", "_", "b-ldmiko"];
const BODIES: [&str; 6] = [
    r#"{"address":"10.0.0.1","port":1}"#,
    r#"{"addresses":["10.0.0.2","fd00::2"],"port":2,"tags":["b","t"]}"#,
    r#"{"address":"10.0.0.3","endpoints":[{"port":3},{"protocol":"http","port":4,"addresses":["10.0.1.3"]}]}"#,
    r#"{"address":"10.0.0.4","port":5,"weight":0,"tags":["i"]}"#,
    r#"{"address":"10.0.0.5","port":6,"priority":1}"#,
    r#"{"address":"10.0.0.1","endpoints":[{"port":1},{"port":2,"weight":7}],"tags":["t"]}"#,
];

#[derive(Debug, Clone)]
enum Op {
    Put(usize, usize, usize),
    Delete(usize, usize),
    Mark(usize, Option<usize>, bool),
    Bad(usize, bool),
    Compile,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..APPS.len(), 0..IDS.len(), 0..BODIES.len()).prop_map(|(a, i, b)| Op::Put(a, i, b)),
        4 => (0..APPS.len(), 0..IDS.len()).prop_map(|(a, i)| Op::Delete(a, i)),
        1 => (0..APPS.len(), proptest::option::of(0..3_usize), any::<bool>()).prop_map(|(a, i, on)| Op::Mark(a, i, on)),
        1 => (0..3_usize, any::<bool>()).prop_map(|(i, there)| Op::Bad(i, there)),
        3 => Just(Op::Compile),
    ]
}

fn run(history: &mut History, op: &Op) {
    match op {
        Op::Put(app, id, body) => _ = history.put(APPS[*app], IDS[*id], BODIES[*body]),
        Op::Delete(app, id) => _ = history.delete(APPS[*app], IDS[*id]),
        Op::Mark(app, id, offline) => _ = history.mark(APPS[*app], id.map(|id| IDS[id]), *offline),
        Op::Bad(which, there) => {
            let key = Bytes::from(format!("/r/bad/{which}"));
            let parsed = Parsed::Rejected("not readable".into());
            history.step(&[(key, there.then_some(parsed))]);
        }
        Op::Compile => _ = history.snapshot(),
    }
}

/// Every SRV record of a zone: the name it points to has exactly the addresses that its instance has there.
fn check_targets(snapshot: &Snapshot) -> Result<(), TestCaseError> {
    let zone = &snapshot.zones[0];
    for view in snapshot.directory.apps.values() {
        for one in &view.instances {
            let (State::Online, Some(label)) = (&one.state, &one.label) else { continue };
            for endpoint in &one.registration.instance.endpoints {
                let name =
                    format!("_{}._{}.{label}.{}", endpoint.protocol, endpoint.transport, view.app);
                let Found::App(node) = zone.find(&wire(&name)) else {
                    return Err(TestCaseError::fail(format!("{name} is missing")));
                };
                let Some(crate::zone::Rows::Few(rows, service)) = node.srv() else {
                    return Err(TestCaseError::fail(format!("{name} has no SRV")));
                };
                let row = rows
                    .iter()
                    .find(|row| row.offers(service) && row.port == endpoint.port)
                    .unwrap();
                let Some(Goal::Label(target)) = node.block().goal(row) else { unreachable!() };
                let own = &endpoint.addresses;
                let expected =
                    if own.is_empty() { &one.registration.instance.addresses } else { own };
                let mut expected: Vec<String> = expected
                    .iter()
                    .filter(|address| address.is_ipv4())
                    .map(ToString::to_string)
                    .collect();
                expected.sort();
                let target = format!("{}.{}", std::str::from_utf8(target).unwrap(), view.app);
                prop_assert_eq!(
                    a(zone, &target),
                    expected,
                    "{} of {}",
                    target,
                    one.registration.id
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn step_by_step_equals_from_scratch(ops in proptest::collection::vec(op(), 1..40), pinned in any::<bool>()) {
        let pin = Pin {
            namespace: Namespace::default(),
            app: AppName::new("b.x").unwrap(),
            protocol: crate::model::Protocol::default(),
            transport: crate::model::Transport::Tcp,
            endpoints: vec!["127.0.0.1:9000".parse().unwrap()],
        };
        let pins = if pinned { vec![pin] } else { Vec::new() };
        let mut history = History::new(&pins);
        let mut serial = 0;
        for op in &ops {
            run(&mut history, op);
            if matches!(op, Op::Compile) {
                let snapshot = history.snapshot();
                check_targets(&snapshot)?;
                prop_assert!(snapshot.zones[0].serial >= serial, "a serial went back");
                serial = snapshot.zones[0].serial;
            }
        }
        let stepwise = history.snapshot();
        check_targets(&stepwise)?;
        prop_assert_eq!(answers(&stepwise), answers(&history.learnt_at_once(&pins)));
    }
}
