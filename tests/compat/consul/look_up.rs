//! What clients find: health and catalogue, at once or when it changes.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{CONFIG, World};
use crate::support::etcd::Etcd;
use crate::support::http::{Said, raw};
use crate::support::server::Home;
use crate::support::{soon, until};

async fn get(agent: SocketAddr, path: String) -> Said {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {agent}\r\nconnection: close\r\n\r\n");
    let said = Said::read(&raw(agent, request).await);
    assert_eq!(said.status, 200, "{said:?}");
    said
}

#[tokio::test]
async fn a_blocking_query_returns_on_a_change_or_when_its_time_is_over() {
    let world = World::new().await;
    let agent = world.agent();
    let path = |index: u64, wait: &str| format!("/v1/health/service/web?index={index}&wait={wait}");
    let first = get(agent, path(0, "55s")).await;
    assert_eq!(first.json(), json!([]), "an unknown service is an empty list");
    assert_eq!(first.headers["x-consul-knownleader"], "true");
    assert_eq!(first.headers["x-consul-lastcontact"], "0");

    let began = Instant::now();
    let same = get(agent, path(first.index(), "300ms")).await;
    assert!(began.elapsed() >= Duration::from_millis(300), "it waited");
    assert_eq!((same.index(), same.json()), (first.index(), json!([])));

    // What does not concern it wakes nobody up: it is there when its time is over, with another index.
    let mut other = tokio::task::JoinSet::new();
    let waiting = path(first.index(), "1s");
    other.spawn(get(agent, waiting));
    world.server.register("other", "a", json!({"address": "10.0.0.1", "port": 80})).await;
    let began = Instant::now();
    let over = other.join_next().await.unwrap().unwrap();
    assert_eq!(over.json(), json!([]));
    assert!(over.index() > first.index() && began.elapsed() > Duration::from_millis(200));

    let mut waiting = tokio::task::JoinSet::new();
    waiting.spawn(get(agent, path(over.index(), "60000ms")));
    // Registered by the API, and so found by its clients, too.
    world
        .server
        .register(
            "web",
            "api-1",
            json!({"address": "10.0.0.2", "port": 80, "tags": ["blue"],
        "meta": {"version": "2"}}),
        )
        .await;
    let changed = soon("a change", waiting.join_next()).await.unwrap().unwrap();
    assert!(changed.index() > over.index());
    let service = &changed.json()[0]["Service"];
    assert_eq!(service["ID"], "api-1", "{}", changed.json());
    assert_eq!((&service["Address"], &service["Port"]), (&json!("10.0.0.2"), &json!(80)));
    assert_eq!(service["Tags"], json!(["blue", "version=2"]));
    // An index that is not of the moment is answered at once.
    for index in [1, changed.index() + 1_000] {
        soon("an answer", get(agent, path(index, "60s"))).await;
    }

    // Of what this agent alone knows, too.
    let mut waiting = tokio::task::JoinSet::new();
    waiting.spawn(get(agent, path(changed.index(), "60s")));
    world
        .register(json!({"ID": "w", "Name": "web", "Port": 81, "Address": "10.0.0.3",
        "Check": {"TTL": "60s"}}))
        .await;
    let changed = soon("a change", waiting.join_next()).await.unwrap().unwrap();
    assert_eq!(changed.json().as_array().unwrap().len(), 2, "{}", changed.json());
}

