//! A client of v2 keys that sends what it is told, and sees all that comes back.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) use crate::support::http::Said as Reply;
use crate::support::soon;

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
        Reply::read(&String::from_utf8(self.read).unwrap())
    }
}

/// Sends a request and takes the whole reply.
pub(crate) async fn ask(at: SocketAddr, method: &str, path: &str, form: &str) -> Reply {
    begin(at, method, path, form).await.reply().await
}
