//! What several layouts say of one instance is one, and what they say of several stays apart.

use super::*;
use crate::zone::State;
use crate::zone::event::Cause;

const ONE: Origin = Origin(1);
const TWO: Origin = Origin(2);

fn told<'a>(id: &'a str, body: &'a str) -> Option<Told<'a>> {
    Some(Told { id, body, disabled: false })
}

/// Id, weight, ports and state of what the directory shows of an app.
fn shown(history: &mut History, app: &str) -> Vec<String> {
    let snapshot = history.snapshot();
    let Some(view) = snapshot.directory.app(&Namespace::default(), &AppName::new(app).unwrap())
    else {
        return vec!["absent".to_owned()];
    };
    let line = |one: &Arc<crate::zone::InstanceView>| {
        let instance = &one.registration.instance;
        let ports: Vec<String> = (instance.endpoints.iter())
            .map(|endpoint| format!("{}:{}", endpoint.protocol, endpoint.port))
            .collect();
        let state = match &one.state {
            State::Online => "online",
            State::Offline(_) => "offline",
            State::Disabled(_) => "disabled",
            other => panic!("{other:?}"),
        };
        let label = one.label.as_ref().unwrap();
        format!("{} {label} {} {} {state}", one.registration.id, instance.weight, ports.join(","))
    };
    view.instances.iter().map(line).collect()
}

const HEAVY: &str = r#"{"address":"10.0.0.7","port":9000,"weight":7,"tags":["heavy"]}"#;
const LIGHT: &str = r#"{"address":"10.0.0.7","port":9000,"weight":3,"tags":["light"]}"#;

