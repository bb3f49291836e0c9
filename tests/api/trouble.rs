//! A registry that fails, a handler that panics, a server that stops.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::client::{Client, Reply, request};
use crate::registry::Trouble;
use crate::server::{eventually, start, start_with};

const BODY: &str = r#"{"address": "10.0.0.7", "port": 9000}"#;
const OTHER: &str = r#"{"address": "10.0.0.8", "port": 9000}"#;
const PATH: &str = "/v1/apps/greeter/instances/i-1";

fn assert_unavailable(reply: &Reply, outcome: &str) {
    assert_eq!(reply.refusal().0, 503, "{reply:?}");
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.json()["error"]["outcome"], json!(outcome));
}

#[tokio::test]
async fn without_a_registry_every_write_is_refused_as_not_done() {
    let (server, mut client) = start().await;
    client.ask("PUT", PATH, BODY).await;
    server.registry.inner.set_available(false);
    for (method, path, body) in [
        ("PUT", PATH, BODY),
        ("PUT", PATH, OTHER),
        ("PUT", "/v1/apps/greeter/instances/i-2", BODY),
        ("POST", "/v1/apps/greeter/instances", BODY),
        ("PUT", "/v1/apps/greeter/instances/i-1/heartbeat", ""),
        ("DELETE", PATH, ""),
        ("PUT", "/v1/apps/greeter/offline", ""),
        ("PUT", "/v1/apps/greeter/online", ""),
        ("PUT", "/v1/apps/greeter/instances/i-1/offline", ""),
    ] {
        let reply = client.ask(method, path, body).await;
        assert_unavailable(&reply, "not done");
    }
    server.registry.inner.set_available(true);
    assert_eq!(client.ask("PUT", PATH, OTHER).await.status, 200);
}

#[tokio::test]
async fn a_lost_answer_is_called_unknown_and_the_lease_is_left_alone() {
    let (server, mut client) = start().await;
    server.registry.set_trouble(Some(Trouble::AnswerLost));
    assert_unavailable(&client.ask("PUT", PATH, BODY).await, "unknown");
    server.registry.set_trouble(None);
    // It was done: the same again finds it, and is safe.
    let again = client.ask("PUT", PATH, BODY).await;
    assert_eq!((again.status, server.registry.grants.load(SeqCst)), (200, 1));
    assert!(server.registry.revoked.borrow().is_empty());
    server.registry.set_trouble(Some(Trouble::AnswerLost));
    assert_unavailable(&client.ask("DELETE", PATH, "").await, "unknown");
    server.registry.set_trouble(None);
    assert_eq!(client.ask("DELETE", PATH, "").await.status, 404);
}

#[tokio::test]
async fn a_lease_whose_write_was_not_done_is_given_back() {
    let (server, mut client) = start().await;
    server.registry.set_trouble(Some(Trouble::NotDone));
    assert_unavailable(&client.ask("PUT", PATH, BODY).await, "not done");
    eventually("the lease is revoked", || server.registry.revoked.borrow().len() == 1).await;
}

#[tokio::test]
async fn a_write_that_others_overtake_again_and_again_is_given_up() {
    let (server, mut client) = start().await;
    client.ask("PUT", PATH, BODY).await;
    server.registry.set_trouble(Some(Trouble::Refused));
    for (method, path, body) in [
        ("PUT", PATH, OTHER),
        ("PUT", "/v1/apps/greeter/instances/i-2", BODY),
        ("DELETE", PATH, ""),
    ] {
        assert_unavailable(&client.ask(method, path, body).await, "not done");
    }
    // One lease each for i-2 and for the departure's note; the first try and all others shared it.
    eventually("the leases are revoked", || server.registry.revoked.borrow().len() == 2).await;
    assert_eq!(server.registry.grants.load(SeqCst), 3);
}

#[tokio::test]
async fn a_registry_that_hangs_is_given_up_within_five_seconds() {
    let (server, mut client) = start().await;
    server.registry.set_trouble(Some(Trouble::Hangs));
    let began = Instant::now();
    client.send(&request("PUT", PATH, &[], BODY)).await;
    eventually("the commit", || server.registry.commits.load(SeqCst) == 1).await;
    let reply = client.reply().await;
    assert_unavailable(&reply, "unknown");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_panic_is_contained_counted_and_answered() {
    let (server, mut client) = start().await;
    server.registry.set_trouble(Some(Trouble::Panics));
    let reply = client.ask("PUT", PATH, BODY).await;
    assert_eq!(reply.refusal().0, 500);
    server.registry.set_trouble(None);
    assert_eq!(client.ask("PUT", PATH, BODY).await.status, 201);
    let metrics = client.ask("GET", "/metrics", "").await.text;
    assert!(metrics.contains("rollcall_http_panics_total 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_flight_and_closes_what_is_idle() {
    let (mut server, mut idle) = start().await;
    assert_eq!(idle.ask("GET", "/livez", "").await.status, 200);
    let mut busy = Client::connect(server.address).await;
    server.hold(true);
    // Waits until it is visible, which is when the hold ends.
    busy.send(&request("PUT", PATH, &[], BODY)).await;
    eventually("the write", || server.registry.commits.load(SeqCst) == 1).await;
    server.stop.cancel();
    assert!(idle.is_closed().await);
    server.hold(false);
    let reply = busy.reply().await;
    assert_eq!((reply.status, &reply.json()["visible"]), (201, &json!(true)));
    assert!(busy.is_closed().await);
    timeout(Duration::from_secs(5), server.serving.join_next()).await.unwrap().unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn what_is_not_finished_by_the_drain_deadline_is_cut() {
    let (mut server, mut client) = start_with(|setup| {
        setup.drain = Duration::from_millis(50);
        setup.settings.visible_timeout = Duration::from_secs(60);
    })
    .await;
    server.hold(true);
    client.send(&request("PUT", PATH, &[], BODY)).await;
    eventually("the write", || server.registry.commits.load(SeqCst) == 1).await;
    server.stop.cancel();
    timeout(Duration::from_secs(20), server.serving.join_next()).await.unwrap().unwrap().unwrap();
    assert!(client.is_closed().await);
}
