//! The parts of a running server, and the order in which they start and stop.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::certificates::Certificates;
use super::compiler::{Compiler, Measures};
use super::data::{Data, DataError};
use super::readiness::Health;
use super::reload::{self, Reload};
use super::signals::{Hangups, Signals};
use super::sources::Sources;
use super::{ServeError, metrics, serials, staleness};
use crate::api::{self, Api, History};
use crate::compat::{self, Compat};
use crate::config::{Config, RegistryChoice};
use crate::dns;
use crate::dns::answer::cookie::SECRET_OCTETS;
use crate::dns::forward::{self, Forwarder};
use crate::layout::foreign::Foreign;
use crate::layout::native::Keys;
use crate::registry::Registry;
use crate::registry::embedded::EmbeddedRegistry;
use crate::registry::etcd::EtcdRegistry;
use crate::registry::mirror::Statuses;
use crate::supervise::Tasks;
use crate::tls;
use crate::zone::{Catalogue, Guard, Published};

/// Contents of zone files that wait for it.
const CONTENTS_MAX: usize = 4;
/// What is in flight at the end may take this long (law 10, docs/architecture.md).
const DRAIN: Duration = Duration::from_secs(5);
/// And all tasks together a little longer, to notice.
const END: Duration = Duration::from_secs(6);
/// Where other programs read what this server listens on.
const LISTENING_FILE: &str = "listening.json";

/// Everything that is bound and opened, but does not run yet.
pub(super) struct Parts {
    config: Config,
    data: Arc<Data>,
    registry: Arc<dyn Registry>,
    dns: dns::Bound,
    http: api::Listener,
    compat: compat::Bound,
}

/// What this server listens on, for programs that start it on free ports.
#[derive(Serialize)]
struct Listening {
    pid: u32,
    dns: Vec<SocketAddr>,
    dns_tls: Vec<SocketAddr>,
    dns_https: Vec<SocketAddr>,
    dns_quic: Vec<SocketAddr>,
    dns_h3: Vec<SocketAddr>,
    http: SocketAddr,
    http_health: Option<SocketAddr>,
    compat: BTreeMap<&'static str, SocketAddr>,
}

impl Listening {
    fn all(&self) -> Vec<SocketAddr> {
        let Self { dns, dns_tls, dns_https, dns_quic, dns_h3, http, http_health, compat, .. } =
            self;
        let dns = [dns, dns_tls, dns_https, dns_quic, dns_h3].into_iter().flatten();
        dns.chain([http]).chain(http_health).chain(compat.values()).copied().collect()
    }
}

/// The file that says what this server listens on, for as long as it does.
struct Listed {
    data: Arc<Data>,
}

impl Listed {
    fn new(data: Arc<Data>, listening: &Listening) -> Result<Self, DataError> {
        let text = serde_json::to_vec(listening).map_err(std::io::Error::other);
        text.and_then(|text| data.replace(LISTENING_FILE, &text))
            .map_err(|error| data.unusable(error))?;
        Ok(Self { data })
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.data.remove(LISTENING_FILE);
    }
}

impl Parts {
    /// Opens the data directory, binds all sockets and opens the registry. etcd need not be reachable.
    pub(super) async fn bind(config: Config) -> Result<Self, ServeError> {
        let data = Arc::new(Data::open(&config.data_dir)?);
        // A server that was killed could not take it away.
        data.remove(LISTENING_FILE);
        let dns = dns::bind(&config.dns)?;
        let http = api::bind(&config.http).await?;
        let compat = compat::bind(&config.compat).await?;
        let registry: Arc<dyn Registry> = match &config.registry {
            RegistryChoice::Embedded => Arc::new(EmbeddedRegistry::open(data.path())?),
            RegistryChoice::Etcd(settings) => Arc::new(
                EtcdRegistry::connect(settings.as_ref().clone()).await.map_err(ServeError::Etcd)?,
            ),
        };
        Ok(Self { config, data, registry, dns, http, compat })
    }

