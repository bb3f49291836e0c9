//! What a zone file says when it is read again takes names from registrations, and gives them back.

use super::*;
use crate::zone::{ConsulNames, Names};

/// Why each key is listed as rejected.
fn rejected(snapshot: &Snapshot) -> Vec<String> {
    snapshot.directory.rejected(None).map(|one| one.reason.to_string()).collect()
}

#[test]
fn a_name_is_taken_and_given_back() {
    let mut history = History::new(&[]);
    history.put("x", "b", BODY);
    history.put("y", "i", BODY);
    let before = history.snapshot();
    assert_eq!(a(&before.zones[0], "b.x"), ["10.0.0.7"]);
    history.file("b.x A 192.0.2.1\n");
    let during = history.snapshot();
    let zone = &during.zones[0];
    assert!(matches!(zone.find(&wire("b.x")), Found::Static(_)));
    let label = app_of(&during, "x").instances[0].label.clone().unwrap();
    assert_ne!(label.as_str(), "b");
    assert_eq!(a(zone, &format!("{label}.x")), ["10.0.0.7"]);
    assert!(
        rejected(&during)[0].contains("static records at svc.zone:4"),
        "{:?}",
        rejected(&during)
    );
    // Records that stand elsewhere are told where they are now.
    history.file("; a line more\nb.x A 192.0.2.1\ny TXT taken\n");
    let moved = history.snapshot();
    assert!(rejected(&moved)[0].contains("svc.zone:5"), "{:?}", rejected(&moved));
    assert!(rejected(&moved)[1].contains("svc.zone:6 has static records on its name"));
    history.file("");
    let after = history.snapshot();
    assert_eq!(a(&after.zones[0], "b.x"), ["10.0.0.7"]);
    assert_eq!(a(&after.zones[0], "y"), ["10.0.0.7"]);
    assert_eq!(rejected(&after), [""; 0]);
}

#[test]
fn no_srv_record_points_to_the_new_content_for_a_moment() {
    let mut history = History::new(&[]);
    history.put("x", "b", BODY);
    history.snapshot();
    // All apps rest at that time, and yet this one is built with the file.
    history.put("x", "c", BODY);
    history.file("b.x A 192.0.2.1\n");
    let Compiled { snapshot, due, .. } = history.catalogue.compile(&|| Duration::ZERO);
    assert_eq!((due, snapshot.revision), (None, history.revision));
    assert_ne!(app_of(&snapshot, "x").instances[0].label.as_ref().unwrap().as_str(), "b");
}

#[test]
fn the_serial_grows_with_other_content_only() {
    let mut history = History::new(&[]);
    history.put("x", "b", BODY);
    history.file("a A 192.0.2.1\n");
    let serial = history.snapshot().zones[0].serial;
    history.file("; moved\na A 192.0.2.1\n");
    assert_eq!(history.snapshot().zones[0].serial, serial);
    history.file("a A 192.0.2.2\n");
    assert_eq!(history.snapshot().zones[0].serial, serial + 1);
    // Content that was there before is later content all the same.
    history.file("a A 192.0.2.1\n");
    assert_eq!(history.snapshot().zones[0].serial, serial + 2);
}

#[test]
fn a_zone_that_waits_for_the_registry_has_its_new_records() {
    let mut zones = vec![ZoneSettings::default()];
    let mut catalogue = Catalogue::new(&zones, &[], &[]);
    let text = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\na A 192.0.2.1\n";
    let file = ZoneFile::parse("svc.zone".as_ref(), text, &zones[0].name).unwrap();
    zones[0].file = Some(Arc::new(file));
    catalogue.replace(Contents::new(&zones[0], &zones));
    let snapshot = compile(&mut catalogue);
    assert!(matches!(snapshot.zones[0].find(&wire("a")), Found::Static(_)));
    assert!(matches!(snapshot.zones[0].find(&wire("b")), Found::Unknown));
}

#[test]
fn registrations_are_refused_by_static_records_on_consuls_names() {
    let mut consul =
        ZoneSettings { names: Names::Consul(ConsulNames::default()), ..zone("consul.") };
    let text = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nx.service A 192.0.2.1\ni.y.service A 192.0.2.2\nz A 192.0.2.3\n";
    let file = ZoneFile::parse("consul.zone".as_ref(), text, &consul.name).unwrap();
    consul.file = Some(Arc::new(file));
    let guard = crate::zone::Guard::new(&[consul]);
    let check = |app: &str, id: &str| {
        let (app, id) = (AppName::new(app).unwrap(), Label::new(id).unwrap());
        let refusal = guard.check(&Namespace::default(), &app, Some(&id)).err();
        refusal.map_or_else(String::new, |refusal| refusal.to_string())
    };
    assert_eq!(check("x", "i"), "consul.zone:4 has static records on x");
    assert_eq!(check("y", "i"), "consul.zone:5 has static records on i.y");
    assert_eq!((check("y", "j"), check("z", "i")), (String::new(), String::new()));
}

#[test]
fn registrations_are_refused_by_what_is_served_now() {
    let zones = [ZoneSettings::default()];
    let guard = crate::zone::Guard::new(&zones);
    let other = guard.clone();
    let check = |guard: &crate::zone::Guard| {
        guard.check(&Namespace::default(), &AppName::new("x").unwrap(), None)
    };
    assert_eq!(check(&other), Ok(()));
    let mut history = History::new(&[]);
    history.file("x A 192.0.2.1\n");
    guard.replace(&Contents::new(&history.zones[0], &history.zones));
    assert_eq!(check(&other).unwrap_err().to_string(), "svc.zone:4 has static records on x");
    guard.replace(&Contents::new(&zones[0], &zones));
    assert_eq!(check(&other), Ok(()));
}
