//! Opens the listeners' sockets, and serves on each what its system is.
//!
//! Knows nothing of what any system says.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;

use super::gate::{ARRIVAL_TIMEOUT, gated};
use super::hold::SavedError;
use super::settings::{Listen, Settings};
use super::{Compat, Room, consul, etcd_v2, haunt, tars};
use crate::host::bind_advice;
use crate::http::{Accepting, Http};
use crate::supervise::Tasks;

/// Connections of one listener at once.
pub const CONNECTIONS_MAX: usize = 1_024;

/// The open sockets.
#[derive(Debug)]
pub struct Bound {
    settings: Settings,
    sockets: BTreeMap<&'static str, (TcpListener, SocketAddr)>,
}

/// Why a listener can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The configuration would let anyone on the network register.
    #[error("refusing to listen for {0} calls: {why}", why = open_to_all(*.1))]
    Open(&'static str, SocketAddr),
    /// The system refused.
    #[error("cannot bind {0} listener {1}: {why}", why = bind_advice(.2))]
    Io(&'static str, SocketAddr, io::Error),
}

/// Why a listener can't be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What it had to remember is not readable.
    #[error(transparent)]
    Saved(#[from] SavedError),
}

/// What is wrong with an address that strangers reach.
#[must_use]
pub fn open_to_all(listen: SocketAddr) -> String {
    format!(
        "{listen} is beyond loopback, and these calls know no tokens, so anyone could register: say in allow whose calls \
         are taken, as in allow = [\"10.0.0.0/8\"], or listen on 127.0.0.1"
    )
}

/// Opens the sockets that the settings ask for.
///
/// # Errors
/// An address beyond loopback without `allow`, or one that the system refuses.
pub async fn bind(settings: &Settings) -> Result<Bound, BindError> {
    let mut sockets = BTreeMap::new();
    for (name, Listen { listen, .. }) in settings.listeners().filter(|(_, at)| !at.is_open()) {
        let failed = |error| BindError::Io(name, *listen, error);
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        sockets.insert(name, (listener, address));
    }
    match settings.listeners().find(|(_, at)| at.is_open()) {
        Some((name, at)) => Err(BindError::Open(name, at.listen)),
        None => Ok(Bound { settings: settings.clone(), sockets }),
    }
}

impl Bound {
    /// Where each listener is.
    #[must_use]
    pub fn addresses(&self) -> BTreeMap<&'static str, SocketAddr> {
        self.sockets.iter().map(|(name, (_, address))| (*name, *address)).collect()
    }

    /// Serves on all of them until the tasks are stopped; what is in flight then is finished within `drain`.
    ///
    /// # Errors
    /// What a listener had to remember is not readable.
    pub fn run(self, compat: Compat, tasks: &Tasks, drain: Duration) -> Result<(), StartError> {
        let Self { settings, mut sockets } = self;
        let compat = Arc::new(compat);
        let mut open = |name: &'static str, at: &Listen| {
            let (listener, address) = sockets.remove(name)?;
            tracing::info!(%address, "listening for {name} calls");
            let stop = tasks.stop_token();
            let (connections_max, allow) = (CONNECTIONS_MAX, Some(at.peers()));
            let counters = compat.metrics.listener(name);
            let stopped = stop.clone();
            let accepting =
                Accepting { listener, name, connections_max, allow, counters, stop: stopped };
            let (compat, namespace) = (compat.clone(), at.namespace.clone());
            Some((accepting, Room { name, compat, namespace, tasks, stop }))
        };
        if let Some(settings) = &settings.haunt
            && let Some((accepting, room)) = open("haunt", &settings.at)
        {
            let router = haunt::router(&room)?;
            serve(router, accepting, &room, drain);
        }
        if let Some(settings) = &settings.etcd_v2
            && let Some((accepting, room)) = open("etcd_v2", &settings.at)
        {
            let router = etcd_v2::router(settings, &room)?;
            serve(router, accepting, &room, drain);
        }
        if let Some(settings) = &settings.consul
            && let Some((accepting, room)) = open("consul", &settings.at)
        {
            let router = consul::router(&room)?;
            serve(router, accepting, &room, drain);
        }
        if let Some(settings) = &settings.tars
            && let Some((accepting, room)) = open("tars", &settings.at)
        {
            tars::serve(settings, accepting, &room, drain);
        }
        Ok(())
    }
}

/// Serves a router behind the gate.
fn serve(router: Router, accepting: Accepting, room: &Room<'_>, drain: Duration) {
    let router = gated(router, room.name, room.compat.clone());
    let stop = room.stop.clone();
    let http = Http { router, acceptor: None, head_timeout: ARRIVAL_TIMEOUT, stop };
    room.tasks.spawn(room.name, async move {
        accepting
            .run(drain, move |stream, peer, seat| http.clone().serve(stream, peer, seat))
            .await;
        Ok(())
    });
}
