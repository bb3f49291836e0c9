//! Step by step or at once: the same answers, and every SRV target leads to its instance.

use proptest::prelude::*;

use super::*;
use crate::zone::plain::Plain;
use crate::zone::reverse::Pointers;
use crate::zone::{ConsulNames, Names, State};

/// All answers of a snapshot that don't depend on chance, serials apart.
fn answers(snapshot: &Snapshot) -> impl PartialEq + std::fmt::Debug + use<> {
    let zones: Vec<_> = snapshot
        .zones
        .iter()
        .map(|zone| {
            let apps: BTreeMap<_, _> = zone.apps.entries().into_iter().collect();
            let pointers = zone.pointers.as_ref().map(Pointers::listing);
            let statics = zone.statics.listing();
            let plain = zone.plain.as_ref().map(Plain::listing);
            let own = (statics, pointers, plain, zone.only_apps);
            (zone.name.clone(), zone.app_labels, zone.ready, apps, own)
        })
        .collect();
    // Which of several equal writes of another system an instance is of is nobody's business.
    let apps = snapshot.directory.apps.values().map(|app| {
        let mut app = crate::zone::AppView::clone(app);
        let foreign =
            |one: &&mut Arc<crate::zone::InstanceView>| one.registration.origin != Origin::NATIVE;
        for one in app.instances.iter_mut().filter(foreign) {
            let one = Arc::make_mut(one);
            (one.revision, one.lease) = (0, None);
        }
        app
    });
    let directory: Vec<_> = apps.collect();
    let rejected: Vec<_> = snapshot.directory.rejected(None).collect();
    (snapshot.revision, zones, directory, rejected)
}

/// A few names that collide in every way there is.
const APPS: [&str; 6] = ["x", "b.x", "c.b.x", "b-1.x", "pin-1.b.x", "y"];
const IDS: [&str; 9] = ["b", "c", "b-1", "b_1", "b.1", "B-1", "i", "_", "b-ldmiko"];
const BODIES: [&str; 6] = [
    r#"{"address":"10.0.0.1","port":1}"#,
    r#"{"addresses":["10.0.0.2","fd00::2"],"port":2,"tags":["b","t"]}"#,
    r#"{"address":"10.0.0.3","endpoints":[{"port":3},{"protocol":"http","port":4,"addresses":["10.0.1.3"]}]}"#,
    r#"{"address":"10.0.0.4","port":5,"weight":0,"tags":["i"]}"#,
    r#"{"address":"10.0.0.5","port":6,"priority":1}"#,
    r#"{"address":"10.0.0.1","endpoints":[{"port":1},{"port":2,"weight":7}],"tags":["t"]}"#,
];

/// Zone files that take names of these, or move their records to other lines.
const FILES: [&str; 7] = [
    "",
    "x A 192.0.2.1\n",
    "b.x A 192.0.2.1\n",
    "\nb.x TXT moved\nt.x A 192.0.2.1\n",
    "_nova._tcp.x SRV 1 2 3 x\n* TXT any\n",
    "deep.c.b.x A 192.0.2.1\ni.y A 192.0.2.1\n",
    "y A 192.0.2.1\nb-1.x CNAME y\nb-ldmiko.x TXT derived\n",
];

/// Keys of plain records that take names of all these, of each other, of addresses and of no zone.
const PATHS: [&str; 16] = [
    "svc/x/b",
    "svc/x/b/c",
    "svc/x/t",
    "svc/x/_tcp/_nova",
    "svc/y/i",
    "svc/y/1:1",
    "svc/y/1.1",
    "svc/y/1-1",
    "svc",
    "svc/dns/apex/a",
    "arpa/in-addr/10/0/9/9",
    "arpa/in-addr/10/0/1/9",
    "elsewhere/x",
    "svc/x/b-1/_",
    "consul/service/x/b",
    "consul/service/dc1",
];
const RECORDS: [&str; 7] = [
    r#"{"host":"192.0.2.1","port":1}"#,
    r#"{"host":"fd00::9","text":"t","ttl":1,"group":"g"}"#,
    r#"{"host":"y.svc"}"#,
    r#"{"host":"a.example","port":2,"weight":7,"group":"h"}"#,
    r#"{"host":"192.0.2.2","mail":true,"targetstrip":1}"#,
    r#"{"text":"alone"}"#,
    "broken",
];

