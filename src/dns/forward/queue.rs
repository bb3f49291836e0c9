//! From UDP workers to the forwarder, and back to the client: a worker never waits.
//!
//! Knows nothing of how names are looked up.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Forwarder;
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
    from: SocketAddr,
    asked: Option<IpAddr>,
    replier: Arc<Replier>,
}

impl Queue {
    /// A queue to that forwarder, and its other end.
    pub(in crate::dns) fn new(forwarder: Forwarder) -> (Self, mpsc::Receiver<Job>) {
        let (jobs, taken) = mpsc::channel(WAITING_MAX);
        (Self { forwarder, jobs }, taken)
    }

    /// Has a query looked up, its reply to be sent by `replier`. Where there is no place: the reply to send now.
    pub(in crate::dns) fn put(
        &self,
        query: &[u8],
        from: SocketAddr,
        asked: Option<IpAddr>,
        replier: &Arc<Replier>,
    ) -> Option<Vec<u8>> {
        match self.jobs.try_reserve() {
            Ok(place) => {
                let replier = replier.clone();
                place.send(Job { query: query.to_vec(), from, asked, replier });
                None
            }
            Err(_) => Some(self.forwarder.refuse(query, from.ip(), Transport::Udp)),
        }
    }
}

/// Looks up what comes through the queue until told to stop. There are never more look-ups than the forwarder has
/// places, and those without one that end at once.
pub(in crate::dns) async fn serve(
    forwarder: Forwarder,
    mut jobs: mpsc::Receiver<Job>,
    counters: Arc<Counters>,
    stop: CancellationToken,
) -> Result<(), String> {
    let mut look_ups = JoinSet::new();
    let most = forwarder.inner.settings.in_flight_max + WAITING_MAX;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = look_ups.join_next() => heard(ended)?,
            Some(job) = jobs.recv(), if look_ups.len() < most => {
                look_ups.spawn(answer(forwarder.clone(), job, counters.clone()));
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

async fn answer(forwarder: Forwarder, job: Job, counters: Arc<Counters>) {
    let client = job.from.ip();
    let reply = look_up(&forwarder, &job.query, (client, Transport::Udp), &counters).await;
    if !reply.is_empty() && job.replier.send(&reply, job.from, job.asked).is_err() {
        counters.failed(1);
    }
}

/// Looks one up, and counts the reply.
pub(in crate::dns) async fn look_up(
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
