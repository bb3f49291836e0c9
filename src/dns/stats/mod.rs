//! Counters of the DNS side, summed when somebody asks for them.
//!
//! Each UDP worker has a set of its own, and every other transport one, on cache lines of their own, so that no
//! two workers write the same line. What is counted is read from the octets of query and reply: whoever answers
//! need not know that it is counted. Label values are closed sets; no name or address that a client sends
//! becomes one.
//!
//! Knows nothing of how metrics are exported.

pub mod kinds;

use std::iter::zip;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use self::kinds::{Limited, Qtype, Rcode};
use crate::dns::limit::Judgement;
use crate::dns::transport::Transport;

/// The counters of one UDP worker, or of another transport. 128 octets, since cores fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    requests: [AtomicU64; Qtype::ALL.len()],
    responses: [AtomicU64; Rcode::ALL.len()],
    truncated: AtomicU64,
    dropped: AtomicU64,
    limited: [AtomicU64; Limited::ALL.len()],
    failed: AtomicU64,
}

impl Counters {
    /// Adds what was counted over a batch of queries.
    pub fn add(&self, tally: &TransportTotals) {
        for (counter, count) in zip(&self.requests, tally.requests) {
            add(counter, count);
        }
        for (counter, count) in zip(&self.responses, tally.responses) {
            add(counter, count);
        }
        for (counter, count) in zip(&self.limited, tally.limited) {
            add(counter, count);
        }
        add(&self.truncated, tally.truncated);
        add(&self.dropped, tally.dropped);
        self.failed(tally.failed);
    }

    /// A socket failed to receive or to send so many times.
    pub fn failed(&self, times: u64) {
        add(&self.failed, times);
    }
}

/// Most are zero, of one batch, and reading a local zero costs less than an atomic addition.
fn add(counter: &AtomicU64, count: u64) {
    if count > 0 {
        counter.fetch_add(count, Relaxed);
    }
}

/// All counters of the DNS side.
#[derive(Debug, Default)]
pub struct Stats {
    transports: [Mutex<Vec<Arc<Counters>>>; Transport::ALL.len()],
    connections: [Connections; Transport::ALL.len()],
}

/// What happens to the TCP connections of a transport.
#[derive(Debug, Default)]
pub(super) struct Connections {
    pub(super) open: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) evicted: AtomicU64,
}

impl Connections {
    fn totals(&self) -> ConnectionTotals {
        ConnectionTotals {
            open: self.open.load(Relaxed),
            accepted: self.accepted.load(Relaxed),
            refused: self.refused.load(Relaxed),
            evicted: self.evicted.load(Relaxed),
        }
    }
}

impl Stats {
    /// A set of counters that is summed with the others of its transport from now on.
    pub fn counters(&self, transport: Transport) -> Arc<Counters> {
        let counters = Arc::new(Counters::default());
        self.of(transport).lock().unwrap_or_else(PoisonError::into_inner).push(counters.clone());
        counters
    }

    /// The sums as they stand.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            transports: Transport::ALL.map(|transport| self.sum(transport)),
            connections: Transport::ALL.map(|transport| self.connections(transport).totals()),
        }
    }

    pub(super) fn connections(&self, transport: Transport) -> &Connections {
        &self.connections[transport as usize]
    }

    fn of(&self, transport: Transport) -> &Mutex<Vec<Arc<Counters>>> {
        &self.transports[transport as usize]
    }

    fn sum(&self, transport: Transport) -> TransportTotals {
        let mut sum = TransportTotals::default();
        for one in self.of(transport).lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for (total, counter) in sum.requests.iter_mut().zip(&one.requests) {
                *total += counter.load(Relaxed);
            }
            for (total, counter) in sum.responses.iter_mut().zip(&one.responses) {
                *total += counter.load(Relaxed);
            }
            for (total, counter) in sum.limited.iter_mut().zip(&one.limited) {
                *total += counter.load(Relaxed);
            }
            sum.truncated += one.truncated.load(Relaxed);
            sum.dropped += one.dropped.load(Relaxed);
            sum.failed += one.failed.load(Relaxed);
        }
        sum
    }
}

/// Sums since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// In the order of [`Transport::ALL`].
    transports: [TransportTotals; Transport::ALL.len()],
    /// In the same order.
    connections: [ConnectionTotals; Transport::ALL.len()],
}

