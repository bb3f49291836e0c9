//! Room for as many descriptors as the configuration allows connections.
//!
//! Systems give a process 1,024 until it asks for more, so that programs with `select` don't break. Ours has none,
//! and its default limits on connections are above that.
//!
//! Knows nothing of how descriptors are used.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::Config;

/// Descriptors besides those of connections: listeners, workers, the registry, files, logs.
const OTHERS: usize = 512;

/// Those of one question that is looked up elsewhere: each repetition of a datagram has a port of its own.
const DESCRIPTORS_OF_FORWARD: usize = 4;

/// Raises the soft limit to what the configuration needs, as far as the hard one lets us.
pub(super) fn make_room(config: &Config) {
    let forwards = config
        .dns
        .forward
        .as_ref()
        .map_or(0, |forward| forward.in_flight_max.saturating_mul(DESCRIPTORS_OF_FORWARD));
    let over_tcp =
        1 + usize::from(config.dns.tls.is_some()) + usize::from(config.dns.https.is_some());
    let dns = config.dns.tcp_connections_max.saturating_mul(over_tcp);
    let connections = dns.saturating_add(config.http.connections_max);
    let wanted = connections.saturating_add(forwards).saturating_add(OTHERS);
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let limit = wanted.min(hard).max(soft);
        setrlimit(Resource::RLIMIT_NOFILE, limit, hard).map(|()| limit)
    });
    match raised {
        Ok(limit) => tracing::debug!(limit, wanted, "limit of open files"),
        // Accepting says so when it matters.
        Err(error) => tracing::debug!(%error, "cannot raise the limit of open files"),
    }
}
