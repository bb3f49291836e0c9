//! Plain records: what each name answers, who has it, and what of them is rejected.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::zone::plain;
use crate::zone::statics::RrSet;

/// A zone for the records, beside the usual one.
fn world() -> History {
    let sky = ZoneSettings { ttl_secs: 30, srv_weight_scale: 2, ..zone("skydns.local.") };
    History::of(&[ZoneSettings::default(), sky], &[])
}

/// All records of a name in text, or whether it exists.
fn all(snapshot: &Snapshot, name: &str) -> String {
    let name = [&wire(name)[..], &[0]].concat();
    let (zone, relative) = snapshot.zone(&name).unwrap();
    match zone.find(relative) {
        Found::Static(node) => node.sets.iter().map(set).collect::<Vec<_>>().join("; "),
        Found::App(_) => "app".to_owned(),
        Found::Between => "between".to_owned(),
        Found::Missing => "missing".to_owned(),
        Found::Unknown => "unknown".to_owned(),
    }
}

/// The same of a name of the records' own zone.
fn sky(snapshot: &Snapshot, name: &str) -> String {
    all(snapshot, &format!("{name}.skydns.local"))
}

fn set(set: &RrSet) -> String {
    let number = |data: &[u8], at: usize| u16::from_be_bytes([data[at], data[at + 1]]);
    let data = set.data.iter().map(|data| match set.rtype {
        1 => Ipv4Addr::from(<[u8; 4]>::try_from(&**data).unwrap()).to_string(),
        28 => Ipv6Addr::from(<[u8; 16]>::try_from(&**data).unwrap()).to_string(),
        33 => format!(
            "{} {} {} {}",
            number(data, 0),
            number(data, 2),
            number(data, 4),
            text(&data[6..])
        ),
        15 => format!("{} {}", number(data, 0), text(&data[2..])),
        16 => data.escape_ascii().to_string(),
        2 | 5 | 12 => text(data),
        _ => "...".to_owned(),
    });
    let name = match set.rtype {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        _ => "?",
    };
    format!("{} {name} {}", set.ttl_secs, data.collect::<Vec<_>>().join(", "))
}

fn text(wire: &[u8]) -> String {
    let labels = std::iter::successors(wire::split(wire), |(_, rest)| wire::split(rest));
    labels.map(|(label, _)| format!("{}.", label.escape_ascii())).collect()
}

fn rejected(snapshot: &Snapshot) -> Vec<String> {
    let all = snapshot.directory.rejected(None);
    all.map(|rejected| format!("{}: {}", rejected.key, rejected.reason)).collect()
}

