//! Heartbeats and departures.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use rollcall::layout::native::{Keys, PREFIX_DEFAULT};
use rollcall::registry::{Entry, LeaseId, Registry};
use rollcall::zone::Snapshot;
use serde_json::{Value, json};

use crate::compiler::directory;
use crate::server::{start, start_with};

const BODY: &str = r#"{"address": "10.0.0.7", "port": 9000}"#;
const PATH: &str = "/v1/apps/greeter/instances/i-1";
const HEARTBEAT: &str = "/v1/apps/greeter/instances/i-1/heartbeat";
const KEY: &str = "default/instances/greeter/i-1";

fn lease(registered: &Value) -> LeaseId {
    LeaseId::from_hex(registered["incarnation"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_heartbeat_renews_the_lease() {
    let (server, mut client) = start().await;
    let registered = client.ask("PUT", PATH, BODY).await.json();
    let beat = client.ask("PUT", HEARTBEAT, "").await;
    let expected = json!({
        "revision": registered["revision"], "incarnation": registered["incarnation"], "ttl": 30,
    });
    assert_eq!((beat.status, beat.json()), (200, expected));
    assert_eq!(server.registry.renewals.load(SeqCst), 1);
}

#[tokio::test]
async fn a_body_where_none_belongs_is_refused_by_field() {
    let (server, mut client) = start().await;
    client.ask("PUT", PATH, BODY).await;
    for (method, path) in [("PUT", HEARTBEAT), ("DELETE", PATH)] {
        let refusal = client.ask(method, path, r#"{"ttl": 60}"#).await.refusal();
        assert_eq!((refusal.0, refusal.1.as_str()), (400, "ttl"), "{method}");
        assert_eq!(client.ask(method, path, "7").await.status, 400, "{method}");
    }
    assert!(server.entry(KEY).await.is_some());
    assert_eq!(server.registry.renewals.load(SeqCst), 0);
    assert_eq!(client.ask("PUT", HEARTBEAT, "{}").await.status, 200);
}

#[tokio::test]
async fn heartbeats_in_a_row_are_answered_from_memory() {
    let (server, mut client) = start().await;
    client.ask("PUT", PATH, BODY).await;
    for _ in 0..5 {
        assert_eq!(client.ask("PUT", HEARTBEAT, "").await.json()["ttl"], json!(30));
    }
    assert_eq!(server.registry.renewals.load(SeqCst), 1);
}

#[tokio::test]
async fn a_heartbeat_of_nobody_says_register_again() {
    let (_server, mut client) = start().await;
    let refusal = client.ask("PUT", HEARTBEAT, "").await.refusal();
    assert_eq!((refusal.0, refusal.2.contains("register again")), (404, true));
}

#[tokio::test]
async fn a_heartbeat_after_the_lease_ended_says_register_again() {
    let (server, mut client) = start().await;
    let registered = client.ask("PUT", PATH, BODY).await.json();
    server.hold(true);
    server.registry.inner.revoke(lease(&registered)).await.unwrap();
    assert_eq!(client.ask("PUT", HEARTBEAT, "").await.status, 404);
}

#[tokio::test]
async fn a_heartbeat_that_the_directory_lacks_is_looked_up_in_the_registry() {
    let (server, mut client) = start_with(|setup| {
        setup.compiled = false;
        setup.settings.visible_timeout = Duration::ZERO;
    })
    .await;
    let registered = client.ask("PUT", PATH, BODY).await.json();
    let path = format!("{HEARTBEAT}?incarnation={}", lease(&registered));
    assert_eq!(client.ask("PUT", &path, "").await.status, 200);
    assert_eq!(server.registry.renewals.load(SeqCst), 1);
}

#[tokio::test]
async fn an_old_incarnation_is_told_that_it_was_replaced() {
    let (server, mut client) = start().await;
    let old = client.ask("PUT", PATH, BODY).await.json();
    let new = client.ask("PUT", &format!("{PATH}?incarnation=new"), BODY).await.json();
    for (method, path) in [("PUT", HEARTBEAT), ("DELETE", PATH)] {
        let path = format!("{path}?incarnation={}", lease(&old));
        assert_eq!(client.ask(method, &path, "").await.refusal().0, 409, "{method}");
    }
    assert_eq!(server.entry(KEY).await.unwrap().lease, Some(lease(&new)));
    let malformed = client.ask("DELETE", &format!("{PATH}?incarnation=new"), "").await.refusal();
    assert_eq!((malformed.0, malformed.1.as_str()), (400, "incarnation"));
    let path = format!("{PATH}?incarnation={}", lease(&new));
    assert_eq!(client.ask("DELETE", &path, "").await.status, 200);
}

#[tokio::test]
async fn an_incarnation_that_a_late_directory_does_not_know_is_not_refused() {
    let (server, mut client) = start_with(|setup| {
        setup.settings.visible_timeout = Duration::from_millis(20);
    })
    .await;
    client.ask("PUT", PATH, BODY).await;
    server.hold(true);
    let new = client.ask("PUT", &format!("{PATH}?incarnation=new"), BODY).await.json();
    let beat = client.ask("PUT", &format!("{HEARTBEAT}?incarnation={}", lease(&new)), "").await;
    assert_eq!(beat.status, 200, "{beat:?}");
    let gone = client.ask("DELETE", &format!("{PATH}?incarnation={}", lease(&new)), "").await;
    assert_eq!(gone.status, 200, "{gone:?}");
    assert!(server.entry(KEY).await.is_none());
}

#[tokio::test]
async fn a_heartbeat_of_a_permanent_registration_has_nothing_to_renew() {
    let (server, mut client) = start().await;
    server.write(KEY, r#"{"addresses": ["10.0.0.7"], "endpoints": [{"port": 9000}]}"#).await;
    let beat = client.ask("PUT", HEARTBEAT, "").await;
    assert_eq!((beat.status, beat.json().get("ttl")), (200, None));
}

#[tokio::test]
async fn a_departure_deletes_and_leaves_a_note_in_one_revision() {
    let (server, mut client) = start().await;
    client.ask("PUT", PATH, BODY).await;
    let gone = client.ask("DELETE", PATH, "").await;
    let note = server.entry("default/departed/greeter/i-1").await.unwrap();
    let expected = json!({"revision": note.revision, "visible": true});
    assert_eq!((gone.status, gone.json()), (200, expected));
    assert!(server.entry(KEY).await.is_none());
    let value: Value = serde_json::from_slice(&note.value).unwrap();
    assert_eq!(value, json!({"v": 1, "by": "127.0.0.1", "at": "2023-11-14T22:13:20Z"}));
    let left = server.registry.inner.time_left(note.lease.unwrap()).await.unwrap();
    assert!((55..=60).contains(&left), "{left}");
    assert_eq!(client.ask("GET", PATH, "").await.status, 404);
    assert_eq!(client.ask("DELETE", PATH, "").await.refusal().0, 404);
}

#[tokio::test]
async fn a_departure_behind_a_late_directory_deletes_what_stands_now() {
    let (server, mut client) = start_with(|setup| {
        setup.settings.visible_timeout = Duration::from_millis(20);
    })
    .await;
    client.ask("PUT", PATH, BODY).await;
    server.hold(true);
    client.ask("PUT", PATH, r#"{"address": "10.0.0.8", "port": 9000}"#).await;
    let gone = client.ask("DELETE", PATH, "").await;
    assert_eq!((gone.status, &gone.json()["visible"]), (200, &json!(false)));
    assert!(server.entry(KEY).await.is_none());
    assert_eq!(client.ask("DELETE", PATH, "").await.status, 404);
}

#[tokio::test]
async fn a_pin_is_nothing_to_renew_to_take_away_or_to_mark() {
    let (server, mut client) = start_with(|setup| setup.compiled = false).await;
    let pin = Entry {
        key: format!("{PREFIX_DEFAULT}default/instances/greeter/pin-1").into(),
        value: r#"{"addresses": ["127.0.0.1"], "endpoints": [{"port": 1}]}"#.into(),
        revision: 0,
        lease: None,
    };
    let mut snapshot = Snapshot::clone(&server.published.load_full());
    snapshot.directory = directory(&Keys::new(PREFIX_DEFAULT), &[pin]);
    drop(server.published.publish(Arc::new(snapshot)));
    let path = "/v1/apps/greeter/instances/pin-1";
    let [heartbeat, offline] = ["heartbeat", "offline"].map(|last| format!("{path}/{last}"));
    for (method, path) in [
        ("PUT", &*heartbeat),
        ("DELETE", path),
        ("PUT", &*offline),
        ("PUT", "/v1/apps/greeter/offline"),
    ] {
        assert_eq!(client.ask(method, path, "").await.refusal().0, 404, "{method} {path}");
    }
    assert_eq!(server.registry.commits.load(SeqCst), 0);
}

#[tokio::test]
async fn what_has_static_records_or_is_not_readable_can_still_go() {
    let (server, mut client) = start().await;
    server.write("default/instances/static/i-1", "nonsense").await;
    assert_eq!(client.ask("DELETE", "/v1/apps/static/instances/i-1", "").await.status, 200);
}
