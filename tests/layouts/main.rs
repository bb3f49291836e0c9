//! What other systems' clients write into a real etcd, and what a real server then answers. The files under `golden/` have
//! the keys and values, made by hand after each system's sources.

mod clients;
mod golden;
mod listed;
#[path = "../support/mod.rs"]
mod support;
mod unread;

use golden::{Entry, Golden};
use support::etcd::Etcd;
use support::running::Running;
use support::server::{Home, Server};
use support::until;

/// The configuration of all layouts.
fn config(goldens: &[Golden]) -> String {
    goldens.iter().map(|golden| format!("[[layout]]\n{}\n", golden.layout)).collect()
}

/// Grants a lease and gives its id in hex.
async fn lease(etcd: &Etcd, secs: u32) -> String {
    let said = etcd.ctl(&["lease", "grant", &secs.to_string()]).await;
    said.split_whitespace().nth(1).expect("lease ID granted …").to_owned()
}

async fn put(etcd: &Etcd, entry: &Entry, lease: &str) {
    let Entry { key, value, leased, .. } = entry;
    match leased {
        true => etcd.ctl(&["put", "--lease", lease, "--", key, value]).await,
        false => etcd.ctl(&["put", "--", key, value]).await,
    };
}

/// What the server says to the questions of a file, against what it is to say.
async fn differences(server: &Server, golden: &Golden) -> Vec<String> {
    let mut differences = Vec::new();
    for question in &golden.questions {
        let answer = server.ask(&question.name, question.rtype.parse().unwrap()).await;
        let records = answer.records();
        if records != question.records {
            differences.push(format!("{}: {records:#?}, not {:#?}", golden.name, question.records));
        }
    }
    differences
}

async fn answers(server: &Server, golden: &Golden) {
    let mut last = Vec::new();
    let answered = async {
        until(&golden.name, async || {
            last = differences(server, golden).await;
            last.is_empty()
        })
        .await;
    };
    if tokio::time::timeout(support::DEADLINE / 2, answered).await.is_err() {
        panic!("{}", last.join("\n"));
    }
}

