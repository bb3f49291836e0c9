//! A DNS server in this process, on ports of its own.
#![allow(dead_code, reason = "each test program uses a part of this")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rollcall::dns::forward::{self, Forwarder};
use rollcall::dns::{Settings, Source, Stats, Transport, bind};
use rollcall::supervise::{TaskFailed, Tasks};
use rollcall::zone::{Published, Snapshot};
use tokio_util::sync::CancellationToken;

/// How long anything may take that happens at once on an idle machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The server. Without [`Server::stop`] it ends with the runtime.
pub(crate) struct Server {
    pub(crate) addresses: Vec<SocketAddr>,
    /// Those of TLS, HTTPS and so on.
    encrypted: Vec<(Transport, SocketAddr)>,
    /// What it has counted.
    pub(crate) stats: Arc<Stats>,
    /// What it has counted of questions that it forwarded.
    pub(crate) forwarded: Arc<forward::stats::Stats>,
    stop: CancellationToken,
    tasks: Tasks,
}

impl Server {
    /// Answers from that snapshot, on 127.0.0.1 unless the settings say otherwise.
    pub(crate) fn start(settings: Settings, snapshot: Arc<Snapshot>) -> Self {
        let published = Arc::new(Published::new(snapshot));
        let policy =
            rollcall::dns::Policy { udp_octets_max: settings.udp_octets_max, ..Default::default() };
        let source = Source::new(published, policy, || 0);
        Self::answering(settings, &source)
    }

    /// Answers from that source.
    pub(crate) fn answering(settings: Settings, source: &Source) -> Self {
        let bound = bind(&settings).unwrap();
        let addresses = bound.addresses();
        let of =
            |transport| bound.addresses_of(transport).into_iter().map(move |at| (transport, at));
        let encrypted = Transport::ALL.into_iter().flat_map(of).collect();
        let stop = CancellationToken::new();
        let tasks = Tasks::new(stop.clone());
        let stats = Arc::<Stats>::default();
        let forwarded = Arc::<forward::stats::Stats>::default();
        let mut source = source.clone();
        if let Some(forward) = settings.forward {
            let (own, counted) = (source.clone(), forwarded.clone());
            let forwarder = Forwarder::new(forward, own, addresses.clone(), counted).unwrap();
            source = source.with_forwarder(forwarder);
        }
        bound.run(&source, &stats, &tasks).unwrap();
        Self { addresses, encrypted, stats, forwarded, stop, tasks }
    }

    /// The first address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// The first address of an encrypted transport.
    pub(crate) fn address_of(&self, wanted: Transport) -> SocketAddr {
        let mut all = self.encrypted.iter().filter(|(transport, _)| *transport == wanted);
        all.next().expect("a transport that the settings turn on").1
    }

    /// Stops it and waits until all its tasks have ended.
    pub(crate) async fn stop(self) -> Result<(), TaskFailed> {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.tasks.join(DEADLINE)).await.expect("the server stops")
    }
}

/// Settings for one listener on a free port of 127.0.0.1.
pub(crate) fn settings() -> Settings {
    Settings {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        udp_workers: 2,
        ..Settings::default()
    }
}
