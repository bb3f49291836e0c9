//! A scripted HTTP server: records every request, and answers what a test tells it to.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};

use crate::process::{DEADLINE, Shared};

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method, path and query: `PUT /v1/apps/a/offline`.
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What to answer.
pub(crate) enum Reply {
    Json(u16, Value),
    /// Octets of server-sent events; then the connection ends.
    Events(String),
    /// No answer: the connection is closed.
    Hang,
}

/// The server; its threads end with the test process.
pub(crate) struct Fake {
    address: SocketAddr,
    seen: Arc<Shared<Vec<Seen>>>,
}

type Script = dyn Fn(&Seen, usize) -> Reply + Send + Sync;

impl Fake {
    /// Answers by `script`, which is given each request and the number of those before it.
    pub(crate) fn start(script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_late(Reserved::new(), script)
    }

    /// Comes to life where so far every connection was refused.
    pub(crate) fn start_late(
        place: Reserved,
        script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = place.address();
        place.socket.listen(128).unwrap();
        let listener = TcpListener::from(place.socket);
        let seen = Shared::new(Vec::new());
        let (script, record): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&seen));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, record) = (Arc::clone(&script), Arc::clone(&record));
                // A connection without a request is a look at the address, or a port probe.
                thread::spawn(move || serve(stream.unwrap(), &*script, &record));
            }
        });
        Self { address, seen }
    }

    /// What a real server says to a registration's whole life, with that lease.
    pub(crate) fn registry(ttl: u32) -> Self {
        Self::start(move |seen, _| life(seen, ttl))
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen.change(|seen| seen.iter().map(|seen| seen.line.clone()).collect())
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.seen.change(|seen| seen.clone())
    }

    /// Waits until that many requests have come whose line holds the text.
    #[track_caller]
    pub(crate) fn hears(&self, text: &str, times: usize) {
        let heard =
            |seen: &Vec<Seen>| seen.iter().filter(|s| s.line.contains(text)).count() >= times;
        assert!(self.seen.wait(DEADLINE, heard), "not {times} of {text:?}: {:#?}", self.lines());
    }
}

/// The replies of a server on which everything goes well.
pub(crate) fn life(seen: &Seen, ttl: u32) -> Reply {
    if seen.line.starts_with("DELETE") {
        return Reply::Json(200, json!({ "revision": 9, "visible": true }));
    }
    let status = if seen.line.contains("incarnation=new") { 201 } else { 200 };
    let reply =
        json!({ "id": "x", "revision": 8, "incarnation": "694d9f", "ttl": ttl, "visible": true });
    Reply::Json(status, reply)
}

/// The body of an error.
pub(crate) fn refusal(status: u16, field: Option<&str>, message: &str) -> Reply {
    Reply::Json(status, json!({ "error": { "field": field, "message": message } }))
}

/// A port that refuses connections and that nobody else is given, until somebody listens on it: a server of
/// ours, or a program that sets `SO_REUSEADDR`.
pub(crate) struct Reserved {
    socket: socket2::Socket,
}

impl Reserved {
    pub(crate) fn new() -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Self { socket }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap().as_socket().unwrap()
    }
}

fn serve(stream: TcpStream, script: &Script, record: &Shared<Vec<Seen>>) {
    let mut writer = stream.try_clone().unwrap();
    let Some(seen) = read(BufReader::new(stream)) else { return };
    let before = record.change(|all| {
        all.push(seen.clone());
        all.len() - 1
    });
    // The client may have gone, which is for the test to judge.
    let _ = match script(&seen, before) {
        Reply::Json(status, body) => {
            let body = body.to_string();
            write!(
                writer,
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n{body}",
                body.len()
            )
        }
        Reply::Events(events) => {
            write!(
                writer,
                "HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{events}"
            )
        }
        Reply::Hang => Ok(()),
    };
}

fn read(mut from: impl BufRead) -> Option<Seen> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            text => lines.push(text.to_owned()),
        }
    }
    let headers: Vec<(String, String)> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let len = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; len.map_or(0, |(_, len)| len.parse().unwrap())];
    from.read_exact(&mut body).ok()?;
    let line = lines[0].strip_suffix(" HTTP/1.1").unwrap().to_owned();
    Some(Seen { line, headers, body: serde_json::from_slice(&body).unwrap_or_default() })
}
