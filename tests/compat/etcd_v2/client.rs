//! A client of v2 keys that sends what it is told, and sees all that comes back.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::soon;

/// A whole reply.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Reply {
    /// The body as JSON; null where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// Where the registry stood.
    pub(crate) fn index(&self) -> u64 {
        self.headers["x-etcd-index"].parse().unwrap()
    }
}

/// A request whose reply is still to come.
pub(crate) struct Waiting {
    stream: TcpStream,
    read: Vec<u8>,
}

/// Sends a request; a body goes as a form.
pub(crate) async fn begin(at: SocketAddr, method: &str, path: &str, form: &str) -> Waiting {
    let kind =
        if form.is_empty() { "" } else { "content-type: application/x-www-form-urlencoded\r\n" };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n{kind}content-length: {}\r\n\r\n{form}",
        form.len()
    );
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    Waiting { stream, read: Vec::new() }
}

impl Waiting {
    /// Waits for the head, which comes before there is anything to tell.
    pub(crate) async fn head(&mut self) -> String {
        while !self.read.windows(4).any(|four| four == b"\r\n\r\n") {
            let read = soon("a head", self.stream.read_buf(&mut self.read)).await.unwrap();
            assert!(read > 0, "no head: {}", String::from_utf8_lossy(&self.read));
        }
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// The whole reply.
    pub(crate) async fn reply(mut self) -> Reply {
        soon("a reply", self.stream.read_to_end(&mut self.read)).await.unwrap();
        let read = String::from_utf8(self.read).unwrap();
        let (head, body) = read.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {read}"));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap();
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let chunked = headers.get("transfer-encoding").is_some_and(|how| how == "chunked");
        let text = if chunked { unchunked(body) } else { body.to_owned() };
        Reply { status, headers, text }
    }
}

/// Sends a request and takes the whole reply.
pub(crate) async fn ask(at: SocketAddr, method: &str, path: &str, form: &str) -> Reply {
    begin(at, method, path, form).await.reply().await
}

fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        text.push_str(&rest[..length]);
        body = rest[length..].trim_start_matches("\r\n");
    }
    text
}