#[derive(Debug, Clone)]
enum Op {
    Plain(usize, Option<usize>),
    Put(usize, usize, usize),
    Delete(usize, usize),
    /// Of another layout: its number, app, key, and what it says: id, body, disabled.
    Tell(usize, usize, usize, Option<(usize, usize, bool)>),
    Mark(usize, Option<usize>, bool),
    Bad(usize, bool),
    File(usize),
    Compile,
    /// At a time when all that was built before must rest.
    CompileEarly,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..APPS.len(), 0..IDS.len(), 0..BODIES.len()).prop_map(|(a, i, b)| Op::Put(a, i, b)),
        4 => (0..APPS.len(), 0..IDS.len()).prop_map(|(a, i)| Op::Delete(a, i)),
        6 => (1..PLAIN.index(), 0..2_usize, 0..4_usize, proptest::option::of((0..IDS.len(), 0..BODIES.len(), proptest::bool::weighted(0.2))))
            .prop_map(|(origin, app, key, told)| Op::Tell(origin, app, key, told)),
        1 => (0..APPS.len(), proptest::option::of(0..3_usize), any::<bool>()).prop_map(|(a, i, on)| Op::Mark(a, i, on)),
        3 => (0..PATHS.len(), proptest::option::of(0..RECORDS.len())).prop_map(|(p, r)| Op::Plain(p, r)),
        1 => (0..3_usize, any::<bool>()).prop_map(|(i, there)| Op::Bad(i, there)),
        1 => (0..FILES.len()).prop_map(Op::File),
        3 => Just(Op::Compile),
        3 => Just(Op::CompileEarly),
    ]
}

fn run(history: &mut History, op: &Op) {
    match op {
        Op::Put(app, id, body) => _ = history.put(APPS[*app], IDS[*id], BODIES[*body]),
        Op::Delete(app, id) => _ = history.delete(APPS[*app], IDS[*id]),
        Op::Tell(origin, app, key, told) => {
            let told =
                told.map(|(id, body, disabled)| Told { id: IDS[id], body: BODIES[body], disabled });
            history.tell(SOURCES[*origin], APPS[*app], &format!("key-{key}"), told);
        }
        Op::Mark(app, id, offline) => _ = history.mark(APPS[*app], id.map(|id| IDS[id]), *offline),
        Op::Plain(path, record) => history.plain(PATHS[*path], record.map(|at| RECORDS[at])),
        Op::Bad(which, there) => {
            let key = Bytes::from(format!("/r/bad/{which}"));
            let parsed = Parsed::Rejected("not readable".into());
            history.step(&[(key, there.then_some(parsed))]);
        }
        Op::File(which) => history.file(FILES[*which]),
        // The property looks at what these give.
        Op::Compile | Op::CompileEarly => {}
    }
}

