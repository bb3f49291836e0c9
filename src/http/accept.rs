//! Accepts connections, as many as allowed and from whom is allowed, and finishes them when told to stop.
//!
//! Where there is no room a silent connection gives way. Where none is silent the new one waits, and those behind it in
//! the kernel's queue, not in ours; unless its client has its share, which is no reason to keep others waiting.
//!
//! Knows nothing of what is said on a connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::counters::{Counted, Counters};
use crate::clients::{Full, Network, Seat, Seats};
use crate::model::Nets;

/// A peer that takes nothing of what is sent to it for that long is gone, and so is its permit.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Wait after an accept that failed for want of something: descriptors come back as connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Part of the connections that one client may have.
const SHARE: usize = 4;
/// Failing accepts are worth a line that often.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// A listener whose connections are taken.
#[derive(Debug)]
pub struct Accepting {
    /// The open socket.
    pub listener: TcpListener,
    /// What log lines call it.
    pub name: &'static str,
    /// Connections at once. One client has a quarter of them, and loopback, where all programs are one address, all.
    pub connections_max: usize,
    /// Whose are taken; none: everybody's.
    pub allow: Option<Nets>,
    /// What is counted.
    pub counters: Counters,
    /// When no more are taken.
    pub stop: CancellationToken,
}

impl Accepting {
    /// Runs that on each connection until the stop; then waits for those that are open, for at most `drain`. It says of
    /// its seat when it is busy, and ends when that is taken away.
    pub async fn run<C>(
        self,
        drain: Duration,
        connection: impl Fn(TcpStream, SocketAddr, Arc<Seat>) -> C,
    ) where
        C: Future<Output = ()> + Send + 'static,
    {
        let name = self.name;
        let seats = Seats::new(self.connections_max, self.connections_max.div_ceil(SHARE));
        let mut connections = JoinSet::new();
        let mut warned = None;
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => break,
                Some(ended) = connections.join_next() => {
                    self.ended(ended);
                    continue;
                }
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((_, peer)) if !self.allows(peer) => _ = self.counters.refused.inc(),
                Ok((stream, peer)) => {
                    let seat = tokio::select! {
                        () = self.stop.cancelled() => break,
                        seat = self.seat(&seats, peer) => seat,
                    };
                    let Some(seat) = seat.map(Arc::new) else { continue };
                    if let Err(error) = prepare(&stream) {
                        tracing::debug!(%peer, %error, "{name} connection without its socket options");
                    }
                    let counted = Counted::new(&self.counters.connections);
                    let connection = connection(stream, peer, seat.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop((counted, seat));
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

    /// A seat for a connection of that peer, as soon as there is one; none where its client has its share.
    async fn seat(&self, seats: &Arc<Seats>, peer: SocketAddr) -> Option<Seat> {
        let client = client(peer);
        loop {
            match seats.enter(client) {
                Ok((seat, evicted)) => {
                    self.counters.crowded_out.inc_by(u64::from(evicted));
                    return Some(seat);
                }
                Err(Full::OfClient) => {
                    self.counters.crowded_out.inc();
                    return None;
                }
                Err(Full::Altogether) => seats.changed().await,
            }
        }
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

/// Whose connections are counted together; none: everybody's of this machine.
fn client(peer: SocketAddr) -> Option<Network> {
    let address = peer.ip().to_canonical();
    (!address.is_loopback()).then(|| Network::of_client(address))
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

    #[test]
    fn all_but_loopback_have_a_share() {
        let of = |text: &str| client(SocketAddr::new(text.parse().unwrap(), 7));
        for loopback in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(of(loopback), None, "{loopback}");
        }
        assert!(of("10.0.0.7").is_some() && of("10.0.0.7") != of("10.0.0.8"));
        assert_eq!(of("::ffff:10.0.0.7"), of("10.0.0.7"));
    }

    #[tokio::test]
    async fn a_client_that_has_its_share_keeps_nobody_waiting() {
        let seats = Seats::new(8, 2);
        let accepting = Accepting {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            name: "test",
            connections_max: 8,
            allow: None,
            counters: Counters::default(),
            stop: CancellationToken::new(),
        };
        let enter = |text: &str| accepting.seat(&seats, SocketAddr::new(text.parse().unwrap(), 7));
        let (one, two) = (enter("10.0.0.7").await.unwrap(), enter("10.0.0.7").await.unwrap());
        one.busy();
        let three = enter("10.0.0.7").await.unwrap();
        assert!(two.evicted().is_cancelled() && !one.evicted().is_cancelled(), "its silent one");
        three.busy();
        assert!(enter("10.0.0.7").await.is_none());
        assert_eq!(accepting.counters.crowded_out.get(), 2);
        assert!(enter("10.0.0.8").await.is_some() && enter("127.0.0.1").await.is_some());
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
            let served = accepting.run(Duration::ZERO, |mut stream, _, _| async move {
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
