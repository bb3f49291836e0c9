//! Who is connected, and who must go when there is no room: the one that has been idle longest, or has been there
//! longest without having asked anything yet.
//!
//! Knows nothing of sockets.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::dns::network::Network;
use crate::dns::settings::Settings;
use crate::dns::stats::{Connections, Stats};
use crate::dns::transport::Transport;

/// The least time between two warnings that descriptors ran out: clients can bring that about at will.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);
/// The ticket of a connection that is busy.
const BUSY: u64 = 0;

/// All connections of one transport, over all its listeners: whoever crowds one leaves the others alone.
#[derive(Debug)]
pub(in crate::dns) struct Table {
    connections_max: usize,
    per_client_max: usize,
    seats: Mutex<Seats>,
    /// Counts the times that any connection became idle: their order needs no clock.
    tickets: AtomicU64,
    warned: Mutex<Option<Instant>>,
    transport: Transport,
    stats: Arc<Stats>,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    taken: HashMap<u64, Seat>,
    per_client: HashMap<Network, usize>,
}

#[derive(Debug)]
struct Seat {
    client: Network,
    /// Since when it is idle, or [`BUSY`].
    idle_since: Arc<AtomicU64>,
    evicted: CancellationToken,
}

impl Table {
    pub(in crate::dns) fn new(
        transport: Transport,
        settings: &Settings,
        stats: Arc<Stats>,
    ) -> Arc<Self> {
        Arc::new(Self {
            connections_max: settings.tcp_connections_max,
            per_client_max: settings.tcp_connections_per_client_max,
            seats: Mutex::default(),
            tickets: AtomicU64::new(BUSY),
            warned: Mutex::default(),
            transport,
            stats,
        })
    }

    /// A place for a new connection; none where all are taken by busy ones.
    pub(in crate::dns) fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let client = Network::of_client(client);
        let mut seats = self.seats();
        let of_client = seats.per_client.get(&client).copied().unwrap_or(0);
        let room = (of_client < self.per_client_max || self.evict(&mut seats, Some(client)))
            && (seats.taken.len() < self.connections_max || self.evict(&mut seats, None));
        let connections = self.connections();
        if !room {
            connections.refused.fetch_add(1, Relaxed);
            return None;
        }
        connections.accepted.fetch_add(1, Relaxed);
        connections.open.fetch_add(1, Relaxed);
        let number = seats.next;
        seats.next += 1;
        let idle_since = Arc::new(AtomicU64::new(self.ticket()));
        let evicted = CancellationToken::new();
        let seat = Seat { client, idle_since: idle_since.clone(), evicted: evicted.clone() };
        seats.taken.insert(number, seat);
        *seats.per_client.entry(client).or_default() += 1;
        Some(Place { table: self.clone(), number, idle_since, evicted })
    }

    /// Descriptors ran out: closes one idle connection, and says so once a minute.
    pub(super) fn exhausted(&self, error: &io::Error) {
        self.evict(&mut self.seats(), None);
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL) {
            *warned = Some(Instant::now());
            tracing::warn!(
                %error,
                "cannot accept dns connections: raise the limit of open files or lower the connection limits"
            );
        }
    }

    /// Takes the seat of whoever has been idle longest, of one client or of all. Whether there was one.
    fn evict(&self, seats: &mut Seats, client: Option<Network>) -> bool {
        let longest = seats
            .taken
            .iter()
            .filter(|(_, seat)| client.is_none_or(|client| client == seat.client))
            .map(|(number, seat)| (seat.idle_since.load(Relaxed), *number))
            .filter(|(since, _)| *since != BUSY)
            .min();
        let Some((_, number)) = longest else { return false };
        if let Some(seat) = seats.leave(number) {
            seat.evicted.cancel();
            self.connections().evicted.fetch_add(1, Relaxed);
        }
        true
    }

    #[cfg(test)]
    pub(super) fn warned(&self) -> Option<Instant> {
        *self.warned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> &Connections {
        self.stats.connections(self.transport)
    }

    fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Relaxed) + 1
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    fn leave(&mut self, number: u64) -> Option<Seat> {
        let seat = self.taken.remove(&number)?;
        if let Some(count) = self.per_client.get_mut(&seat.client) {
            *count -= 1;
            if *count == 0 {
                self.per_client.remove(&seat.client);
            }
        }
        Some(seat)
    }
}

/// A connection's place in the table, given back when it is dropped.
#[derive(Debug)]
pub(in crate::dns) struct Place {
    table: Arc<Table>,
    number: u64,
    idle_since: Arc<AtomicU64>,
    evicted: CancellationToken,
}

impl Place {
    /// Nothing is being read or answered.
    pub(in crate::dns) fn idle(&self) {
        self.idle_since.store(self.table.ticket(), Relaxed);
    }

    /// A message is being read or answered; not before there was a whole one, since whoever has not asked yet gives
    /// way like one that is idle.
    pub(in crate::dns) fn busy(&self) {
        self.idle_since.store(BUSY, Relaxed);
    }

    /// Cancelled when another connection took the place.
    pub(in crate::dns) fn evicted(&self) -> &CancellationToken {
        &self.evicted
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.seats().leave(self.number);
        self.table.connections().open.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(connections: usize, per_client: usize) -> Arc<Table> {
        let settings = Settings {
            tcp_connections_max: connections,
            tcp_connections_per_client_max: per_client,
            ..Settings::default()
        };
        Table::new(Transport::Tcp, &settings, Arc::default())
    }

    fn client(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[test]
    fn the_longest_idle_makes_room() {
        let table = table(2, 2);
        let one = table.enter(client(1)).unwrap();
        let two = table.enter(client(2)).unwrap();
        one.busy();
        one.idle();
        let three = table.enter(client(3)).unwrap();
        assert!(two.evicted().is_cancelled() && !one.evicted().is_cancelled());
        one.busy();
        three.busy();
        assert!(table.enter(client(4)).is_none(), "busy ones are not disturbed");
        drop(one);
        let four = table.enter(client(4)).unwrap();
        drop((two, three, four));
        let totals = table.stats.totals();
        let totals = totals.connections(Transport::Tcp);
        assert_eq!((totals.accepted, totals.evicted, totals.refused, totals.open), (4, 1, 1, 0));
        assert!(table.seats().per_client.is_empty(), "what strangers fill is emptied");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let table = table(8, 2);
        let from = |text: &str| table.enter(text.parse().unwrap());
        let (one, two) = (from("2001:db8::1").unwrap(), from("2001:db8::2").unwrap());
        one.busy();
        two.busy();
        assert!(from("2001:db8::dead:beef:0:1").is_none());
        assert!(from("2001:db8:0:1::1").is_some());
    }

    #[test]
    fn a_client_makes_room_among_its_own() {
        let table = table(3, 2);
        let other = table.enter(client(9)).unwrap();
        let (one, two) = (table.enter(client(1)).unwrap(), table.enter(client(1)).unwrap());
        let three = table.enter(client(1)).unwrap();
        assert!(one.evicted().is_cancelled() && !other.evicted().is_cancelled());
        two.busy();
        three.busy();
        assert!(table.enter(client(1)).is_none());
        assert!(!other.evicted().is_cancelled());
    }
}
