//! Counters of the DNS side, summed when somebody asks for them.
//!
//! Each UDP worker has a set of its own, and every other transport one, on cache lines of their own, so that no
//! two workers write the same line. What is counted is read from the octets of query and reply: whoever answers
//! need not know that it is counted. Label values are closed sets; no name or address that a client sends
//! becomes one.
//!
//! Knows nothing of how metrics are exported.

use std::iter::zip;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::limit::Judgement;
use super::transport::Transport;

/// Response codes that are told apart (RFC 1035 section 4.1.1, RFC 6891 section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rcode {
    /// No error, NODATA included.
    NoError,
    /// The query could not be read.
    FormErr,
    /// Not ready to answer.
    ServFail,
    /// No such name.
    NxDomain,
    /// Opcode or type that is not implemented.
    NotImp,
    /// Not ours to answer.
    Refused,
    /// An EDNS version above ours.
    BadVers,
    /// Any other.
    Other,
}

impl Rcode {
    /// All of them, in the order of [`TransportTotals::responses`].
    pub const ALL: [Self; 8] = [
        Self::NoError,
        Self::FormErr,
        Self::ServFail,
        Self::NxDomain,
        Self::NotImp,
        Self::Refused,
        Self::BadVers,
        Self::Other,
    ];

    /// Its mnemonic.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoError => "NOERROR",
            Self::FormErr => "FORMERR",
            Self::ServFail => "SERVFAIL",
            Self::NxDomain => "NXDOMAIN",
            Self::NotImp => "NOTIMP",
            Self::Refused => "REFUSED",
            Self::BadVers => "BADVERS",
            Self::Other => "other",
        }
    }

    /// Of a reply in wire form.
    fn of(reply: &[u8]) -> Self {
        match reply.get(3).map(|flags| flags & 0x0f) {
            Some(0) if is_bad_version(reply) => Self::BadVers,
            Some(0) => Self::NoError,
            Some(1) => Self::FormErr,
            Some(2) => Self::ServFail,
            Some(3) => Self::NxDomain,
            Some(4) => Self::NotImp,
            Some(5) => Self::Refused,
            _ => Self::Other,
        }
    }
}

/// Question types that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qtype {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Endpoints.
    Srv,
    /// The zone's start of authority.
    Soa,
    /// The zone's name servers.
    Ns,
    /// Any other, and queries without a readable question.
    Other,
}

impl Qtype {
    /// All of them, in the order of [`TransportTotals::requests`].
    pub const ALL: [Self; 6] = [Self::A, Self::Aaaa, Self::Srv, Self::Soa, Self::Ns, Self::Other];

    /// Its mnemonic.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Srv => "SRV",
            Self::Soa => "SOA",
            Self::Ns => "NS",
            Self::Other => "other",
        }
    }

    /// Of a query in wire form.
    fn of(query: &[u8]) -> Self {
        let one_question = query.get(4..6) == Some(&[0, 1]);
        let Some(at) = after_name(query).filter(|_| one_question) else { return Self::Other };
        match query.get(at..at + 2) {
            Some(&[0, 1]) => Self::A,
            Some(&[0, 28]) => Self::Aaaa,
            Some(&[0, 33]) => Self::Srv,
            Some(&[0, 6]) => Self::Soa,
            Some(&[0, 2]) => Self::Ns,
            _ => Self::Other,
        }
    }
}

/// What became of replies beyond the rate of their network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// Sent: nothing is limited in earnest.
    Observed,
    /// Sent empty, with TC set.
    Slipped,
    /// Not sent.
    Dropped,
}

impl Limited {
    /// All of them, in the order of [`TransportTotals::limited`].
    pub const ALL: [Self; 3] = [Self::Observed, Self::Slipped, Self::Dropped];

    /// Its name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Slipped => "slipped",
            Self::Dropped => "dropped",
        }
    }
}

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
    pub(super) fn limited(&mut self, judgement: Judgement) {
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

/// Where a message's first name ends, if it is there and not compressed.
fn after_name(message: &[u8]) -> Option<usize> {
    let mut at = 12;
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += usize::from(length) + 1,
            _ => return None,
        }
    }
}

/// Whether a reply whose header says NOERROR is BADVERS: its upper bits are in the OPT record (RFC 6891
/// section 6.1.3), which such a reply has alone behind the question.
fn is_bad_version(reply: &[u8]) -> bool {
    if reply.get(6..12) != Some(&[0, 0, 0, 0, 0, 1]) {
        return false;
    }
    let opt = match reply.get(4..6) {
        Some(&[0, 1]) => after_name(reply).map(|at| at + 4),
        _ => Some(12),
    };
    // Root, type OPT, the class (two octets), then the upper eight bits of the code.
    opt.and_then(|at| reply.get(at..at + 6))
        .is_some_and(|opt| opt[..3] == [0, 0, 41] && opt[5] == 1)
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
    fn finds_the_upper_bits_of_the_code() {
        let question = b"\x01a\x00\x00\x01\x00\x01".as_slice();
        let opt = |upper| [question, &[0, 0, 41, 4, 208, upper, 0, 0, 0, 0, 0]].concat();
        let header = [0x84, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        assert_eq!(Rcode::of(&message(header, &opt(1))), Rcode::BadVers);
        assert_eq!(Rcode::of(&message(header, &opt(0))), Rcode::NoError);
        assert_eq!(Rcode::of(&message(header, b"\x01")), Rcode::NoError);
        assert_eq!(Rcode::of(b""), Rcode::Other);
    }

    #[test]
    fn an_index_is_its_place_in_the_list() {
        assert!(Transport::ALL.iter().enumerate().all(|(i, one)| *one as usize == i));
        assert!(Rcode::ALL.iter().enumerate().all(|(i, rcode)| *rcode as usize == i));
        assert!(Qtype::ALL.iter().enumerate().all(|(i, qtype)| *qtype as usize == i));
    }
}
