//! Room for as many descriptors as the configuration allows connections.
//!
//! Systems give a process 1,024 until it asks for more, so that programs with `select` don't break. Ours has none,
//! and its default limits on connections are above that.
//!
//! Knows nothing of how descriptors are used.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::compat;
use crate::config::Config;
use crate::dns::forward;

/// Descriptors besides those of connections and look-ups: listeners, workers, the registry, files, logs.
const OTHERS: usize = 512;
/// Of too low a limit look-ups have one in so many in any case: connections are seldom all there, and who has none left
/// is told so, whereas a look-up without a descriptor is held against the server that it was to ask.
const LOOK_UPS_SHARE: usize = 4;

/// Raises the soft limit to what the configuration needs, as far as the hard one lets us. Where that is not enough, as
/// many names are looked up at once as leave the rest to connections.
pub(super) fn make_room(config: &mut Config) {
    let over_tcp =
        1 + usize::from(config.dns.tls.is_some()) + usize::from(config.dns.https.is_some());
    let dns = config.dns.tcp_connections_max.saturating_mul(over_tcp);
    let others = config.compat.listeners().count() * compat::CONNECTIONS_MAX;
    let connections = dns.saturating_add(config.http.connections_max).saturating_add(others);
    let forwards = config.dns.forward.as_ref().map_or(0, forward::Settings::descriptors_max);
    let wanted = connections.saturating_add(forwards).saturating_add(OTHERS);
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let limit = u64::try_from(wanted).unwrap_or(u64::MAX).min(hard).max(soft);
        setrlimit(Resource::RLIMIT_NOFILE, limit, hard).map(|()| limit)
    });
    let limit = match raised {
        Ok(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        // Accepting says so when it matters.
        Err(error) => {
            tracing::debug!(%error, "cannot raise the limit of open files");
            return;
        }
    };
    if limit >= wanted {
        tracing::debug!(limit, wanted, "limit of open files");
        return;
    }
    if let Some(forward) = &mut config.dns.forward {
        let places = look_ups(limit, connections, forward.descriptors_each());
        forward.in_flight_max = forward.in_flight_max.min(places);
    }
    let look_ups = config.dns.forward.as_ref().map(|forward| forward.in_flight_max);
    tracing::warn!(
        limit,
        wanted,
        look_ups,
        "the limit of open files is too low for all connections and look-ups that are allowed at once: raise the hard \
         limit (LimitNOFILE= in a unit of systemd), or lower dns.tcp_connections_max, http.connections_max and \
         forward.in_flight_max"
    );
}

/// How many names may be looked up at once under that limit, at so many descriptors each.
fn look_ups(limit: usize, connections: usize, each: usize) -> usize {
    let left = limit.saturating_sub(connections.saturating_add(OTHERS));
    (left.max(limit / LOOK_UPS_SHARE) / each.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_ups_have_what_connections_leave_and_never_nothing() {
        assert_eq!(look_ups(8_000, 5_096, 3), 797);
        assert_eq!(look_ups(1_024, 5_096, 3), 85);
        assert_eq!(look_ups(1_024, 5_096, 9), 28);
        assert_eq!(look_ups(2, usize::MAX, 0), 1);
    }
}
