//! An HTTP client for tests of the whole server: one connection, JSON.

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
        let mut request =
            Request::builder().method(method).uri(path).header("host", self.address.to_string());
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let octets = body.map_or_else(Bytes::new, |body| body.to_string().into());
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

/// A write that the server has accepted and waits for the body of.
pub(crate) struct Begun {
    stream: TcpStream,
    body: String,
}

impl Begun {
    pub(crate) async fn put(address: SocketAddr, path: &str, body: &Value) -> Self {
        let body = body.to_string();
        let head = format!(
            "PUT {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nexpect: 100-continue\r\n\r\n",
            body.len()
        );
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