/// Whether none of what a file's questions are about is in answers any more; what has no lease stays.
async fn are_gone(server: &Server, golden: &Golden, forever: &[String]) -> bool {
    for question in &golden.questions {
        let answer = server.ask(&question.name, question.rtype.parse().unwrap()).await;
        let left = answer.records().into_iter().filter(|record| !forever.contains(record));
        if left.count() > 0 {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn what_each_system_writes_is_answered_until_it_leaves() {
    let goldens = golden::all();
    let etcd = Etcd::start().await;
    let home = Home::with_config(&config(&goldens));
    // Half is there before the server, half comes while it watches.
    let long = lease(&etcd, 600).await;
    let (before, after) = goldens.split_at(goldens.len() / 2);
    for golden in before {
        for entry in &golden.entries {
            put(&etcd, entry, &long).await;
        }
    }
    let server = home.start(&["--etcd", &etcd.url()]).await;
    for golden in after {
        for entry in &golden.entries {
            put(&etcd, entry, &long).await;
        }
    }
    for golden in &goldens {
        answers(&server, golden).await;
    }

    // Each record that can't be read is listed with its key and the reason, and nothing else is.
    let entries = || goldens.iter().flat_map(|golden| &golden.entries);
    let expected = entries().filter(|entry| entry.rejected.is_some()).count();
    let mut listed: Vec<(String, String)> = Vec::new();
    until("all that can't be read is listed", async || {
        let rejected = server.get("/v1/rejected?limit=1000").await.body["rejected"].clone();
        let text = |one: &serde_json::Value, field| one[field].as_str().unwrap().to_owned();
        let rejected = rejected.as_array().unwrap().iter();
        listed = rejected.map(|one| (text(one, "key"), text(one, "reason"))).collect();
        listed.len() >= expected
    })
    .await;
    for entry in entries() {
        let Some(words) = &entry.rejected else { continue };
        let at = listed.iter().position(|(key, _)| *key == entry.key);
        let (key, reason) = listed.swap_remove(at.unwrap_or_else(|| panic!("{}", entry.key)));
        assert!(reason.contains(words), "{key}: {reason}");
    }
    assert_eq!(listed, Vec::new());

    // A clean exit: the owner deletes its key.
    for golden in &goldens {
        for entry in &golden.entries {
            etcd.delete(&entry.key).await;
        }
        until(&golden.name, async || are_gone(&server, golden, &[]).await).await;
    }

    // A crash: nobody renews the lease.
    let mut forever = Vec::new();
    let short = lease(&etcd, 5).await;
    for golden in &goldens {
        for entry in &golden.entries {
            put(&etcd, entry, &short).await;
        }
        if golden.name == "go-micro-old" {
            let record = "_mucp._tcp.billing.svc. SRV 10 100 8080 billing-2.example.org.";
            forever.push(record.to_owned());
        }
    }
    for golden in &goldens {
        until(&golden.name, async || are_gone(&server, golden, &forever).await).await;
    }
    assert_eq!(
        server.ask("_mucp._tcp.billing.svc", "SRV".parse().unwrap()).await.records(),
        forever
    );
}

/// One Zan server, and how a Kratos service at the same place says the same.
const NOVA: (&str, &str) = (
    "/nova:com.youzan.service/shop/10.0.0.7:8100",
    r#"{"Namespace":"com.youzan.service","SrvName":"shop","IP":"10.0.0.7","Port":8100,"Protocol":"nova","Status":1,"Weight":7,"ExtData":"[]"}"#,
);
const KRATOS: (&str, &str) = (
    "/microservices/shop/k1",
    r#"{"id":"k1","name":"shop","metadata":{"weight":"3"},"endpoints":["nova://10.0.0.7:8100"]}"#,
);
const BOTH: &str =
    "[[layout]]\nkind = \"nova\"\nprefix = \"/nova:\"\n[[layout]]\nkind = \"kratos\"\n";

#[tokio::test]
async fn one_instance_in_two_layouts_is_one_while_either_has_it() {
    let etcd = Etcd::start().await;
    let server = Home::with_config(BOTH).start(&["--etcd", &etcd.url()]).await;
    let lease = lease(&etcd, 600).await;
    let service = "_nova._tcp.shop.svc";
    let answers = async |expected: &[&str]| {
        until(&format!("{expected:?}"), async || {
            server.ask(service, "SRV".parse().unwrap()).await.records() == expected
        })
        .await;
    };
    let by_kratos = ["_nova._tcp.shop.svc. SRV 10 3 8100 k1.shop.svc."];
    etcd.ctl(&["put", "--lease", &lease, "--", KRATOS.0, KRATOS.1]).await;
    answers(&by_kratos).await;
    // The first layout names it, and there is still one.
    etcd.ctl(&["put", "--lease", &lease, "--", NOVA.0, NOVA.1]).await;
    let named_by_nova = "_nova._tcp.shop.svc. SRV 10 7 8100 10-0-0-7-8100.shop.svc.";
    answers(&[named_by_nova]).await;
    // One of them says that it takes no traffic.
    let gone = NOVA.1.replace(r#""Status":1"#, r#""Status":3"#);
    etcd.ctl(&["put", "--lease", &lease, "--", NOVA.0, &gone]).await;
    answers(&[]).await;
    let app = server.get("/v1/apps/shop").await.body;
    assert_eq!(app["instances"][0]["state"], "disabled", "{app}");
    etcd.delete(NOVA.0).await;
    answers(&by_kratos).await;
    etcd.delete(KRATOS.0).await;
    answers(&[]).await;
}

#[tokio::test]
async fn what_others_registered_is_taken_out_by_a_mark_and_away_by_them_alone() {
    let etcd = Etcd::start().await;
    let server = Home::with_config(BOTH).start(&["--etcd", &etcd.url()]).await;
    let lease = lease(&etcd, 600).await;
    etcd.ctl(&["put", "--lease", &lease, "--", NOVA.0, NOVA.1]).await;
    let there = ["shop.svc. A 10.0.0.7"];
    until("it is there", async || server.addresses("shop.svc").await == there).await;
    let listed = server.cli(&["ls", "shop"]).await.done();
    assert!(listed.contains("10.0.0.7:8100") && listed.contains("10-0-0-7-8100"), "{listed}");
    let refused = server.delete("/v1/apps/shop/instances/10-0-0-7-8100").await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(
        refused.body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("rollcall offline shop 10-0-0-7-8100"),
        "{refused:?}"
    );
    let last = server.cli(&["offline", "shop", "10-0-0-7-8100"]).await;
    assert!(
        last.code == 1 && last.err.contains("nothing of shop would be left online"),
        "{last:?}"
    );
    server.cli(&["offline", "shop", "10-0-0-7-8100", "--force"]).await.done();
    assert_eq!(server.addresses("shop.svc").await, [] as [&str; 0]);
    server.cli(&["online", "shop", "10-0-0-7-8100"]).await.done();
    assert_eq!(server.addresses("shop.svc").await, there);
    // Who registers by the API under that very label has an instance of its own.
    server
        .register("shop", "10-0-0-7-8100", serde_json::json!({"address": "10.0.0.8", "port": 8100}))
        .await;
    let both = ["shop.svc. A 10.0.0.7", "shop.svc. A 10.0.0.8"];
    assert_eq!(server.addresses("shop.svc").await, both);
    assert_eq!(server.delete("/v1/apps/shop/instances/10-0-0-7-8100").await.status, 200);
    assert_eq!(server.addresses("shop.svc").await, there);
}

#[tokio::test]
async fn watchers_are_told_of_what_others_register_and_not_of_their_heartbeats() {
    let etcd = Etcd::start().await;
    let server = Home::with_config(BOTH).start(&["--etcd", &etcd.url()]).await;
    let mut watch = Running::start(server.command(&["watch", "shop", "--json"]));
    let told = |watch: &Running| -> Vec<(String, String)> {
        let lines = watch.out();
        let events =
            lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let text = |event: &serde_json::Value, field| event[field].as_str().unwrap().to_owned();
        events.map(|event| (text(&event, "cause"), text(&event, "id"))).collect()
    };
    // A beacon until the watch is on: what happened before is not told.
    let mut beacons = 0;
    until("the watch is on", async || {
        beacons += 1;
        let body = serde_json::json!({"address": "10.0.0.9", "port": 1});
        server.put(&format!("/v1/apps/shop/instances/beacon-{beacons}"), body).await;
        assert!(watch.runs(), "{}", watch.err());
        !told(&watch).is_empty()
    })
    .await;
    let own = |watch: &Running| {
        told(watch).into_iter().filter(|(_, id)| !id.starts_with("beacon")).collect::<Vec<_>>()
    };
    // registrator and yeqown write the same anew with each beat, under another lease.
    for _ in 0..3 {
        let lease = lease(&etcd, 600).await;
        etcd.ctl(&["put", "--lease", &lease, "--", NOVA.0, NOVA.1]).await;
    }
    let other = NOVA.1.replace(r#""Weight":7"#, r#""Weight":8"#);
    etcd.ctl(&["put", "--lease", &lease(&etcd, 600).await, "--", NOVA.0, &other]).await;
    etcd.delete(NOVA.0).await;
    let expected = ["registered", "changed", "expired"]
        .map(|cause| (cause.to_owned(), "10.0.0.7:8100".to_owned()));
    until("all was told", async || own(&watch).len() >= expected.len()).await;
    assert_eq!(own(&watch), expected);
}

#[tokio::test]
async fn what_others_registered_on_this_host_is_taken_out_and_back_by_that() {
    let etcd = Etcd::start().await;
    let server = Home::with_config(BOTH).start(&["--etcd", &etcd.url()]).await;
    let lease = lease(&etcd, 600).await;
    for (ip, port) in [("127.0.0.1", 8100), ("10.0.0.7", 8100)] {
        let value = NOVA.1.replace("10.0.0.7", ip);
        let key = format!("/nova:com.youzan.service/shop/{ip}:{port}");
        etcd.ctl(&["put", "--lease", &lease, "--", &key, &value]).await;
    }
    let both = ["shop.svc. A 10.0.0.7", "shop.svc. A 127.0.0.1"];
    until("both are there", async || server.addresses("shop.svc").await == both).await;
    let shown = server.get("/v1/apps/shop/instances/127-0-0-1-8100").await.body;
    assert_eq!((&shown["layout"], &shown["id"]), (&"nova".into(), &"127.0.0.1:8100".into()));
    server.cli(&["offline", "shop", "--here"]).await.done();
    assert_eq!(server.addresses("shop.svc").await, both[..1]);
    server.cli(&["online", "shop", "--here"]).await.done();
    assert_eq!(server.addresses("shop.svc").await, both);
    // Their leases are theirs to renew.
    let beat = server.cli(&["heartbeat", "shop"]).await;
    assert!(beat.code == 1 && beat.err.contains("by another system"), "{beat:?}");
}