#[test]
fn one_instance_in_two_layouts_is_one_and_lives_while_either_does() {
    let mut history = History::new(&[]);
    history.tell(TWO, "x", "k", told("b", LIGHT));
    assert_eq!(shown(&mut history, "x"), ["b b 3 nova:9000 online"]);
    // The first layout names it, however late it comes.
    history.tell(ONE, "x", "k", told("a", HEAVY));
    assert_eq!(shown(&mut history, "x"), ["a a 7 nova:9000 online"]);
    let snapshot = history.snapshot();
    assert_eq!(a(&snapshot.zones[0], "heavy.x"), ["10.0.0.7"]);
    assert_eq!(a(&snapshot.zones[0], "light.x"), ["missing"]);
    // Our own comes before all.
    history.put("x", "own", r#"{"address":"10.0.0.7","port":9000,"weight":1}"#);
    assert_eq!(shown(&mut history, "x"), ["own own 1 nova:9000 online"]);
    history.delete("x", "own");
    history.tell(ONE, "x", "k", None);
    assert_eq!(shown(&mut history, "x"), ["b b 3 nova:9000 online"]);
    history.tell(TWO, "x", "k", None);
    assert_eq!(shown(&mut history, "x"), ["absent"]);
}

#[test]
fn it_is_out_if_one_layout_says_so() {
    let mut history = History::new(&[]);
    history.put("x", "own", HEAVY);
    let out = Told { id: "b", body: LIGHT, disabled: true };
    history.tell(TWO, "x", "k", Some(out));
    assert_eq!(shown(&mut history, "x"), ["own own 7 nova:9000 disabled"]);
    assert_eq!(a(&history.snapshot().zones[0], "x"), ["missing"]);
    history.tell(TWO, "x", "k", told("b", LIGHT));
    assert_eq!(shown(&mut history, "x"), ["own own 7 nova:9000 online"]);
    assert_eq!(a(&history.snapshot().zones[0], "x"), ["10.0.0.7"]);
}

#[test]
fn what_differs_in_anything_stays_apart() {
    for other in [
        r#"{"address":"10.0.0.8","port":9000}"#,
        r#"{"address":"10.0.0.7","port":9001}"#,
        r#"{"address":"10.0.0.7","endpoints":[{"protocol":"http","port":9000}]}"#,
        r#"{"address":"10.0.0.7","endpoints":[{"transport":"udp","port":9000}]}"#,
    ] {
        let mut history = History::new(&[]);
        history.tell(ONE, "x", "k", told("a", HEAVY));
        history.tell(TWO, "x", "k", told("b", other));
        assert_eq!(shown(&mut history, "x").len(), 2, "{other}");
    }
    // What our own layout has twice was meant twice, and another namespace is another world.
    let mut history = History::new(&[]);
    history.put("x", "i-1", BODY);
    history.put("x", "i-2", BODY);
    assert_eq!(shown(&mut history, "x").len(), 2);
    history.tell(ONE, "x", "k", told("a", BODY));
    assert_eq!(shown(&mut history, "x").len(), 2);
}

#[test]
fn what_a_layout_offers_beyond_another_is_its_own() {
    let mut history = History::new(&[]);
    history.tell(ONE, "x", "k", told("a", HEAVY));
    let more =
        r#"{"address":"10.0.0.7","endpoints":[{"port":9000},{"protocol":"http","port":80}]}"#;
    history.tell(TWO, "x", "k", told("b", more));
    assert_eq!(shown(&mut history, "x"), ["a a 7 nova:9000 online", "b b 100 http:80 online"]);
}

#[test]
fn keys_of_one_id_at_one_place_are_one_instance() {
    let mut history = History::new(&[]);
    let http = r#"{"address":"10.0.0.7","endpoints":[{"protocol":"http","port":80}],"weight":5}"#;
    history.tell(ONE, "x", "nova", told("10.0.0.7:9000", HEAVY));
    history.tell(ONE, "x", "http", told("10.0.0.7:9000", http));
    // The key that comes first in their order names it; the endpoint of the other keeps its weight.
    let one = ["10.0.0.7:9000 10-0-0-7-9000 5 http:80,nova:9000 online"];
    assert_eq!(shown(&mut history, "x"), one);
    let snapshot = history.snapshot();
    let Found::App(node) = snapshot.zones[0].find(&wire("_nova._tcp.10-0-0-7-9000.x")) else {
        panic!()
    };
    let Some(crate::zone::Rows::Few(few)) = node.srv() else { panic!() };
    let weights: Vec<_> = few
        .members()
        .map(|(member, _)| node.block().row(member).record[SRV_TARGET - 4..][..2].to_vec())
        .collect();
    assert_eq!(weights, [[0, 7]]);
    // A part can't be out alone: it is another instance then, and so is one at another place.
    history.tell(ONE, "x", "nova", Some(Told { id: "10.0.0.7:9000", body: HEAVY, disabled: true }));
    let apart = shown(&mut history, "x");
    assert_eq!(apart[0], "10.0.0.7:9000 10-0-0-7-9000 5 http:80 online");
    assert!(apart[1].ends_with(" 7 nova:9000 disabled"), "{apart:?}");
    history.tell(ONE, "x", "nova", None);
    assert_eq!(shown(&mut history, "x"), ["10.0.0.7:9000 10-0-0-7-9000 5 http:80 online"]);
}

#[test]
fn two_keys_of_one_instance_go_one_by_one() {
    // A Dubbo provider that starts anew writes another key, while the old one lasts.
    let mut history = History::new(&[]);
    history.tell(ONE, "x", "old", told("p", HEAVY));
    history.tell(ONE, "x", "new", told("p", LIGHT));
    assert_eq!(shown(&mut history, "x").len(), 1);
    history.tell(ONE, "x", "old", None);
    assert_eq!(shown(&mut history, "x"), ["p p 3 nova:9000 online"]);
    history.tell(ONE, "x", "new", None);
    assert_eq!(shown(&mut history, "x"), ["absent"]);
}

/// A mark on an instance of another layout, as the API writes it.
fn mark_of(history: &mut History, app: &str, raw: &str, offline: bool) {
    let (namespace, app) = (Namespace::default(), AppName::new(app).unwrap());
    let key = history.keys.offline(&namespace, &app, Some(&native::mark_label(raw)));
    let value = native::mark_value(&Note::default(), Some(raw));
    let parsed = history.keys.parse(&Entry { key: key.clone(), value, revision: 0, lease: None });
    history.step(&[(key, offline.then_some(parsed))]);
}

#[test]
fn an_instance_of_another_layout_is_marked_by_the_id_that_it_has_there() {
    let mut history = History::new(&[]);
    history.tell(ONE, "x", "k", told("a_b", HEAVY));
    mark_of(&mut history, "x", "a_b", true);
    assert_eq!(shown(&mut history, "x"), ["a_b a-b 7 nova:9000 offline"]);
    assert_eq!(app_of(&history.snapshot(), "x").absent_marks.len(), 0);
    // Another takes its label, and not its mark; nor has one of ours with that label anything to do with it.
    let other = r#"{"address":"10.0.0.8","port":9000}"#;
    history.tell(TWO, "x", "k", told("a-b", other));
    let labels = ["a-b a-b 100 nova:9000 online", "a_b a-b-msh2tm 7 nova:9000 offline"];
    assert_eq!(shown(&mut history, "x"), labels);
    history.tell(TWO, "x", "k", None);
    history.mark("x", Some("a-b"), true);
    mark_of(&mut history, "x", "a_b", false);
    assert_eq!(shown(&mut history, "x"), ["a_b a-b 7 nova:9000 online"]);
    assert_eq!(app_of(&history.snapshot(), "x").absent_marks.len(), 1);
}

#[test]
fn a_mark_on_any_registration_of_an_instance_takes_it_out() {
    let mut history = History::new(&[]);
    history.tell(ONE, "x", "k", told("a_b", HEAVY));
    mark_of(&mut history, "x", "a_b", true);
    // Its app registers natively, too.
    history.put("x", "own", r#"{"address":"10.0.0.7","port":9000,"weight":1}"#);
    assert_eq!(shown(&mut history, "x"), ["own own 1 nova:9000 offline"]);
    let snapshot = history.snapshot();
    let view = app_of(&snapshot, "x");
    let parts: Vec<_> = view.parts(0).map(|(origin, id)| (origin, &**id)).collect();
    assert_eq!(parts, [(Origin::NATIVE, "own"), (ONE, "a_b")]);
    mark_of(&mut history, "x", "a_b", false);
    assert_eq!(shown(&mut history, "x"), ["own own 1 nova:9000 online"]);
}

#[test]
fn of_several_keys_of_one_layout_all_have_to_say_that_it_is_out() {
    // Two versions of a Dubbo interface at one place, of which an administrator disabled one.
    let mut history = History::new(&[]);
    let out = Told { id: "p::1.0", body: HEAVY, disabled: true };
    history.tell(ONE, "x", "one", Some(out));
    history.tell(ONE, "x", "two", told("p::2.0", HEAVY));
    assert_eq!(shown(&mut history, "x"), ["p::1.0 p--1-0 7 nova:9000 online"]);
    history.tell(ONE, "x", "two", Some(Told { id: "p::2.0", ..out }));
    assert_eq!(shown(&mut history, "x"), ["p::1.0 p--1-0 7 nova:9000 disabled"]);
    // The key that says so is told.
    let State::Disabled(by) = app_of(&history.snapshot(), "x").instances[0].state.clone() else {
        panic!("not disabled");
    };
    assert_eq!(&*by, "/one/x/one");
}

#[test]
fn a_heartbeat_that_writes_the_same_builds_nothing() {
    let mut history = History::new(&[]);
    history.tell(ONE, "x", "k", told("a", HEAVY));
    history.snapshot();
    assert_eq!(history.tell(ONE, "x", "k", told("a", HEAVY)), []);
    assert_eq!(
        history.catalogue.compile(&|| Duration::from_secs(3_600)).built,
        [] as [Revision; 0]
    );
    let events = history.tell(ONE, "x", "k", told("b", HEAVY));
    // In other layouts a value may say who it is.
    let causes: Vec<_> =
        events.iter().map(|event| (event.cause, &**event.id.as_ref().unwrap())).collect();
    assert_eq!(causes, [(Cause::Expired, "a"), (Cause::Registered, "b")]);
}

#[test]
fn whoever_has_seen_less_than_an_event_of_another_layout_has_not_seen_it() {
    let mut history = History::new(&[]);
    history.put("y", "i", BODY);
    let before = history.snapshot().revision;
    let event = history.tell(ONE, "x", "k", told("a", HEAVY)).remove(0);
    assert!(event.revision > before, "{event:?}");
    history.snapshot();
    // It waits for its turn, and what is published meanwhile of others does not claim to show it.
    let event = history.tell(ONE, "x", "k", told("a", LIGHT)).remove(0);
    history.put("y", "j", BODY);
    let early = history.catalogue.compile(&|| Duration::ZERO).snapshot;
    assert_eq!(app_of(&early, "x").instances[0].registration.instance.weight, 7);
    assert!(early.revision < event.revision, "{event:?}");
    assert!(history.snapshot().revision >= event.revision);
}

#[test]
fn nothing_is_known_to_be_missing_until_all_layouts_of_a_namespace_were_read() {
    let other: Namespace = "other".parse().unwrap();
    let zones = [
        ZoneSettings::default(),
        ZoneSettings { namespace: Some(other.clone()), ..zone("other.") },
    ];
    let mut catalogue = Catalogue::new(&zones, &[], &[]).with_layouts([other.clone()]);
    let whole = Delta { revision: 5, epoch: 0, whole: true, news: Vec::new() };
    catalogue.apply(Origin::NATIVE, &whole);
    let snapshot = compile(&mut catalogue);
    let ready = |snapshot: &Snapshot| -> Vec<(String, bool)> {
        let zones = snapshot.zones.iter();
        zones.map(|zone| (zone.name.to_string(), zone.ready)).collect()
    };
    assert_eq!(ready(&snapshot), [("other.".to_owned(), false), ("svc.".to_owned(), true)]);
    assert!(snapshot.ready && !snapshot.knows(&other));
    assert!(snapshot.knows(&Namespace::default()), "one layout says nothing of other namespaces");
    catalogue.apply(ONE, &Delta { revision: 3, ..whole });
    let snapshot = compile(&mut catalogue);
    assert!(snapshot.knows(&other) && snapshot.zones.iter().all(|zone| zone.ready));
    // What another watch has come to says nothing of ours.
    assert_eq!(snapshot.revision, 5);
}

#[test]
fn what_another_watch_tells_late_takes_no_revision_back() {
    let mut history = History::new(&[]);
    history.put("y", "i", BODY);
    let shown = history.snapshot().revision;
    history.tell(ONE, "x", "k", told("a", HEAVY));
    // Built early, when it has to rest; answers show all that they did before.
    history.tell(ONE, "x", "k", told("a", LIGHT));
    let early = history.catalogue.compile(&|| Duration::ZERO);
    assert_eq!(early.snapshot.revision, shown);
}
