//! How much is looked up at once: exchanges with upstream servers, and clients that wait for them.
//!
//! Exchanges have sockets; how many there may be is the operator's setting. Clients may be more, since all who ask the
//! same wait for one. A network of clients has a part only of the places, so that whoever asks without end leaves the
//! others theirs. Not so loopback: on a host whose resolv.conf names us, every program is the same client.
//!
//! What is known already needs no place.
//!
//! Knows nothing of names.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::stats::Stats;
use crate::clients::Network;

/// Clients that may wait, for each exchange that there may be.
const CLIENTS_PER_EXCHANGE: usize = 4;
/// A network may have one in so many of the places for exchanges, and wait as often.
const NETWORKS_AT_LEAST: usize = 4;

/// The places.
#[derive(Debug)]
pub(super) struct Places {
    exchanges: Arc<Semaphore>,
    /// Clients' questions that may wait, in all.
    waiting_max: usize,
    /// Those of one network.
    share: usize,
    waiting: Mutex<Waiting>,
    stats: Arc<Stats>,
}

/// Clients' questions that wait.
#[derive(Debug, Default)]
struct Waiting {
    all: usize,
    /// By network; none of them has 0.
    networks: HashMap<Network, usize>,
}

impl Places {
    /// For so many exchanges.
    pub(super) fn new(exchanges_max: usize, stats: Arc<Stats>) -> Self {
        Self {
            exchanges: Arc::new(Semaphore::new(exchanges_max)),
            waiting_max: exchanges_max.saturating_mul(CLIENTS_PER_EXCHANGE),
            share: (exchanges_max / NETWORKS_AT_LEAST).max(1),
            waiting: Mutex::default(),
            stats,
        }
    }

    /// How many may wait in all.
    pub(super) fn waiting_max(&self) -> usize {
        self.waiting_max
    }

    /// A place to wait in for that client, if it may have one.
    pub(super) fn wait(&self, client: IpAddr) -> Option<Waits<'_>> {
        let client = client.to_canonical();
        let network = (!client.is_loopback()).then(|| Network::of_neighbours(client));
        let mut waiting = self.lock();
        if waiting.all >= self.waiting_max {
            return None;
        }
        if let Some(network) = network {
            let waits = waiting.networks.entry(network).or_default();
            // One that is here for the first time has room: a share is never 0.
            if *waits >= self.share {
                return None;
            }
            *waits += 1;
        }
        waiting.all += 1;
        self.stats.waiting.fetch_add(1, Relaxed);
        Some(Waits { places: self, network })
    }

    /// A place for an exchange, if there is one.
    pub(super) fn exchange(&self) -> Option<Exchanges> {
        let permit = self.exchanges.clone().try_acquire_owned().ok()?;
        self.stats.in_flight.fetch_add(1, Relaxed);
        Some(Exchanges { stats: self.stats.clone(), _permit: permit })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's question waits.
#[derive(Debug)]
pub(super) struct Waits<'p> {
    places: &'p Places,
    /// Whose share it counts to.
    network: Option<Network>,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut waiting = self.places.lock();
        waiting.all -= 1;
        if let Some(network) = self.network
            && let Entry::Occupied(mut waits) = waiting.networks.entry(network)
        {
            *waits.get_mut() -= 1;
            if *waits.get() == 0 {
                waits.remove();
            }
        }
        self.places.stats.waiting.fetch_sub(1, Relaxed);
    }
}

/// An upstream server is asked.
#[derive(Debug)]
pub(super) struct Exchanges {
    stats: Arc<Stats>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Exchanges {
    fn drop(&mut self) {
        self.stats.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait<'p>(places: &'p Places, client: &str) -> Option<Waits<'p>> {
        places.wait(client.parse().unwrap())
    }

    #[test]
    fn a_network_has_a_share_and_loopback_all_of_it() {
        let stats = Arc::<Stats>::default();
        let places = Places::new(8, stats.clone());
        let two = [wait(&places, "10.0.0.1").unwrap(), wait(&places, "10.0.0.2").unwrap()];
        assert!(wait(&places, "10.0.0.3").is_none(), "the same network");
        assert!(wait(&places, "::ffff:10.0.0.3").is_none(), "and the same again");
        let other = wait(&places, "10.0.1.1").unwrap();
        let local: Vec<_> = (3..32).map_while(|_| wait(&places, "127.0.0.1")).collect();
        assert_eq!(local.len(), 29);
        assert!(wait(&places, "::1").is_none() && wait(&places, "10.0.2.1").is_none(), "full");
        assert_eq!(stats.totals().waiting, 32);
        drop((two, local, other));
        assert_eq!(stats.totals().waiting, 0);
        assert!(places.lock().networks.is_empty(), "nothing is left behind");
        assert!(wait(&places, "10.0.0.3").is_some());
    }

    #[test]
    fn few_places_leave_everybody_one() {
        let places = Places::new(1, Arc::default());
        let first = wait(&places, "10.0.0.1");
        assert!(first.is_some() && wait(&places, "10.0.0.1").is_none());
        let exchange = places.exchange();
        assert!(exchange.is_some() && places.exchange().is_none());
        drop(exchange);
        assert!(places.exchange().is_some());
    }
}
