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
