//! Registration: what is written, what is not, and what is refused.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use rollcall::layout::native::{Keys, PREFIX_DEFAULT};
use rollcall::model::limits;
use rollcall::registry::{Entry, LeaseId, Registry};
use rollcall::zone::Snapshot;
use serde_json::{Value, json};

use crate::client::Client;
use crate::compiler::directory;
use crate::server::{eventually, start, start_with};

const BODY: &str = r#"{"address": "10.0.0.7", "port": 9000}"#;
const PATH: &str = "/v1/apps/greeter/instances/i-1";
const KEY: &str = "default/instances/greeter/i-1";

#[tokio::test]
async fn a_registration_is_written_under_a_lease_and_visible() {
    let (server, mut client) = start().await;
    let reply = client.ask("PUT", PATH, BODY).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let entry = server.entry(KEY).await.unwrap();
    let lease = entry.lease.unwrap();
    let expected = json!({
        "id": "i-1", "revision": entry.revision, "incarnation": lease.to_string(), "ttl": 30,
        "visible": true,
    });
    assert_eq!(reply.json(), expected);
    assert!(server.registry.inner.time_left(lease).await.unwrap() >= 29);
    let stored: Value = serde_json::from_slice(&entry.value).unwrap();
    let expected = json!({
        "v": 1, "addresses": ["10.0.0.7"], "weight": 100, "priority": 10, "ttl": 30,
        "endpoints": [{"protocol": "nova", "transport": "tcp", "port": 9000}],
    });
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn unchanged_is_a_heartbeat_and_writes_nothing() {
    let (server, mut client) = start().await;
    let first = client.ask("PUT", PATH, BODY).await.json();
    let again = client.ask("PUT", PATH, BODY).await;
    assert_eq!((again.status, again.json()), (200, first));
    assert_eq!(server.registry.commits.load(SeqCst), 1);
    assert_eq!(server.registry.renewals.load(SeqCst), 1);
}

#[tokio::test]
async fn changed_content_keeps_lease_and_incarnation() {
    let (server, mut client) = start().await;
    let first = client.ask("PUT", PATH, BODY).await.json();
    let changed =
        client.ask("PUT", PATH, r#"{"address": "10.0.0.7", "port": 9000, "weight": 7}"#).await;
    assert_eq!(changed.status, 200);
    assert_eq!(changed.json()["incarnation"], first["incarnation"]);
    assert_ne!(changed.json()["revision"], first["revision"]);
    assert_eq!(server.registry.grants.load(SeqCst), 1);
}

#[tokio::test]
async fn another_ttl_needs_another_lease() {
    let (server, mut client) = start().await;
    let first = client.ask("PUT", PATH, BODY).await.json();
    let longer = r#"{"address": "10.0.0.7", "port": 9000, "ttl": 60}"#;
    let changed = client.ask("PUT", PATH, longer).await;
    assert_eq!((changed.status, &changed.json()["ttl"]), (200, &json!(60)));
    assert_ne!(changed.json()["incarnation"], first["incarnation"]);
    let lease = server.entry(KEY).await.unwrap().lease.unwrap();
    assert!(server.registry.inner.time_left(lease).await.unwrap() > 30);
}

#[tokio::test]
async fn a_new_incarnation_always_writes_and_takes_over() {
    let (server, mut client) = start().await;
    let path = format!("{PATH}?incarnation=new");
    let first = client.ask("PUT", &path, BODY).await;
    let second = client.ask("PUT", &path, BODY).await;
    assert_eq!((first.status, second.status), (201, 200));
    assert_ne!(first.json()["incarnation"], second.json()["incarnation"]);
    let lease = server.entry(KEY).await.unwrap().lease.unwrap().to_string();
    assert_eq!(second.json()["incarnation"], json!(lease));
    let wrong = client.ask("PUT", &format!("{PATH}?incarnation=old"), BODY).await.refusal();
    assert_eq!((wrong.0, wrong.1.as_str()), (400, "incarnation"));
}

#[tokio::test]
async fn what_a_restored_registry_wrote_is_not_visible_in_the_view_before_it() {
    let (server, mut client) = start_with(|setup| {
        setup.compiled = false;
        setup.settings.visible_timeout = std::time::Duration::from_millis(20);
    })
    .await;
    let mut view = Snapshot::default();
    view.revision = 1_000;
    drop(server.published.publish(Arc::new(view.clone())));
    let first = client.ask("PUT", PATH, BODY).await;
    assert_eq!((first.status, &first.json()["visible"]), (201, &json!(false)));
    (view.revision, view.epoch) = (2, 1);
    drop(server.published.publish(Arc::new(view)));
    let gone = client.ask("DELETE", PATH, "").await.json();
    assert_eq!((&gone["revision"], &gone["visible"]), (&json!(3), &json!(false)));
}

#[tokio::test]
async fn an_unchanged_put_registers_anew_when_the_lease_is_gone() {
    let (server, mut client) = start_with(|setup| {
        setup.settings.visible_timeout = std::time::Duration::from_millis(20);
    })
    .await;
    let first = client.ask("PUT", PATH, BODY).await.json();
    server.hold(true);
    let lease = LeaseId::from_hex(first["incarnation"].as_str().unwrap()).unwrap();
    server.registry.inner.revoke(lease).await.unwrap();
    let again = client.ask("PUT", PATH, BODY).await;
    assert_eq!(again.status, 201, "{again:?}");
    assert_ne!(again.json()["incarnation"], first["incarnation"]);
    assert!(server.entry(KEY).await.is_some());
}

#[tokio::test]
async fn a_renewal_remembered_does_not_hide_that_the_lease_is_gone() {
    for again in [BODY, r#"{"address": "10.0.0.8", "port": 9000}"#] {
        let (server, mut client) = start_with(|setup| {
            setup.settings.visible_timeout = std::time::Duration::from_millis(20);
        })
        .await;
        client.ask("PUT", PATH, BODY).await;
        let renewed = client.ask("PUT", PATH, BODY).await.json();
        server.hold(true);
        let lease = LeaseId::from_hex(renewed["incarnation"].as_str().unwrap()).unwrap();
        server.registry.inner.revoke(lease).await.unwrap();
        assert_eq!(client.ask("PUT", PATH, again).await.status, 201, "{again}");
        assert_eq!(server.registry.renewals.load(SeqCst), 1);
        assert_ne!(server.entry(KEY).await.unwrap().lease, Some(lease));
    }
}

#[tokio::test]
async fn an_unchanged_put_is_not_taken_for_done_by_a_directory_that_is_behind() {
    let (server, mut client) = start_with(|setup| {
        setup.settings.visible_timeout = std::time::Duration::from_millis(20);
    })
    .await;
    client.ask("PUT", PATH, BODY).await;
    server.hold(true);
    server.delete(KEY).await;
    let again = client.ask("PUT", PATH, BODY).await;
    assert_eq!((again.status, &again.json()["visible"]), (201, &json!(false)));
    assert!(server.entry(KEY).await.is_some());
}

#[tokio::test]
async fn a_registration_that_the_directory_lacks_is_found_in_the_registry() {
    let (server, mut client) = start_with(|setup| {
        setup.compiled = false;
        setup.settings.visible_timeout = std::time::Duration::from_millis(20);
    })
    .await;
    let first = client.ask("PUT", PATH, BODY).await;
    assert_eq!((first.status, &first.json()["visible"]), (201, &json!(false)));
    let again = client.ask("PUT", PATH, BODY).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json()["revision"], first.json()["revision"]);
    // The lease that the second try had been granted is given back.
    eventually("the unused lease is revoked", || server.registry.revoked.borrow().len() == 1).await;
    assert!(server.entry(KEY).await.is_some());
}

#[tokio::test]
async fn post_registers_under_the_default_id() {
    let (_server, mut client) = start().await;
    let path = "/v1/apps/greeter/instances";
    let first = client.ask("POST", path, BODY).await;
    assert_eq!((first.status, &first.json()["id"]), (201, &json!("10-0-0-7-9000")));
    let again = client.ask("POST", path, BODY).await;
    assert_eq!((again.status, again.json()), (200, first.json()));
}

#[tokio::test]
async fn the_address_defaults_to_the_peer() {
    let (server, mut client) = start().await;
    // What a proxy, or anybody, says in a header is no peer.
    let claimed = [("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=10.0.0.2")];
    client.ask_with("PUT", PATH, &claimed, r#"{"port": 9000}"#).await;
    let entry = server.entry(KEY).await.unwrap();
    let stored: Value = serde_json::from_slice(&entry.value).unwrap();
    assert_eq!(stored["addresses"], json!(["127.0.0.1"]));
}

#[tokio::test]
async fn a_shared_registry_takes_no_loopback_address() {
    let (server, mut client) = start_with(|setup| setup.shared_registry = true).await;
    for (body, field) in [
        (r#"{"port": 9000}"#, "address"),
        (r#"{"port": 9000, "address": "127.0.0.1"}"#, "address"),
        (r#"{"port": 9000, "addresses": ["10.0.0.1", "::1"]}"#, "addresses"),
        (
            r#"{"address": "10.0.0.1", "endpoints": [{"port": 1, "addresses": ["127.1.2.3"]}]}"#,
            "endpoints[0].addresses",
        ),
    ] {
        let refusal = client.ask("PUT", PATH, body).await.refusal();
        assert_eq!((refusal.0, refusal.1.as_str()), (422, field), "{body}");
        // By its name and place: whoever reads this has a configuration of his own to look in first.
        let way_out = "or set http.allow_loopback = true in the server's configuration";
        assert!(refusal.2.ends_with(way_out) || refusal.2.contains("is missing"), "{}", refusal.2);
    }
    assert_eq!(server.registry.grants.load(SeqCst), 0);
}

#[tokio::test]
async fn allow_loopback_takes_loopback_that_is_meant() {
    let (_server, mut client) = start_with(|setup| {
        setup.shared_registry = true;
        setup.settings.allow_loopback = true;
    })
    .await;
    let meant = client.ask("PUT", PATH, r#"{"port": 9000, "address": "127.0.0.1"}"#).await;
    assert_eq!(meant.status, 201);
    let unsaid = client.ask("PUT", PATH, r#"{"port": 9000}"#).await.refusal();
    assert_eq!((unsaid.0, unsaid.1.as_str()), (422, "address"));
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_by_field_and_the_connection_goes_on() {
    let (server, mut client) = start().await;
    for (body, status, field) in [
        ("", 400, ""),
        ("[]", 400, ""),
        ("{", 400, ""),
        (r#"{"port": 9000} {}"#, 400, ""),
        (r#"{"port": 0}"#, 422, "port"),
        (r#"{"port": 9000, "address": "0.0.0.0"}"#, 422, "address"),
        (r#"{"port": 9000, "address": "ff02::1"}"#, 422, "address"),
        (r#"{"port": 9000, "ttl": 1}"#, 422, "ttl"),
        (r#"{"port": 9000, "meta": {"a": "b\u0000"}}"#, 422, "meta.a"),
        (r#"{"port": 9000, "meta": {"Key": "1", "kEY": "2"}}"#, 422, "meta.kEY"),
        (r#"{"port": 9000, "prot": "http"}"#, 400, "prot"),
        (r#"{"port": 9000, "v": 1}"#, 400, "v"),
        (r#"{"port": "9000"}"#, 400, "port"),
        (r#"{"port": 9000, "port": 9001}"#, 400, "port"),
        (r#"{"endpoints": [{"port": 1, "port": 2}]}"#, 400, "endpoints[0].port"),
        (r#"{"port": 9000, "a\nb": 1}"#, 400, "a\\nb"),
        (r#"{"port": 9000, "meta": {"a": "b", "a": "c"}}"#, 400, "meta"),
        (r#"{"endpoints": [{"port": 1}, {"port": 2, "wieght": 1}]}"#, 400, "endpoints[1].wieght"),
        (r#"{"endpoints": [{"port": 1}, {"port": 1.5}]}"#, 400, "endpoints[1].port"),
        (r#"{"endpoints": [[null, null, 9000]]}"#, 400, "endpoints[0]"),
    ] {
        let refusal = client.ask("PUT", PATH, body).await.refusal();
        assert_eq!((refusal.0, refusal.1.as_str()), (status, field), "{body}: {}", refusal.2);
    }
    assert_eq!(server.registry.grants.load(SeqCst), 0);
    assert_eq!(client.ask("PUT", PATH, BODY).await.status, 201);
}

#[tokio::test]
async fn a_refusal_quotes_no_more_than_a_line() {
    let (_server, mut client) = start().await;
    let body = format!(r#"{{"port": "{}"}}"#, "x".repeat(5_000));
    let refusal = client.ask("PUT", PATH, &body).await.refusal();
    assert_eq!((refusal.0, refusal.1.as_str()), (400, "port"));
    assert!(refusal.2.starts_with("port is wrong: invalid type: string") && refusal.2.len() < 600);
}

#[tokio::test]
async fn names_are_folded_or_refused_by_field() {
    let (server, mut client) = start().await;
    assert_eq!(client.ask("PUT", "/v1/apps/Greeter/instances/I-1", BODY).await.status, 201);
    assert!(server.entry(KEY).await.is_some());
    for (path, field) in [
        ("/v1/apps/gree_ter/instances/i-1", "app"),
        ("/v1/apps/greeter/instances/-i", "id"),
        ("/v1/apps/greeter/instances/i%00", "id"),
        ("/v1/apps/greeter/instances/i-1?namespace=a..b", "namespace"),
        ("/v1/apps/greeter/instances/i-1?incarnaton=new", "incarnaton"),
        ("/v1/apps/greeter/instances/i-1?namespace=a&namespace=b", "namespace"),
    ] {
        let refusal = client.ask("PUT", path, BODY).await.refusal();
        assert_eq!((refusal.0, refusal.1.as_str()), (400, field), "{path}");
    }
}

#[tokio::test]
async fn the_zones_have_a_say() {
    let (server, mut client) = start().await;
    let elsewhere = "/v1/apps/greeter/instances/i-1?namespace=elsewhere";
    let refusal = client.ask("PUT", elsewhere, BODY).await.refusal();
    assert_eq!((refusal.0, refusal.1.as_str()), (422, "namespace"));
    let refusal = client.ask("PUT", "/v1/apps/static/instances/i-1", BODY).await.refusal();
    assert_eq!((refusal.0, refusal.2.contains("svc.zone:5")), (409, true));
    let refusal = client.ask("POST", "/v1/apps/static/instances", BODY).await;
    assert_eq!(refusal.status, 409);
    for (method, path) in [
        ("DELETE", elsewhere),
        ("PUT", "/v1/apps/greeter/instances/i-1/heartbeat?namespace=elsewhere"),
        ("PUT", "/v1/apps/greeter/offline?namespace=elsewhere"),
        ("PUT", "/v1/apps/greeter/online?namespace=elsewhere"),
    ] {
        assert_eq!(client.ask(method, path, "").await.status, 422, "{method} {path}");
    }
    assert_eq!(server.registry.commits.load(SeqCst), 0);
}

#[tokio::test]
async fn an_app_has_a_most_of_instances() {
    let (server, mut client) = start_with(|setup| {
        setup.compiled = false;
        setup.settings.visible_timeout = std::time::Duration::ZERO;
    })
    .await;
    let entry = |n| Entry {
        key: format!("{PREFIX_DEFAULT}default/instances/greeter/n-{n}").into(),
        value: r#"{"addresses": ["10.0.0.1"], "endpoints": [{"port": 1}]}"#.into(),
        revision: 1,
        lease: None,
    };
    let entries: Vec<_> = (0..limits::INSTANCES_MAX).map(entry).collect();
    let mut full = Snapshot::clone(&server.published.load_full());
    full.directory = directory(&Keys::new(PREFIX_DEFAULT), &entries);
    drop(server.published.publish(Arc::new(full)));
    let refusal = client.ask("PUT", PATH, BODY).await.refusal();
    assert_eq!((refusal.0, refusal.1.as_str()), (422, "app"));
    assert_eq!(client.ask("PUT", "/v1/apps/other/instances/i-1", BODY).await.status, 201);
}

#[tokio::test]
async fn two_at_once_under_one_id_end_as_one() {
    let (server, mut one) = start().await;
    let mut two = Client::connect(server.address).await;
    let (one, two) = tokio::join!(one.ask("PUT", PATH, BODY), two.ask("PUT", PATH, BODY));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201]);
    let lease = server.entry(KEY).await.unwrap().lease.unwrap().to_string();
    assert_eq!(one.json()["incarnation"], json!(lease));
    assert_eq!(two.json()["incarnation"], json!(lease));
}

#[tokio::test]
async fn a_key_without_a_lease_gets_one() {
    let (server, mut client) = start().await;
    server.write(KEY, r#"{"addresses":["10.0.0.7"],"endpoints":[{"port":9000}],"ttl":30}"#).await;
    let reply = client.ask("PUT", PATH, BODY).await;
    assert_eq!(reply.status, 200);
    assert!(server.entry(KEY).await.unwrap().lease.is_some());
}

#[tokio::test]
async fn a_key_that_is_not_readable_is_written_over() {
    let (server, mut client) = start().await;
    server.write(KEY, "nonsense").await;
    assert_eq!(client.ask("PUT", PATH, BODY).await.status, 200);
    assert!(server.entry(KEY).await.unwrap().value.starts_with(b"{"));
}
