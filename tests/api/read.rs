//! Reads from the directory.

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::{start, start_with};

async fn register(client: &mut Client, app: &str, id: &str) -> Value {
    let body = r#"{"addresses": ["10.0.0.7", "fd00::7"], "weight": 50, "tags": ["v2"],
        "meta": {"version": "1.4.2"}, "ttl": 60,
        "endpoints": [{"port": 9000}, {"protocol": "http", "port": 80, "weight": 5,
                       "addresses": ["10.0.1.7"]}]}"#;
    let reply = client.ask("PUT", &format!("/v1/apps/{app}/instances/{id}"), body).await;
    assert_eq!(reply.status, 201);
    reply.json()
}

fn instance(registered: &Value) -> Value {
    json!({
        "id": "i-1", "label": "i-1", "state": "online",
        "addresses": ["10.0.0.7", "fd00::7"],
        "endpoints": [
            {"protocol": "nova", "transport": "tcp", "port": 9000, "weight": 50},
            {"protocol": "http", "transport": "tcp", "port": 80, "weight": 5,
             "addresses": ["10.0.1.7"]},
        ],
        "weight": 50, "priority": 10, "tags": ["v2"], "meta": {"version": "1.4.2"}, "ttl": 60,
        "incarnation": registered["incarnation"], "revision": registered["revision"],
    })
}

#[tokio::test]
async fn an_instance_is_shown_with_the_time_it_has_left() {
    let (_server, mut client) = start().await;
    let registered = register(&mut client, "greeter", "i-1").await;
    let reply = client.ask("GET", "/v1/apps/greeter/instances/i-1", "").await;
    let mut shown = reply.json();
    let left = shown.as_object_mut().unwrap().remove("lease_left").unwrap();
    assert!((55..=60).contains(&left.as_u64().unwrap()), "{left}");
    assert_eq!(shown, instance(&registered));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(client.ask("GET", "/v1/apps/greeter/instances/i-2", "").await.refusal().0, 404);
}

#[tokio::test]
async fn reads_go_on_without_the_registry() {
    let (server, mut client) = start().await;
    let registered = register(&mut client, "greeter", "i-1").await;
    server.registry.inner.set_available(false);
    let shown = client.ask("GET", "/v1/apps/greeter/instances/i-1", "").await;
    assert_eq!((shown.status, shown.json()), (200, instance(&registered)));
}

#[tokio::test]
async fn a_permanent_instance_has_no_lease() {
    let (server, mut client) = start().await;
    let value = r#"{"addresses": ["10.0.0.7"], "endpoints": [{"port": 9000}]}"#;
    server.write("default/instances/greeter/i-1", value).await;
    let shown = client.ask("GET", "/v1/apps/greeter/instances/i-1", "").await.json();
    assert_eq!((&shown["incarnation"], &shown["ttl"]), (&Value::Null, &Value::Null));
    assert_eq!(shown.get("lease_left"), None);
}

#[tokio::test]
async fn an_app_is_shown_whole() {
    let (_server, mut client) = start().await;
    let registered = register(&mut client, "greeter", "i-1").await;
    let expected = json!({
        "revision": registered["revision"], "namespace": "default", "app": "greeter",
        "pinned": false, "offline": null, "instances": [instance(&registered)],
        "absent_marks": [],
    });
    assert_eq!(client.ask("GET", "/v1/apps/greeter", "").await.json(), expected);
    assert_eq!(client.ask("GET", "/v1/apps/nobody", "").await.refusal().0, 404);
    assert_eq!(client.ask("GET", "/v1/apps/greeter?namespace=other", "").await.status, 404);
}

#[tokio::test]
async fn apps_are_listed_in_pages() {
    let (_server, mut client) = start().await;
    let empty = client.ask("GET", "/v1/apps", "").await.json();
    assert_eq!(empty["apps"], json!([]));
    for app in ["b", "a", "c"] {
        register(&mut client, app, "i-1").await;
    }
    client.ask("PUT", "/v1/apps/a/instances/i-1/offline", "").await;
    let first = client.ask("GET", "/v1/apps?limit=2", "").await.json();
    let line = |app: &str, online: u32| {
        json!({"namespace": "default", "app": app, "instances": 1, "online": online,
               "offline": false, "pinned": false})
    };
    assert_eq!(first["apps"], json!([line("a", 0), line("b", 1)]));
    let path = format!("/v1/apps?limit=2&continue={}", first["continue"].as_str().unwrap());
    let second = client.ask("GET", &path, "").await.json();
    assert_eq!((&second["apps"], second.get("continue")), (&json!([line("c", 1)]), None));
    let whole = client.ask("GET", "/v1/apps?limit=3", "").await.json();
    assert_eq!(whole.get("continue"), None);
    let other = client.ask("GET", "/v1/apps?namespace=other", "").await.json();
    assert_eq!(other["apps"], json!([]));
}

#[tokio::test]
async fn pages_that_nobody_gave_are_refused() {
    let (_server, mut client) = start().await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("continue=%21", "continue"),
        ("continue=LQ", "continue"),
        ("page=2", "page"),
    ] {
        let refusal = client.ask("GET", &format!("/v1/apps?{query}"), "").await.refusal();
        assert_eq!((refusal.0, refusal.1.as_str()), (400, field), "{query}");
    }
}

#[tokio::test]
async fn rejected_keys_are_listed_in_pages_with_the_reason() {
    let (server, mut client) = start().await;
    for id in ["i-1", "i-2"] {
        server.write(&format!("default/instances/greeter/{id}"), "nonsense").await;
    }
    let first = client.ask("GET", "/v1/rejected?limit=1", "").await.json();
    let key = json!("/rollcall/v1/default/instances/greeter/i-1");
    assert_eq!(first["rejected"][0]["key"], key);
    assert!(first["rejected"][0]["reason"].as_str().unwrap().contains("not readable"));
    let path = format!("/v1/rejected?limit=1&continue={}", first["continue"].as_str().unwrap());
    let second = client.ask("GET", &path, "").await.json();
    assert_eq!(second["rejected"].as_array().unwrap().len(), 1);
    assert_eq!(second.get("continue"), None);
    for (namespace, count) in [("default", 2), ("staging", 0)] {
        let path = format!("/v1/rejected?namespace={namespace}");
        let listed = client.ask("GET", &path, "").await.json();
        assert_eq!(listed["rejected"].as_array().unwrap().len(), count, "{namespace}");
    }
}

#[tokio::test]
async fn nothing_is_called_absent_out_of_ignorance() {
    let (_server, mut client) = start_with(|setup| setup.compiled = false).await;
    for path in ["/v1/apps", "/v1/apps/greeter", "/v1/apps/greeter/instances/i-1", "/v1/rejected"] {
        let reply = client.ask("GET", path, "").await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{path}");
    }
}
