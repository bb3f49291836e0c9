//! The connections of one transport, counted, each in a place that the idle give up when there is no room.
//!
//! Knows nothing of sockets.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clients::{Network, Seat, Seats};
use crate::dns::settings::Settings;
use crate::dns::stats::{Connections, Stats};
use crate::dns::transport::Transport;

/// The least time between two warnings that descriptors ran out: clients can bring that about at will.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// All connections of one transport, over all its listeners: whoever crowds one leaves the others alone.
#[derive(Debug)]
pub(in crate::dns) struct Table {
    seats: Arc<Seats>,
    warned: Mutex<Option<Instant>>,
    transport: Transport,
    stats: Arc<Stats>,
}

impl Table {
    pub(in crate::dns) fn new(
        transport: Transport,
        settings: &Settings,
        stats: Arc<Stats>,
    ) -> Arc<Self> {
        let (max, per_client_max) =
            (settings.tcp_connections_max, settings.tcp_connections_per_client_max);
        let seats = Seats::new(max, per_client_max);
        Arc::new(Self { seats, warned: Mutex::default(), transport, stats })
    }

    /// A place for a new connection; none where all are taken by busy ones.
    pub(in crate::dns) fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let connections = self.connections();
        let Ok((seat, evicted)) = self.seats.enter(Some(Network::of_client(client))) else {
            connections.refused.fetch_add(1, Relaxed);
            return None;
        };
        connections.evicted.fetch_add(u64::from(evicted), Relaxed);
        connections.accepted.fetch_add(1, Relaxed);
        connections.open.fetch_add(1, Relaxed);
        Some(Place { table: self.clone(), seat })
    }

    /// Descriptors ran out: closes one idle connection, and says so once a minute.
    pub(super) fn exhausted(&self, error: &io::Error) {
        let evicted = self.seats.evict();
        self.connections().evicted.fetch_add(u64::from(evicted), Relaxed);
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL) {
            *warned = Some(Instant::now());
            tracing::warn!(
                %error,
                "cannot accept dns connections: raise the limit of open files or lower the connection limits"
            );
        }
    }

    #[cfg(test)]
    pub(super) fn warned(&self) -> Option<Instant> {
        *self.warned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> &Connections {
        self.stats.connections(self.transport)
    }
}

/// A connection's place in the table, given back when it is dropped.
#[derive(Debug)]
pub(in crate::dns) struct Place {
    table: Arc<Table>,
    seat: Seat,
}

impl Place {
    /// Nothing is being read or answered.
    pub(in crate::dns) fn idle(&self) {
        self.seat.idle();
    }

    /// A message is being read or answered; not before there was a whole one.
    pub(in crate::dns) fn busy(&self) {
        self.seat.busy();
    }

    /// Cancelled when another connection took the place.
    pub(in crate::dns) fn evicted(&self) -> &CancellationToken {
        self.seat.evicted()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.connections().open.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_and_goes_is_counted() {
        let settings = Settings {
            tcp_connections_max: 2,
            tcp_connections_per_client_max: 1,
            ..Settings::default()
        };
        let table = Table::new(Transport::Tcp, &settings, Arc::default());
        let from = |n: u8| table.enter(IpAddr::from([192, 0, 2, n]));
        let (one, two) = (from(1).unwrap(), from(2).unwrap());
        one.busy();
        assert!(from(1).is_none(), "it has its share");
        let three = from(3).unwrap();
        assert!(two.evicted().is_cancelled() && !one.evicted().is_cancelled());
        drop((one, two, three));
        let totals = table.stats.totals();
        let totals = totals.connections(Transport::Tcp);
        assert_eq!((totals.accepted, totals.evicted, totals.refused, totals.open), (3, 1, 1, 0));
    }
}
