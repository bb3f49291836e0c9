//! What the listeners count. Label values come from closed sets: the listeners' names and status codes.
//!
//! Knows nothing of what they do.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::http::Counters;

/// The listeners' counters. Cloning gives the same ones.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<Answered, Counter>,
    connections: Family<Listener, Gauge>,
    refused: Family<Listener, Counter>,
    crowded_out: Family<Listener, Counter>,
    panics: Family<Listener, Counter>,
    held: Family<Listener, Gauge>,
    unwritten: Family<Listener, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Listener {
    listener: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    listener: &'static str,
    code: u16,
}

impl Metrics {
    /// Adds the listeners' counters to a registry.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            connections: Family::default(),
            refused: Family::default(),
            crowded_out: Family::default(),
            panics: Family::default(),
            held: Family::default(),
            unwritten: Family::default(),
        };
        registry.register(
            "rollcall_compat_requests",
            "Calls of other systems' clients that were answered, by listener and status code",
            metrics.requests.clone(),
        );
        registry.register(
            "rollcall_compat_connections",
            "Connections of other systems' clients that are open, by listener",
            metrics.connections.clone(),
        );
        registry.register(
            "rollcall_compat_refused",
            "Connections closed at once, since their peers are not in the listener's allow",
            metrics.refused.clone(),
        );
        registry.register(
            "rollcall_compat_crowded_out",
            "Connections closed for want of room: silent ones, and new ones of a client that has its share",
            metrics.crowded_out.clone(),
        );
        registry.register(
            "rollcall_compat_panics",
            "Calls of other systems' clients that ended in a panic, which was contained",
            metrics.panics.clone(),
        );
        registry.register(
            "rollcall_compat_held",
            "Instances that this server keeps registered for clients without heartbeats, by listener",
            metrics.held.clone(),
        );
        registry.register(
            "rollcall_compat_unwritten",
            "Instances of those that the registry did not take, or let go, at the last attempt, by listener",
            metrics.unwritten.clone(),
        );
        metrics
    }

    /// Those of one listener's connections.
    pub(super) fn listener(&self, listener: &'static str) -> Counters {
        let of = Listener { listener };
        Counters {
            connections: self.connections.get_or_create(&of).clone(),
            refused: self.refused.get_or_create(&of).clone(),
            crowded_out: self.crowded_out.get_or_create(&of).clone(),
            panics: self.panics.get_or_create(&of).clone(),
        }
    }

    /// How many instances one listener holds.
    pub(super) fn held(&self, listener: &'static str) -> Gauge {
        self.held.get_or_create(&Listener { listener }).clone()
    }

    /// How many of those could not be written, or taken away, the last time that was tried.
    pub(super) fn unwritten(&self, listener: &'static str) -> Gauge {
        self.unwritten.get_or_create(&Listener { listener }).clone()
    }

    /// A call was answered.
    pub(super) fn answered(&self, listener: &'static str, code: u16) {
        self.requests.get_or_create(&Answered { listener, code }).inc();
    }
}
