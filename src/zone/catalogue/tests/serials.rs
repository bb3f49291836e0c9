//! A zone gets a new serial when, and only when, its records change.

use super::*;

#[test]
fn a_heartbeat_like_rewrite_keeps_the_serial() {
    let mut history = History::new(&[]);
    history.put("x", "i", BODY);
    let serial = history.snapshot().zones[0].serial;
    assert_eq!(history.put("x", "i", BODY), []);
    let snapshot = history.snapshot();
    assert_eq!((snapshot.zones[0].serial, snapshot.revision), (serial, 3));
    history.put("x", "i", r#"{"address":"10.0.0.7","port":9000,"meta":{"a":"b"}}"#);
    assert_eq!(history.snapshot().zones[0].serial, 4, "meta data is in a TXT record");
    history.put("x", "i", r#"{"address":"10.0.0.7","port":9001}"#);
    assert_eq!(history.snapshot().zones[0].serial, 5);
}

#[test]
fn a_reverse_zone_has_a_new_serial_when_an_address_points_elsewhere() {
    let reverse = ZoneSettings::reverse("10.0.0.0/24".parse().unwrap(), None);
    let mut history = History::of(&[ZoneSettings::default(), reverse], &[]);
    let serial = |history: &mut History| history.snapshot().zones[0].serial;
    history.put("x", "i", BODY);
    let first = serial(&mut history);
    history.put("x", "i", r#"{"address":"10.0.0.7","port":9001,"weight":7,"tags":["t"]}"#);
    history.put("y", "far", r#"{"address":"10.0.1.7","port":9001}"#);
    assert_eq!(serial(&mut history), first);
    history.put("x", "i", r#"{"address":"10.0.0.8","port":9001}"#);
    let moved = serial(&mut history);
    assert!(moved > first);
    history.put("y", "j", r#"{"address":"10.0.0.8","port":9001}"#);
    let shared = serial(&mut history);
    assert!(shared > moved);
    history.delete("y", "j");
    assert!(serial(&mut history) > shared);
    // Its name may be longer than other zones' names are: it is saved and read all the same.
    let long = ZoneSettings::reverse("fd00::/124".parse().unwrap(), None);
    let saved = Catalogue::new(&[long], &[], &[]).serials();
    let text = serde_json::to_string(&saved).unwrap();
    assert_eq!(serde_json::from_str::<Vec<SavedSerial>>(&text).unwrap(), saved);
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
        catalogue.apply(
            Origin::NATIVE,
            &Delta { revision: history.revision, epoch: 0, whole: true, news },
        );
        compile(&mut catalogue).zones[0].serial
    };
    assert_eq!(restart(&history, &saved), serial);
    history.put("x", "j", r#"{"address":"10.0.0.8","port":1}"#);
    assert_eq!(restart(&history, &saved), 3);
}

#[test]
fn another_time_to_live_is_another_serial_and_another_order_of_lines_is_not() {
    let serial = |settings: &ZoneSettings, saved: &[SavedSerial]| {
        let mut catalogue = Catalogue::new(std::slice::from_ref(settings), &[], saved);
        catalogue
            .apply(Origin::NATIVE, &Delta { revision: 1, epoch: 0, whole: true, news: Vec::new() });
        (compile(&mut catalogue).zones[0].serial, catalogue.serials())
    };
    let file = |text: &str| {
        let name = ZoneName::default();
        let file = ZoneFile::parse("svc.zone".as_ref(), text, &name);
        ZoneSettings { file: Some(Arc::new(file.unwrap())), ..ZoneSettings::default() }
    };
    let one = file("@ 60 SOA ns h 7 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.1\nns 60 A 192.0.2.2\n");
    let (first, saved) = serial(&one, &[]);
    assert_eq!(first, 8);
    let other = file("@ 60 NS ns\n@ 60 SOA ns h 7 2 3 4 5\nns 60 A 192.0.2.2\nns 60 A 192.0.2.1\n");
    assert_eq!(serial(&other, &saved).0, first);
    assert_eq!(serial(&ZoneSettings { ttl_secs: 6, ..one }, &saved).0, first + 1);
}
