//! `rollcall import --from skydns`: records of names, from a real etcd into a zone file.

use std::collections::BTreeSet;

use hickory_proto::rr::RecordType;
use rollcall::registry::Registry as _;
use serde_json::Value;

use crate::import::World;
use crate::support::server::Home;

const RECORDS: [(&str, &str); 9] = [
    (
        "local/skydns/staging/web/rails1",
        r#"{"host":"10.0.0.12","port":8080,"priority":10,"weight":50,"ttl":60,"text":"zone=a \"b\""}"#,
    ),
    ("local/skydns/staging/web/rails2", r#"{"host":"fd00::2","port":8081}"#),
    ("local/skydns/staging/db", r#"{"host":"db.example.com","port":5432,"priority":20}"#),
    ("local/skydns/staging/mx/a", r#"{"host":"10.0.0.25","mail":true,"targetstrip":1}"#),
    ("local/skydns/www", r#"{"host":"web.staging.skydns.local"}"#),
    ("local/skydns/redis/node1:redis.0:6379", r#"{"host":"192.168.1.102","port":10000}"#),
    ("local/skydns/dns/apex/x1", r#"{"host":"10.0.0.1","ttl":4000}"#),
    ("local/skydns/broken", "{"),
    ("local/other/web", r#"{"host":"10.0.0.3"}"#),
];

async fn world() -> World {
    let world = World::new().await;
    for (path, value) in RECORDS {
        world.put(&format!("/skydns/{path}"), value, None).await;
    }
    world.put("/skydns/local/skydns/leased", r#"{"host":"10.0.0.4"}"#, Some(world.lease)).await;
    world
}

/// The reasons, by the last part of their keys.
fn reasons(report: &Value) -> Vec<String> {
    let skipped = report["skipped"].as_array().unwrap().iter();
    skipped
        .map(|one| {
            let key = one["key"].as_str().unwrap().trim_start_matches("/skydns/local/");
            format!("{key}: {}", one["reason"].as_str().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn a_zone_file_answers_as_the_layout_does() {
    let (world, home) = (world().await, Home::new());
    home.write("zones/readme", "");
    let file = home.path("zones/skydns.zone").display().to_string();
    let from = ["--from", "skydns", "--zone", "skydns.local", "--zone-file", &file];
    let (code, report) = world.report(&from).await;
    assert_eq!((code, &report["changed"]), (1, &true.into()), "{report}");
    let reasons = reasons(&report);
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(reasons[0].starts_with("skydns/broken: value is not readable"), "{reasons:?}");
    assert_eq!(
        reasons[1],
        "skydns/leased: it has a lease, and would stay for ever in a file: --permanent copies it"
    );
    assert!(reasons[2].starts_with("other/web: "), "{reasons:?}");

    let text = std::fs::read_to_string(&file).unwrap();
    let records = text.lines().skip(1).map(|line| line.split(' ').collect::<Vec<_>>());
    let owners: BTreeSet<(String, RecordType)> =
        records.map(|fields| (fields[0].to_owned(), fields[3].parse().unwrap())).collect();
    assert_eq!(report["records"], text.lines().count() - 1, "{text}");
    home.write(
        "rollcall.toml",
        "version = 1\n[[zone]]\nname = \"skydns.local.\"\nfile = \"skydns.zone\"\n",
    );
    let copy = home.start(&[]).await;
    let config = "[[layout]]\nkind = \"skydns\"\nprefix = \"/skydns/\"\nnamespace = \"default\"\n\
                  [[zone]]\nname = \"skydns.local.\"\nnamespace = \"default\"\nttl = \"300s\"\n";
    let original = Home::with_config(config);
    let original = original.start(&["--etcd", &world.etcd.url()]).await;
    world.etcd.registry().await.revoke(world.lease).await.unwrap();
    let is_gone = async || original.addresses("leased.skydns.local").await.is_empty();
    crate::support::until("what has a lease is gone", is_gone).await;
    for (name, rtype) in &owners {
        let (there, here) = (original.ask(name, *rtype).await, copy.ask(name, *rtype).await);
        if *rtype != RecordType::SOA {
            assert_eq!(here.records(), there.records(), "{name} {rtype}");
            assert!(!here.records().is_empty(), "{name} {rtype}");
            let ttl = |answer: &crate::support::ask::Answer| answer.0.answers[0].ttl;
            assert_eq!(ttl(&here), ttl(&there), "{name} {rtype}");
        }
    }
    for (name, rtype) in [
        ("skydns.local.", RecordType::A),
        ("staging.skydns.local.", RecordType::MX),
        ("web.staging.skydns.local.", RecordType::SRV),
        ("rails1.web.staging.skydns.local.", RecordType::TXT),
        ("www.skydns.local.", RecordType::CNAME),
        ("node1-redis-0-6379.redis.skydns.local.", RecordType::A),
    ] {
        assert!(owners.contains(&(name.to_owned(), rtype)), "no {name} {rtype} in {text}");
    }
}

#[tokio::test]
async fn a_file_is_overwritten_only_if_that_is_asked_for() {
    let (world, home) = (world().await, Home::new());
    let file = home.path("x.zone").display().to_string();
    let from = ["--from", "skydns", "--zone", "skydns.local", "--zone-file", &file];
    let dry = world.import(&[&from[..], &["--dry-run"]].concat()).await;
    assert!(
        dry.out.contains("\nwww.skydns.local. 300 IN CNAME web.staging.skydns.local.\n"),
        "{}",
        dry.out
    );
    assert!(!home.path("x.zone").exists(), "a dry run writes nothing");
    let changed =
        async |more: &[&str]| world.report(&[&from[..], more].concat()).await.1["changed"].clone();
    assert_eq!(changed(&[]).await, true);
    assert_eq!(changed(&[]).await, false);
    world.put("/skydns/local/skydns/new", r#"{"host":"10.0.0.9"}"#, None).await;
    let refused = world.import(&from).await;
    assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{refused:?}");
    assert!(
        refused.err.contains("x.zone is there already: --replace overwrites it"),
        "{refused:?}"
    );
    assert_eq!(changed(&["--replace"]).await, true);
    assert_eq!(changed(&["--permanent", "--replace"]).await, true);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\nleased.skydns.local. 300 IN A 10.0.0.4\n"), "{text}");
    // There is no place for them but a file.
    let without = world.import(&["--from", "skydns"]).await;
    assert_eq!(without.code, 2, "{without:?}");
    assert!(without.err.contains("give --zone and --zone-file"), "{without:?}");
}
