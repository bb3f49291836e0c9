//! Takes calls over TCP, and keeps what they keep alive registered for as long as they come.
//!
//! Nothing is saved: servers say it again before long, and until then their leases last.
//!
//! Knows nothing of encodings.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::adapter::{Adapter, Place};
use super::frame::{FRAME_OCTETS_MAX, take_packet};
use super::node::{Caller, caller};
use super::request::{Call, Outcome, Request, ServerInfo};
use crate::clients::Seat;
use crate::compat::hold::{Hold, HoldError, Target};
use crate::compat::settings::Tars;
use crate::compat::{Compat, Room};
use crate::http::Accepting;
use crate::model::Namespace;

/// How long a frame may take from its first octet, and a reply to be taken.
const FRAME_TIME: Duration = Duration::from_secs(10);
/// How long a connection may be silent between calls: longer than any server is between two keep-alives.
const IDLE_TIME: Duration = Duration::from_secs(300);
/// Octets that are read at once.
const READ_OCTETS: usize = 4 * 1024;
/// A lease lasts that much longer than what is heard, so that it never ends first: it is renewed at a keep-alive, but
/// not at each.
const LEASE_PART: u32 = 6;
/// The node's answers: done, and no such server.
const DONE: i64 = 0;
const NOT_FOUND: i64 = -1;

/// What all connections share.
struct Node {
    adapters: Vec<Adapter>,
    hold: Hold,
    namespace: Namespace,
    timeout: Duration,
    ttl_secs: u32,
    /// When any server spoke last, in seconds since 1970.
    latest: AtomicI64,
    compat: Arc<Compat>,
    name: &'static str,
    stop: CancellationToken,
}

/// Serves until the room is stopped.
pub(in crate::compat) fn serve(
    settings: &Tars,
    accepting: Accepting,
    room: &Room<'_>,
    drain: Duration,
) {
    let secs = u32::try_from(settings.timeout.as_secs()).unwrap_or(u32::MAX);
    let node = Arc::new(Node {
        adapters: settings.adapters.clone(),
        // What is lost is heard anew by the next keep-alive.
        hold: Hold::start(room).0,
        namespace: room.namespace.clone(),
        timeout: settings.timeout,
        ttl_secs: secs.saturating_add(secs / (LEASE_PART - 1) + 1),
        latest: AtomicI64::new(0),
        compat: room.compat.clone(),
        name: room.name,
        stop: room.stop.clone(),
    });
    room.tasks.spawn(room.name, async move {
        accepting
            .run(drain, move |stream, peer, seat| talk(node.clone(), stream, peer, seat))
            .await;
        Ok(())
    });
}

/// Answers calls until the other side closes, falls silent, sends what is none, or has to make room while it is silent.
async fn talk(node: Arc<Node>, mut stream: TcpStream, peer: SocketAddr, seat: Arc<Seat>) {
    let mut received = BytesMut::new();
    loop {
        let packet = tokio::select! {
            () = node.stop.cancelled() => return,
            () = seat.evicted().cancelled() => return,
            packet = next(&mut stream, &mut received) => packet,
        };
        let packet = match packet {
            Ok(Some(packet)) => packet,
            Ok(None) => return,
            Err(why) => {
                node.compat.metrics.answered(node.name, 400);
                tracing::debug!(%peer, why, "tars connection closed");
                return;
            }
        };
        let request = match Request::parse(&packet) {
            Ok(request) => request,
            Err(why) => {
                node.compat.metrics.answered(node.name, 400);
                tracing::debug!(%peer, why, "tars packet is no request");
                return;
            }
        };
        seat.busy();
        let outcome = node.answer(&request, peer).await;
        let Some(reply) = request.reply(outcome) else {
            seat.idle();
            continue;
        };
        if !matches!(timeout(FRAME_TIME, stream.write_all(&reply)).await, Ok(Ok(()))) {
            return;
        }
        seat.idle();
    }
}

/// The next packet; none at the end of the connection, or where it was silent for too long.
async fn next(stream: &mut TcpStream, received: &mut BytesMut) -> Result<Option<Bytes>, String> {
    let mut due = None;
    loop {
        if let Some(packet) = take_packet(received).map_err(|error| error.to_string())? {
            return Ok(Some(packet));
        }
        let begun = !received.is_empty();
        let until = match due {
            Some(due) => due,
            None if begun => *due.insert(Instant::now() + FRAME_TIME),
            None => Instant::now() + IDLE_TIME,
        };
        // What one read brings beyond a frame is the most that is kept.
        received.reserve(READ_OCTETS.min(FRAME_OCTETS_MAX));
        match timeout_at(until, stream.read_buf(received)).await {
            Ok(Ok(0)) if begun => return Err("it ends within a frame".to_owned()),
            Ok(Ok(0)) => return Ok(None),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) if begun => return Err("a frame did not arrive whole in time".to_owned()),
            Err(_) => return Ok(None),
        }
    }
}

impl Node {
    async fn answer(&self, request: &Request<'_>, peer: SocketAddr) -> Outcome {
        let (code, outcome) = match request.call() {
            Err(why) => {
                tracing::debug!(%peer, why, "tars call can't be read");
                (400, Outcome::Undecodable)
            }
            Ok(Call::KeepAlive(info)) => match self.keep(&info, peer).await {
                Ok(()) => (200, Outcome::Returned(DONE)),
                Err(why) => {
                    tracing::debug!(%peer, ?info, why, "tars keep-alive refused");
                    (404, Outcome::Returned(NOT_FOUND))
                }
            },
            // It does not serve yet: what is registered of the one before it lasts until then.
            Ok(Call::KeepActiving(info)) => match self.places(&info, peer) {
                Ok(_) => (200, Outcome::Returned(DONE)),
                Err(_) => (404, Outcome::Returned(NOT_FOUND)),
            },
            Ok(Call::ReportVersion | Call::Ping) => (200, Outcome::Returned(DONE)),
            Ok(Call::LatestKeepAliveTime) => (200, Outcome::Returned(self.latest.load(Relaxed))),
            Ok(Call::Unknown) => (400, Outcome::NoFunction),
        };
        self.compat.metrics.answered(self.name, code);
        outcome
    }

    /// What a call is about, where it is one that a node takes.
    fn places(
        &self,
        info: &ServerInfo,
        peer: SocketAddr,
    ) -> Result<Vec<(&Adapter, &Place)>, String> {
        if info.pid <= 0 {
            return Err(format!("pid must be above 0, got {}", info.pid));
        }
        match caller(&self.adapters, info, peer.ip()) {
            Caller::Known(places) => Ok(places),
            Caller::Unknown => Err("no such server is declared at that address".to_owned()),
        }
    }

    /// Keeps registered what the call keeps alive, until the time-out after it.
    async fn keep(&self, info: &ServerInfo, peer: SocketAddr) -> Result<(), String> {
        let until = Instant::now() + self.timeout;
        let places = self.places(info, peer)?;
        let since = (self.compat.wall_clock)().duration_since(SystemTime::UNIX_EPOCH);
        let secs = i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
        self.latest.store(secs, Relaxed);
        let puts = places.into_iter().map(|(adapter, place)| {
            let (namespace, app) = (self.namespace.clone(), adapter.app.clone());
            let target = Target { namespace, app, id: place.id.clone() };
            self.hold.put_until(target, place.instance.clone(), self.ttl_secs, until)
        });
        for put in join_all(puts).await {
            match put {
                // Tried on until then.
                Ok(_) | Err(HoldError::Pending(_) | HoldError::Others) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }
}