#[tokio::test]
async fn passing_and_tags_narrow_what_is_listed() {
    let world = World::new().await;
    for (id, status, tags) in [
        ("a", "passing", json!(["blue", "Small_One"])),
        ("b", "warning", json!(["blue"])),
        ("c", "critical", json!([])),
    ] {
        world
            .register(
                json!({"ID": id, "Name": "web", "Port": 80, "Address": "10.0.0.1", "Tags": tags,
            "Check": {"TTL": "60s", "Status": status}}),
            )
            .await;
    }
    let ids = async |query: &str| {
        let listed = world.get(&format!("/v1/health/service/web{query}")).await;
        let ids = listed.as_array().unwrap().iter().map(|entry| entry["Service"]["ID"].clone());
        ids.map(|id| id.as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    for (query, is) in [
        ("", "a b c"),
        ("?passing", "a"),
        ("?passing=1", "a"),
        ("?passing=false", "a b c"),
        ("?tag=blue", "a b"),
        ("?tag=BLUE&tag=small_one", "a"),
        ("?tag=red", ""),
        ("?dc=dc1&near=_agent&stale&cached&consistent=", "a b c"),
        ("?node-meta=a:b", ""),
    ] {
        assert_eq!(ids(query).await, is, "{query}");
    }
    let listed = world.get("/v1/catalog/service/web?tag=small_one").await;
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed[0]["ServiceID"], "a");
    assert_eq!(
        (&listed[0]["ServiceAddress"], &listed[0]["ServicePort"]),
        (&json!("10.0.0.1"), &json!(80))
    );
    let services = world.get("/v1/catalog/services").await;
    assert_eq!(services, json!({"web": ["Small_One", "blue"]}));
    let own = world.get("/v1/agent/self").await;
    let node = own["Config"]["NodeName"].as_str().unwrap();
    assert_eq!(world.get("/v1/catalog/nodes").await[0]["Node"], node);
    let checks = world.get(&format!("/v1/health/node/{node}")).await;
    assert_eq!(checks.as_array().unwrap().len(), 4, "its own and three of services: {checks}");
    assert_eq!(world.get("/v1/agent/service/b").await["Service"], "web");
    assert_eq!(world.get("/v1/agent/members").await[0]["Name"], node);
    assert_eq!(world.get("/v1/status/peers").await.as_array().unwrap().len(), 1);
    assert_eq!(world.get("/v1/catalog/datacenters").await, json!(["dc1"]));
}

#[tokio::test]
async fn agents_that_share_a_registry_show_all_services() {
    let etcd = Etcd::start().await;
    let config = format!("{CONFIG}[http]\nallow_loopback = true\n");
    let (home, other) = (Home::with_config(&config), Home::with_config(&config));
    let flags = ["--etcd", &etcd.url()];
    let (one, two) = (World::start(home, &flags).await, World::start(other, &flags).await);
    // The same ID with two agents, as with Consul's, is two services.
    for (world, address) in [(&one, "10.0.0.1"), (&two, "10.0.0.2")] {
        world
            .register(json!({"ID": "web-1", "Name": "Web", "Port": 80, "Address": address,
            "Check": {"TTL": "60s", "Status": "passing"}}))
            .await;
        until("both know it", async || {
            let seen = async |world: &World| world.a("web.svc").await.join(" ").contains(address);
            seen(&one).await && seen(&two).await
        })
        .await;
    }
    for world in [&one, &two] {
        world.has("web.svc", 2).await;
        let listed = world.get("/v1/health/service/Web?passing").await;
        let mut found: Vec<_> = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["Service"]["Address"].clone())
            .collect();
        found.sort_by_key(Value::to_string);
        assert_eq!(found, ["10.0.0.1", "10.0.0.2"], "{listed}");
        assert!(
            listed.as_array().unwrap().iter().all(|entry| entry["Service"]["Service"] == "Web")
        );
    }
    one.put("/v1/agent/service/deregister/web-1", Value::Null).await;
    two.has("web.svc", 1).await;
}

#[tokio::test]
async fn an_address_that_means_nothing_to_others_is_refused_where_they_share_the_registry() {
    let etcd = Etcd::start().await;
    let world = World::start(Home::with_config(CONFIG), &["--etcd", &etcd.url()]).await;
    let register = "/v1/agent/service/register";
    let body = json!({"Name": "web", "Port": 80, "Address": "127.0.0.1"});
    let (status, said) = world.call("PUT", register, Some(&body)).await;
    assert_eq!(status, 400, "{said}");
    assert!(said.as_str().unwrap().contains("means nothing to others"), "{said}");
    assert_eq!(world.get("/v1/agent/services").await, json!({}));
}

#[tokio::test]
async fn what_is_registered_while_the_registry_is_away_is_written_when_it_is_back() {
    let mut etcd = Etcd::start().await;
    let mut world = World::start(Home::with_config(CONFIG), &["--etcd", &etcd.url()]).await;
    let body = |id: &str, address: &str| {
        json!({"ID": id, "Name": "web", "Port": 80, "Address": address,
            "Check": {"TTL": "60s", "Status": "passing"}})
    };
    world.register(body("a", "10.0.0.1")).await;
    etcd.stop().await;
    // Kept here, as by an agent of Consul whose servers are away.
    world.register(body("b", "10.0.0.2")).await;
    world.put("/v1/agent/check/pass/service:b", Value::Null).await;
    let listed = world.get("/v1/health/service/web?passing").await;
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    etcd.restart().await;
    world.has("web.svc", 2).await;
    // Also by one that was started while it was away.
    etcd.stop().await;
    world.put("/v1/agent/service/deregister/a", Value::Null).await;
    let World { home, server } = world;
    server.kill().await;
    let server = home.spawn(&["--etcd", &etcd.url()]).await;
    world = World { home, server };
    assert_eq!(world.get("/v1/agent/services").await.as_object().unwrap().len(), 1);
    let (status, said) = world.call("GET", "/v1/health/service/web", None).await;
    assert!(status == 200 || said == "No cluster leader", "{status} {said}");
    etcd.restart().await;
    until("it is known again", async || world.a("b.web.svc").await == ["b.web.svc. A 10.0.0.2"])
        .await;
}
