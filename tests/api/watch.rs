//! The event stream.

use std::time::Duration;

use rollcall::model::{AppName, Namespace};
use rollcall::zone::{Cause, Event};
use serde_json::{Value, json};

use crate::client::{Client, request};
use crate::server::{Server, start, start_with, token};

const BODY: &str = r#"{"address": "10.0.0.7", "port": 9000}"#;
const PATH: &str = "/v1/apps/greeter/instances/i-1";

/// A stream of events.
struct Stream {
    client: Client,
    text: String,
}

/// One event: its id, its kind, its data.
type Seen = (String, String, Value);

impl Stream {
    async fn open(server: &Server, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut client = Client::connect(server.address).await;
        client.send(&request("GET", path, headers, "")).await;
        let (status, headers) = client.head().await;
        assert_eq!(status, 200);
        assert!(headers.contains(&("content-type".to_owned(), "text/event-stream".to_owned())));
        let mut stream = Self { client, text: String::new() };
        let first = stream.line().await;
        assert!(first.starts_with(": watching from "), "{first}");
        stream
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.text.find('\n') {
                let line = self.text.drain(..=end).collect::<String>();
                return line.trim_end().to_owned();
            }
            let chunk = self.client.chunk().await;
            assert!(!chunk.is_empty(), "the stream ended");
            self.text.push_str(&chunk);
        }
    }

    /// The next event, comments and bare ids passed over.
    async fn event(&mut self) -> Seen {
        let mut seen = (String::new(), String::new(), Value::Null);
        loop {
            let line = self.line().await;
            match line.split_once(": ") {
                Some(("id", id)) => seen.0 = id.to_owned(),
                Some(("event", kind)) => seen.1 = kind.to_owned(),
                Some(("data", data)) => seen.2 = serde_json::from_str(data).unwrap(),
                _ if line.is_empty() && !seen.2.is_null() => return seen,
                _ => {}
            }
        }
    }

    async fn kinds(&mut self, most: usize) -> Vec<String> {
        let mut kinds = Vec::new();
        for _ in 0..most {
            kinds.push(self.event().await.1);
        }
        kinds
    }
}

