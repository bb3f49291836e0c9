//! All metrics but the API's own, in one list. Names follow CoreDNS where it has a twin.
//!
//! Label values come from closed sets, or from the configuration (zones): never from what strangers send.

use std::iter::zip;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::NoLabelSet as NoLabels;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::compiler::Measures;
use super::readiness::Health;
use super::reload;
use crate::dns::forward::stats as forward;
use crate::dns::stats::kinds::{Limited, Qtype, Rcode};
use crate::dns::stats::{Totals, TransportTotals};
use crate::dns::{Stats, Transport};
use crate::registry::mirror::{Facts, Status};

/// Registers everything; the API adds its own.
pub(super) fn registry(
    stats: Arc<Stats>,
    forwarded: Arc<forward::Stats>,
    health: Health,
    measures: &Measures,
    reload: &reload::Measures,
) -> Registry {
    let mut registry = Registry::default();
    registry.register(
        "rollcall_compile_duration_seconds",
        "Time to build what changes touched and to swap it in",
        measures.build.clone(),
    );
    registry.register(
        "rollcall_dns_programming_duration_seconds",
        "Time from the arrival of what changes an app until answers show it, once for each time an app is built",
        measures.fresh.clone(),
    );
    registry.register(
        "rollcall_answers_oversized",
        "Sets built that do not fit a TCP message, of which each client gets a sample",
        measures.oversized.clone(),
    );
    registry.register(
        "rollcall_zone_reloads",
        "Times that a zone file was read again, by outcome: loaded, or failed and the zone left as it was",
        reload.reloads.clone(),
    );
    registry.register(
        "rollcall_zone_last_reload_successful",
        "Whether the zone's file could be served when it was read last",
        reload.good.clone(),
    );
    registry.register(
        "rollcall_zone_loaded_timestamp_seconds",
        "When what the zone serves of its file was read",
        reload.loaded.clone(),
    );
    registry.register_collector(Box::new(Dns { stats }));
    registry.register_collector(Box::new(Forward { stats: forwarded }));
    registry.register_collector(Box::new(View { health }));
    registry
}

/// The DNS side's counters.
#[derive(Debug)]
struct Dns {
    stats: Arc<Stats>,
}

/// One counter of a transport.
type Sum = fn(&TransportTotals) -> u64;

impl Collector for Dns {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let totals = self.stats.totals();
        requests(&mut encoder, &totals)?;
        responses(&mut encoder, &totals)?;
        let simple: [(&str, &str, Sum); 3] = [
            ("rollcall_dns_truncated", "Replies with TC set", |sums| sums.truncated),
            ("rollcall_dns_dropped", "Messages that deserve no answer", |sums| sums.dropped),
            ("rollcall_dns_failed", "Receptions and sendings that failed", |sums| sums.failed),
        ];
        for (name, help, value) in simple {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (proto, sums) in protos(&totals) {
                metric
                    .encode_family(&[("proto", proto)])?
                    .encode_counter::<NoLabels, _, f64>(&value(sums), None)?;
            }
        }
        limited(&mut encoder, totals.of(Transport::Udp))?;
        connections(&mut encoder, &totals)
    }
}

/// Of the transports that have TCP connections which are ours.
fn connections(
    encoder: &mut DescriptorEncoder<'_>,
    totals: &Totals,
) -> Result<(), std::fmt::Error> {
    let over_tcp = [Transport::Tcp, Transport::Tls, Transport::Https];
    let help = "TCP connections that were let in, refused for want of room, or closed while idle to make room";
    let mut metric = encoder.encode_descriptor(
        "rollcall_dns_tcp_connections",
        help,
        None,
        MetricType::Counter,
    )?;
    for transport in over_tcp {
        let sums = totals.connections(transport);
        for (outcome, count) in
            [("accepted", sums.accepted), ("refused", sums.refused), ("evicted", sums.evicted)]
        {
            metric
                .encode_family(&[("proto", transport.as_str()), ("outcome", outcome)])?
                .encode_counter::<NoLabels, _, f64>(&count, None)?;
        }
    }
    let help = "TCP connections open";
    let mut metric =
        encoder.encode_descriptor("rollcall_dns_tcp_open", help, None, MetricType::Gauge)?;
    for transport in over_tcp {
        let open = totals.connections(transport).open as f64;
        metric.encode_family(&[("proto", transport.as_str())])?.encode_gauge(&open)?;
    }
    Ok(())
}

