//! DNS on TCP connections (RFC 7766), bare or under TLS (RFC 7858): accepts, within limits, and never stops
//! accepting.
//!
//! `table` knows who is connected and makes room by closing whoever has been idle longest; `connection` keeps
//! deadlines; `pipeline` reads, answers and writes; `stream` is what it writes to. DNS over HTTPS has its
//! connections accepted here too. UDP has threads and sockets of its own, so that nothing here
//! can slow it.
//!
//! Knows nothing of what an answer holds.

mod connection;
mod pipeline;
mod stream;
mod table;

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::connection::Connection;
pub(super) use self::table::Place;
use self::table::Table;
use super::settings::Settings;
use super::source::Source;
use super::stats::{Counters, Stats};
use super::transport::Transport;
use crate::supervise::panic_message;
use crate::tls::{Acceptor, ServerStream};

/// How long connections may take to finish what is in flight when the server stops (law 10,
/// docs/architecture.md).
pub(super) const DRAIN: Duration = Duration::from_secs(5);
/// Pause after running out of descriptors: some connection will have ended by then.
const PAUSE_EXHAUSTED: Duration = Duration::from_millis(100);
/// Pause after an error that says nothing of the next connection, so that no error makes a busy loop.
const PAUSE_STRANGE: Duration = Duration::from_millis(5);

/// What all connections of a transport share.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) source: Source,
    pub(super) transport: Transport,
    pub(super) counters: Arc<Counters>,
    table: Arc<Table>,
    pub(super) stop: CancellationToken,
    /// How long a connection may be idle.
    pub(super) idle: Duration,
    /// How long a message may take to arrive whole, or replies to be taken.
    pub(super) message: Duration,
}

impl Service {
    pub(super) fn new(
        transport: Transport,
        settings: &Settings,
        source: Source,
        stats: &Arc<Stats>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            source,
            transport,
            counters: stats.counters(transport),
            table: Table::new(transport, settings, stats.clone()),
            stop,
            idle: settings.tcp_idle,
            message: settings.tcp_message,
        })
    }

    /// Does the handshake with a client: within the time of a message, and giving way to others for as long as
    /// it lasts. None where nothing came of it.
    pub(super) async fn secure(
        &self,
        acceptor: &Acceptor,
        stream: TcpStream,
        place: &Place,
    ) -> Option<ServerStream> {
        let secured = tokio::select! {
            () = self.stop.cancelled() => return None,
            () = place.evicted().cancelled() => return None,
            secured = timeout(self.message, acceptor.accept(stream)) => secured,
        };
        if let Ok(Ok(stream)) = secured {
            return Some(stream);
        }
        self.counters.failed(1);
        None
    }
}

/// Serves one listener until the service is stopped, then waits for what is in flight.
pub(super) async fn serve(listener: TcpListener, service: Arc<Service>) -> Result<(), String> {
    let talk =
        |stream, client, place| Connection::new(stream, client, place, service.clone()).run();
    accept(listener, &service, talk).await
}

/// The same, under TLS.
pub(super) async fn serve_secure(
    listener: TcpListener,
    service: Arc<Service>,
    acceptor: Arc<Acceptor>,
) -> Result<(), String> {
    let talk = |stream, client, place| {
        let (service, acceptor) = (service.clone(), acceptor.clone());
        async move {
            if let Some(stream) = service.secure(&acceptor, stream, &place).await {
                Connection::new(stream, client, place, service).run().await;
            }
        }
    };
    accept(listener, &service, talk).await
}

/// Accepts connections that there is a place for, and lets `talk` have them.
pub(super) async fn accept<T: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    service: &Service,
    talk: impl Fn(TcpStream, IpAddr, Place) -> T,
) -> Result<(), String> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = service.stop.cancelled() => break,
            Some(ended) = connections.join_next() => heard(ended)?,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Some(place) = service.table.enter(peer.ip()) else { continue };
                    // Replies are written whole; waiting to fill a segment would only delay them.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(talk(stream, peer.ip(), place));
                }
                Err(error) => trouble(&error, service).await?,
            },
        }
    }
    drop(listener);
    let finish = async {
        while let Some(ended) = connections.join_next().await {
            heard(ended)?;
        }
        Ok(())
    };
    // Connections that are left after that time are cut with the set.
    timeout(DRAIN, finish).await.unwrap_or(Ok(()))
}

/// A connection that ended; a panic in one ends the server, as it would on UDP.
fn heard(ended: Result<(), JoinError>) -> Result<(), String> {
    match ended.map_err(JoinError::try_into_panic) {
        Err(Ok(panic)) => Err(format!("connection panicked: {}", panic_message(&*panic))),
        _ => Ok(()),
    }
}

/// What an error in accepting asks for: nothing, patience, or an end.
async fn trouble(error: &io::Error, service: &Service) -> Result<(), String> {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
            service.table.exhausted(error);
            tokio::time::sleep(PAUSE_EXHAUSTED).await;
            Ok(())
        }
        Some(
            Errno::EBADF | Errno::EINVAL | Errno::ENOTSOCK | Errno::EOPNOTSUPP | Errno::EFAULT,
        ) => Err(format!("cannot accept: {error}")),
        // The client changed its mind.
        Some(Errno::ECONNABORTED | Errno::EINTR | Errno::EAGAIN) => Ok(()),
        _ => {
            service.counters.failed(1);
            tokio::time::sleep(PAUSE_STRANGE).await;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::answer::policy::Policy;
    use crate::zone::Published;

    #[tokio::test(start_paused = true)]
    async fn running_out_of_descriptors_closes_an_idle_one_and_goes_on() {
        let (settings, stats) = (Settings::default(), Arc::<Stats>::default());
        let published = Arc::new(Published::new(Arc::default()));
        let source = Source::new(published, Policy::default(), || 0);
        let stop = CancellationToken::new();
        let service = Service::new(Transport::Tcp, &settings, source, &stats, stop);
        let table = service.table.clone();
        let client = IpAddr::from([192, 0, 2, 1]);
        let (one, two) = (table.enter(client).unwrap(), table.enter(client).unwrap());
        for errno in [Errno::EMFILE, Errno::ECONNABORTED, Errno::EPROTO] {
            trouble(&errno.into(), &service).await.unwrap();
        }
        assert!(one.evicted().is_cancelled() && !two.evicted().is_cancelled());
        assert!(trouble(&Errno::EBADF.into(), &service).await.is_err());
        let first = table.warned().unwrap();
        trouble(&Errno::ENFILE.into(), &service).await.unwrap();
        assert_eq!(table.warned(), Some(first), "one warning a minute");
        tokio::time::advance(Duration::from_secs(60)).await;
        trouble(&Errno::ENFILE.into(), &service).await.unwrap();
        assert_ne!(table.warned(), Some(first));
    }
}
