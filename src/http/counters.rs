//! What a listener counts.
//!
//! Knows nothing of how it is shown.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

/// A listener's counters. Cloning gives the same ones.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// Connections open.
    pub connections: Gauge,
    /// Connections closed at once, since their peers are not allowed.
    pub refused: Counter,
    /// Connections closed for want of room: silent ones that gave way, and new ones of a client that has its share.
    pub crowded_out: Counter,
    /// Connections and requests that ended in a panic, which was contained.
    pub panics: Counter,
}

/// Counts one more for as long as it lives.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    /// Counts one more.
    #[must_use]
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
