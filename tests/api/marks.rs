//! Operators' marks.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::{Value, json};

use crate::server::{Server, start, start_with};

const BODY: &str = r#"{"address": "10.0.0.7", "port": 9000}"#;
const PATH: &str = "/v1/apps/greeter/instances/i-1";

async fn note(server: &Server, path: &str) -> Value {
    let entry = server.entry(path).await.unwrap();
    assert_eq!(entry.lease, None);
    serde_json::from_slice(&entry.value).unwrap()
}

#[tokio::test]
async fn an_instance_goes_offline_and_online() {
    let (server, mut client) = start().await;
    client.ask("PUT", PATH, BODY).await;
    let reply =
        client.ask("PUT", &format!("{PATH}/offline"), r#"{"reason": "disk is full"}"#).await;
    let mark = json!({"by": "127.0.0.1", "at": "2023-11-14T22:13:20Z", "reason": "disk is full"});
    let mut stored = mark.clone();
    stored["v"] = json!(1);
    assert_eq!(note(&server, "default/offline/greeter/i-1").await, stored);
    assert_eq!((reply.status, &reply.json()["visible"]), (200, &json!(true)));
    let shown = client.ask("GET", PATH, "").await.json();
    assert_eq!((&shown["state"], &shown["offline"]), (&json!("offline"), &mark));
    assert_eq!(shown["reason"], json!("disk is full"));

    let reply = client.ask("PUT", &format!("{PATH}/online"), "").await;
    assert_eq!((reply.status, &reply.json()["visible"]), (200, &json!(true)));
    assert_eq!(reply.json()["changed"], json!(true));
    assert_eq!(client.ask("GET", PATH, "").await.json()["state"], json!("online"));
    let reply = client.ask("PUT", &format!("{PATH}/online"), "").await;
    assert_eq!((reply.status, &reply.json()["changed"]), (200, &json!(false)));
    assert!(server.entry("default/offline/greeter/i-1").await.is_none());
}

#[tokio::test]
async fn an_app_goes_offline_and_online() {
    let (server, mut client) = start().await;
    client.ask("PUT", PATH, BODY).await;
    assert_eq!(client.ask("PUT", "/v1/apps/greeter/offline", "{}").await.status, 200);
    assert_eq!(note(&server, "default/offline/greeter/").await["by"], json!("127.0.0.1"));
    let shown = client.ask("GET", "/v1/apps/greeter", "").await.json();
    assert_eq!(shown["offline"]["by"], json!("127.0.0.1"));
    assert_eq!(client.ask("PUT", "/v1/apps/greeter/online", "").await.status, 200);
    let shown = client.ask("GET", "/v1/apps/greeter", "").await.json();
    assert_eq!(shown["offline"], Value::Null);
}

#[tokio::test]
async fn a_mark_on_nobody_is_refused() {
    let (server, mut client) = start().await;
    client.ask("PUT", PATH, BODY).await;
    for path in ["/v1/apps/nobody/offline", "/v1/apps/greeter/instances/i-2/offline"] {
        assert_eq!(client.ask("PUT", path, "").await.refusal().0, 404, "{path}");
    }
    assert_eq!(server.registry.commits.load(SeqCst), 1);
}

#[tokio::test]
async fn a_mark_outlives_the_registration_and_can_be_renewed() {
    let (_server, mut client) = start().await;
    client.ask("PUT", PATH, BODY).await;
    client.ask("PUT", &format!("{PATH}/offline"), "").await;
    client.ask("DELETE", PATH, "").await;
    let app = client.ask("GET", "/v1/apps/greeter", "").await.json();
    assert_eq!((&app["instances"], &app["absent_marks"][0]["id"]), (&json!([]), &json!("i-1")));
    let again = client.ask("PUT", &format!("{PATH}/offline"), r#"{"reason": "still"}"#).await;
    assert_eq!(again.status, 200);
    assert_eq!(client.ask("PUT", "/v1/apps/greeter/offline", "").await.status, 200);
}

#[tokio::test]
async fn marks_are_taken_for_what_only_the_registry_knows_yet() {
    let (_server, mut client) = start_with(|setup| {
        setup.compiled = false;
        setup.settings.visible_timeout = std::time::Duration::ZERO;
    })
    .await;
    client.ask("PUT", PATH, BODY).await;
    assert_eq!(client.ask("PUT", &format!("{PATH}/offline"), "").await.status, 200);
    assert_eq!(client.ask("PUT", "/v1/apps/greeter/offline", "").await.status, 200);
    assert_eq!(client.ask("PUT", "/v1/apps/other/offline", "").await.status, 404);
}

#[tokio::test]
async fn online_without_a_mark_writes_nothing() {
    let (server, mut client) = start().await;
    client.ask("PUT", PATH, BODY).await;
    for path in ["/v1/apps/greeter/online", "/v1/apps/greeter/instances/i-1/online"] {
        let reply = client.ask("PUT", path, r#"{"reason": "all is well"}"#).await;
        assert_eq!((reply.status, &reply.json()["visible"]), (200, &json!(true)), "{path}");
    }
    for path in ["/v1/apps/other/online", "/v1/apps/greeter/instances/i-2/online"] {
        let reply = client.ask("PUT", path, "").await;
        assert_eq!(reply.status, 404, "{path}: a name mistyped must not look done");
    }
    assert_eq!(server.registry.commits.load(SeqCst), 1, "the registration alone");
}

#[tokio::test]
async fn online_after_another_server_did_it_is_visible_once_it_is_shown() {
    let (server, mut client) = start().await;
    client.ask("PUT", PATH, BODY).await;
    for (path, key) in [("/v1/apps/greeter", "greeter/"), (PATH, "greeter/i-1")] {
        client.ask("PUT", &format!("{path}/offline"), "").await;
        server.hold(true);
        server.delete(&format!("default/offline/{key}")).await;
        let early = client.ask("PUT", &format!("{path}/online"), "").await.json();
        assert_eq!(early["visible"], json!(false), "{path}");
        server.hold(false);
        let shown = async {
            let path = format!("{path}/online");
            while client.ask("PUT", &path, "").await.json()["visible"] != json!(true) {}
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), shown).await.unwrap();
    }
}

#[tokio::test]
async fn a_reason_has_a_limit_and_no_nul() {
    let (_server, mut client) = start().await;
    client.ask("PUT", PATH, BODY).await;
    let long = format!(r#"{{"reason": "{}"}}"#, "x".repeat(1_001));
    for (body, status) in [
        (long.as_str(), 422),
        (r#"{"reason": "a\u0000b"}"#, 422),
        (r#"{"reason": 7}"#, 400),
        (r#"{"raison": "x"}"#, 400),
    ] {
        for action in ["offline", "online"] {
            let refusal = client.ask("PUT", &format!("{PATH}/{action}"), body).await.refusal();
            assert_eq!(refusal.0, status, "{action} {body}");
            assert!(matches!(refusal.1.as_str(), "reason" | "raison"), "{body}");
        }
    }
}
