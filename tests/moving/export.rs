//! `rollcall export`: what a server answers as a zone file, which another one answers alike.

use std::collections::BTreeSet;

use hickory_proto::rr::RecordType;
use serde_json::{Value, json};

use crate::support::server::{Home, Server};

/// A server with apps of many kinds, of which not all is in answers.
async fn busy(home: &Home) -> Server {
    let server = home.start(&[]).await;
    let endpoint = |protocol: &str, port: u16| json!({ "protocol": protocol, "port": port });
    let own = json!({ "protocol": "admin", "port": 9, "addresses": ["10.1.0.7"], "weight": 5 });
    let long = json!({
        "addresses": ["10.0.0.7", "fd00::7"], "weight": 10, "priority": 5,
        "endpoints": [endpoint("http", 80), { "protocol": "dns", "transport": "udp", "port": 53 }, own],
        "tags": ["blue", "v2"], "meta": { "path": "/a b", "quote": "\"\\;é" },
    });
    server.register("web", "i-1", long).await;
    server
        .register(
            "web",
            "i-2",
            json!({ "address": "10.0.0.8", "port": 80, "protocol": "http", "weight": 0 }),
        )
        .await;
    server
        .register("web", "i-3", json!({ "address": "10.0.0.9", "port": 81, "tags": ["blue"] }))
        .await;
    server.register("b.web", "i-1", json!({ "address": "fd00::8", "port": 80 })).await;
    server
        .register("go.micro.srv.greeter", "x", json!({ "address": "10.0.0.10", "port": 80 }))
        .await;
    server.register("gone", "i-1", json!({ "address": "10.0.0.11", "port": 80 })).await;
    server.put("/v1/apps/web/instances/i-3/offline", json!({ "reason": "deploy" })).await;
    server.put("/v1/apps/gone/offline", json!({})).await;
    server
}

/// Owners and types of the records of a zone file.
fn owners(zone: &str) -> BTreeSet<(String, RecordType)> {
    let records = zone.lines().filter(|line| !line.starts_with(';'));
    records
        .map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            (fields[0].to_owned(), fields[3].parse().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn a_zone_file_answers_as_what_it_was_made_of() {
    let home = Home::new();
    let server = busy(&home).await;
    let ran = server.cli(&["export"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let left_out: Vec<_> = ran.err.lines().collect();
    assert_eq!(left_out.len(), 2, "{left_out:?}");
    assert!(left_out[0].starts_with("rollcall: left out: gone i-1: offline: by "), "{left_out:?}");
    assert_eq!(left_out[1], "rollcall: left out: web i-3: offline: deploy");
    let zone = ran.out;
    let owners = owners(&zone);
    for (name, rtype) in [
        ("svc.", RecordType::SOA),
        ("svc.", RecordType::NS),
        ("web.svc.", RecordType::SRV),
        ("blue.web.svc.", RecordType::AAAA),
        ("_http._tcp.v2.web.svc.", RecordType::SRV),
        ("_services._dns-sd._udp.web.svc.", RecordType::PTR),
        ("i-1._dns._udp.web.svc.", RecordType::TXT),
        ("i-1.b.web.svc.", RecordType::AAAA),
    ] {
        assert!(owners.contains(&(name.to_owned(), rtype)), "no {name} {rtype} in {zone}");
    }
    // An endpoint with an address of its own has a name that no list tells.
    let own = server.ask("_admin._tcp.web.svc", RecordType::SRV).await.records();
    let target = own[0].rsplit(' ').next().unwrap().to_owned();
    assert!(owners.contains(&(target, RecordType::A)), "{own:?} {zone}");
    assert!(!zone.contains("10.0.0.9") && !zone.contains("gone"), "{zone}");

    let copy = Home::with_config("[[zone]]\nname = \"svc.\"\nfile = \"svc.zone\"\n");
    copy.write("zones/svc.zone", &zone);
    let copy = copy.start(&[]).await;
    for (name, rtype) in &owners {
        let (there, here) = (server.ask(name, *rtype).await, copy.ask(name, *rtype).await);
        if *rtype == RecordType::SOA {
            continue;
        }
        assert_eq!(here.records(), there.records(), "{name} {rtype}");
        assert!(!here.records().is_empty(), "{name} {rtype}");
        let ttl = |answer: &crate::support::ask::Answer| answer.0.answers[0].ttl;
        assert_eq!(ttl(&here), ttl(&there), "{name} {rtype}");
    }
    for name in ["gone.svc", "i-3.web.svc", "nobody.svc"] {
        let (there, here) =
            (server.ask(name, RecordType::A).await, copy.ask(name, RecordType::A).await);
        assert_eq!(here.status(), there.status(), "{name}");
    }
}

#[tokio::test]
async fn the_same_is_printed_each_time_and_all_of_a_large_app() {
    let home = Home::new();
    let server = home.start(&[]).await;
    for n in 0..200 {
        let body = json!({ "address": format!("10.0.1.{n}"), "port": 80, "tags": [format!("t{}", n % 7)] });
        server.register("large", &format!("i-{n}"), body).await;
    }
    let [first, second] =
        [server.cli(&["export"]).await.done(), server.cli(&["export"]).await.done()];
    assert_eq!(first, second);
    assert_eq!(first.matches(" IN SRV ").count(), 200 * 5, "app, service, instance twice, tag");
    // Each address under the app, its instance and its tag; and the name server's own.
    assert_eq!(first.matches(" IN A 10.0.1.").count(), 200 * 3);
}

#[tokio::test]
async fn json_is_what_is_registered() {
    let home = Home::new();
    let server = busy(&home).await;
    let exported: Value =
        serde_json::from_str(&server.cli(&["export", "--json"]).await.done()).unwrap();
    let apps = exported["apps"].as_array().unwrap();
    let names: Vec<_> = apps.iter().map(|app| app["app"].as_str().unwrap()).collect();
    assert_eq!(names, ["b.web", "go.micro.srv.greeter", "gone", "web"]);
    assert_eq!(apps[3], server.get("/v1/apps/web").await.body);
    assert_eq!(exported["rejected"], json!([]));
    assert_eq!(exported["revision"], server.get("/v1/apps").await.body["revision"]);
}

#[tokio::test]
async fn a_zone_that_is_not_there_is_told() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let ran = server.cli(&["export", "--zone", "staging.svc"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(ran.err.contains("there is no zone staging.svc. at that DNS server"), "{ran:?}");
    // A zone of another namespace looks empty, and is told from one that is.
    let home = Home::with_config(
        "[[zone]]\nname = \"svc.\"\nnamespace = \"default\"\n[[zone]]\nname = \"other.\"\nnamespace = \"other\"\n",
    );
    let two = home.start(&[]).await;
    assert_eq!(two.cli(&["export", "--zone", "other"]).await.code, 0);
    two.register("web", "i-1", json!({ "address": "10.0.0.7", "port": 80 })).await;
    let ran = two.cli(&["export", "--zone", "other"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("not whole: no app has a name in other."), "{ran:?}");
    assert_eq!(two.cli(&["export", "--zone", "other", "--namespace", "other"]).await.code, 0);

    let dead = crate::support::etcd::DeadEnd::new();
    let address = dead.url().trim_start_matches("http://").to_owned();
    let ran = server.cli(&["export", "--dns", &address]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    // Nothing is told out of ignorance.
    let waiting = Home::new().spawn(&["--etcd", &dead.url()]).await;
    assert_eq!(waiting.cli(&["export"]).await.code, 3);
}