#[tokio::test]
async fn every_change_is_told_with_its_cause() {
    let (server, mut client) = start().await;
    let mut stream = Stream::open(&server, "/v1/watch", &[]).await;
    let registered = client.ask("PUT", PATH, BODY).await.json();
    let (id, kind, data) = stream.event().await;
    assert_eq!(id, format!("0.{}.0", registered["revision"]));
    assert_eq!(kind, "registered");
    let expected = json!({
        "revision": registered["revision"], "cause": "registered", "namespace": "default",
        "app": "greeter", "id": "i-1", "note": null,
        "instance": {
            "id": "i-1", "addresses": ["10.0.0.7"], "weight": 100, "priority": 10, "tags": [],
            "meta": {}, "ttl": 30, "incarnation": registered["incarnation"],
            "revision": registered["revision"],
            "endpoints": [{"protocol": "nova", "transport": "tcp", "port": 9000, "weight": 100}],
        },
    });
    assert_eq!(data, expected);
    client.ask("PUT", PATH, r#"{"address": "10.0.0.8", "port": 9000}"#).await;
    client.ask("PUT", &format!("{PATH}/offline"), r#"{"reason": "disk"}"#).await;
    client.ask("PUT", &format!("{PATH}/online"), "").await;
    client.ask("DELETE", PATH, "").await;
    client.ask("PUT", PATH, BODY).await;
    server.delete("default/instances/greeter/i-1").await;
    assert_eq!(stream.event().await.1, "changed");
    let (_, kind, data) = stream.event().await;
    assert_eq!((kind.as_str(), &data["note"]["reason"]), ("offline", &json!("disk")));
    assert_eq!(stream.kinds(4).await, ["online", "departed", "registered", "expired"]);
}

#[tokio::test]
async fn a_watch_may_be_for_one_app_and_is_for_one_namespace() {
    let (server, mut client) = start().await;
    let mut stream = Stream::open(&server, "/v1/watch?app=Greeter", &[]).await;
    client.ask("PUT", "/v1/apps/other/instances/i-1", BODY).await;
    client.ask("PUT", &format!("{PATH}?namespace=staging"), BODY).await;
    client.ask("PUT", PATH, BODY).await;
    let (_, _, data) = stream.event().await;
    assert_eq!((&data["app"], &data["namespace"]), (&json!("greeter"), &json!("default")));
    let refusal = client.ask("GET", "/v1/watch?app=-", "").await.refusal();
    assert_eq!((refusal.0, refusal.1.as_str()), (400, "app"));
}

#[tokio::test]
async fn a_token_sees_only_its_apps() {
    use rollcall::api::Permission::{Read, Register};
    let (server, mut client) = start_with(|setup| {
        setup.settings.tokens =
            vec![token("all", &[], &[Register]), token("shop", &["greeter"], &[Read])];
    })
    .await;
    let shop = [("authorization", "Bearer secret-of-shop")];
    let mut stream = Stream::open(&server, "/v1/watch", &shop).await;
    let all = [("authorization", "Bearer secret-of-all")];
    client.ask_with("PUT", "/v1/apps/other/instances/i-1", &all, BODY).await;
    client.ask_with("PUT", PATH, &all, BODY).await;
    assert_eq!(stream.event().await.2["app"], json!("greeter"));
}

#[tokio::test]
async fn a_watch_resumes_after_the_last_event_seen() {
    let (server, mut client) = start().await;
    let mut stream = Stream::open(&server, "/v1/watch", &[]).await;
    client.ask("PUT", PATH, BODY).await;
    let (seen, _, _) = stream.event().await;
    drop(stream);
    client.ask("PUT", &format!("{PATH}/offline"), "").await;
    client.ask("PUT", &format!("{PATH}/online"), "").await;
    let mut stream = Stream::open(&server, "/v1/watch", &[("last-event-id", &seen)]).await;
    assert_eq!(stream.kinds(2).await, ["offline", "online"]);
    // A new stream says where it stands, so that it can be resumed even before its first event.
    let mut fresh = Stream::open(&server, "/v1/watch", &[]).await;
    let at = fresh.line().await;
    client.ask("DELETE", PATH, "").await;
    let at = at.strip_prefix("id: ").unwrap();
    let mut again = Stream::open(&server, "/v1/watch", &[("last-event-id", at)]).await;
    assert_eq!(again.event().await.1, "departed");
}

#[tokio::test]
async fn what_can_not_be_resumed_is_reset() {
    let (server, mut client) = start_with(|setup| setup.settings.history_events_max = 2).await;
    client.ask("PUT", PATH, BODY).await;
    for _ in 0..2 {
        client.ask("PUT", &format!("{PATH}/offline"), "").await;
        client.ask("PUT", &format!("{PATH}/online"), "").await;
    }
    let shown = server.published.load().revision;
    for id in ["0.2.0", "7.9.0", "nonsense"] {
        let mut stream = Stream::open(&server, "/v1/watch", &[("last-event-id", id)]).await;
        let (at, kind, data) = stream.event().await;
        assert_eq!((kind.as_str(), data), ("reset", json!({"revision": shown})), "{id}");
        assert_eq!(at, format!("0.{shown}.0"));
    }
}

#[tokio::test]
async fn a_watcher_that_is_too_slow_is_reset_and_goes_on() {
    let (server, mut client) = start_with(|setup| setup.settings.history_events_max = 2).await;
    client.ask("PUT", PATH, BODY).await;
    let mut stream = Stream::open(&server, "/v1/watch", &[]).await;
    let event = |revision| Event {
        revision,
        cause: Cause::Online,
        namespace: Namespace::default(),
        app: AppName::new("greeter").unwrap(),
        id: None,
        registration: None,
        lease: None,
        note: None,
    };
    server.history.push(0, (1_000..1_010).map(event).collect());
    let (id, kind, _) = stream.event().await;
    assert_eq!((id.as_str(), kind.as_str()), ("0.1009.0", "reset"));
    server.history.push(0, vec![event(1_010)]);
    let (id, kind, data) = stream.event().await;
    assert_eq!((id.as_str(), kind.as_str()), ("0.1010.0", "online"));
    assert_eq!((&data["id"], &data["instance"]), (&Value::Null, &Value::Null));
    // Revisions of another epoch don't compare.
    server.history.push(1, vec![event(3)]);
    assert_eq!(stream.event().await.1, "reset");
}

#[tokio::test]
async fn a_silent_stream_is_shown_alive() {
    let (server, _client) = start().await;
    let mut stream = Stream::open(&server, "/v1/watch", &[]).await;
    assert_eq!(stream.line().await, "");
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    assert_eq!(stream.line().await, ":");
    assert_eq!(began.elapsed().as_secs(), 15);
}

#[tokio::test]
async fn watchers_beyond_the_most_are_refused() {
    let (server, mut client) = start_with(|setup| setup.settings.watchers_max = 1).await;
    let stream = Stream::open(&server, "/v1/watch", &[]).await;
    let refused = client.ask("GET", "/v1/watch", "").await;
    assert_eq!((refused.refusal().0, refused.header("retry-after")), (503, Some("1")));
    drop(stream);
    let freed = async {
        loop {
            client.send(&request("GET", "/v1/watch", &[], "")).await;
            let (status, _) = client.head().await;
            if status == 200 {
                return;
            }
            client = Client::connect(server.address).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), freed).await.unwrap();
}

#[tokio::test]
async fn a_stop_ends_streams_at_once() {
    let (mut server, _client) = start().await;
    let mut stream = Stream::open(&server, "/v1/watch", &[]).await;
    assert_eq!(stream.line().await, "");
    server.stop.cancel();
    assert_eq!(stream.client.chunk().await, "");
    let ended = tokio::time::timeout(Duration::from_secs(4), server.serving.join_next());
    ended.await.unwrap().unwrap().unwrap();
}
