//! What is refused, what is bounded, and what rubbish does not harm.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::client::{ask, begin};
use super::lives::ready;
use super::{start, start_on};
use crate::support::etcd::Etcd;
use crate::support::http::raw;
use crate::support::until;

const URLS: &str = "[[layout]]\nkind = \"url\"\nprefix = \"/urls/\"";
const ALL: &str = "[[layout]]\nkind = \"nova\"\nprefix = \"/\"";

#[tokio::test]
async fn outside_the_layouts_nothing_is_read_or_written() {
    let etcd = Etcd::start().await;
    etcd.put("/other/secret", "x").await;
    let (_server, at) = start_on(&etcd, URLS).await;
    for path in ["/other/secret", "/other", "/urlsx"] {
        let read = ask(at, "GET", &format!("/v2/keys{path}"), "").await;
        assert_eq!((read.status, &read.json()["errorCode"]), (404, &100.into()), "{path}");
    }
    let all = ask(at, "GET", "/v2/keys/?recursive=true", "").await;
    assert!(!all.text.contains("secret"), "{}", all.text);
    for (method, path) in [("PUT", "/other/mine"), ("PUT", "/mine"), ("PUT", "/urlsx")] {
        let refused = ask(at, method, &format!("/v2/keys{path}"), "value=x").await;
        assert_eq!((refused.status, &refused.json()["errorCode"]), (403, &110.into()), "{path}");
        let cause = refused.json()["cause"].as_str().unwrap().to_owned();
        assert!(cause.contains("[[layout]]") && cause.contains("\"/urls/\""), "{cause}");
    }
    assert_eq!(ask(at, "DELETE", "/v2/keys/other/secret", "").await.status, 404);
    assert_eq!(ask(at, "DELETE", "/v2/keys/other?recursive=true", "").await.status, 404);
    assert_eq!(etcd.keys("/other/").await.len(), 1);
}

#[tokio::test]
async fn rollcalls_own_keys_are_out_of_reach() {
    let (server, at) = start(ALL).await;
    let body = serde_json::json!({ "address": "10.0.0.1", "port": 80 });
    let put = server.send("PUT", "/v1/apps/greeter/instances/a", Some(&body)).await;
    assert_eq!(put.status, 201, "{put:?}");
    for path in ["/rollcall", "/rollcall/v1/default/instances/greeter/a"] {
        assert_eq!(ask(at, "GET", &format!("/v2/keys{path}"), "").await.status, 404, "{path}");
    }
    assert_eq!(ask(at, "DELETE", "/v2/keys/rollcall?recursive=true", "").await.status, 404);
    let key = "/v2/keys/rollcall/v1/default/instances/greeter/b";
    assert_eq!(ask(at, "PUT", key, "value=x").await.status, 403);
    let all = ask(at, "GET", "/v2/keys/?recursive=true", "").await;
    assert_eq!(all.json()["node"], serde_json::json!({ "dir": true }), "{}", all.text);
}

#[tokio::test]
async fn history_that_is_gone_is_said_to_be() {
    let etcd = Etcd::start().await;
    let (_server, at) = start_on(&etcd, URLS).await;
    ready(at).await;
    let wait = |from: u64| format!("/v2/keys/urls?wait=true&recursive=true&waitIndex={from}");
    let mut indexes = Vec::new();
    for n in 0..1_002 {
        let set = ask(at, "PUT", "/v2/keys/urls/a", &format!("value={n}")).await;
        indexes.push(set.index());
    }
    let last = *indexes.last().unwrap();
    until("all is known", async || ask(at, "GET", &wait(last), "").await.status == 200).await;
    // The last thousand are known to the server; those before, to the registry.
    let told = async |n: usize| ask(at, "GET", &wait(indexes[n]), "").await;
    assert_eq!(told(2).await.json()["node"]["modifiedIndex"], indexes[2]);
    let recalled = told(0).await.json();
    assert_eq!(recalled["node"]["modifiedIndex"], indexes[1], "{recalled}");
    etcd.compact(last).await;
    assert_eq!(told(2).await.json()["node"]["modifiedIndex"], indexes[2]);
    let gone = told(0).await;
    assert_eq!((gone.status, &gone.json()["errorCode"]), (400, &401.into()), "{}", gone.text);
    let start = indexes[1] + 1;
    let cause = format!("the requested history has been cleared [{start}/{}]", indexes[0]);
    assert_eq!(gone.json()["cause"], cause.as_str());
    assert!(gone.json()["index"].as_u64().unwrap() >= last);
}

