//! The Docker engine's API on its socket: HTTP/1.1, one request a connection, every wait bounded.
//!
//! Three calls of a large API, of which all versions since 1.24 have these alike: that is less code than the crates that
//! speak all of it take to be set up. Paths have no version in front, which stands for the engine's own.
//!
//! Knows nothing of what is registered.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http_body_util::Full;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::container::Container;
use crate::cli::client::UNRESERVED;
use crate::config::io_reason;
use crate::http::client::{Reply, exchange};

/// Where engines listen unless they are told otherwise.
pub(super) const SOCKET_DEFAULT: &str = "/var/run/docker.sock";
/// Longest wait for an answer. An engine under load takes seconds.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer: a list of thousands of containers.
const REPLY_OCTETS_MAX: usize = 64 << 20;
/// Longest event: it holds all labels of its container.
const EVENT_OCTETS_MAX: usize = 1 << 20;
/// Most containers of a list that are looked at.
const CONTAINERS_MAX: usize = 10_000;

/// Where the engine is: `unix:///var/run/docker.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Engine {
    socket: PathBuf,
}

/// What happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// It was started.
    Started(String),
    /// It has ended, with that exit code if the engine knows it.
    Died(String, Option<i64>),
}

/// Events as they happen. Ends with an error.
pub(super) struct Events {
    reply: Reply,
    line: Vec<u8>,
    lines: VecDeque<Vec<u8>>,
}

impl Engine {
    /// All running containers, by id.
    pub(super) async fn running(&self) -> Result<Vec<String>, String> {
        #[derive(Deserialize)]
        struct Row {
            #[serde(rename = "Id")]
            id: String,
        }
        let rows: Option<Vec<Row>> = self.get("/containers/json").await?;
        let rows = rows.unwrap_or_default();
        if rows.len() > CONTAINERS_MAX {
            return Err(format!("it has more than {CONTAINERS_MAX} containers"));
        }
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// One container by id or name; none where there is no such, any more.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<Container>, String> {
        let id = utf8_percent_encode(id, UNRESERVED);
        self.get(&format!("/containers/{id}/json")).await
    }

    /// What happens from now on.
    pub(super) async fn events(&self) -> Result<Events, String> {
        let filters = r#"{"type":["container"],"event":["start","die"]}"#;
        let filters = utf8_percent_encode(filters, UNRESERVED);
        let path = format!("/events?filters={filters}");
        let reply = in_time(self.open(&path)).await?;
        if !reply.status().is_success() {
            return Err(format!("it answers {} to a question for events", reply.status()));
        }
        Ok(Events { reply, line: Vec::new(), lines: VecDeque::new() })
    }

    /// None: there is no such thing.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, String> {
        in_time(async {
            let reply = self.open(path).await?;
            let status = reply.status();
            let body = reply.whole(REPLY_OCTETS_MAX).await;
            let body = body.map_err(|error| format!("its answer breaks off: {error}"))?;
            match status {
                StatusCode::NOT_FOUND => Ok(None),
                status if status.is_success() => serde_json::from_slice(&body)
                    .map(Some)
                    .map_err(|error| format!("its answer to {path} can't be read: {error}")),
                status => Err(format!("it answers {status} to {path}{}", reason(&body))),
            }
        })
        .await
    }

    async fn open(&self, path: &str) -> Result<Reply, String> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| {
            let advice = match error.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    ": run this as root or as a member of the group docker"
                }
                _ => ": does it run? (--docker / DOCKER_HOST says where)",
            };
            format!("{}{advice}", io_reason(&error))
        })?;
        let request = Request::builder().uri(path).header(HOST, "docker").body(Full::default());
        let request = request.map_err(|error| error.to_string())?;
        exchange(stream, request).await.map_err(|error| format!("no answer: {error}"))
    }
}

