//! Health, readiness and metrics.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::client::Client;
use crate::server::{start, start_with};

#[tokio::test]
async fn a_live_server_says_ok() {
    let (_server, mut client) = start().await;
    let reply = client.ask("GET", "/livez", "").await;
    assert_eq!((reply.status, reply.text.as_str()), (200, "ok"));
}

#[tokio::test]
async fn readiness_lists_the_sources_and_ends_with_draining() {
    let (server, mut client) = start().await;
    let mut expected = json!({
        "ready": true, "draining": false,
        "sources": [{"name": "embedded", "layout": "native", "prefix": "/rollcall/v1/", "revision": 7,
                     "has_view": true, "contact_age_secs": 0.5, "error": null}],
    });
    let reply = client.ask("GET", "/readyz", "").await;
    assert_eq!((reply.status, reply.json()), (200, expected.clone()));
    server.draining.store(true, SeqCst);
    expected["draining"] = json!(true);
    let reply = client.ask("GET", "/readyz", "").await;
    assert_eq!((reply.status, reply.json()), (503, expected));
}

#[tokio::test]
async fn requests_are_counted_by_route_never_by_path() {
    let (_server, mut client) = start().await;
    client.ask("GET", "/v1/apps/secret-name", "").await;
    client.ask("GET", "/no/such/path", "").await;
    client.ask("BREW", "/v1/apps", "").await;
    let reply = client.ask("GET", "/metrics", "").await;
    assert!(reply.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    for line in [
        r#"rollcall_http_requests_total{route="/v1/apps/{app}",method="GET",code="404"} 1"#,
        r#"rollcall_http_requests_total{route="other",method="GET",code="404"} 1"#,
        r#"rollcall_http_requests_total{route="/v1/apps",method="other",code="405"} 1"#,
        r#"rollcall_http_request_duration_seconds_count{route="/v1/apps/{app}"} 1"#,
        "rollcall_http_connections 1",
    ] {
        assert!(reply.text.contains(line), "{line} is not in {}", reply.text);
    }
    assert!(!reply.text.contains("secret-name"));
}

#[tokio::test]
async fn writes_are_timed_until_answers_show_them() {
    let (server, mut client) = start_with(|setup| {
        setup.settings.visible_timeout = Duration::from_millis(20);
    })
    .await;
    let (path, body) = ("/v1/apps/greeter/instances/i-1", r#"{"address": "10.0.0.7", "port": 1}"#);
    let begun = Instant::now();
    for (method, path) in
        [("PUT", path), ("PUT", "/v1/apps/greeter/offline"), ("PUT", "/v1/apps/greeter/online")]
    {
        let body = if path.ends_with("i-1") { body } else { "" };
        assert_eq!(client.ask(method, path, body).await.json()["visible"], json!(true), "{path}");
    }
    let most = begun.elapsed().as_secs_f64();
    // Writes nothing.
    client.ask("PUT", path, body).await;
    client.ask("PUT", &format!("{path}/heartbeat"), "").await;
    server.hold(true);
    let gone = client.ask("DELETE", path, "").await;
    assert_eq!(gone.json()["visible"], json!(false));

    let metrics = client.ask("GET", "/metrics", "").await.text;
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        line.trim().parse::<f64>().unwrap()
    };
    assert_eq!(value("rollcall_http_visible_duration_seconds_count"), 3.0);
    let sum = value("rollcall_http_visible_duration_seconds_sum");
    assert!(sum > 0.0 && sum <= most, "{sum} s of {most} s");
    assert_eq!(value("rollcall_http_unseen_total"), 1.0);
}

#[tokio::test]
async fn the_health_listener_has_health_and_nothing_else() {
    let (server, _client) = start_with(|setup| {
        setup.settings.health_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let mut client = Client::connect(server.health_address.unwrap()).await;
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(client.ask("GET", path, "").await.status, 200, "{path}");
    }
    assert_eq!(client.ask("GET", "/v1/apps", "").await.refusal().0, 404);
}