/// Zan's clients wait on from where they were, and would miss who went while this server was away.
#[tokio::test]
async fn what_happened_while_the_server_was_away_is_told() {
    let etcd = Etcd::start().await;
    let (server, at) = start_on(&etcd, URLS).await;
    let form = "value=http%3A%2F%2F10.0.0.1&ttl=600";
    for key in ["stays", "goes", "changes"] {
        ask(at, "PUT", &format!("/v2/keys/urls/app/{key}"), form).await;
    }
    let mut from = ask(at, "GET", "/v2/keys/urls/app", "").await.index() + 1;
    server.stop().await;
    etcd.put("/urls/other", "x").await;
    etcd.delete("/urls/app/goes").await;
    etcd.put("/elsewhere", "x").await;
    etcd.put("/urls/app/changes", "http://10.0.0.2").await;
    etcd.put("/urls/app/comes", "http://10.0.0.3").await;
    etcd.put("/urls/app/comes", "http://10.0.0.4").await;
    let (_server, at) = start_on(&etcd, URLS).await;
    ready(at).await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let wait = format!("/v2/keys/urls/app?wait=1&recursive=1&waitIndex={from}");
        let event = ask(at, "GET", &wait, "").await.json();
        let index = event["node"]["modifiedIndex"].as_u64().unwrap();
        assert!(index >= from, "{event}");
        from = index + 1;
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let (now, was) = (&event["node"], &event["prevNode"]);
        let told_of = [&event["action"], &now["key"], &now["value"], &was["value"]].map(text);
        told.push(told_of.join(" "));
    }
    assert_eq!(
        told,
        [
            "delete /urls/app/goes - http://10.0.0.1",
            "set /urls/app/changes http://10.0.0.2 http://10.0.0.1",
            "set /urls/app/comes http://10.0.0.4 -",
        ]
    );
    // Nothing more was missed: what comes now is told next.
    let wait = format!("/v2/keys/urls/app?wait=1&recursive=1&waitIndex={from}");
    let mut waiting = begin(at, "GET", &wait, "").await;
    waiting.head().await;
    let set = ask(at, "PUT", "/v2/keys/urls/app/stays", form).await.json();
    let event = waiting.reply().await.json();
    assert_eq!(event["node"]["modifiedIndex"], set["node"]["modifiedIndex"], "{event}");
}

/// One lease of an etcd 3 client with two keys: its end is one revision, which v2 has no way to tell.
#[tokio::test]
async fn changes_of_one_revision_are_not_told_one_by_one() {
    let etcd = Etcd::start().await;
    let (_server, at) = start_on(&etcd, URLS).await;
    ready(at).await;
    let granted = etcd.ctl(&["lease", "grant", "60"]).await;
    let lease = granted.split(' ').nth(1).unwrap();
    for key in ["/urls/a/1", "/urls/b/2"] {
        etcd.ctl(&["put", "--lease", lease, key, "http://10.0.0.1"]).await;
    }
    let from = etcd.revision().await + 1;
    let wait =
        |folder: &str| format!("/v2/keys/urls{folder}?wait=true&recursive=true&waitIndex={from}");
    let waiting = begin(at, "GET", &wait(""), "").await;
    etcd.ctl(&["lease", "revoke", lease]).await;
    // Who waits for one of them is told; who waits for both is sent to read anew.
    let told = ask(at, "GET", &wait("/a"), "").await.json();
    assert_eq!((&told["action"], &told["node"]["key"]), (&"expire".into(), &"/urls/a/1".into()));
    let ended = waiting.reply().await;
    let again = if ended.status == 200 {
        assert_eq!(ended.text, "");
        ask(at, "GET", &wait(""), "").await
    } else {
        ended
    };
    assert_eq!((again.status, &again.json()["errorCode"]), (400, &401.into()), "{}", again.text);
    assert!(again.json()["index"].as_u64().unwrap() >= from);
}

#[tokio::test]
async fn waits_end_with_the_server_and_are_bounded_to_one_layout() {
    let layouts = format!("{URLS}\n[[layout]]\nkind = \"registrator\"\nprefix = \"/services/\"");
    let (server, at) = start(&layouts).await;
    ready(at).await;
    let both = ask(at, "GET", "/v2/keys/?wait=true&recursive=true", "").await;
    assert_eq!((both.status, &both.json()["errorCode"]), (400, &209.into()));
    let none = ask(at, "GET", "/v2/keys/other?wait=true", "").await;
    assert_eq!((none.status, &none.json()["errorCode"]), (404, &100.into()));
    let mut waiting = begin(at, "GET", "/v2/keys/urls?wait=true&recursive=true", "").await;
    waiting.head().await;
    assert_eq!(server.stop().await, 0);
    assert_eq!(waiting.reply().await.text, "");
}