impl Events {
    /// The next of those that are asked for. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Event, String> {
        loop {
            while let Some(line) = self.lines.pop_front() {
                if let Some(event) = Event::read(&line) {
                    return Ok(event);
                }
            }
            let octets = self.reply.next().await;
            let octets = octets.map_err(|error| format!("the stream of events broke: {error}"))?;
            for octet in octets.ok_or("it has ended the stream of events")? {
                match octet {
                    b'\n' => self.lines.push_back(std::mem::take(&mut self.line)),
                    _ if self.line.len() == EVENT_OCTETS_MAX => {
                        return Err("an event is too long".into());
                    }
                    octet => self.line.push(octet),
                }
            }
        }
    }
}

impl Event {
    /// None: something else, which we do not ask for.
    fn read(line: &[u8]) -> Option<Self> {
        let event: Value = serde_json::from_slice(line).ok()?;
        if event["Type"].as_str().is_some_and(|kind| kind != "container") {
            return None;
        }
        // `status` and `id` alone is what engines before 1.22 say.
        let what = event["Action"].as_str().or_else(|| event["status"].as_str())?;
        let actor = &event["Actor"];
        let id = actor["ID"].as_str().or_else(|| event["id"].as_str())?.to_owned();
        match what {
            "start" => Some(Self::Started(id)),
            "die" => {
                let code = actor["Attributes"]["exitCode"].as_str();
                Some(Self::Died(id, code.and_then(|code| code.parse().ok())))
            }
            _ => None,
        }
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match timeout(REPLY_TIMEOUT, call).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {} s", REPLY_TIMEOUT.as_secs())),
    }
}

/// The engine's own words, of which a line is enough.
fn reason(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = body["message"].as_str().unwrap_or_default();
    let line: String = message.chars().take(200).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = match text.strip_prefix("unix://").unwrap_or(text) {
            // As Docker's own client takes a DOCKER_HOST that is there and empty.
            "" => SOCKET_DEFAULT,
            path => path,
        };
        if path.starts_with('/') {
            return Ok(Self { socket: path.into() });
        }
        Err(format!(
            "must be a socket such as unix:///var/run/docker.sock, in --docker or DOCKER_HOST, got {text:?}"
        ))
    }
}

impl std::fmt::Display for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.socket.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_starts_and_ends_of_containers() {
        let read = |text: &str| Event::read(text.as_bytes());
        let started = r#"{"status":"start","id":"203f","from":"tiny:1","Type":"container","Action":"start","Actor":{"ID":"203f","Attributes":{"image":"tiny:1","name":"web_1"}},"scope":"local","time":1795213968,"timeNano":1795213968911128163}"#;
        assert_eq!(read(started), Some(Event::Started("203f".into())));
        let died = r#"{"status":"die","id":"e501","Type":"container","Action":"die","Actor":{"ID":"e501","Attributes":{"exitCode":"3","name":"bad"}}}"#;
        assert_eq!(read(died), Some(Event::Died("e501".into(), Some(3))));
        assert_eq!(read(r#"{"status":"die","id":"x"}"#), Some(Event::Died("x".into(), None)));
        for other in [
            r#"{"Type":"network","Action":"start","Actor":{"ID":"x"}}"#,
            r#"{"Type":"container","Action":"exec_start: sh","Actor":{"ID":"x"}}"#,
            r#"{"Type":"container","Action":"start"}"#,
            "[]",
            "no JSON",
            "",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn an_engine_is_at_a_socket() {
        let at = |text: &str| text.parse::<Engine>().map(|engine| engine.to_string());
        assert_eq!(at("unix:///run/docker.sock").unwrap(), "/run/docker.sock");
        assert_eq!(at("/run/docker.sock").unwrap(), "/run/docker.sock");
        assert_eq!(at("").unwrap(), "/var/run/docker.sock");
        for other in ["tcp://127.0.0.1:2375", "unix://docker.sock", "npipe:////./pipe/x"] {
            assert!(at(other).unwrap_err().starts_with("must be a socket"), "{other}");
        }
    }
}