    /// Serves until a signal comes, then stops in order.
    pub(super) async fn run(
        self,
        mut signals: Signals,
        hangups: Hangups,
    ) -> Result<(), ServeError> {
        let draining = Arc::new(AtomicBool::new(false));
        let stop = CancellationToken::new();
        let tasks = Tasks::new(stop.clone());
        let listening = self.listening();
        let (data, lameduck) = (self.data.clone(), self.config.lameduck);
        self.tell();
        self.start(&tasks, hangups, draining.clone())?;
        let listed = Listed::new(data, &listening)?;
        let Listening {
            dns, http, dns_tls: tls, dns_https: https, dns_quic: quic, dns_h3: h3, ..
        } = &listening;
        tracing::info!(?dns, ?tls, ?https, ?quic, ?h3, %http, "serving");
        let mut running = std::pin::pin!(tasks.join(END));
        let signal = tokio::select! {
            failed = &mut running => return failed.map_err(Into::into),
            signal = signals.next() => signal,
        };
        draining.store(true, Ordering::Relaxed);
        tracing::info!(signal, lameduck = %humantime::format_duration(lameduck), "stopping");
        drop(listed);
        tokio::select! {
            () = tokio::time::sleep(lameduck) => {}
            // Whoever asks twice does not want to wait.
            _ = signals.next() => {}
            failed = &mut running => return failed.map_err(Into::into),
        }
        stop.cancel();
        tokio::select! {
            ended = running => ended?,
            signal = signals.next() => tracing::warn!(signal, "stopping with requests unfinished"),
        }
        tracing::info!("stopped");
        Ok(())
    }

    /// Says what is served from where: a server started in the wrong folder looks empty, not broken.
    fn tell(&self) {
        let data = self.data.path().display();
        match &self.config.registry {
            RegistryChoice::Embedded => tracing::info!(%data, "registry: embedded"),
            RegistryChoice::Etcd(settings) => {
                tracing::info!(endpoints = settings.endpoints.join(", "), prefix = self.config.prefix, %data, "registry: etcd");
            }
        }
        for layout in &self.config.layouts {
            let Foreign { system, prefix, namespace, .. } = layout;
            tracing::info!(%system, %prefix, %namespace, "layout");
        }
        if let Some(forward) = &self.config.dns.forward {
            let domains = forward.domains.len();
            tracing::info!(upstreams = %forward.upstreams, domains, "forwarding names of others");
        }
        for zone in &self.config.zones {
            let namespace = zone.namespace.as_ref().map_or("", |namespace| namespace.as_str());
            let file = zone.file.as_ref().map(|file| file.path().display().to_string());
            let file = file.as_deref().unwrap_or("none, built-in apex");
            tracing::info!(zone = %zone.name, namespace, file, "zone");
        }
    }

    fn listening(&self) -> Listening {
        Listening {
            pid: std::process::id(),
            dns: self.dns.addresses(),
            dns_tls: self.dns.addresses_of(dns::Transport::Tls),
            dns_https: self.dns.addresses_of(dns::Transport::Https),
            dns_quic: self.dns.addresses_of(dns::Transport::Quic),
            dns_h3: self.dns.addresses_of(dns::Transport::H3),
            http: self.http.address(),
            http_health: self.http.health_address(),
            compat: self.compat.addresses(),
        }
    }

