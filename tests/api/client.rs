//! A client that sends exactly the octets it is told to, so that wrong requests can be written at all.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// No answer of a local server takes that long.
const DEADLINE: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    /// Sends a request with the usual headers and reads its answer.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, body: &str) -> Reply {
        self.ask_with(method, path, &[], body).await
    }

    pub(crate) async fn ask_with(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        self.send(&request(method, path, headers, body)).await;
        self.reply().await
    }

    pub(crate) async fn send(&mut self, octets: &str) {
        self.stream.write_all(octets.as_bytes()).await.unwrap();
    }

    /// Reads one answer whole.
    pub(crate) async fn reply(&mut self) -> Reply {
        let (status, headers) = self.head().await;
        let mut reply = Reply { status, headers, text: String::new() };
        if reply.header("transfer-encoding") == Some("chunked") {
            loop {
                let chunk = self.chunk().await;
                if chunk.is_empty() {
                    return reply;
                }
                reply.text.push_str(&chunk);
            }
        }
        let length = reply.header("content-length").unwrap_or("0").parse().unwrap();
        reply.text = self.take(length).await;
        reply
    }

    /// Reads an answer's head.
    pub(crate) async fn head(&mut self) -> (u16, Vec<(String, String)>) {
        let status = self.line().await;
        let status = status.split(' ').nth(1).unwrap_or_else(|| panic!("not HTTP: {status:?}"));
        let status = status.parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(':') else { return (status, headers) };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Reads one chunk of a chunked body.
    pub(crate) async fn chunk(&mut self) -> String {
        let length = usize::from_str_radix(&self.line().await, 16).unwrap();
        let chunk = self.take(length).await;
        assert_eq!(self.line().await, "");
        chunk
    }

    /// Whether the server has closed the connection, all that it sent being read.
    pub(crate) async fn is_closed(&mut self) -> bool {
        assert!(self.read.is_empty(), "unread: {:?}", String::from_utf8_lossy(&self.read));
        !self.more().await
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\r\n") {
                let line = self.take(end).await;
                self.read.drain(..2);
                return line;
            }
            assert!(self.more().await, "closed within a line");
        }
    }

    async fn take(&mut self, octets: usize) -> String {
        while self.read.len() < octets {
            assert!(self.more().await, "closed within a body");
        }
        String::from_utf8(self.read.drain(..octets).collect()).unwrap()
    }

    async fn more(&mut self) -> bool {
        let read = timeout(DEADLINE, self.stream.read_buf(&mut self.read));
        // Octets that were still on their way to a server that closes make this a reset.
        read.await.expect("an answer, or the end").unwrap_or(0) > 0
    }
}

/// A request as text.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    let has = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    if !has("host") {
        text.push_str("host: localhost\r\n");
    }
    if !body.is_empty() {
        if !has("content-type") {
            text.push_str("content-type: application/json\r\n");
        }
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n" + body
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Status, field and message of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let json = self.json();
        let text = |name: &str| json["error"][name].as_str().unwrap_or("").to_owned();
        assert!(!text("message").is_empty(), "no message: {self:?}");
        assert!(!text("message").contains('\n'), "more than a line: {self:?}");
        (self.status, text("field"), text("message"))
    }
}
