//! How `rollcall serve` ends while something is under way.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::http::Begun;
use crate::support::server::{Home, Server};
use crate::support::until;

async fn begun(server: &Server) -> Begun {
    let body = json!({"address": "10.0.0.7", "port": 9000, "ttl": 3600});
    Begun::put(server.http, "/v1/apps/greeter/instances/i-1", &body).await
}

async fn closed(server: &Server) {
    let refused = async || TcpStream::connect(server.http).await.is_err();
    until("nothing new is accepted", refused).await;
}

#[tokio::test]
async fn a_write_under_way_is_still_seen_in_answers() {
    let home = Home::new();
    let mut server = home.start(&[]).await;
    let write = begun(&server).await;
    server.terminate();
    closed(&server).await;
    let reply = write.finish().await;
    let (_, body) = reply.split_once("\r\n\r\n").unwrap();
    let written: Value = serde_json::from_str(body).unwrap();
    assert_eq!(written["visible"], json!(true), "{reply}");
    assert_eq!(server.ended().await.code(), Some(0));
    // What was shown last is also what is kept.
    let saved = std::fs::read(home.path("data/serials.json")).unwrap();
    let saved: Value = serde_json::from_slice(&saved).unwrap();
    assert_eq!(saved[0]["serial"], written["revision"], "{saved}");
}

#[tokio::test]
async fn a_second_signal_cuts_what_is_under_way() {
    let home = Home::new();
    let mut server = home.start(&[]).await;
    let _write = begun(&server).await;
    server.terminate();
    closed(&server).await;
    assert!(server.runs(), "the first waits for the request");
    let began = Instant::now();
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_a_killed_server_listened_on_is_not_told_by_the_next() {
    let home = Home::new();
    home.write("data/listening.json", "{}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    home.refuse(&["--http", &taken.local_addr().unwrap().to_string()]).await;
    assert!(!home.path("data/listening.json").exists());
}