/// Every SRV record of a zone: the name it points to has exactly the addresses that its instance has there.
fn check_targets(snapshot: &Snapshot) -> Result<(), TestCaseError> {
    let zone = snapshot.zones.iter().find(|zone| zone.name.as_str() == "svc.").unwrap();
    for view in snapshot.directory.apps.values() {
        for one in &view.instances {
            let (State::Online, Some(label)) = (&one.state, &one.label) else { continue };
            for endpoint in &one.registration.instance.endpoints {
                let name =
                    format!("_{}._{}.{label}.{}", endpoint.protocol, endpoint.transport, view.app);
                let Found::App(node) = zone.find(&wire(&name)) else {
                    return Err(TestCaseError::fail(format!("{name} is missing")));
                };
                let Some(crate::zone::Rows::Few(few)) = node.srv() else {
                    return Err(TestCaseError::fail(format!("{name} has no SRV")));
                };
                let port = endpoint.port.to_be_bytes();
                let records = few.members().map(|(member, _)| node.block().row(member).record);
                let record =
                    records.into_iter().find(|record| record[SRV_TARGET - 2..][..2] == port);
                let target = target_label(record.unwrap());
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

/// The usual zone, one with Consul's names, and reverse zones of which one lies in another.
fn zones() -> Vec<ZoneSettings> {
    let consul = ZoneSettings { names: Names::Consul(ConsulNames::default()), ..zone("consul.") };
    let reverse = ["10.0.0.0/8", "10.0.1.0/24", "fd00::/16"]
        .map(|network| ZoneSettings::reverse(network.parse().unwrap(), None));
    [ZoneSettings::default(), consul].into_iter().chain(reverse).collect()
}

/// Each address of an instance in answers points to the instance, and no other does.
fn check_pointers(snapshot: &Snapshot) -> Result<(), TestCaseError> {
    let mut expected = BTreeMap::<std::net::IpAddr, Vec<Vec<u8>>>::new();
    for view in snapshot.directory.apps.values() {
        for one in &view.instances {
            let (State::Online, Some(label)) = (&one.state, &one.label) else { continue };
            for address in &one.registration.instance.addresses {
                let target = wire(&format!("{label}.{}.svc", view.app));
                expected.entry(*address).or_default().push([&target[..], &[0]].concat());
            }
        }
    }
    let mut known = 0;
    for (address, mut targets) in expected {
        targets.sort();
        let network = |zone: &&Zone| {
            zone.pointers.as_ref().is_some_and(|pointers| pointers.network().contains(address))
        };
        let Some(zone) = snapshot.zones.iter().find(network) else { continue };
        let name = zone.pointers.as_ref().unwrap().network().relative(address);
        let Found::Static(node) = zone.find(&name) else {
            return Err(TestCaseError::fail(format!("{address} points to nothing")));
        };
        let set: Vec<&[u8]> = node.sets[0].data.iter().map(|target| &**target).collect();
        prop_assert_eq!(set, targets, "{}", address);
        known += 1;
        for above in wire::above(&name) {
            prop_assert!(matches!(zone.find(above), Found::Between), "{}", above.escape_ascii());
        }
    }
    // One endpoint has an address of its own, in the inner network alone.
    let pointers = || snapshot.zones.iter().filter_map(|zone| zone.pointers.as_ref());
    let own = pointers().filter(|pointers| pointers.network().to_string() == "10.0.1.0/24");
    known += own.map(|pointers| pointers.listing().len()).sum::<usize>();
    prop_assert_eq!(pointers().map(|pointers| pointers.listing().len()).sum::<usize>(), known);
    Ok(())
}

/// An app has its names in Consul's way unless plain records have them: all of its forms are one.
fn check_consul(snapshot: &Snapshot) -> Result<(), TestCaseError> {
    let zone = snapshot.zones.iter().find(|zone| zone.name.as_str() == "consul.").unwrap();
    for view in snapshot.directory.apps.values() {
        let app = view.app.as_str();
        let own = format!("{app}.service");
        let online = view.instances.iter().any(|one| one.state == State::Online);
        let addresses = match zone.find(&wire(&own)) {
            Found::App(_) => a(zone, &own),
            Found::Static(node) if node.is_registered() => continue,
            // What keeps it out of the first zone does not keep it out of this one, nor the other way.
            found => {
                prop_assert!(!online, "{app}: {found:?}");
                continue;
            }
        };
        prop_assert_eq!(&a(zone, &format!("{own}.dc1")), &addresses);
        if !app.contains('.') {
            prop_assert_eq!(&a(zone, &format!("_{app}._tcp.service.dc1.dc")), &addresses);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn step_by_step_equals_from_scratch(ops in proptest::collection::vec(op(), 1..40), pinned in any::<bool>()) {
        let pins = if pinned { vec![pin("b.x")] } else { Vec::new() };
        let mut history = History::of(&zones(), &pins);
        let mut serials = [0; 5];
        for op in &ops {
            run(&mut history, op);
            let snapshot = match op {
                Op::Compile => history.snapshot(),
                Op::CompileEarly => history.catalogue.compile(&|| Duration::ZERO).snapshot,
                _ => continue,
            };
            check_targets(&snapshot)?;
            check_pointers(&snapshot)?;
            check_consul(&snapshot)?;
            for (zone, serial) in snapshot.zones.iter().zip(&mut serials) {
                prop_assert!(zone.serial >= *serial, "a serial went back");
                *serial = zone.serial;
            }
        }
        let stepwise = history.snapshot();
        check_targets(&stepwise)?;
        prop_assert_eq!(answers(&stepwise), answers(&history.learnt_at_once(&pins)));
    }
}
