//! What is registered comes under all its names, and nowhere else.

use super::*;
use crate::zone::State;
use crate::zone::event::Cause;

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
    for name in ["_http._tcp.greeter", "_sctp.greeter", "i-2.greeter", "x.i-1.greeter", "other"] {
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
    let view = snapshot.directory.instance(
        &Namespace::default(),
        &AppName::new("greeter").unwrap(),
        &Label::new("b").unwrap(),
    );
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
    assert_eq!(snapshot.zones[0].apps.entries(), []);
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
fn nothing_is_known_before_the_first_view() {
    let mut catalogue = Catalogue::new(&[ZoneSettings::default()], &[], &[]);
    let snapshot = compile(&mut catalogue);
    let zone = &snapshot.zones[0];
    assert!(!snapshot.ready && !snapshot.knows(&Namespace::default()));
    assert!(matches!(zone.find(&wire("x")), Found::Unknown));
    assert!(matches!(zone.find(&[]), Found::Static(_)), "the apex is known");
    catalogue
        .apply(Origin::NATIVE, &Delta { revision: 1, epoch: 0, whole: true, news: Vec::new() });
    assert!(matches!(compile(&mut catalogue).zones[0].find(&wire("x")), Found::Missing));
}

#[test]
fn pins_replace_what_is_registered() {
    let pin = pin("x");
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
fn a_pinned_app_gives_way_to_an_app_below_it_and_takes_its_name_back() {
    let mut history = History::new(&[pin("x")]);
    history.snapshot();
    history.put("pin-1.x", "i", r#"{"address":"10.0.0.2","port":2}"#);
    let snapshot = history.snapshot();
    assert_eq!(a(&snapshot.zones[0], "pin-1.x"), ["10.0.0.2"]);
    let label = app_of(&snapshot, "x").instances[0].label.clone().unwrap();
    assert_eq!(a(&snapshot.zones[0], &format!("{label}.x")), ["127.0.0.1"]);
    assert_eq!(snapshot.directory.rejected_count(), 1);
    history.delete("pin-1.x", "i");
    let snapshot = history.snapshot();
    assert_eq!(a(&snapshot.zones[0], "pin-1.x"), ["127.0.0.1"]);
    assert_eq!(snapshot.directory.rejected_count(), 0);
}

#[test]
fn static_records_on_a_service_name_are_listed_as_its_loss() {
    let text =
        "@ 60 SOA ns h 1 2 3 4 5\n@ 60 NS ns\n_nova._tcp.x 60 TXT a\n_http._udp.i.x 60 TXT b\n";
    let name = ZoneName::default();
    let file = ZoneFile::parse("svc.zone".as_ref(), text, &name).unwrap();
    let zones = [ZoneSettings { file: Some(Arc::new(file)), ..ZoneSettings::default() }];
    let mut history = History::of(&zones, &[]);
    let body = r#"{"address":"10.0.0.7","endpoints":[{"port":1},{"protocol":"http","transport":"udp","port":2}]}"#;
    history.put("x", "i", body);
    let snapshot = history.snapshot();
    assert_eq!(a(&snapshot.zones[0], "x"), ["10.0.0.7"]);
    let listed: Vec<_> = snapshot.directory.rejected(None).collect();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        &*listed[0].reason,
        "SRV of _nova._tcp is not served: static records at svc.zone:3; \
         SRV of _http._udp is not served: static records at svc.zone:4"
    );
    assert!(matches!(app_of(&snapshot, "x").instances[0].state, State::Online));
}

#[test]
fn a_pin_that_no_zone_serves_says_so() {
    let zones = [ZoneSettings { namespace: None, ..ZoneSettings::default() }];
    let snapshot = History::of(&zones, &[pin("x")]).snapshot();
    let State::Rejected(reason) = &app_of(&snapshot, "x").instances[0].state else {
        panic!("shown as served")
    };
    assert_eq!(&**reason, "no zone of this server serves namespace default");
}

#[test]
fn a_key_that_lost_its_name_and_became_unreadable_is_listed_for_that() {
    let mut history = History::new(&[]);
    history.put("x", "i", BODY);
    history.put("x", "j", r#"{"address":"10.0.0.8","port":1,"tags":["i"]}"#);
    assert_eq!(history.snapshot().directory.rejected_count(), 1);
    let (key, _) = instance(&history.keys, "x", "j", BODY);
    history.step(&[(key.clone(), Some(Parsed::Rejected("not readable".into())))]);
    let snapshot = history.snapshot();
    let listed: Vec<_> = snapshot.directory.rejected(None).collect();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((&*listed[0].key, &*listed[0].reason), ("/r/default/instances/x/j", "not readable"));
    history.step(&[(key, None)]);
    assert_eq!(history.snapshot().directory.rejected_count(), 0);
}

#[test]
fn keys_that_are_no_text_are_listed_apart() {
    let mut history = History::new(&[]);
    for key in [&b"/r/\xff"[..], b"/r/\\xff", b"/r/\n"] {
        let parsed = Parsed::Rejected("not readable".into());
        history.step(&[(Bytes::copy_from_slice(key), Some(parsed))]);
    }
    let listed: Vec<_> =
        history.snapshot().directory.rejected(None).map(|one| one.key.to_string()).collect();
    assert_eq!(listed, ["/r/\\\\xff", "/r/\\n", "/r/\\xff"]);
}

#[test]
fn names_of_a_zone_below_belong_to_it() {
    let zones = [zone("svc"), ZoneSettings { namespace: None, ..zone("b.greeter.svc") }];
    let mut history = History::of(&zones, &[]);
    history.put("greeter", "b", r#"{"address":"10.0.0.1","port":1,"tags":["c"]}"#);
    history.put("b.greeter", "i", r#"{"address":"10.0.0.2","port":2}"#);
    let snapshot = history.snapshot();
    let svc = snapshot.zones.iter().find(|zone| zone.name.as_str() == "svc.").unwrap();
    let one = &app_of(&snapshot, "greeter").instances[0];
    let label = one.label.clone().unwrap();
    assert!(label.as_str().starts_with("b-"), "{label}");
    assert_eq!(a(svc, &format!("{label}.greeter")), ["10.0.0.1"]);
    let State::Rejected(reason) = &app_of(&snapshot, "b.greeter").instances[0].state else {
        panic!("served under a name of another zone")
    };
    assert_eq!(
        &**reason,
        "app b.greeter is not served in svc.: its name belongs to the zone b.greeter.svc."
    );
    assert_eq!(snapshot.directory.rejected_count(), 2);
    // The name on the way to the other zone exists even when nothing is registered.
    history.delete("greeter", "b");
    let snapshot = history.snapshot();
    let svc = snapshot.zones.iter().find(|zone| zone.name.as_str() == "svc.").unwrap();
    assert_eq!(a(svc, "greeter"), ["between"]);
}

#[test]
fn a_family_alone_does_not_bring_back_what_is_held_back() {
    let mut history = History::new(&[]);
    history.put("x", "a", r#"{"address":"10.0.0.1","port":1}"#);
    history.put("x", "b", r#"{"address":"fd00::2","port":1,"weight":0}"#);
    history.put("y", "a", r#"{"address":"10.0.0.1","port":1,"priority":1}"#);
    history.put("y", "b", r#"{"addresses":["10.0.0.2","fd00::2"],"port":1,"priority":2}"#);
    history.put("z", "a", r#"{"address":"10.0.0.1","port":1,"weight":0}"#);
    history.put("z", "b", r#"{"address":"fd00::2","port":1,"weight":0}"#);
    let snapshot = history.snapshot();
    let aaaa = |app| match snapshot.zones[0].find(&wire(app)) {
        Found::App(node) => node.aaaa().is_some(),
        other => panic!("{other:?}"),
    };
    assert_eq!(a(&snapshot.zones[0], "x"), ["10.0.0.1"]);
    assert!(!aaaa("x"), "its only one has weight 0");
    assert!(!aaaa("y"), "its only one is of a higher priority number");
    assert!(aaaa("z"), "all have weight 0");
}

/// As many of everything as the limits allow, so that the square of any of them would not end.
#[test]
fn an_app_at_its_limits_is_served_in_full() {
    // 66,000 services, more than 16 bits count, and tags of its own for each instance.
    const INSTANCES: usize = 4_125;
    let mut history = History::new(&[]);
    let stem = "long-".repeat(11);
    let changes: Vec<_> = (0..INSTANCES)
        .map(|i| {
            let endpoints: Vec<_> =
                (0..16).map(|e| format!(r#"{{"protocol":"p{i}-{e}","port":1}}"#)).collect();
            let own = endpoints[15].replacen('{', r#"{"addresses":["10.9.9.9"],"#, 1);
            let tags: Vec<_> = (0..4).map(|t| format!(r#""t{i}-{t}""#)).collect();
            let (high, low) = (i / 250, i % 250);
            let body = format!(
                r#"{{"address":"10.0.{high}.{low}","endpoints":[{},{own}],"tags":[{}]}}"#,
                endpoints[..15].join(","),
                tags.join(",")
            );
            // Cut to one stem, and with one raw name for the endpoint's own target.
            let body = body.replace(&format!("p{i}-15"), "own");
            let (key, parsed) = instance(&history.keys, "x", &format!("{stem}-{i:04}"), &body);
            (key, Some(parsed))
        })
        .collect();
    history.step(&changes);
    let snapshot = history.snapshot();
    let zone = &snapshot.zones[0];
    assert_eq!(snapshot.directory.rejected_count(), 0);
    for i in [0, 1, 4_095, 4_096, INSTANCES - 1] {
        let expected = [format!("10.0.{}.{}", i / 250, i % 250), "10.9.9.9".to_owned()];
        assert_eq!(a(zone, &format!("t{i}-3.x")), expected);
        let name = format!("_p{i}-3._tcp.x");
        let Found::App(node) = zone.find(&wire(&name)) else { panic!("{name} is missing") };
        let Some(crate::zone::Rows::Chosen(choice, _)) = node.srv() else { panic!("no SRV") };
        assert_eq!(choice.len(), 1, "{name}");
        let mut targets = Vec::new();
        choice.visit(1, |member| {
            targets.push(target_label(node.block().row(member).record).to_vec());
            true
        });
        assert_eq!(targets, [format!("{stem}-{i:04}").into_bytes()], "{name}");
    }
    assert_eq!(a(zone, "_sctp.x"), ["missing"]);
    assert_eq!(a(zone, "_tcp.x"), ["no data"]);
}

#[test]
fn instances_known_by_one_host_make_one_record() {
    let mut history = History::new(&[]);
    for (id, port) in [("i-1", 1), ("i-2", 1), ("i-3", 2)] {
        let (key, parsed) = instance(&history.keys, "x", id, r#"{"address":"10.0.0.1","port":1}"#);
        let Parsed::Instance(mut registration) = parsed else { unreachable!() };
        let mut known = registration.instance.clone();
        known.addresses.clear();
        known.host = Some("db.example".into());
        known.endpoints[0].port = port;
        Arc::make_mut(&mut registration).instance = known;
        history.step(&[(key, Some(Parsed::Instance(registration)))]);
    }
    let snapshot = history.snapshot();
    for name in ["x", "_nova._tcp.x"] {
        let Found::App(node) = snapshot.zones[0].find(&wire(name)) else { panic!("{name}") };
        let Some(crate::zone::Rows::Chosen(choice, _)) = node.srv() else { panic!("no SRV") };
        let mut ports = Vec::new();
        choice.visit(1, |member| {
            let record = node.block().row(member).record;
            assert!(record.ends_with(b"\x02db\x07example\x00"));
            ports.push(record[SRV_TARGET - 1]);
            true
        });
        ports.sort_unstable();
        assert_eq!(ports, [1, 2], "{name}");
    }
    assert_eq!(a(&snapshot.zones[0], "i-1.x"), ["no data"]);
}

#[test]
fn apps_of_many_labels_are_found_and_so_is_the_way_to_them() {
    let mut history = History::new(&[]);
    let deep: Vec<String> = (0..50).map(|label| format!("{}", label % 10)).collect();
    let deep = deep.join(".");
    history.put(&deep, "i", r#"{"address":"10.0.0.1","port":1}"#);
    history.put("x", "i", r#"{"address":"10.0.0.2","port":1}"#);
    let snapshot = history.snapshot();
    let zone = &snapshot.zones[0];
    assert_eq!(a(zone, &deep), ["10.0.0.1"]);
    assert_eq!(a(zone, &format!("i.{deep}")), ["10.0.0.1"]);
    assert_eq!(a(zone, "i.x"), ["10.0.0.2"]);
    assert_eq!(a(zone, &format!("y.{deep}")), ["missing"]);
    for skip in 1..50 {
        let above: Vec<&str> = deep.split('.').skip(skip).collect();
        assert_eq!(a(zone, &above.join(".")), ["between"], "{skip}");
        assert_eq!(a(zone, &format!("y.{}", above.join("."))), ["missing"], "{skip}");
    }
}

#[test]
fn more_pointers_than_fit_a_message_are_told_of() {
    let reverse = ZoneSettings::reverse("10.0.0.0/24".parse().unwrap(), None);
    let mut history = History::of(&[ZoneSettings::default(), reverse], &[]);
    let all: Vec<_> = (0..3_000)
        .map(|number| {
            let (key, parsed) = instance(&history.keys, "x", &format!("i-{number}"), BODY);
            (key, Some(parsed))
        })
        .collect();
    history.step(&all);
    let Compiled { oversized, .. } = history.catalogue.compile(&|| Duration::ZERO);
    let zones: Vec<&str> = oversized.iter().map(|one| one.zone.as_str()).collect();
    assert_eq!(zones, ["svc.", "0.0.10.in-addr.arpa."], "{oversized:?}");
    // Nothing changes on the address: nothing is told again of it.
    history.put("y", "far", r#"{"address":"10.0.1.1","port":1}"#);
    let Compiled { oversized, .. } = history.catalogue.compile(&|| Duration::from_secs(1));
    assert_eq!(oversized, []);
}

#[test]
fn long_keys_and_reasons_are_listed_in_part_and_apart() {
    let mut history = History::new(&[]);
    let key = |end: &str| -> Bytes { format!("/r/{}{end}", "k".repeat(1_000_000)).into() };
    let reason = || Some(Parsed::Rejected("no ".repeat(500_000).into()));
    history.step(&[(key("1"), reason()), (key("2"), reason()), ("/r/3".into(), reason())]);
    let snapshot = history.snapshot();
    let listed: Vec<_> = snapshot.directory.rejected(None).collect();
    assert_eq!(listed.len(), 3);
    for one in &listed {
        assert!(one.key.len() < 330 && one.reason.len() < 1_010, "{one:?}");
    }
    assert_eq!(&*listed[0].key, "/r/3");
    assert!(listed[1].key.starts_with("/r/kkk") && listed[1].key.contains("k..."));
    history.step(&[(key("1"), None)]);
    let left: Vec<_> = history.snapshot().directory.rejected(None).map(|one| one.key).collect();
    assert_eq!(left.len(), 2);
}