fn protos(totals: &Totals) -> [(&'static str, &TransportTotals); Transport::ALL.len()] {
    Transport::ALL.map(|transport| (transport.as_str(), totals.of(transport)))
}

fn limited(
    encoder: &mut DescriptorEncoder<'_>,
    udp: &TransportTotals,
) -> Result<(), std::fmt::Error> {
    let help = "UDP replies beyond the rate of the network they go to, by what became of them";
    let name = "rollcall_dns_rate_limited";
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (action, count) in Limited::ALL.iter().zip(udp.limited) {
        metric
            .encode_family(&[("action", action.as_str())])?
            .encode_counter::<NoLabels, _, f64>(&count, None)?;
    }
    Ok(())
}

fn requests(encoder: &mut DescriptorEncoder<'_>, totals: &Totals) -> Result<(), std::fmt::Error> {
    let help = "Queries answered, by transport and type";
    let mut metric =
        encoder.encode_descriptor("rollcall_dns_requests", help, None, MetricType::Counter)?;
    for (proto, sums) in protos(totals) {
        for qtype in Qtype::ALL {
            metric
                .encode_family(&[("proto", proto), ("type", qtype.as_str())])?
                .encode_counter::<NoLabels, _, f64>(&sums.requests(qtype), None)?;
        }
    }
    Ok(())
}

fn responses(encoder: &mut DescriptorEncoder<'_>, totals: &Totals) -> Result<(), std::fmt::Error> {
    let help = "Replies sent, by transport and response code";
    let mut metric =
        encoder.encode_descriptor("rollcall_dns_responses", help, None, MetricType::Counter)?;
    for (proto, sums) in protos(totals) {
        for rcode in Rcode::ALL {
            metric
                .encode_family(&[("proto", proto), ("rcode", rcode.as_str())])?
                .encode_counter::<NoLabels, _, f64>(&sums.responses(rcode), None)?;
        }
    }
    Ok(())
}

/// The counters of forwarding; all 0 where it is off.
#[derive(Debug)]
struct Forward {
    stats: Arc<forward::Stats>,
}

impl Collector for Forward {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let totals = self.stats.totals();
        let outcomes = forward::Outcome::ALL.map(forward::Outcome::as_str);
        let errors = forward::UpstreamError::ALL.map(forward::UpstreamError::as_str);
        let help = "Queries for names of others, by what became of them";
        let outcomes = zip(outcomes, totals.requests);
        counters(&mut encoder, "rollcall_forward_requests", help, "outcome", outcomes)?;
        let help = "Questions that the cache was asked, and whether it knew";
        let results = [("hit", totals.cache_hits), ("miss", totals.cache_misses)];
        counters(&mut encoder, "rollcall_forward_cache", help, "result", results)?;
        let help = "Questions to an upstream server that were of no use, by the reason";
        let errors = zip(errors, totals.upstream_errors);
        counters(&mut encoder, "rollcall_forward_upstream_errors", help, "error", errors)?;
        let help = "Questions to upstream servers, repetitions not counted";
        let name = "rollcall_forward_upstream_queries";
        encoder
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabels, _, f64>(&totals.upstream_queries, None)?;
        let help = "Queries for names of others that wait for upstream servers";
        gauge(&mut encoder, "rollcall_forward_waiting", help, totals.waiting as f64)?;
        let help = "Questions that upstream servers are being asked";
        gauge(&mut encoder, "rollcall_forward_in_flight", help, totals.in_flight as f64)
    }
}