impl Totals {
    /// Those of one transport.
    #[must_use]
    pub fn of(&self, transport: Transport) -> &TransportTotals {
        &self.transports[transport as usize]
    }

    /// The TCP connections of one transport, where it has them.
    #[must_use]
    pub fn connections(&self, transport: Transport) -> &ConnectionTotals {
        &self.connections[transport as usize]
    }
}

/// Sums of one transport; also what is counted over a few queries, before it is added to [`Counters`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransportTotals {
    /// Answered queries by type, in the order of [`Qtype::ALL`].
    pub requests: [u64; Qtype::ALL.len()],
    /// Replies by response code, in the order of [`Rcode::ALL`].
    pub responses: [u64; Rcode::ALL.len()],
    /// Replies with TC set.
    pub truncated: u64,
    /// Messages that got no answer, as they deserved.
    pub dropped: u64,
    /// Replies beyond the rate of their network, in the order of [`Limited::ALL`].
    pub limited: [u64; Limited::ALL.len()],
    /// Receptions and sendings that failed.
    pub failed: u64,
}

impl TransportTotals {
    /// Counts a reply that was judged.
    pub(super) fn judged(&mut self, judgement: Judgement) {
        let which = match judgement {
            Judgement::Pass => return,
            Judgement::Observed => Limited::Observed,
            Judgement::Slip => Limited::Slipped,
            Judgement::Drop => Limited::Dropped,
        };
        self.limited[which as usize] += 1;
    }

    /// Counts a query that was answered with that reply.
    pub fn answered(&mut self, query: &[u8], reply: &[u8]) {
        self.requests[Qtype::of(query) as usize] += 1;
        self.responses[Rcode::of(reply) as usize] += 1;
        self.truncated += u64::from(reply.get(2).is_some_and(|flags| flags & 0x02 != 0));
    }

    /// Answered queries of that type.
    #[must_use]
    pub fn requests(&self, qtype: Qtype) -> u64 {
        self.requests[qtype as usize]
    }

    /// Replies with that response code.
    #[must_use]
    pub fn responses(&self, rcode: Rcode) -> u64 {
        self.responses[rcode as usize]
    }
}

/// Sums of TCP connections; `open` is how many there are now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionTotals {
    /// Open now.
    pub open: u64,
    /// Let in.
    pub accepted: u64,
    /// Closed at once, since every place was taken by a busy one.
    pub refused: u64,
    /// Closed while idle, to make room.
    pub evicted: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with that header (from the flags on), question and rest.
    fn message(header: [u8; 10], rest: &[u8]) -> Vec<u8> {
        [&[0, 7][..], &header, rest].concat()
    }

    #[test]
    fn counts_by_type_and_code() {
        let stats = Stats::default();
        let (one, other) = (stats.counters(Transport::Udp), stats.counters(Transport::Udp));
        let query = message([0, 0, 0, 1, 0, 0, 0, 0, 0, 0], b"\x01a\x03svc\x00\x00\x21\x00\x01");
        let mut tally = TransportTotals { dropped: 1, ..TransportTotals::default() };
        tally.answered(&query, &message([0x86, 3, 0, 1, 0, 0, 0, 0, 0, 0], &query[12..]));
        one.add(&tally);
        tally = TransportTotals::default();
        tally.answered(&query, &message([0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0], &query[12..]));
        tally.answered(&query[..12], &message([0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0], b""));
        other.add(&tally);
        let totals = stats.totals();
        let udp = totals.of(Transport::Udp);
        assert_eq!((udp.requests(Qtype::Srv), udp.requests(Qtype::Other)), (2, 1));
        assert_eq!((udp.responses(Rcode::NxDomain), udp.responses(Rcode::NoError)), (1, 1));
        assert_eq!((udp.responses(Rcode::FormErr), udp.truncated, udp.dropped), (1, 1, 1));
        assert_eq!(totals.of(Transport::Tcp), &TransportTotals::default());
    }

    #[test]
    fn an_index_is_its_place_in_the_list() {
        assert!(Transport::ALL.iter().enumerate().all(|(i, one)| *one as usize == i));
        assert!(Rcode::ALL.iter().enumerate().all(|(i, rcode)| *rcode as usize == i));
        assert!(Qtype::ALL.iter().enumerate().all(|(i, qtype)| *qtype as usize == i));
    }
}
