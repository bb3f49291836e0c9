//! Accepts connections, as many as allowed, and runs HTTP/1.1 on them, under TLS where that is asked for, until it
//! is told to stop.
//!
//! The permit comes before the accept: what is too much waits in the kernel's queue, not in ours.
//!
//! Knows nothing of routes.

use std::io;
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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::arrival::{Arrival, Requests};
use super::call::Peer;
use super::listen::Listener;
use super::metrics::Counted;
use super::renewals::Renewals;
use super::token::Tokens;
use super::{Api, Shared, routes};
use crate::registry::{LeaseId, Registry};
use crate::tls::{Acceptor, ServerStream};

/// What is spoken under TLS (RFC 7301 section 6).
const ALPN: &[&str] = &["http/1.1"];
/// hyper's read buffer: above the 16 KiB head that the gate allows, so that its refusal has our words. What
/// exceeds this one too gets hyper's bare 431.
const READ_BUFFER_OCTETS: usize = 32 * 1024;
/// How long a connection may be silent between two requests: longer than the 10 s of heartbeats by default.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Connections of the health listener: a few monitors.
const HEALTH_CONNECTIONS_MAX: usize = 64;
/// Leases waiting to be given back; beyond that they end by themselves.
const UNUSED_LEASES_MAX: usize = 1_024;
/// A peer that takes nothing of what is sent to it for that long is gone, and so is its permit.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Wait after an accept that failed for want of something: descriptors come back as connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Failing accepts are worth a line that often.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Serves until `stop`; then finishes the requests in flight, for at most `drain`.
pub async fn serve(api: Api, listener: Listener, stop: CancellationToken, drain: Duration) {
    let (unused_leases, unused) = mpsc::channel(UNUSED_LEASES_MAX);
    let connections_max = api.settings.connections_max;
    let shared = Arc::new(Shared {
        tokens: Tokens::new(&api.settings.tokens),
        renewals: Renewals::default(),
        watchers: Arc::new(Semaphore::new(api.settings.watchers_max)),
        unused_leases,
        stop: stop.clone(),
        api,
    });
    let plane = |listener, router, acceptor, connections_max| {
        let (shared, stop) = (shared.clone(), stop.clone());
        Plane { listener, router, acceptor, connections_max, shared, stop }.run(drain)
    };
    let own = shared.api.settings.identity.clone();
    let acceptor = own.map(|own| Arc::new(Acceptor::new(own, ALPN)));
    let api = plane(listener.api, routes::api(&shared), acceptor, connections_max);
    // Monitors have no certificates, and nothing there is worth one.
    let health = listener
        .health
        .map(|listener| plane(listener, routes::health(&shared), None, HEALTH_CONNECTIONS_MAX));
    let health = async {
        if let Some(health) = health {
            health.await;
        }
    };
    let registry = shared.api.registry.clone();
    let served = async { tokio::join!(api, health) };
    tokio::select! {
        _ = served => {}
        () = give_back(registry, unused) => {}
    }
}

/// Revokes leases whose write was not done. Best effort: they also end by themselves. Never ends while
/// requests can be made.
async fn give_back(registry: Arc<dyn Registry>, mut unused: mpsc::Receiver<LeaseId>) {
    while let Some(lease) = unused.recv().await {
        if let Err(error) = registry.revoke(lease).await {
            tracing::debug!(%lease, %error, "unused lease left to end by itself");
        }
    }
}

