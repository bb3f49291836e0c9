//! How requests must be written, and what becomes of the connection when they are not.

use std::time::Duration;

use crate::client::{Client, request};
use crate::server::{start, start_with};

const BODY: &str = r#"{"address": "10.0.0.7", "port": 9000}"#;
const PATH: &str = "/v1/apps/greeter/instances/i-1";

#[tokio::test]
async fn a_body_must_be_json_as_it_is() {
    let (_server, mut client) = start().await;
    for header in [
        ("content-type", "text/plain"),
        ("content-type", "application/json; charset=latin-1"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-encoding", "gzip"),
    ] {
        let reply = client.ask_with("PUT", PATH, &[header], BODY).await;
        assert_eq!(reply.refusal().0, 415, "{header:?}");
    }
    for kind in ["application/json", "Application/JSON; charset=UTF-8", "application/json;x=y"] {
        let reply = client.ask_with("PUT", PATH, &[("content-type", kind)], BODY).await;
        assert!(reply.status < 300, "{kind}: {reply:?}");
    }
}

#[tokio::test]
async fn a_body_without_a_type_is_refused() {
    let (_server, mut client) = start().await;
    let text = format!(
        "PUT {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    client.send(&text).await;
    assert_eq!(client.reply().await.refusal().0, 415);
}

#[tokio::test]
async fn a_body_too_large_is_refused_and_read_away() {
    let (_server, mut client) = start().await;
    let large = format!(r#"{{"port": 9000, "meta": {{"a": "{}"}}}}"#, "x".repeat(64 * 1024));
    assert_eq!(client.ask("PUT", PATH, &large).await.refusal().0, 413);
    let chunked = format!(
        "PUT {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    client.send(&chunked).await;
    assert_eq!(client.reply().await.refusal().0, 413);
    assert_eq!(client.ask("PUT", PATH, BODY).await.status, 201);
}

#[tokio::test]
async fn a_body_beyond_all_bounds_is_not_even_read() {
    let (_server, mut client) = start().await;
    client
        .send(&format!("PUT {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 9999999\r\n\r\n"))
        .await;
    assert_eq!(client.reply().await.refusal().0, 421);
    let mut client = Client::connect(_server.address).await;
    client
        .send(&format!("PUT {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999999\r\n\r\n"))
        .await;
    let reply = client.reply().await;
    assert_eq!(reply.refusal().0, 413);
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_head_too_large_is_refused() {
    let (server, mut client) = start().await;
    let large = "x".repeat(16 * 1024);
    let reply = client.ask_with("GET", "/v1/apps", &[("x-large", &large)], "").await;
    assert_eq!(reply.refusal().0, 431);
    let reply = client.ask("GET", &format!("/v1/apps?{large}"), "").await;
    assert_eq!(reply.refusal().0, 431);
    assert_eq!(client.ask("GET", "/v1/apps", "").await.status, 200);
    let huge = "x".repeat(40 * 1024);
    let mut client = Client::connect(server.address).await;
    client.send(&request("GET", "/v1/apps", &[("x-huge", &huge)], "")).await;
    assert_eq!(client.head().await.0, 431);
}

#[tokio::test]
async fn paths_and_methods_that_are_not_here_are_refused_with_the_same_body() {
    let (_server, mut client) = start().await;
    for path in ["/", "/v1", "/v1/apps/", "/v1/apps/greeter/instances/i-1/kill", "/v2/apps"] {
        assert_eq!(client.ask("GET", path, "").await.refusal().0, 404, "{path}");
    }
    for (method, path, allow) in [
        ("DELETE", "/v1/apps", "GET,HEAD"),
        ("POST", PATH, "GET,HEAD,PUT,DELETE"),
        ("GET", "/v1/apps/greeter/instances", "POST"),
        ("OPTIONS", PATH, "GET,HEAD,PUT,DELETE"),
        ("PATCH", "/v1/apps/greeter/offline", "PUT"),
    ] {
        let reply = client.ask(method, path, "").await;
        assert_eq!(reply.refusal().0, 405, "{method} {path}");
        let mut given: Vec<_> = reply.header("allow").unwrap().split(',').collect();
        let mut allow: Vec<_> = allow.split(',').collect();
        given.sort_unstable();
        allow.sort_unstable();
        assert_eq!(given, allow, "{method} {path}");
    }
}

#[tokio::test]
async fn what_is_not_http_closes_the_connection() {
    let (server, _) = start().await;
    for text in [
        "nonsense\r\n\r\n".to_owned(),
        "GET /v1/apps HTTP/1.1\r\nhost localhost\r\n\r\n".to_owned(),
        format!("PUT {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1, 2\r\n\r\n"),
        format!("PUT {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n"),
        format!("PUT {PATH} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip\r\n\r\n"),
        format!(
            "PUT {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             transfer-encoding: chunked\r\n\r\nxyz\r\n"
        ),
    ] {
        let mut client = Client::connect(server.address).await;
        client.send(&text).await;
        assert_eq!(client.reply().await.status, 400, "{text}");
        assert!(client.is_closed().await, "{text}");
    }
}

#[tokio::test]
async fn a_request_with_two_lengths_is_the_last_of_its_connection() {
    let (server, _) = start().await;
    let mut client = Client::connect(server.address).await;
    let smuggled = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    client
        .send(&format!(
            "PUT {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
            5 + smuggled.len()
        ))
        .await;
    assert_eq!(client.reply().await.status, 400);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_request_must_arrive_whole_in_time() {
    let (server, mut client) = start_with(|setup| {
        setup.settings.request_timeout = Duration::from_millis(200);
    })
    .await;
    client.send("GET /v1/apps HTTP/1.1\r\nhost: loc").await;
    assert!(client.is_closed().await);
    let mut client = Client::connect(server.address).await;
    client
        .send(&format!(
            "PUT {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: 99\r\n\r\n{{"
        ))
        .await;
    assert_eq!(client.reply().await.refusal().0, 408);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_connection_may_be_silent_between_requests() {
    let (_server, mut client) = start().await;
    for silent in [10, 11, 70] {
        assert_eq!(client.ask("GET", "/livez", "").await.status, 200);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(silent)).await;
        tokio::time::resume();
    }
    assert_eq!(client.ask("GET", "/livez", "").await.status, 200);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(76)).await;
    tokio::time::resume();
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn an_answer_may_take_longer_than_its_request() {
    let (server, mut client) = start_with(|setup| {
        setup.settings.request_timeout = Duration::from_millis(50);
        setup.settings.visible_timeout = Duration::from_millis(300);
    })
    .await;
    server.hold(true);
    client.send(&format!("PUT {PATH} HTTP/1.1\r\nhost: localhost\r\n")).await;
    let rest = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n", BODY.len());
    client.send(&rest).await;
    client.send(BODY).await;
    assert_eq!(client.reply().await.status, 201);
}

#[tokio::test]
async fn connections_beyond_the_most_wait_their_turn() {
    let (server, mut first) = start_with(|setup| setup.settings.connections_max = 1).await;
    // A stream is busy to its end, however silent.
    first.send(&request("GET", "/v1/watch", &[], "")).await;
    assert_eq!(first.head().await.0, 200);
    assert!(first.chunk().await.starts_with(": watching"));
    let mut second = Client::connect(server.address).await;
    second.send(&request("GET", "/livez", &[], "")).await;
    let waiting = tokio::time::timeout(Duration::from_millis(100), second.reply()).await;
    assert!(waiting.is_err(), "the second connection was served beside the first");
    drop(first);
    assert_eq!(second.reply().await.status, 200);
}

#[tokio::test]
async fn connections_that_are_silent_give_way() {
    let (server, mut asked) = start_with(|setup| setup.settings.connections_max = 1).await;
    assert_eq!(asked.ask("GET", "/livez", "").await.status, 200);
    let mut silent = Client::connect(server.address).await;
    assert!(asked.is_closed().await, "one between two requests");
    let mut half = Client::connect(server.address).await;
    assert!(silent.is_closed().await, "one that has asked nothing");
    half.send("GET /livez HT").await;
    let mut last = Client::connect(server.address).await;
    assert_eq!(last.ask("GET", "/livez", "").await.status, 200);
    assert!(half.is_closed().await, "one that has asked half");
    let metrics = last.ask("GET", "/metrics", "").await.text;
    assert!(metrics.contains("rollcall_http_crowded_out_total 3\n"), "{metrics}");
}
