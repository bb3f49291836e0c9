//! Places for connections, and who must go when there is none: the one that has been idle longest, or has been there
//! longest without having asked anything yet.
//!
//! Knows nothing of sockets.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::network::Network;

/// The ticket of a connection that is busy.
const BUSY: u64 = 0;

/// The places.
#[derive(Debug)]
pub struct Seats {
    max: usize,
    per_client_max: usize,
    taken: Mutex<Taken>,
    /// Counts the times that any connection became idle: their order needs no clock.
    tickets: AtomicU64,
    /// A seat became free, or could be taken from one who is idle.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    seats: HashMap<u64, Sitting>,
    per_client: HashMap<Network, usize>,
}

#[derive(Debug)]
struct Sitting {
    /// Whose it is; none: of somebody who may have all of them.
    client: Option<Network>,
    /// Since when it is idle, or [`BUSY`].
    idle_since: Arc<AtomicU64>,
    evicted: CancellationToken,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The client has all that it may have, and none of them is idle.
    OfClient,
    /// All are taken by busy ones.
    Altogether,
}

impl Seats {
    /// So many, and so many for each client.
    #[must_use]
    pub fn new(max: usize, per_client_max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            per_client_max,
            taken: Mutex::default(),
            tickets: AtomicU64::new(BUSY),
            changed: Notify::new(),
        })
    }

    /// A seat for a new connection, and whether another had to give way for it. Nobody counts those of no client.
    ///
    /// # Errors
    /// Busy ones have them all.
    pub fn enter(self: &Arc<Self>, client: Option<Network>) -> Result<(Seat, bool), Full> {
        let mut taken = self.taken();
        let mut evicted = false;
        if let Some(of) = client
            && taken.per_client.get(&of).copied().unwrap_or(0) >= self.per_client_max
        {
            evicted = taken.evict(client);
            if !evicted {
                return Err(Full::OfClient);
            }
        }
        if taken.seats.len() >= self.max {
            if !taken.evict(None) {
                return Err(Full::Altogether);
            }
            evicted = true;
        }
        let number = taken.next;
        taken.next += 1;
        let idle_since = Arc::new(AtomicU64::new(self.ticket()));
        let token = CancellationToken::new();
        let sitting = Sitting { client, idle_since: idle_since.clone(), evicted: token.clone() };
        taken.seats.insert(number, sitting);
        if let Some(client) = client {
            *taken.per_client.entry(client).or_default() += 1;
        }
        Ok((Seat { seats: self.clone(), number, idle_since, evicted: token }, evicted))
    }

    /// Has the one that has been idle longest give way; whether there was one.
    pub fn evict(&self) -> bool {
        self.taken().evict(None)
    }

    /// Waits until it is worth trying again to enter. One waits at a time.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Relaxed) + 1
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Takes the seat of whoever has been idle longest, of one client or of all. Whether there was one.
    fn evict(&mut self, client: Option<Network>) -> bool {
        let longest = self
            .seats
            .iter()
            .filter(|(_, sitting)| client.is_none() || sitting.client == client)
            .map(|(number, sitting)| (sitting.idle_since.load(Relaxed), *number))
            .filter(|(since, _)| *since != BUSY)
            .min();
        let Some((_, number)) = longest else { return false };
        if let Some(sitting) = self.leave(number) {
            sitting.evicted.cancel();
        }
        true
    }

    fn leave(&mut self, number: u64) -> Option<Sitting> {
        let sitting = self.seats.remove(&number)?;
        if let Some(client) = sitting.client
            && let Some(count) = self.per_client.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                self.per_client.remove(&client);
            }
        }
        Some(sitting)
    }
}

/// A connection's seat, given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    number: u64,
    idle_since: Arc<AtomicU64>,
    evicted: CancellationToken,
}

impl Seat {
    /// Nothing is being read or answered.
    pub fn idle(&self) {
        self.idle_since.store(self.seats.ticket(), Relaxed);
        self.seats.changed.notify_one();
    }

    /// A message is being read or answered; not before there was a whole one, since whoever has not asked yet gives
    /// way like one that is idle.
    pub fn busy(&self) {
        self.idle_since.store(BUSY, Relaxed);
    }

    /// Cancelled when another connection took the seat.
    #[must_use]
    pub fn evicted(&self) -> &CancellationToken {
        &self.evicted
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().leave(self.number);
        self.seats.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Option<Network> {
        Some(Network::of_client(text.parse().unwrap()))
    }

    /// Enters, and says whether another had to go.
    fn enter(seats: &Arc<Seats>, address: &str) -> Result<(Seat, bool), Full> {
        seats.enter(client(address))
    }

    #[test]
    fn the_longest_idle_makes_room() {
        let seats = Seats::new(2, 2);
        let (one, _) = enter(&seats, "192.0.2.1").unwrap();
        let (two, evicted) = enter(&seats, "192.0.2.2").unwrap();
        assert!(!evicted);
        one.busy();
        one.idle();
        let (three, evicted) = enter(&seats, "192.0.2.3").unwrap();
        assert!(evicted && two.evicted().is_cancelled() && !one.evicted().is_cancelled());
        one.busy();
        three.busy();
        let full = enter(&seats, "192.0.2.4").unwrap_err();
        assert_eq!(full, Full::Altogether, "busy ones are not disturbed");
        drop(one);
        let (four, _) = enter(&seats, "192.0.2.4").unwrap();
        drop((two, three, four));
        assert!(seats.taken().per_client.is_empty(), "what strangers fill is emptied");
        assert!(seats.taken().seats.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let seats = Seats::new(8, 2);
        let (one, _) = enter(&seats, "2001:db8::1").unwrap();
        let (two, _) = enter(&seats, "2001:db8::2").unwrap();
        one.busy();
        two.busy();
        assert_eq!(enter(&seats, "2001:db8::dead:beef:0:1").unwrap_err(), Full::OfClient);
        assert!(enter(&seats, "2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn a_client_makes_room_among_its_own() {
        let seats = Seats::new(4, 2);
        let (other, _) = enter(&seats, "192.0.2.9").unwrap();
        let (one, _) = enter(&seats, "192.0.2.1").unwrap();
        let (two, _) = enter(&seats, "192.0.2.1").unwrap();
        let (three, evicted) = enter(&seats, "192.0.2.1").unwrap();
        assert!(evicted && one.evicted().is_cancelled() && !other.evicted().is_cancelled());
        two.busy();
        three.busy();
        assert_eq!(enter(&seats, "192.0.2.1").unwrap_err(), Full::OfClient);
        assert!(!other.evicted().is_cancelled());
        // Who is nobody's client may have what is left.
        let (_free, evicted) = seats.enter(None).unwrap();
        assert!(!evicted);
    }

    #[tokio::test]
    async fn who_waits_is_told_of_a_seat_that_is_free_or_idle() {
        let seats = Seats::new(1, 1);
        let (one, _) = seats.enter(None).unwrap();
        one.busy();
        assert_eq!(seats.enter(None).unwrap_err(), Full::Altogether);
        one.idle();
        seats.changed().await;
        let (two, evicted) = seats.enter(None).unwrap();
        assert!(evicted && one.evicted().is_cancelled());
        two.busy();
        drop(two);
        seats.changed().await;
        assert!(seats.enter(None).is_ok());
    }
}