#[test]
fn a_name_answers_from_all_records_at_it_and_below_it() {
    let mut history = world();
    for (path, value) in [
        (
            "local/skydns/staging/web/rails1",
            r#"{"host":"10.0.0.12","port":8080,"priority":10,"weight":50,"ttl":60,"text":"zone=a"}"#,
        ),
        ("local/skydns/staging/web/rails2", r#"{"host":"fd00::2","port":8081,"ttl":7}"#),
        ("local/skydns/staging/web/rails3", r#"{"host":"10.0.0.12"}"#),
        ("local/skydns/staging/db", r#"{"host":"db.example.com","port":5432,"priority":20}"#),
        ("local/skydns/staging/mx/a", r#"{"host":"10.0.0.25","mail":true,"targetstrip":1}"#),
    ] {
        history.plain(path, Some(value));
    }
    let snapshot = history.snapshot();
    let all = |name: &str| sky(&snapshot, name);
    assert_eq!(
        all("rails1.web.staging"),
        r"30 A 10.0.0.12; 30 TXT \x06zone=a; 30 SRV 10 100 8080 rails1.web.staging.skydns.local."
    );
    assert_eq!(
        all("rails2.web.staging"),
        "7 AAAA fd00::2; 7 SRV 10 200 8081 rails2.web.staging.skydns.local."
    );
    // A set has the shortest time to live of its records; each record stands there once.
    assert_eq!(
        all("web.staging"),
        r"30 A 10.0.0.12; 30 TXT \x06zone=a; 7 AAAA fd00::2; 7 SRV 10 100 8080 rails1.web.staging.skydns.local., 10 200 8081 rails2.web.staging.skydns.local."
    );
    assert_eq!(all("db.staging"), "30 SRV 20 200 5432 db.example.com.");
    assert_eq!(all("a.mx.staging"), "30 A 10.0.0.25; 30 MX 10 mx.staging.skydns.local.");
    assert_eq!(
        all("staging"),
        r"30 A 10.0.0.12, 10.0.0.25; 30 MX 10 mx.staging.skydns.local.; 30 TXT \x06zone=a; 7 AAAA fd00::2; 7 SRV 10 100 8080 rails1.web.staging.skydns.local., 10 200 8081 rails2.web.staging.skydns.local., 20 200 5432 db.example.com."
    );
    assert_eq!(all("x.rails1.web.staging"), "missing");
    assert_eq!(all("rails4.web.staging"), "missing");
    for path in ["web/rails1", "web/rails2", "web/rails3"] {
        history.plain(&format!("local/skydns/staging/{path}"), None);
    }
    let snapshot = history.snapshot();
    assert_eq!(sky(&snapshot, "web.staging"), "missing");
    assert!(sky(&snapshot, "staging").starts_with("30 A 10.0.0.25; "));
}

#[test]
fn other_names_are_aliases_where_they_stand_alone() {
    let mut history = world();
    for (path, value) in [
        ("local/skydns/www/1", r#"{"host":"lb.example.com","ttl":5}"#),
        ("local/skydns/www/2", r#"{"host":"LB.example.com."}"#),
        ("local/skydns/two/1", r#"{"host":"a.example"}"#),
        ("local/skydns/two/2", r#"{"host":"b.example"}"#),
        ("local/skydns/told/1", r#"{"host":"a.example","text":"t"}"#),
        (
            "local/skydns/goh/149a1668",
            r#"{"host":"sag.com","text":"\"heritage=external-dns,external-dns/owner=staging\"","targetstrip":1}"#,
        ),
        ("local/skydns/goh/3ee06812", r#"{"text":"\"heritage=external-dns,x\"","targetstrip":1}"#),
        ("local/skydns/self/w", r#"{"host":"self.skydns.local"}"#),
        ("local/skydns/beside/1", r#"{"host":"a.example"}"#),
        ("local/skydns/beside/2", r#"{"host":"10.0.0.1"}"#),
    ] {
        history.plain(path, Some(value));
    }
    let snapshot = history.snapshot();
    let all = |name: &str| sky(&snapshot, name);
    assert_eq!(all("www"), "5 CNAME lb.example.com.");
    assert_eq!(all("2.www"), "30 CNAME lb.example.com.");
    assert_eq!(all("two"), "between");
    assert_eq!(all("1.two"), "30 CNAME a.example.");
    assert_eq!(all("told"), r"30 TXT \x01t");
    // Who owns a record is noted for external-dns, and is nothing beside an alias.
    assert_eq!(all("goh"), "30 CNAME sag.com.");
    assert!(all("3ee06812.goh").starts_with("30 TXT"));
    assert_eq!(all("self"), "between");
    assert_eq!(all("w.self"), "30 CNAME self.skydns.local.");
    assert_eq!(all("beside"), "30 A 10.0.0.1");
}

#[test]
fn the_group_nearest_to_a_name_decides_if_it_is_one() {
    let mut history = world();
    for (path, host, group) in [
        ("a", "10.0.0.1", r#","group":"g1""#),
        ("a/b", "10.0.0.2", r#","group":"g1""#),
        ("a/b/c", "10.0.0.3", r#","group":"g2""#),
        ("a/b/d", "10.0.0.4", ""),
        ("e/1", "10.0.0.5", r#","group":"g1""#),
        ("e/2", "10.0.0.6", r#","group":"g2""#),
    ] {
        let value = format!(r#"{{"host":"{host}"{group}}}"#);
        history.plain(&format!("local/skydns/{path}"), Some(&value));
    }
    let snapshot = history.snapshot();
    let all = |name: &str| sky(&snapshot, name);
    assert_eq!(all("a"), "30 A 10.0.0.1, 10.0.0.2, 10.0.0.4");
    assert_eq!(all("c.b.a"), "30 A 10.0.0.3");
    assert_eq!(all("e"), "30 A 10.0.0.5, 10.0.0.6");
}

#[test]
fn the_zones_own_name_has_what_is_below_apex() {
    let mut history = world();
    history.plain("local/skydns/dns/apex/x1", Some(r#"{"host":"10.0.0.1"}"#));
    history.plain("local/skydns/dns/apex/x2", Some(r#"{"host":"a.example"}"#));
    history.plain("local/skydns/web", Some(r#"{"host":"10.0.0.2"}"#));
    history.plain("local/skydns", Some(r#"{"text":"own"}"#));
    let snapshot = history.snapshot();
    let apex = all(&snapshot, "skydns.local");
    assert!(apex.starts_with("1200 SOA ...; 1200 NS localhost.; 30 A 10.0.0.1; 30 TXT"), "{apex}");
    assert_eq!(all(&snapshot, "apex.dns.skydns.local"), "30 A 10.0.0.1");
    let serial = |snapshot: &Snapshot| {
        snapshot.zones().iter().find(|zone| zone.name().as_str() == "skydns.local.").unwrap().serial
    };
    let before = serial(&snapshot);
    // The same once more changes nothing, and what changes is numbered.
    history.plain("local/skydns/web", Some(r#"{"port":0,"host":"10.0.0.2"}"#));
    let snapshot = history.snapshot();
    assert_eq!(serial(&snapshot), before);
    history.plain("local/skydns", None);
    history.plain("local/skydns/dns/apex/x1", None);
    let snapshot = history.snapshot();
    assert_eq!(all(&snapshot, "skydns.local"), "1200 SOA ...; 1200 NS localhost.");
    assert!(serial(&snapshot) > before);
}

#[test]
fn addresses_point_to_hosts_in_networks_and_zones_of_their_own() {
    let reverse = ZoneSettings::reverse("10.0.0.0/8".parse().unwrap(), None);
    let v6 = ZoneSettings { namespace: Some(Namespace::default()), ..zone("ip6.arpa.") };
    let mut history = History::of(&[ZoneSettings::default(), reverse, v6], &[]);
    history.put("greeter", "a", r#"{"addresses":["10.0.0.1","10.0.0.127"],"port":9000}"#);
    history.plain("arpa/in-addr/10/0/0/127", Some(r#"{"host":"reverse.skydns.local"}"#));
    history.plain("arpa/ip6/d/f", Some(r#"{"host":"six.example"}"#));
    let snapshot = history.snapshot();
    assert_eq!(all(&snapshot, "127.0.0.10.in-addr.arpa"), "5 PTR reverse.skydns.local.");
    assert_eq!(all(&snapshot, "1.0.0.10.in-addr.arpa"), "5 PTR a.greeter.svc.");
    assert_eq!(all(&snapshot, "0.0.10.in-addr.arpa"), "between");
    assert_eq!(all(&snapshot, "f.d.ip6.arpa"), "5 PTR six.example.");
    assert_eq!(all(&snapshot, "d.ip6.arpa"), "between");
}

#[test]
fn keys_that_are_no_names_have_mapped_ones_and_hide_nobody() {
    let mut history = world();
    let host = |n: u8| format!(r#"{{"host":"10.0.0.{n}","port":{n}}}"#);
    // What registrator writes, twice nearly the same.
    history.plain("local/skydns/redis/node1:redis.0:6379", Some(&host(1)));
    history.plain("local/skydns/redis/node1:redis_0:6379", Some(&host(2)));
    let snapshot = history.snapshot();
    let at =
        |snapshot: &Snapshot, label: &str| all(snapshot, &format!("{label}.redis.skydns.local"));
    assert!(at(&snapshot, "node1-redis-0-6379").starts_with("30 A 10.0.0.1;"));
    let derived = "node1-redis-0-6379-yotifp";
    let listed = format!(
        "/skydns/local/skydns/redis/node1:redis_0:6379: it is served under the derived name {derived}.redis: another record has its own"
    );
    assert_eq!(rejected(&snapshot), [listed.as_str()]);
    assert!(at(&snapshot, derived).starts_with("30 A 10.0.0.2;"));
    assert!(all(&snapshot, "redis.skydns.local").starts_with("30 A 10.0.0.1, 10.0.0.2;"));
    // One that is written so has the name; when the others go, the last has it.
    history.plain("local/skydns/redis/node1-redis-0-6379", Some(&host(3)));
    let snapshot = history.snapshot();
    assert!(at(&snapshot, "node1-redis-0-6379").starts_with("30 A 10.0.0.3;"));
    assert_eq!(rejected(&snapshot).len(), 2);
    history.plain("local/skydns/redis/node1-redis-0-6379", None);
    history.plain("local/skydns/redis/node1:redis.0:6379", None);
    let snapshot = history.snapshot();
    assert!(at(&snapshot, "node1-redis-0-6379").starts_with("30 A 10.0.0.2;"));
    assert_eq!(at(&snapshot, derived), "missing");
    assert_eq!(rejected(&snapshot), Vec::<String>::new());
}

#[test]
fn static_records_come_before_plain_ones_and_apps_after() {
    let mut history = History::new(&[]);
    history.put("x", "b", BODY);
    history.put("x", "c", BODY);
    history.put("y", "a", BODY);
    history.plain("svc/x/b/1/_", Some(r#"{"text":"t"}"#));
    history.plain("svc/y/a", Some(r#"{"host":"10.0.0.1","port":1}"#));
    history.plain("svc/z", Some(r#"{"host":"10.0.0.1","port":1}"#));
    history.file("z A 192.0.2.1\n");
    let snapshot = history.snapshot();
    let expected = [
        "/r/default/instances/x/b: app x is not served in svc.: its name belongs to the plain record /skydns/svc/x/b/1/_",
        "/r/default/instances/x/c: app x is not served in svc.: its name belongs to the plain record /skydns/svc/x/b/1/_",
        "/r/default/instances/y/a: app y is not served in svc.: its name belongs to the plain record /skydns/svc/y/a",
        "/skydns/svc/z: z is not served: svc.zone:4 has static records on its name",
    ];
    assert_eq!(rejected(&snapshot), expected);
    assert_eq!(all(&snapshot, "a.y.svc"), "5 A 10.0.0.1; 5 SRV 10 100 1 a.y.svc.");
    assert_eq!(all(&snapshot, "z.svc"), "60 A 192.0.2.1");
    // What is given back is had again.
    history.file("");
    history.plain("svc/x/b/1/_", None);
    let snapshot = history.snapshot();
    assert_eq!(rejected(&snapshot), expected[2..3]);
    assert_eq!(all(&snapshot, "z.svc"), "5 A 10.0.0.1; 5 SRV 10 100 1 z.svc.");
    assert_eq!(all(&snapshot, "b.x.svc"), "app");
    // A name that answers nothing of its own is not taken from an app; one below it is.
    history.plain("svc/x/b", Some(r#"{"host":"a.example"}"#));
    history.plain("svc/x/d", Some(r#"{"host":"b.example"}"#));
    let snapshot = history.snapshot();
    assert_eq!(all(&snapshot, "x.svc"), "app");
    assert_eq!(all(&snapshot, "b.x.svc"), "5 CNAME a.example.");
    let reason = "instance id \"b\" is served under a derived label: the name b belongs to the plain record /skydns/svc/x/b";
    assert_eq!(rejected(&snapshot)[0], format!("/r/default/instances/x/b: {reason}"));
}

#[test]
fn what_is_below_no_zone_of_the_namespace_is_rejected() {
    let other =
        ZoneSettings { namespace: Some(Namespace::new("other").unwrap()), ..zone("b.svc.") };
    let mut history = History::of(&[ZoneSettings::default(), other], &[]);
    history.plain("svc/b/x", Some(r#"{"host":"10.0.0.1"}"#));
    history.plain("example/x", Some(r#"{"host":"10.0.0.1"}"#));
    let broken = history.snapshot();
    let expected = [
        "/skydns/example/x: no zone of this server has the name x.example",
        "/skydns/svc/b/x: its name belongs to the zone b.svc., which does not serve namespace default",
    ];
    assert_eq!(rejected(&broken), expected);
    // One broken record hides nothing else, whatever its name.
    for path in ["svc/c/1", "svc/c", "svc"] {
        history.plain(path, Some("{"));
    }
    history.plain("svc/c/2", Some(r#"{"host":"10.0.0.2"}"#));
    let snapshot = history.snapshot();
    assert_eq!(all(&snapshot, "c.svc"), "5 A 10.0.0.2");
    assert_eq!(rejected(&snapshot).len(), 5);
    for path in ["svc/c/1", "svc/c", "svc", "svc/b/x", "example/x"] {
        history.plain(path, None);
    }
    assert_eq!(rejected(&history.snapshot()), Vec::<String>::new());
}

#[test]
fn a_name_answers_from_so_many_records_and_no_more() {
    let mut history = world();
    let value = |n: usize| format!(r#"{{"host":"10.{}.{}.1"}}"#, n / 250, n % 250);
    for n in 0..=plain::RECORDS_MAX {
        history.plain(&format!("local/skydns/many/r{n:05}"), Some(&value(n)));
    }
    let Compiled { snapshot, oversized, .. } = history.catalogue.compile(&|| Duration::ZERO);
    let [Oversized { zone, app, octets }] = &oversized[..] else { panic!("{oversized:?}") };
    assert_eq!((zone.as_str(), app.as_str(), *octets), ("skydns.local.", "many", 160_000));
    let shown = |snapshot: &Snapshot| sky(snapshot, "many").split(", ").count();
    assert_eq!(shown(&snapshot), plain::RECORDS_MAX);
    // The last by name is not among them, and has its own name all the same.
    assert!(!sky(&snapshot, "many").contains("10.40.0.1"));
    assert_eq!(sky(&snapshot, "r10000.many"), "30 A 10.40.0.1");
    history.plain("local/skydns/many/r00007", None);
    let snapshot = history.snapshot();
    assert_eq!(shown(&snapshot), plain::RECORDS_MAX);
    assert!(sky(&snapshot, "many").contains("10.40.0.1"));
}

#[test]
fn nothing_is_known_until_a_view_is_there() {
    let mut history = world();
    history.catalogue = Catalogue::new(&history.zones, &[], &[]);
    assert_eq!(all(&history.snapshot(), "web.skydns.local"), "unknown");
}

#[test]
fn a_record_waits_while_the_last_build_rests() {
    let mut history = world();
    let value = r#"{"host":"10.0.0.1"}"#;
    history.plain("local/skydns/a", Some(value));
    // A clock that goes on by a millisecond each time it is read.
    let now = std::cell::Cell::new(Duration::ZERO);
    let clock = || now.replace(now.get() + Duration::from_millis(1));
    let built = history.catalogue.compile(&clock);
    assert_eq!((built.built, built.due), (vec![2], None));
    history.plain("local/skydns/b", Some(value));
    let waiting = history.catalogue.compile(&clock);
    assert_eq!(all(&waiting.snapshot, "b.skydns.local"), "missing");
    // The build took 1 ms, and so it rests for 20.
    assert_eq!((waiting.due, waiting.snapshot.revision), (Some(Duration::from_millis(21)), 1));
    now.set(Duration::from_millis(21));
    let built = history.catalogue.compile(&clock);
    assert_eq!((built.built, built.due, built.snapshot.revision), (vec![2], None, 1));
    assert_eq!(all(&built.snapshot, "b.skydns.local"), "30 A 10.0.0.1");
}
