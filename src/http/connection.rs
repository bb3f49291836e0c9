//! HTTP/1.1 on one connection, under TLS where that is asked for.
//!
//! Knows nothing of how the connection came, and of routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::arrival::{Arrival, Requests};
use super::busy::Busy;
use crate::clients::Seat;
use crate::tls::{Acceptor, ServerStream};

/// hyper's read buffer: above the 16 KiB head that gates allow, so that their refusals have our words. What
/// exceeds this one too gets hyper's bare 431.
const READ_BUFFER_OCTETS: usize = 32 * 1024;
/// How long a connection may be silent between two requests: longer than the 10 s of heartbeats by default.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How long one that gives way may take to send what is left of its last answer.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Who sent a request; each carries it as an extension.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// What connections are served with.
#[derive(Clone)]
pub struct Http {
    /// Where requests go.
    pub router: Router,
    /// None: plain HTTP.
    pub acceptor: Option<Arc<Acceptor>>,
    /// For the handshake, and for the head of each request.
    pub head_timeout: Duration,
    /// When connections end, after the request that is being answered.
    pub stop: CancellationToken,
}

impl Http {
    /// Serves a connection to its end, which comes when its seat is taken away while it is silent, too.
    pub async fn serve(self, stream: TcpStream, peer: SocketAddr, seat: Arc<Seat>) {
        match self.acceptor.clone() {
            None => self.talk(stream, peer, seat).await,
            Some(acceptor) => {
                if let Some(stream) = self.handshake(&acceptor, stream, peer, &seat).await {
                    self.talk(stream, peer, seat).await;
                }
            }
        }
    }

    async fn handshake(
        &self,
        acceptor: &Acceptor,
        stream: TcpStream,
        peer: SocketAddr,
        seat: &Seat,
    ) -> Option<ServerStream> {
        let secured = tokio::select! {
            secured = timeout(self.head_timeout, acceptor.accept(stream)) => secured,
            () = self.stop.cancelled() => return None,
            () = seat.evicted().cancelled() => return None,
        };
        match secured {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => tracing::debug!(%peer, %error, "http connection without TLS"),
            Err(_) => tracing::debug!(%peer, "http connection without TLS in time"),
        }
        None
    }

    async fn talk<S>(self, stream: S, peer: SocketAddr, seat: Arc<Seat>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Self { router, head_timeout, stop, .. } = self;
        let requests = Requests::default();
        let stream = Arrival::new(stream, requests.clone(), head_timeout);
        let (asked, own_seat) = (requests.clone(), seat.clone());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            let (answering, busy) = (requests.begin(), Busy::new(&own_seat));
            request.extensions_mut().insert(Peer(peer));
            let answer = router.clone().oneshot(request.map(Body::new));
            async move {
                let answer = answer.await;
                drop(answering);
                answer.map(|response| response.map(|body| busy.until_sent(body)))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_TIMEOUT)
            .max_buf_size(READ_BUFFER_OCTETS)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = seat.evicted().cancelled() => {
                connection.as_mut().graceful_shutdown();
                // A request may have come this moment. What is but half of one is not waited for: others have the seat.
                match asked.is_answering() {
                    true => connection.await,
                    false => timeout(LEAVE_TIMEOUT, connection).await.unwrap_or(Ok(())),
                }
            }
        };
        if let Err(error) = result {
            tracing::debug!(%peer, %error, "http connection ended");
        }
    }
}
