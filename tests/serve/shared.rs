//! A registry with several servers and other writers, and what watchers are told.

use std::path::PathBuf;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, SRV};
use serde_json::{Value, json};

use crate::support::ask::ask;
use crate::support::etcd::{Etcd, ROOT};
use crate::support::running::Running;
use crate::support::server::{Home, Server};
use crate::support::until;

const APP: &str = "scrm-customer-base";

#[tokio::test]
async fn two_servers_on_one_etcd_agree() {
    let etcd = Etcd::start().await;
    let (home, other_home) = (Home::new(), Home::new());
    let one = home.start(&["--etcd", &etcd.url()]).await;
    let two = other_home.start(&["--etcd", &etcd.url()]).await;
    for (writer, id, address) in [(&one, "a", "10.0.0.7"), (&two, "b", "10.0.0.8")] {
        writer.register("greeter", id, json!({"address": address, "port": 9000})).await;
    }
    let expected = ["greeter.svc. A 10.0.0.7", "greeter.svc. A 10.0.0.8"];
    for server in [&one, &two] {
        until("both know both", async || server.addresses("greeter.svc").await == expected).await;
    }
    assert_eq!(one.serial("svc").await, two.serial("svc").await);
    // Renewed and taken away through the one that did not register it.
    let beat = two.put("/v1/apps/greeter/instances/a/heartbeat", json!({})).await;
    assert_eq!(beat.status, 200, "{beat:?}");
    assert_eq!(one.delete("/v1/apps/greeter/instances/b").await.status, 200);
    let marked = two.put("/v1/apps/greeter/instances/a/offline", json!({})).await;
    assert_eq!(marked.status, 200, "{marked:?}");
    for server in [&one, &two] {
        until("nothing is left in answers", async || {
            ask(server.dns[0], "greeter.svc", A).await.status() == ResponseCode::NXDomain
        })
        .await;
    }
}

/// Grants a lease and gives its id in hex.
async fn lease(etcd: &Etcd, secs: u32) -> String {
    let said = etcd.ctl(&["lease", "grant", &secs.to_string()]).await;
    said.split_whitespace().nth(1).expect("lease ID granted …").to_owned()
}

#[tokio::test]
async fn keys_of_other_writers_appear_and_go_with_their_lease() {
    let etcd = Etcd::start().await;
    let server = Home::new().start(&["--etcd", &etcd.url()]).await;
    let lease = lease(&etcd, 60).await;
    let key = format!("/rollcall/v1/default/instances/{APP}/php-1");
    let value = r#"{"address":"10.0.0.9","port":9000}"#;
    etcd.ctl(&["put", "--lease", &lease, &key, value]).await;
    let service = format!("_nova._tcp.{APP}.svc");
    let expected = [format!("{service}. SRV 10 100 9000 php-1.{APP}.svc.")];
    until("it appears", async || server.ask(&service, SRV).await.records() == expected).await;
    let glue = server.ask(&service, SRV).await.additional();
    assert_eq!(glue, [format!("php-1.{APP}.svc. A 10.0.0.9")]);
    let listed = server.get(&format!("/v1/apps/{APP}/instances/php-1")).await.body;
    assert_eq!(listed["incarnation"], *lease, "{listed}");
    assert!((1..=60).contains(&listed["lease_left"].as_u64().unwrap()), "{listed}");

    etcd.ctl(&["lease", "revoke", &lease]).await;
    until("it goes", async || server.ask(&service, SRV).await.status() == ResponseCode::NXDomain)
        .await;
}

