//! Serves the API's listeners until it is told to stop, and gives back what writes left over.
//!
//! Knows nothing of connections, and of what routes do.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::listen::Listener;
use super::renewals::Renewals;
use super::token::Tokens;
use super::{Api, Shared, routes};
use crate::http::{Accepting, Http};
use crate::registry::{LeaseId, Registry};
use crate::tls::Acceptor;

/// What is spoken under TLS (RFC 7301 section 6).
const ALPN: &[&str] = &["http/1.1"];
/// Connections of the health listener: a few monitors.
const HEALTH_CONNECTIONS_MAX: usize = 64;
/// Leases waiting to be given back; beyond that they end by themselves.
const UNUSED_LEASES_MAX: usize = 1_024;

/// Serves until `stop`; then finishes the requests in flight, for at most `drain`.
pub async fn serve(api: Api, listener: Listener, stop: CancellationToken, drain: Duration) {
    let (unused_leases, unused) = mpsc::channel(UNUSED_LEASES_MAX);
    let connections_max = api.settings.connections_max;
    let shared = Arc::new(Shared {
        tokens: Tokens::new(&api.settings.tokens),
        renewals: Renewals::default(),
        watchers: Arc::new(Semaphore::new(api.settings.watchers_max)),
        unused_leases,
        stop: stop.clone(),
        api,
    });
    let plane = |listener, router, acceptor, connections_max| {
        let stop = stop.clone();
        let counters = shared.api.metrics.listener.clone();
        let accepting = Accepting {
            listener,
            name: "http",
            connections_max,
            allow: None,
            counters,
            stop: stop.clone(),
        };
        let head_timeout = shared.api.settings.request_timeout;
        let http = Http { router, acceptor, head_timeout, stop };
        accepting.run(drain, move |stream, peer, seat| http.clone().serve(stream, peer, seat))
    };
    let own = shared.api.settings.identity.clone();
    let acceptor = own.map(|own| Arc::new(Acceptor::new(own, ALPN)));
    let api = plane(listener.api, routes::api(&shared), acceptor, connections_max);
    // Monitors have no certificates, and nothing there is worth one.
    let health = listener
        .health
        .map(|listener| plane(listener, routes::health(&shared), None, HEALTH_CONNECTIONS_MAX));
    let health = async {
        if let Some(health) = health {
            health.await;
        }
    };
    let registry = shared.api.registry.clone();
    let served = async { tokio::join!(api, health) };
    tokio::select! {
        _ = served => {}
        () = give_back(registry, unused) => {}
    }
}

/// Revokes leases whose write was not done. Best effort: they also end by themselves. Never ends while
/// requests can be made.
async fn give_back(registry: Arc<dyn Registry>, mut unused: mpsc::Receiver<LeaseId>) {
    while let Some(lease) = unused.recv().await {
        if let Err(error) = registry.revoke(lease).await {
            tracing::debug!(%lease, %error, "unused lease left to end by itself");
        }
    }
}
