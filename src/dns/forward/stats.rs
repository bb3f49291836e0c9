//! Counters of forwarding. Label values are closed sets.
//!
//! Knows nothing of how metrics are exported.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What became of a client's question for a name of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, perhaps that there is nothing.
    Answered,
    /// SERVFAIL, since nobody could say.
    Failed,
    /// SERVFAIL at once, since too many were being looked up.
    Overloaded,
    /// SERVFAIL at once, since it had come round to us again.
    Loop,
}

impl Outcome {
    /// All of them, in the order of [`Totals::requests`].
    pub const ALL: [Self; 4] = [Self::Answered, Self::Failed, Self::Overloaded, Self::Loop];

    /// Its name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Overloaded => "overloaded",
            Self::Loop => "loop",
        }
    }
}

/// Why an upstream server was of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamError {
    /// It did not answer in time.
    Timeout,
    /// It could not be reached.
    Network,
    /// Its answer was no DNS message, or none to that question.
    Malformed,
    /// Its answer was an error, such as SERVFAIL or REFUSED.
    Rcode,
}

impl UpstreamError {
    /// All of them, in the order of [`Totals::upstream_errors`].
    pub const ALL: [Self; 4] = [Self::Timeout, Self::Network, Self::Malformed, Self::Rcode];

    /// Its name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Network => "network",
            Self::Malformed => "malformed",
            Self::Rcode => "rcode",
        }
    }
}

/// The counters.
#[derive(Debug, Default)]
pub struct Stats {
    requests: [AtomicU64; Outcome::ALL.len()],
    upstream_errors: [AtomicU64; UpstreamError::ALL.len()],
    pub(super) upstream_queries: AtomicU64,
    pub(super) cache_hits: AtomicU64,
    pub(super) cache_misses: AtomicU64,
    pub(super) waiting: AtomicU64,
    pub(super) in_flight: AtomicU64,
}

impl Stats {
    pub(super) fn request(&self, outcome: Outcome) {
        self.requests[outcome as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn upstream_error(&self, error: UpstreamError) {
        self.upstream_errors[error as usize].fetch_add(1, Relaxed);
    }

    /// The sums as they stand.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            requests: Outcome::ALL.map(|one| self.requests[one as usize].load(Relaxed)),
            upstream_errors: UpstreamError::ALL
                .map(|one| self.upstream_errors[one as usize].load(Relaxed)),
            upstream_queries: self.upstream_queries.load(Relaxed),
            cache_hits: self.cache_hits.load(Relaxed),
            cache_misses: self.cache_misses.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
        }
    }
}

/// Sums since the start; `waiting` and `in_flight` are how many there are now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Clients' questions, in the order of [`Outcome::ALL`].
    pub requests: [u64; Outcome::ALL.len()],
    /// In the order of [`UpstreamError::ALL`].
    pub upstream_errors: [u64; UpstreamError::ALL.len()],
    /// Exchanges with upstream servers, repetitions of one datagram not counted.
    pub upstream_queries: u64,
    /// Questions that the cache knew.
    pub cache_hits: u64,
    /// Those it did not.
    pub cache_misses: u64,
    /// Clients' questions that wait for upstream servers.
    pub waiting: u64,
    /// Questions that upstream servers are being asked.
    pub in_flight: u64,
}
