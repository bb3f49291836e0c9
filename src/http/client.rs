//! The other end: one request on a connection that somebody has made (TCP, TLS or a socket of this host), and its reply,
//! whose body is read within bounds.
//!
//! Knows nothing of where a connection leads, and of how long anybody waits: whoever asks sets a time of its own around
//! it all.

use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

/// A reply whose body is yet to come. Its connection ends with it.
pub struct Reply {
    status: StatusCode,
    body: Incoming,
    _connection: JoinSet<()>,
}

/// Sends a request, whose target is a path and whose headers have a host, and waits for the head of its reply.
///
/// # Errors
/// The connection broke, or what came is no reply.
pub async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Reply, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        // Whatever breaks the connection shows in the reply, which somebody waits for.
        let _ = connection.await;
    });
    let reply = sender.send_request(request).await?;
    Ok(Reply { status: reply.status(), body: reply.into_body(), _connection: tasks })
}

impl Reply {
    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The next octets of its body; none at its end. Cancel-safe.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn next(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(octets) = frame?.into_data() {
                return Ok(Some(octets));
            }
        }
        Ok(None)
    }

    /// Its whole body.
    ///
    /// # Errors
    /// The connection broke, or the body is longer than that.
    pub async fn whole(self, octets_max: usize) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
        let Self { body, _connection, .. } = self;
        Ok(Limited::new(body, octets_max).collect().await?.to_bytes())
    }

    /// That many octets of its body, or all if it has less; what comes behind them is not waited for.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn beginning(mut self, octets: usize) -> Result<Vec<u8>, hyper::Error> {
        let mut beginning = Vec::new();
        while beginning.len() < octets
            && let Some(data) = self.next().await?
        {
            beginning.extend(data.iter().take(octets - beginning.len()));
        }
        Ok(beginning)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// What a server that says this to a request is taken to have said.
    async fn said(text: &str) -> Result<Reply, hyper::Error> {
        let (ours, mut theirs) = duplex(4_096);
        let request = Request::builder().uri("/a").header("host", "x").body(Full::default());
        let serve = async {
            let mut request = [0; 256];
            let octets = theirs.read(&mut request).await.unwrap();
            assert!(request[..octets].starts_with(b"GET /a HTTP/1.1\r\nhost: x\r\n"));
            theirs.write_all(text.as_bytes()).await.unwrap();
            // Here the stream ends.
            drop(theirs);
        };
        tokio::join!(exchange(ours, request.unwrap()), serve).0
    }

    #[tokio::test]
    async fn a_body_is_taken_whole_or_in_parts_within_bounds() {
        let text = "HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\n12345";
        let reply = said(text).await.unwrap();
        assert_eq!(reply.status(), StatusCode::NOT_FOUND);
        assert_eq!(reply.whole(5).await.unwrap(), "12345");
        assert!(said(text).await.unwrap().whole(4).await.is_err());
        assert_eq!(said(text).await.unwrap().beginning(4).await.unwrap(), b"1234");
        assert_eq!(said(text).await.unwrap().beginning(9).await.unwrap(), b"12345");
        let mut reply = said(text).await.unwrap();
        assert_eq!(reply.next().await.unwrap().unwrap(), "12345");
        assert_eq!(reply.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_reply_that_breaks_off_is_none() {
        let cut = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n123";
        assert!(said(cut).await.unwrap().whole(5).await.is_err());
        assert!(said(cut).await.unwrap().beginning(5).await.is_err());
        assert_eq!(said(cut).await.unwrap().beginning(3).await.unwrap(), b"123");
        for nothing in ["", "HTTP/1.1 200", "rubbish\r\n\r\n"] {
            assert!(said(nothing).await.is_err(), "{nothing:?}");
        }
    }
}