    fn start(
        self,
        tasks: &Tasks,
        hangups: Hangups,
        draining: Arc<AtomicBool>,
    ) -> Result<(), ServeError> {
        let listening = self.listening();
        let Self { config, data, registry, dns, http, compat } = self;
        let keys = Keys::new(&config.prefix);
        let certificates = Certificates::of(&config);
        let (sources, deltas) = Sources::new(&registry, &keys, &config.layouts);
        let (send_contents, contents) = mpsc::channel(CONTENTS_MAX);
        let namespaces = config.layouts.iter().map(|layout| layout.namespace.clone());
        let mut catalogue = Catalogue::new(&config.zones, &config.pins, &serials::load(&data))
            .with_layouts(namespaces);
        let published = Arc::new(Published::new(catalogue.compile(&|| Duration::ZERO).snapshot));
        let history = Arc::new(History::new(config.http.history_events_max));
        let (save, saved) = watch::channel(catalogue.serials());
        let measures = Measures::default();
        let stats = Arc::new(dns::Stats::default());
        let shared_registry = matches!(config.registry, RegistryChoice::Etcd(_));
        let followed = Statuses::default();
        let health = Health {
            registry: if shared_registry { "etcd" } else { "embedded" },
            sources: sources.statuses(),
            followed: followed.clone(),
            published: published.clone(),
            draining,
            was_ready: Arc::default(),
        };
        let guard = Guard::new(&config.zones);
        let reload = Reload {
            guard: guard.clone(),
            contents: send_contents,
            measures: reload::Measures::default(),
            wall_clock: wall_time,
        };
        let forwarded = Arc::default();
        let mut exposition = metrics::registry(
            stats.clone(),
            Arc::clone(&forwarded),
            health.clone(),
            &measures,
            &reload.measures,
        );
        exposition.register_collector(Box::new(certificates));
        let others = Compat {
            registry: registry.clone(),
            shared_registry,
            keys: keys.clone(),
            guard: guard.clone(),
            published: published.clone(),
            dns_is_open: listening.dns.iter().any(|at| !at.ip().to_canonical().is_loopback()),
            listening: listening.all(),
            allow_loopback: config.http.allow_loopback,
            hosts: own_names(&config.http.hosts),
            files: data.clone(),
            metrics: compat::Metrics::new(&mut exposition),
            followed,
            wall_clock: wall_time,
        };
        let api = Api {
            registry,
            shared_registry,
            keys,
            layouts: config.layouts.iter().map(|layout| layout.system.as_str()).collect(),
            published: published.clone(),
            guard,
            history: history.clone(),
            readiness: Arc::new(move || health.readiness()),
            metrics: api::Metrics::new(&mut exposition),
            exposition: Arc::new(exposition),
            settings: config.http,
            wall_clock: wall_time,
        };
        let compiler = Compiler {
            catalogue,
            deltas,
            contents,
            published: published.clone(),
            history,
            serials: save,
            measures,
        };

        let source = source(config.dns, &published, dns.addresses(), forwarded)?;
        dns.run(&source, &stats, tasks)?;
        let stop = || tasks.stop_token();
        if let Some(forwarder) = source.forwarder() {
            let follow = forward::follow(forwarder.clone(), hangups.subscribe(), stop());
            tasks.spawn("upstreams", follow);
        }
        compat.run(others, tasks, DRAIN)?;
        tasks.spawn("staleness", staleness::watch(sources.statuses(), published, stop()));
        if !config.identities.is_empty() {
            let keep = tls::keep(config.identities, wall_time, hangups.subscribe(), stop());
            tasks.spawn("certificates", keep);
        }
        tasks.spawn("compiler", compiler.start(Handle::current())?);
        let reload = reload.run(config.zones, config.zone_files, hangups.subscribe(), stop());
        tasks.spawn("reload", reload);
        tasks.spawn("hangups", hangups.pass_on(stop()));
        tasks.spawn("serials", serials::keep(data, saved, stop()));
        write_and_watch(api, http, sources, tasks)
    }
}

/// The names in `http.hosts`, and the one that this host has.
fn own_names(listed: &[String]) -> Vec<String> {
    listed.iter().cloned().chain(crate::host::name()).collect()
}

/// What answers come from: the snapshot that is published, and other servers if the configuration names some.
fn source(
    settings: dns::Settings,
    published: &Arc<Published>,
    listeners: Vec<SocketAddr>,
    forwarded: Arc<forward::stats::Stats>,
) -> Result<dns::Source, ServeError> {
    let mut secret = [0; SECRET_OCTETS];
    getrandom::fill(&mut secret).map_err(std::io::Error::from)?;
    let own = dns::Source::new(published.clone(), settings.policy(secret), unix_secs);
    let Some(forward) = settings.forward else { return Ok(own) };
    let forwarder = Forwarder::new(forward, own.clone(), listeners, forwarded)?;
    Ok(own.with_forwarder(forwarder))
}

/// Runs the API, and the mirrors for longer than that: the view is kept up as long as there may be a write that waits to
/// see itself in it. The compiler ends with the mirror, and the serials' keeper with the compiler.
fn write_and_watch(
    api: Api,
    http: api::Listener,
    sources: Sources,
    tasks: &Tasks,
) -> Result<(), ServeError> {
    let unwatched = CancellationToken::new();
    sources.run(tasks, &unwatched)?;
    let (stop, last) = (tasks.stop_token(), unwatched.drop_guard());
    tasks.spawn("http", async move {
        api::serve(api, http, stop, DRAIN).await;
        drop(last);
        Ok(())
    });
    Ok(())
}

/// The time in seconds since 1970, cut to 32 bits (RFC 9018 section 4.3).
fn unix_secs() -> u32 {
    let since = wall_time().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_secs() as u32
}

/// The one place where the server reads the wall clock: for notes that people read, and for cookies.
#[expect(clippy::disallowed_methods, reason = "wall time is read in serve and passed on")]
pub(super) fn wall_time() -> SystemTime {
    SystemTime::now()
}
