//! Accepts connections, as many as allowed and from whom is allowed, and finishes them when told to stop.
//!
//! The permit comes before the accept: what is too much waits in the kernel's queue, not in ours.
//!
//! Knows nothing of what is said on a connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::counters::{Counted, Counters};
use crate::model::Nets;

/// A peer that takes nothing of what is sent to it for that long is gone, and so is its permit.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Wait after an accept that failed for want of something: descriptors come back as connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Failing accepts are worth a line that often.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// A listener whose connections are taken.
#[derive(Debug)]
pub struct Accepting {
    /// The open socket.
    pub listener: TcpListener,
    /// What log lines call it.
    pub name: &'static str,
    /// Connections at once.
    pub connections_max: usize,
    /// Whose are taken; none: everybody's.
    pub allow: Option<Nets>,
    /// What is counted.
    pub counters: Counters,
    /// When no more are taken.
    pub stop: CancellationToken,
}

impl Accepting {
    /// Runs that on each connection until the stop; then waits for those that are open, for at most `drain`.
    pub async fn run<C>(self, drain: Duration, connection: impl Fn(TcpStream, SocketAddr) -> C)
    where
        C: Future<Output = ()> + Send + 'static,
    {
        let name = self.name;
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
                Ok((_, _, peer)) if !self.allows(peer) => _ = self.counters.refused.inc(),
                Ok((permit, stream, peer)) => {
                    if let Err(error) = prepare(&stream) {
                        tracing::debug!(%peer, %error, "{name} connection without its socket options");
                    }
                    let counted = Counted::new(&self.counters.connections);
                    let connection = connection(stream, peer);
                    connections.spawn(async move {
                        connection.await;
                        drop((counted, permit));
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    let now = Instant::now();
                    if warned.is_none_or(|at: Instant| now.duration_since(at) >= WARN_INTERVAL) {
                        tracing::warn!(%error, "cannot accept {name} connections: raise the descriptor limit");
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
                "{name} connections cut at the drain deadline"
            );
        }
        connections.shutdown().await;
    }

    fn allows(&self, peer: SocketAddr) -> bool {
        self.allow.as_ref().is_none_or(|nets| nets.contain(peer.ip()))
    }

    fn ended(&self, ended: Result<(), JoinError>) {
        // Handlers' panics end at their gates: this one is of the connection itself.
        if let Err(error) = ended {
            self.counters.panics.inc();
            tracing::error!(%error, "{} connection panicked", self.name);
        }
    }
}

type Accepted = (OwnedSemaphorePermit, TcpStream, SocketAddr);

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

    #[tokio::test]
    async fn who_is_not_allowed_is_closed_at_once_and_counted() {
        for (allow, greeted) in [(Nets::loopback(), 1), (Nets::new(Vec::new()), 0)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (counters, stop) = (Counters::default(), CancellationToken::new());
            let accepting = Accepting {
                listener,
                name: "test",
                connections_max: 1,
                allow: Some(allow),
                counters: counters.clone(),
                stop: stop.clone(),
            };
            let served = accepting.run(Duration::ZERO, |mut stream, _| async move {
                tokio::io::AsyncWriteExt::write_all(&mut stream, b"x").await.unwrap();
            });
            let asked = async {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let mut said = Vec::new();
                let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut said);
                timeout(Duration::from_secs(30), read).await.unwrap().unwrap();
                stop.cancel();
                assert_eq!(said.len(), greeted);
            };
            tokio::join!(served, asked);
            assert_eq!(counters.refused.get(), 1 - greeted as u64);
        }
    }
}