/// One listener and what it serves.
struct Plane {
    listener: TcpListener,
    router: Router,
    /// None: plain HTTP.
    acceptor: Option<Arc<Acceptor>>,
    connections_max: usize,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

impl Plane {
    async fn run(self, drain: Duration) {
        let permits = Arc::new(Semaphore::new(self.connections_max));
        let mut connections = JoinSet::new();
        let mut warned = None;
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => break,
                Some(ended) = connections.join_next() => {
                    self.ended(ended);
                    continue;
                }
                accepted = accept(&permits, &self.listener) => accepted,
            };
            match accepted {
                Ok((permit, stream, peer)) => {
                    let connection = self.connection(stream, peer);
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    let now = Instant::now();
                    if warned.is_none_or(|at: Instant| now.duration_since(at) >= WARN_INTERVAL) {
                        tracing::warn!(%error, "cannot accept http connections: raise the descriptor limit");
                        warned = Some(now);
                    }
                    tokio::select! {
                        () = self.stop.cancelled() => break,
                        () = sleep(ACCEPT_PAUSE) => {}
                    }
                }
            }
        }
        // Closed first, so that nobody waits in its queue for an answer that can't come.
        drop(self.listener);
        let finish = async { while connections.join_next().await.is_some() {} };
        if timeout(drain, finish).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "http connections cut at the drain deadline"
            );
        }
        connections.shutdown().await;
    }

    fn ended(&self, ended: Result<(), JoinError>) {
        // Handlers' panics end at the gate: this one is of the connection itself.
        if let Err(error) = ended {
            self.shared.api.metrics.panics.inc();
            tracing::error!(%error, "http connection panicked");
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> impl Future<Output = ()> + Send + use<> {
        let acceptor = self.acceptor.clone();
        let counted = Counted::new(&self.shared.api.metrics.connections);
        let talk = Talk {
            router: self.router.clone(),
            head_timeout: self.shared.api.settings.request_timeout,
            stop: self.stop.clone(),
            peer,
        };
        async move {
            if let Err(error) = prepare(&stream) {
                tracing::debug!(%peer, %error, "http connection without its socket options");
            }
            match acceptor {
                None => talk.http(stream).await,
                Some(acceptor) => {
                    if let Some(stream) = talk.handshake(&acceptor, stream).await {
                        talk.http(stream).await;
                    }
                }
            }
            drop(counted);
        }
    }
}

/// One connection.
struct Talk {
    router: Router,
    /// For the handshake, and for the head of each request.
    head_timeout: Duration,
    stop: CancellationToken,
    peer: SocketAddr,
}

impl Talk {
    async fn handshake(&self, acceptor: &Acceptor, stream: TcpStream) -> Option<ServerStream> {
        let peer = self.peer;
        let secured = tokio::select! {
            secured = timeout(self.head_timeout, acceptor.accept(stream)) => secured,
            () = self.stop.cancelled() => return None,
        };
        match secured {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => tracing::debug!(%peer, %error, "http connection without TLS"),
            Err(_) => tracing::debug!(%peer, "http connection without TLS in time"),
        }
        None
    }

    async fn http<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Self { router, head_timeout, stop, peer } = self;
        let requests = Requests::default();
        let stream = Arrival::new(stream, requests.clone(), head_timeout);
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            let answering = requests.begin();
            request.extensions_mut().insert(Peer(peer));
            let answer = router.clone().oneshot(request.map(Body::new));
            async move {
                let answer = answer.await;
                drop(answering);
                answer
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
        };
        if let Err(error) = result {
            tracing::debug!(%peer, %error, "http connection ended");
        }
    }
}

type Accepted = (tokio::sync::OwnedSemaphorePermit, TcpStream, SocketAddr);

async fn accept(permits: &Arc<Semaphore>, listener: &TcpListener) -> io::Result<Accepted> {
    let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((permit, stream, peer))
}

/// Whether an accept failed for what its one connection did (accept(2)): the next may well succeed.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, WouldBlock,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | WouldBlock
    )
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(SEND_TIMEOUT))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_errors_are_sorted() {
        const EMFILE: i32 = 24;
        const ECONNABORTED: i32 = 103;
        assert!(!is_of_one_connection(&io::Error::from_raw_os_error(EMFILE)));
        assert!(is_of_one_connection(&io::Error::from_raw_os_error(ECONNABORTED)));
    }
}