/// A counter for each value of a label.
fn counters(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    counts: impl IntoIterator<Item = (&'static str, u64)>,
) -> Result<(), std::fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, count) in counts {
        metric
            .encode_family(&[(label, value)])?
            .encode_counter::<NoLabels, _, f64>(&count, None)?;
    }
    Ok(())
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: f64,
) -> Result<(), std::fmt::Error> {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    prometheus_client::metrics::gauge::ConstGauge::new(value).encode(metric)
}

/// What is measured of a source.
struct Measured {
    layout: &'static str,
    prefix: String,
    facts: Facts,
}

impl Measured {
    fn labels(&self) -> [(&'static str, &str); 2] {
        [("layout", self.layout), ("prefix", &self.prefix)]
    }
}

/// How the watches on the registry are: one for each layout, and those of listeners.
fn sources<'s>(
    encoder: &mut DescriptorEncoder<'_>,
    sources: impl Iterator<Item = &'s Arc<Status>>,
) -> Result<(), std::fmt::Error> {
    let sources: Vec<Measured> = sources
        .map(|mirror| Measured {
            layout: mirror.reader(),
            prefix: mirror.prefix().to_owned(),
            facts: mirror.facts(),
        })
        .collect();
    type Value = fn(&Facts) -> Option<f64>;
    let gauges: [(&str, &str, Option<&Unit>, Value); 4] = [
        ("rollcall_registry_epoch", "Breaks in the registry's history", None, |facts| {
            Some(facts.epoch as f64)
        }),
        ("rollcall_registry_has_view", "Whether it has been read whole once", None, |facts| {
            Some(f64::from(u8::from(facts.has_view)))
        }),
        ("rollcall_registry_watching", "Whether the registry's watch is open", None, |facts| {
            Some(f64::from(u8::from(facts.watching)))
        }),
        (
            "rollcall_registry_contact_age",
            "Time since the registry last gave a sign of life",
            Some(&Unit::Seconds),
            |facts| facts.last_contact.map(|at| at.elapsed().as_secs_f64()),
        ),
    ];
    for (name, help, unit, value) in gauges {
        let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for source in &sources {
            if let Some(value) = value(&source.facts) {
                metric.encode_family(&source.labels())?.encode_gauge(&value)?;
            }
        }
    }
    type Count = fn(&Facts) -> u64;
    let counters: [(&str, &str, Count); 2] = [
        ("rollcall_registry_relists", "Listings after the first one", |facts| facts.relists),
        ("rollcall_registry_watch_reopened", "Watches opened after the first one", |facts| {
            facts.reopened
        }),
    ];
    for (name, help, value) in counters {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for source in &sources {
            let value = value(&source.facts);
            metric
                .encode_family(&source.labels())?
                .encode_counter::<NoLabels, _, f64>(&value, None)?;
        }
    }
    Ok(())
}

/// What is shown, and how old it is.
struct View {
    health: Health,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

impl Collector for View {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let encoder = &mut encoder;
        let snapshot = self.health.published.load_full();
        let ready = f64::from(u8::from(self.health.is_ready(&snapshot)));
        let help = "Whether the registry has been read whole once, save layouts that can't be read";
        gauge(encoder, "rollcall_ready", help, ready)?;
        let revision = snapshot.revision as f64;
        gauge(
            encoder,
            "rollcall_snapshot_revision",
            "The registry's revision that answers show",
            revision,
        )?;
        let rejected = snapshot.directory.rejected_count() as f64;
        gauge(encoder, "rollcall_rejected_keys", "Keys that are not served as written", rejected)?;
        gauge(encoder, "rollcall_apps", "Apps known", snapshot.directory.app_count() as f64)?;
        sources(encoder, self.health.sources.iter().chain(&self.health.followed.all()))?;
        let help = "The zone's SOA serial";
        let mut metric =
            encoder.encode_descriptor("rollcall_zone_serial", help, None, MetricType::Gauge)?;
        for zone in snapshot.zones() {
            let serial = f64::from(zone.serial);
            metric.encode_family(&[("zone", zone.name().as_str())])?.encode_gauge(&serial)?;
        }
        Ok(())
    }
}
