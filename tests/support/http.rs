//! HTTP clients for tests of the whole server: one that keeps its connection and speaks JSON, and requests as any
//! other client writes them, octet by octet.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::soon;

/// A connection that is used again and again.
pub(crate) struct Http {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
    _connection: JoinSet<()>,
}

/// A whole reply.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    /// The body; a text where it is not JSON.
    pub(crate) body: Value,
}

impl Http {
    pub(crate) async fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TokioIo::new(TcpStream::connect(address).await?);
        let (sender, connection) = handshake(stream).await.map_err(std::io::Error::other)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // What breaks it shows in the reply that does not come.
            let _ = connection.await;
        });
        Ok(Self { address, sender, _connection: tasks })
    }

    /// Sends a request and takes the whole reply.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, hyper::Error> {
        match body {
            None => self.send_octets(method, path, "", Bytes::new()).await,
            Some(body) => {
                self.send_octets(method, path, "application/json", body.to_string().into()).await
            }
        }
    }

    /// The same with any octets as the body, and the type that is said of them, if any.
    pub(crate) async fn send_octets(
        &mut self,
        method: &str,
        path: &str,
        kind: &str,
        octets: Bytes,
    ) -> Result<Reply, hyper::Error> {
        let mut request =
            Request::builder().method(method).uri(path).header("host", self.address.to_string());
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        let request = request.body(Full::new(octets)).unwrap();
        let exchange = async {
            self.sender.ready().await?;
            let reply = self.sender.send_request(request).await?;
            let (head, body) = reply.into_parts();
            let octets = body.collect().await?.to_bytes();
            let text = || Value::String(String::from_utf8_lossy(&octets).into_owned());
            Ok(Reply {
                status: head.status.as_u16(),
                retry_after: head
                    .headers
                    .get("retry-after")
                    .map(|value| value.to_str().unwrap().to_owned()),
                body: serde_json::from_slice(&octets).unwrap_or_else(|_| text()),
            })
        };
        soon((method, path), exchange).await
    }
}

/// Sends a request over a connection of its own, and gives all that comes until the other side closes: a refusal may come
/// before all was sent.
pub(crate) async fn raw(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(request.as_ref()).await;
    let mut reply = Vec::new();
    let _ = soon("a reply", stream.read_to_end(&mut reply)).await;
    String::from_utf8_lossy(&reply).into_owned()
}

/// A whole reply of a server of other systems' clients, with its headers.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Said {
    /// From all that came over a connection.
    pub(crate) fn read(reply: &str) -> Self {
        let (head, body) =
            reply.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {reply}"));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap();
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let chunked = headers.get("transfer-encoding").is_some_and(|how| how == "chunked");
        let text = if chunked { unchunked(body) } else { body.to_owned() };
        Self { status, headers, text }
    }

    /// The body as JSON; null where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// Where the registry stood, as etcd or Consul says it.
    pub(crate) fn index(&self) -> u64 {
        let index =
            ["x-etcd-index", "x-consul-index"].iter().find_map(|name| self.headers.get(*name));
        index.unwrap().parse().unwrap()
    }
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

/// A write that the server has accepted and waits for the body of.
pub(crate) struct Begun {
    stream: TcpStream,
    body: String,
}

impl Begun {
    pub(crate) async fn put(address: SocketAddr, path: &str, body: &Value) -> Self {
        let head =
            format!("PUT {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json");
        Self::begin(address, &head, body.to_string()).await
    }

    /// The same with any first line and headers.
    pub(crate) async fn begin(address: SocketAddr, head: &str, body: String) -> Self {
        let length = body.len();
        let head = format!("{head}\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n\r\n");
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // Said once the body is wanted.
        let mut interim = [0; 25];
        soon("the interim reply", stream.read_exact(&mut interim)).await.unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        Self { stream, body }
    }

    /// Sends the body and gives the reply as it came, up to the end of the connection.
    pub(crate) async fn finish(mut self) -> String {
        self.stream.write_all(self.body.as_bytes()).await.unwrap();
        let mut reply = String::new();
        soon("the reply", self.stream.read_to_string(&mut reply)).await.unwrap();
        reply
    }
}