#[tokio::test]
async fn too_many_waits_leave_room_for_those_who_write() {
    let (_server, at) = start(URLS).await;
    ready(at).await;
    let mut waiting = Vec::new();
    let full = loop {
        let mut one = begin(at, "GET", "/v2/keys/urls?wait=true&recursive=true", "").await;
        if !one.head().await.starts_with("HTTP/1.1 200 ") {
            break one.reply().await;
        }
        waiting.push(one);
        assert!(waiting.len() <= 800);
    };
    assert_eq!((full.status, &full.json()["errorCode"]), (500, &300.into()));
    assert_eq!(ask(at, "PUT", "/v2/keys/urls/a", "value=x").await.status, 201);
    for one in waiting.drain(..) {
        assert_eq!(one.reply().await.json()["node"]["key"], "/urls/a");
    }
    // Those who went have left their places.
    let again = begin(at, "GET", "/v2/keys/urls?wait=true&recursive=true", "").await;
    drop(again);
}

#[tokio::test]
async fn rubbish_harms_nothing() {
    let etcd = Etcd::start().await;
    let (server, at) = start_on(&etcd, ALL).await;
    let before = etcd.keys("").await;
    let long = format!("/v2/keys/{}", "a".repeat(5_000));
    let deep = format!("/v2/keys{}", "/a".repeat(500));
    let rubbish: Vec<(&str, &str, Vec<u8>)> = vec![
        ("PUT", "/v2/keys/../../etc/passwd", b"value=x".to_vec()),
        ("PUT", "/v2/keys/a%00b", b"value=x".to_vec()),
        ("PUT", "/v2/keys/%2e%2e/a", b"value=x".to_vec()),
        ("PUT", "/v2/keys/%ff", b"value=x".to_vec()),
        ("PUT", "/v2/keys/%", b"value=x".to_vec()),
        ("PUT", "/v2/keys", b"value=x".to_vec()),
        ("PUT", &long, b"value=x".to_vec()),
        ("PUT", &deep, b"value=x".to_vec()),
        ("PUT", "/v2/keys/a", b"value=%zz".to_vec()),
        ("PUT", "/v2/keys/a", b"value=\xff\xfe".to_vec()),
        ("PUT", "/v2/keys/a", b"value=x&ttl=99999999999999999999".to_vec()),
        ("PUT", "/v2/keys/a", b"value=x&ttl=9999999999".to_vec()),
        ("PUT", "/v2/keys/a", b"value=x&prevIndex=-1".to_vec()),
        ("PUT", "/v2/keys/a?ttl=x", b"value=x".to_vec()),
        ("PUT", "/v2/keys/a", b"a&".repeat(100)),
        ("PUT", "/v2/keys/a", b"value=".iter().chain(&[b'x'; 2_000_000]).copied().collect()),
        ("POST", "/v2/keys/a", b"value=x".to_vec()),
        ("PATCH", "/v2/keys/a", b"value=x".to_vec()),
        ("DELETE", "/v2/keys/?recursive=true", b"".to_vec()),
        ("GET", "/v2/keys/a?wait=1&stream=1", b"".to_vec()),
    ];
    for n in 0..1_000 {
        let (method, path, body) = &rubbish[n % rubbish.len()];
        let refused = send(at, method, path, body).await;
        let status: u16 = refused.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        assert!((400..500).contains(&status), "{method} {path}: {refused}");
    }
    // And what is no HTTP at all.
    for n in 0..50_u8 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let _ = stream.write_all(&[n; 300]).await;
    }
    assert_eq!(etcd.keys("").await, before);
    assert_eq!(ask(at, "PUT", "/v2/keys/a", "value=x").await.status, 201);
    assert!(server.get("/readyz").await.status == 200);
}

/// Sends any octets as a body.
async fn send(at: SocketAddr, method: &str, path: &str, body: &[u8]) -> String {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    raw(at, [head.as_bytes(), body].concat()).await
}

#[tokio::test]
async fn a_body_that_is_no_form_is_refused() {
    let (_server, at) = start(URLS).await;
    let request = format!(
        "PUT /v2/keys/urls/a HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: 13\r\n\r\n{{\"value\":\"x\"}}"
    );
    let reply = raw(at, request).await;
    assert!(reply.starts_with("HTTP/1.1 400 ") && reply.contains("\"errorCode\":210"), "{reply}");
    assert_eq!(ask(at, "GET", "/v2/keys/urls/a", "").await.status, 404);
}