#[tokio::test]
async fn settings_for_etcd_reach_it() {
    let mut etcd = Etcd::start_with_tls().await;
    etcd.enable_auth().await;
    let tls = etcd.client_tls();
    let file = |file: &Option<PathBuf>| file.clone().unwrap();
    let config = format!(
        "prefix = \"/elsewhere/\"\n[etcd]\nendpoints = [{:?}]\nuser = {:?}\npassword_file = \"password\"\n\
         ca_file = {:?}\ncert_file = {:?}\nkey_file = {:?}\nserver_name = {:?}\n",
        etcd.url(),
        ROOT.0,
        file(&tls.ca_file),
        file(&tls.cert_file),
        file(&tls.key_file),
        tls.server_name.unwrap(),
    );
    let home = Home::with_config(&config);
    home.write("password", "wrong\n");
    let server = home.spawn(&[]).await;
    until("the refusal is told", async || {
        let readiness = server.get("/readyz").await;
        let error = readiness.body["sources"][0]["error"].as_str().map(str::to_lowercase);
        readiness.status == 503 && error.is_some_and(|error| error.contains("auth"))
    })
    .await;
    assert!(!server.log().contains("wrong\""), "secrets stay out of the log: {}", server.log());
    assert_eq!(server.stop().await, 0);

    home.write("password", ROOT.1);
    let server = home.start(&[]).await;
    server.register(APP, "i-1", json!({"address": "10.0.0.7", "port": 9000})).await;
    let keys = etcd.keys("/").await;
    let key = format!("/elsewhere/default/instances/{APP}/i-1");
    assert_eq!(keys.keys().collect::<Vec<_>>(), [&key]);
    assert_eq!(server.get("/readyz").await.body["sources"][0]["prefix"], "/elsewhere/");
}

/// Six causes, as `rollcall watch` prints them.
async fn causes_are_told(server: &Server) {
    let mut watch = Running::start(server.command(&["watch", "greeter", "--json"]));
    // The watch begins somewhere; marks on what is not there yet would not do as a beacon, so registrations are.
    let told = |watch: &Running| -> Vec<Value> {
        watch.out().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let beacon = "/v1/apps/greeter/instances/beacon";
    let mut weight = 0;
    until("the watch is on", async || {
        weight += 1;
        let body = json!({"address": "10.0.0.1", "port": 1, "weight": weight, "ttl": 3600});
        server.put(beacon, body).await;
        assert!(watch.runs(), "{}", watch.err());
        !told(&watch).is_empty()
    })
    .await;

    let path = "/v1/apps/greeter/instances/i-1";
    let body = |port: u16| json!({"address": "10.0.0.7", "port": port, "ttl": 3600});
    assert_eq!(server.put(path, body(1)).await.status, 201);
    assert_eq!(server.put(path, body(2)).await.status, 200);
    assert_eq!(server.put(path, body(2)).await.status, 200, "unchanged: no event");
    server.cli(&["offline", "greeter", "i-1", "--reason", "disk is full"]).await.done();
    server.cli(&["online", "greeter", "i-1"]).await.done();
    server.cli(&["deregister", "greeter", "i-1"]).await.done();
    let brief = json!({"address": "10.0.0.8", "port": 1, "ttl": 2});
    assert_eq!(server.put("/v1/apps/greeter/instances/brief", brief).await.status, 201);

    let causes = || {
        let of = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
        let events = told(&watch).into_iter().filter(|event| event["id"] != "beacon");
        events.map(|event| (of(&event, "id"), of(&event, "cause"))).collect::<Vec<_>>()
    };
    let expected = [
        ("i-1", "registered"),
        ("i-1", "changed"),
        ("i-1", "offline"),
        ("i-1", "online"),
        ("i-1", "departed"),
        ("brief", "registered"),
        ("brief", "expired"),
    ];
    let expected = expected.map(|(id, cause)| (id.to_owned(), cause.to_owned()));
    until("the last cause is told", async || causes().len() >= expected.len()).await;
    assert_eq!(causes(), expected);
    let events = told(&watch);
    let event = |cause: &str| events.iter().find(|event| event["cause"] == cause).unwrap();
    assert_eq!(event("offline")["note"]["reason"], "disk is full");
    assert_eq!(event("changed")["app"], "greeter");
    let revisions: Vec<_> =
        events.iter().map(|event| event["revision"].as_u64().unwrap()).collect();
    assert!(revisions.is_sorted(), "{revisions:?}");
}

#[tokio::test]
async fn watch_tells_departures_from_expiries_on_embedded() {
    causes_are_told(&Home::new().start(&[]).await).await;
}

#[tokio::test]
async fn watch_tells_departures_from_expiries_on_etcd() {
    let etcd = Etcd::start().await;
    causes_are_told(&Home::new().start(&["--etcd", &etcd.url()]).await).await;
}
