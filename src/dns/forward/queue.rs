//! From UDP workers to the forwarder, and back to the client: a worker never waits.
//!
//! Knows nothing of how names are looked up.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Forwarder;
use crate::dns::limit::{Judgement, Limiter};
use crate::dns::stats::{Counters, TransportTotals};
use crate::dns::transport::Transport;
use crate::dns::udp::Replier;
use crate::supervise::panic_message;

/// Queries that wait for the forwarder to take them, which it does at once: what a burst brings between two turns of
/// its task.
const WAITING_MAX: usize = 1_024;

/// Where workers put queries down.
#[derive(Debug, Clone)]
pub(in crate::dns) struct Queue {
    forwarder: Forwarder,
    jobs: mpsc::Sender<Job>,
}

/// A query, and how its reply goes back.
#[derive(Debug)]
pub(in crate::dns) struct Job {
    query: Vec<u8>,
    back: Back,
}

/// The way back to a client.
#[derive(Debug)]
pub(in crate::dns) struct Back {
    pub(in crate::dns) from: SocketAddr,
    /// The address that was asked, where the socket has many.
    pub(in crate::dns) asked: Option<IpAddr>,
    /// The client has shown by a cookie that it is where it says.
    pub(in crate::dns) known: bool,
    pub(in crate::dns) replier: Arc<Replier>,
}

/// How replies are sent: counted, and limited as all others in datagrams are.
#[derive(Debug)]
pub(in crate::dns) struct Outlet {
    counters: Arc<Counters>,
    limiter: Option<Arc<Limiter>>,
}

impl Outlet {
    pub(in crate::dns) fn new(counters: Arc<Counters>, limiter: Option<Arc<Limiter>>) -> Self {
        Self { counters, limiter }
    }

    fn judge(&self, back: &Back, reply: &[u8]) -> Judgement {
        let Some(limiter) = self.limiter.as_ref().filter(|_| !back.known) else {
            return Judgement::Pass;
        };
        limiter.judge(back.from.ip(), reply, limiter.now_micros(), fastrand::u64(..))
    }
}

impl Queue {
    /// A queue to that forwarder, and its other end.
    pub(in crate::dns) fn new(forwarder: Forwarder) -> (Self, mpsc::Receiver<Job>) {
        let (jobs, taken) = mpsc::channel(WAITING_MAX);
        (Self { forwarder, jobs }, taken)
    }

    /// Has a query looked up, and its reply sent that way back. Where there is no place: the reply to send now.
    pub(in crate::dns) fn put(&self, query: &[u8], back: Back) -> Option<Vec<u8>> {
        match self.jobs.try_reserve() {
            Ok(place) => {
                place.send(Job { query: query.to_vec(), back });
                None
            }
            Err(_) => Some(self.forwarder.refuse(query, back.from.ip(), Transport::Udp)),
        }
    }
}

/// Looks up what comes through the queue until told to stop. There are never more look-ups than may wait, and those
/// that have not to, which end at once.
pub(in crate::dns) async fn serve(
    forwarder: Forwarder,
    mut jobs: mpsc::Receiver<Job>,
    outlet: Outlet,
    stop: CancellationToken,
) -> Result<(), String> {
    let mut look_ups = JoinSet::new();
    let outlet = Arc::new(outlet);
    let most = forwarder.inner.places.waiting_max().saturating_add(WAITING_MAX);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = look_ups.join_next() => heard(ended)?,
            Some(job) = jobs.recv(), if look_ups.len() < most => {
                look_ups.spawn(answer(forwarder.clone(), job, outlet.clone()));
            }
        }
    }
    // What was asked before the stop is still answered, which takes no longer than the forwarder's time-out.
    while let Some(ended) = look_ups.join_next().await {
        heard(ended)?;
    }
    Ok(())
}

/// A look-up that ended; a panic in one ends the server, as it would in a worker.
fn heard(ended: Result<(), JoinError>) -> Result<(), String> {
    match ended.map_err(JoinError::try_into_panic) {
        Err(Ok(panic)) => Err(format!("a look-up panicked: {}", panic_message(&*panic))),
        _ => Ok(()),
    }
}

async fn answer(forwarder: Forwarder, job: Job, outlet: Arc<Outlet>) {
    let Job { query, back } = job;
    let client = back.from.ip();
    let mut reply = forwarder.forward(&query, client, Transport::Udp).await;
    if reply.is_empty() {
        return;
    }
    let judgement = outlet.judge(&back, &reply);
    let mut tally = TransportTotals::default();
    tally.judged(judgement);
    if judgement == Judgement::Slip {
        reply = forwarder.slip(&query, client);
    }
    if judgement != Judgement::Drop {
        tally.answered(&query, &reply);
        let sent = back.replier.send(&reply, back.from, back.asked);
        tally.failed += u64::from(sent.is_err());
    }
    outlet.counters.add(&tally);
}

/// Looks one up that came on a connection, and counts the reply.
pub(in crate::dns) async fn answer_connection(
    forwarder: &Forwarder,
    query: &[u8],
    (client, transport): (IpAddr, Transport),
    counters: &Counters,
) -> Vec<u8> {
    let reply = forwarder.forward(query, client, transport).await;
    if !reply.is_empty() {
        let mut tally = TransportTotals::default();
        tally.answered(query, &reply);
        counters.add(&tally);
    }
    reply
}