#[tokio::test]
async fn without_its_registry_it_says_so_and_goes_on_afterwards() {
    let mut etcd = Etcd::start().await;
    let (_server, at) = start_on(&etcd, URLS).await;
    ask(at, "PUT", "/v2/keys/urls/a", "value=x").await;
    assert_eq!(ask(at, "GET", "/health", "").await.json()["health"], "true");
    etcd.kill().await;
    let away = ask(at, "GET", "/v2/keys/urls", "").await;
    assert_eq!((away.status, &away.json()["errorCode"]), (500, &300.into()), "{}", away.text);
    assert_eq!(ask(at, "GET", "/health", "").await.json()["health"], "false");
    etcd.restart().await;
    until("it is back", async || ask(at, "GET", "/v2/keys/urls/a", "").await.status == 200).await;
    let value = ask(at, "GET", "/v2/keys/urls/a", "").await.json()["node"]["value"].clone();
    assert_eq!(value, Value::from("x"));
}

/// Zan's clients take the index of an error and wait behind it, without reading anew: what ends as etcd comes back would be
/// alive to them for ever.
#[tokio::test]
async fn waits_while_the_registry_is_away_miss_nothing() {
    let mut etcd = Etcd::start().await;
    let layouts = format!("{URLS}\n[[layout]]\nkind = \"registrator\"\nprefix = \"/services/\"");
    let (_server, at) = start_on(&etcd, &layouts).await;
    let set = ask(at, "PUT", "/v2/keys/urls/app/a", "value=http%3A%2F%2F10.0.0.1&ttl=3").await;
    let next = set.index() + 1;
    let wait = |folder: &str, from: u64| format!("{folder}?wait=1&recursive=1&waitIndex={from}");
    let urls = |from: u64| wait("/v2/keys/urls/app", from);
    begin(at, "GET", &urls(next), "").await.head().await;
    etcd.kill().await;
    let (mut on, mut now) =
        (begin(at, "GET", &urls(next), "").await, begin(at, "GET", &urls(0), "").await);
    for waiting in [&mut on, &mut now] {
        let head = waiting.head().await;
        let index = format!("\r\nx-etcd-index: {}\r\n", set.index());
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains(&index), "{head}");
    }
    // Nobody has asked for these before, so that nothing is known of them.
    for (from, index) in [(1_000, 999), (0, set.index())] {
        let away = ask(at, "GET", &wait("/v2/keys/services", from), "").await;
        assert_eq!((away.status, &away.json()["errorCode"]), (500, &300.into()), "{}", away.text);
        assert_eq!((&away.json()["index"], away.index()), (&index.into(), index), "{from}");
    }
    let put = ask(at, "PUT", "/v2/keys/urls/app/a", "value=x").await;
    assert_eq!((put.status, &put.json()["index"]), (500, &set.index().into()), "{}", put.text);
    etcd.restart().await;
    for waiting in [on, now] {
        let told = waiting.reply().await.json();
        assert_eq!(
            (&told["action"], &told["node"]["key"]),
            (&"expire".into(), &"/urls/app/a".into())
        );
    }
}

/// What nobody asks for is not read, and what is read is seen.
#[tokio::test]
async fn what_is_followed_is_seen_in_metrics_and_in_the_log() {
    let etcd = Etcd::start().await;
    let layouts = format!("{URLS}\n[[layout]]\nkind = \"registrator\"\nprefix = \"/services/\"");
    let (server, at) = start_on(&etcd, &layouts).await;
    for path in ["/v2/keys/?recursive=true", "/v2/keys/urls", "/v2/keys/services/a"] {
        ask(at, "GET", path, "").await;
    }
    let shown = async || server.get("/metrics").await.body.as_str().unwrap_or_default().to_owned();
    let watching = |prefix: &str, is: u8| {
        format!("rollcall_registry_watching{{layout=\"etcd_v2\",prefix=\"{prefix}\"}} {is}")
    };
    assert!(!shown().await.contains("etcd_v2\",prefix"), "{}", shown().await);
    assert!(!server.log().contains("reader=\"etcd_v2\""), "{}", server.log());
    ask(at, "PUT", "/v2/keys/urls/a", "value=x").await;
    until("it is followed", async || shown().await.contains(&watching("/urls/", 1))).await;
    assert!(!shown().await.contains("layout=\"etcd_v2\",prefix=\"/services/\""));
    assert!(server.log().contains("reader=\"etcd_v2\""), "{}", server.log());
}
