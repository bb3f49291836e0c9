//! What the API counts. Label values come from closed sets: routes, methods, status codes.
//!
//! Knows nothing of requests beyond that.

use std::fmt::{self, Write as _};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::routes::Route;
use crate::http::Counters;

/// The API's counters. Cloning gives the same ones.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    visible: Histogram,
    unseen: Counter,
    /// Of the listeners; those of health count with the API's.
    pub(super) listener: Counters,
    pub(super) watchers: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: Route,
    method: Verb,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: Route,
}

/// The methods that have a meaning here; all others are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Verb {
    Get,
    Head,
    Put,
    Post,
    Delete,
    Other,
}

impl EncodeLabelValue for Verb {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Other => "other",
        })
    }
}

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.path())
    }
}

impl Metrics {
    /// Adds the API's counters to a registry.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            // From half a millisecond, a read, to beyond the 5 s in which every write is answered.
            seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.0005, 2.0, 15))
            }),
            // From 100 µs, which no durable write takes, to beyond the time that a reply waits.
            visible: Histogram::new(exponential_buckets(0.000_1, 2.0, 18)),
            unseen: Counter::default(),
            listener: Counters::default(),
            watchers: Gauge::default(),
        };
        registry.register(
            "rollcall_http_requests",
            "Requests answered, by route, method and status code",
            metrics.requests.clone(),
        );
        registry.register(
            "rollcall_http_request_duration_seconds",
            "Time from a request's head to its answer's head, by route",
            metrics.seconds.clone(),
        );
        registry.register(
            "rollcall_http_visible_duration_seconds",
            "Time from a request to write until this server's answers show what it wrote",
            metrics.visible.clone(),
        );
        registry.register(
            "rollcall_http_unseen",
            "Writes that this server's answers did not show in time, and whose replies say so",
            metrics.unseen.clone(),
        );
        registry.register(
            "rollcall_http_panics",
            "Requests that ended in a panic, which was contained",
            metrics.listener.panics.clone(),
        );
        registry.register(
            "rollcall_http_connections",
            "Connections open",
            metrics.listener.connections.clone(),
        );
        registry.register(
            "rollcall_http_crowded_out",
            "Connections closed for want of room: silent ones, and new ones of a client that has its share",
            metrics.listener.crowded_out.clone(),
        );
        registry.register("rollcall_http_watchers", "Watchers connected", metrics.watchers.clone());
        metrics
    }

    /// Something was written, and became visible in that time, if in time at all.
    pub(super) fn written(&self, visible_after: Option<Duration>) {
        match visible_after {
            Some(took) => self.visible.observe(took.as_secs_f64()),
            None => _ = self.unseen.inc(),
        }
    }

    pub(super) fn answered(
        &self,
        route: Route,
        method: &Method,
        status: StatusCode,
        took: Duration,
    ) {
        let method = match *method {
            Method::GET => Verb::Get,
            Method::HEAD => Verb::Head,
            Method::PUT => Verb::Put,
            Method::POST => Verb::Post,
            Method::DELETE => Verb::Delete,
            _ => Verb::Other,
        };
        let labels = RequestLabels { route, method, code: status.as_u16() };
        self.requests.get_or_create(&labels).inc();
        self.seconds.get_or_create(&RouteLabels { route }).observe(took.as_secs_f64());
    }
}
