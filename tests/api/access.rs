//! Who may do what, and from where.

use std::net::SocketAddr;

use rollcall::api::Permission::{Operate, Read, Register};
use rollcall::api::{Settings, bind};
use serde_json::json;

use crate::client::Client;
use crate::server::{Server, start, start_with, token};

const BODY: &str = r#"{"address": "10.0.0.7", "port": 9000}"#;

async fn guarded() -> (Server, Client) {
    start_with(|setup| {
        setup.settings.tokens = vec![
            token("all", &[], &[Register, Operate, Read]),
            token("shop", &["greeter", "x-*"], &[Register, Read]),
            token("ops", &[], &[Operate]),
        ];
    })
    .await
}

async fn status(client: &mut Client, name: &str, method: &str, path: &str, body: &str) -> u16 {
    let bearer = format!("Bearer secret-of-{name}");
    client.ask_with(method, path, &[("authorization", &bearer)], body).await.status
}

#[tokio::test]
async fn without_a_token_or_with_an_unknown_one_nothing_is_told() {
    let (server, mut client) = guarded().await;
    for headers in [
        vec![],
        vec![("authorization", "Bearer secret-of-none")],
        vec![("authorization", "Bearer ")],
        vec![("authorization", "Basic secret-of-all")],
    ] {
        for path in ["/v1/apps/greeter/instances/i-1", "/v1/nothing"] {
            let reply = client.ask_with("PUT", path, &headers, BODY).await;
            assert_eq!(reply.refusal().0, 401, "{headers:?}");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
    }
    assert!(server.entry("default/instances/greeter/i-1").await.is_none());
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(client.ask("GET", path, "").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_token_allows_what_it_names_on_the_apps_it_names() {
    let (_server, mut client) = guarded().await;
    for (name, method, path, body, expected) in [
        ("shop", "PUT", "/v1/apps/greeter/instances/i-1", BODY, 201),
        ("shop", "PUT", "/v1/apps/GREETER/instances/i-1", BODY, 200),
        ("shop", "PUT", "/v1/apps/x-ray/instances/i-1", BODY, 201),
        ("shop", "PUT", "/v1/apps/greeter2/instances/i-1", BODY, 403),
        ("shop", "POST", "/v1/apps/other/instances", BODY, 403),
        ("shop", "GET", "/v1/apps/other", "", 403),
        ("shop", "GET", "/v1/apps/other/instances/i-1", "", 403),
        ("shop", "GET", "/v1/watch?app=other", "", 403),
        ("shop", "PUT", "/v1/apps/greeter/offline", "", 403),
        ("shop", "PUT", "/v1/apps/greeter/instances/i-1/heartbeat", "", 200),
        ("shop", "DELETE", "/v1/apps/other/instances/i-1", "", 403),
        ("ops", "PUT", "/v1/apps/greeter/instances/i-1/offline", "", 200),
        ("ops", "PUT", "/v1/apps/greeter/instances/i-1/online", "", 200),
        ("ops", "PUT", "/v1/apps/greeter/instances/i-1", BODY, 403),
        ("ops", "PUT", "/v1/apps/greeter/instances/i-1/heartbeat", "", 403),
        ("ops", "DELETE", "/v1/apps/greeter/instances/i-1", "", 403),
        ("ops", "GET", "/v1/apps", "", 403),
        ("ops", "GET", "/v1/rejected", "", 403),
        ("ops", "GET", "/v1/watch", "", 403),
        ("all", "PUT", "/v1/apps/other/instances/i-1", BODY, 201),
    ] {
        let got = status(&mut client, name, method, path, body).await;
        assert_eq!(got, expected, "{name} {method} {path}");
    }
}

#[tokio::test]
async fn listings_show_only_the_apps_of_a_token() {
    let (server, mut client) = guarded().await;
    for app in ["greeter", "other", "x-ray"] {
        let path = format!("/v1/apps/{app}/instances/i-1");
        assert_eq!(status(&mut client, "all", "PUT", &path, BODY).await, 201);
        server.write(&format!("default/instances/{app}/i-2"), "nonsense").await;
    }
    let shop = [("authorization", "bearer secret-of-shop")];
    let apps = client.ask_with("GET", "/v1/apps", &shop, "").await.json();
    let names: Vec<_> = apps["apps"].as_array().unwrap().iter().map(|app| &app["app"]).collect();
    assert_eq!(names, ["greeter", "x-ray"]);
    let rejected = client.ask_with("GET", "/v1/rejected", &shop, "").await.json();
    assert_eq!(rejected["rejected"].as_array().unwrap().len(), 2);
    assert!(!rejected.to_string().contains("/other/"));
}

#[tokio::test]
async fn a_token_for_every_name_sees_keys_without_one_too() {
    let (server, mut client) = start_with(|setup| {
        setup.settings.tokens = vec![token("every", &["*"], &[Read]), token("a", &["a*"], &[Read])];
    })
    .await;
    server.write("default/instances/not a name/i-1", "{}").await;
    for (name, count) in [("every", 1), ("a", 0)] {
        let secret = format!("Bearer secret-of-{name}");
        let headers = [("authorization", secret.as_str())];
        let listed = client.ask_with("GET", "/v1/rejected", &headers, "").await.json();
        assert_eq!(listed["rejected"].as_array().unwrap().len(), count, "{name}");
    }
}

#[tokio::test]
async fn marks_say_whose_token_it_was() {
    let (server, mut client) = guarded().await;
    status(&mut client, "all", "PUT", "/v1/apps/greeter/instances/i-1", BODY).await;
    status(&mut client, "ops", "PUT", "/v1/apps/greeter/offline", "").await;
    let entry = server.entry("default/offline/greeter/").await.unwrap();
    let note: serde_json::Value = serde_json::from_slice(&entry.value).unwrap();
    assert_eq!(note["by"], json!("ops"));
}

#[tokio::test]
async fn a_host_that_is_not_ours_is_refused() {
    let (_server, mut client) =
        start_with(|setup| setup.settings.hosts = vec!["rollcall.example.org".to_owned()]).await;
    for host in [
        "localhost",
        "LOCALHOST:8053",
        "127.0.0.1:8053",
        "[::1]:8053",
        "192.0.2.1",
        "rollcall.example.org:80",
        "Rollcall.Example.ORG.",
    ] {
        let reply = client.ask_with("GET", "/v1/apps", &[("host", host)], "").await;
        assert_eq!(reply.status, 200, "{host}");
    }
    for host in ["evil.example.org", "localhost.example.org", "rollcall.example.org.evil"] {
        for path in ["/v1/apps", "/livez", "/nothing"] {
            let reply = client.ask_with("GET", path, &[("host", host)], "").await;
            assert_eq!(reply.refusal().0, 421, "{host}");
        }
    }
    for host in ["user@localhost", "local host", ""] {
        let reply = client.ask_with("GET", "/v1/apps", &[("host", host)], "").await;
        assert_eq!(reply.refusal().0, 400, "{host:?}");
    }
}

#[tokio::test]
async fn an_absolute_target_is_held_to_the_same_hosts() {
    let (_server, mut client) = start().await;
    let reply = client.ask("GET", "http://evil.example.org/v1/apps", "").await;
    assert_eq!(reply.refusal().0, 421);
    assert_eq!(client.ask("GET", "http://localhost/v1/apps", "").await.status, 200);
}

#[tokio::test]
async fn no_host_or_two_are_refused() {
    let (_server, mut client) = start().await;
    client.send("GET /v1/apps HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.reply().await.refusal().0, 400);
    client.send("GET /v1/apps HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n").await;
    let refusal = client.reply().await.refusal();
    assert_eq!((refusal.0, refusal.1.as_str()), (400, "host"));
}

#[tokio::test]
async fn listening_beyond_loopback_needs_a_token_or_insecure() {
    let beyond: SocketAddr = ([0, 0, 0, 0], 0).into();
    let open = Settings { listen: beyond, ..Settings::default() };
    let refused = bind(&open).await.unwrap_err().to_string();
    assert!(refused.contains("0.0.0.0:0") && refused.contains("insecure = true"), "{refused}");
    assert!(!refused.contains('\n'));
    let insecure = Settings { insecure: true, ..open.clone() };
    assert_ne!(bind(&insecure).await.unwrap().address().port(), 0);
    let guarded = Settings { tokens: vec![token("all", &[], &[Read])], ..open };
    assert_ne!(bind(&guarded).await.unwrap().address().port(), 0);
}

#[tokio::test]
async fn a_port_in_use_is_said_in_one_line() {
    let (server, _client) = start().await;
    let settings = Settings { listen: server.address, ..Settings::default() };
    let refused = bind(&settings).await.unwrap_err().to_string();
    let expected = format!("cannot bind http listener {}: ", server.address);
    assert!(refused.starts_with(&expected), "{refused}");
    let advice = "address in use: stop the program that listens there or choose another port";
    assert!(refused.ends_with(advice), "{refused}");
}
