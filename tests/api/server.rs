//! A server on free ports, stopped when its test ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

use rollcall::api::{
    Api, History, Metrics, Permission, Readiness, Settings, SourceReadiness, Token, bind, serve,
};
use rollcall::layout::native::{Keys, PREFIX_DEFAULT};
use rollcall::model::Namespace;
use rollcall::registry::{Entry, Registry, Txn, Write};
use rollcall::zone::zonefile::ZoneFile;
use rollcall::zone::{Guard, Position, Published, Snapshot, ZoneName, ZoneSettings};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::compiler::Compiler;
use crate::registry::Watched;

/// How a test wants its server.
pub(crate) struct Setup {
    pub(crate) settings: Settings,
    pub(crate) shared_registry: bool,
    /// Directories are published.
    pub(crate) compiled: bool,
    pub(crate) drain: Duration,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) health_address: Option<SocketAddr>,
    pub(crate) registry: Arc<Watched>,
    pub(crate) published: Arc<Published>,
    pub(crate) history: Arc<History>,
    pub(crate) draining: Arc<AtomicBool>,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinSet<()>,
    hold: watch::Sender<bool>,
    _compiler: JoinSet<()>,
}

impl Default for Setup {
    fn default() -> Self {
        let settings = Settings { listen: ([127, 0, 0, 1], 0).into(), ..Settings::default() };
        Self { settings, shared_registry: false, compiled: true, drain: Duration::from_secs(5) }
    }
}

impl Setup {
    pub(crate) async fn start(self) -> Server {
        let registry = Arc::new(Watched::new());
        let published = Arc::new(Published::new(Arc::new(Snapshot::default())));
        let history = Arc::new(History::new(self.settings.history_events_max));
        let draining = Arc::new(AtomicBool::new(false));
        let mut exposition = prometheus_client::registry::Registry::default();
        let metrics = Metrics::new(&mut exposition);
        let listener = bind(&self.settings).await.unwrap();
        let (address, health_address) = (listener.address(), listener.health_address());
        let (hold, held) = watch::channel(false);
        let mut compiler = JoinSet::new();
        if self.compiled {
            let compiler_task = Compiler {
                registry: registry.inner.clone(),
                keys: Keys::new(PREFIX_DEFAULT),
                published: published.clone(),
                history: history.clone(),
                held,
            };
            compiler.spawn(compiler_task.run());
            published.reached(Position::default(), 1).await;
        }
        let is_draining = draining.clone();
        let api = Api {
            registry: registry.clone(),
            shared_registry: self.shared_registry,
            keys: Keys::new(PREFIX_DEFAULT),
            layouts: Vec::new(),
            published: published.clone(),
            guard: guard(),
            history: history.clone(),
            readiness: Arc::new(move || readiness(is_draining.load(SeqCst))),
            metrics,
            exposition: Arc::new(exposition),
            settings: self.settings,
            wall_clock: || SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        };
        let stop = CancellationToken::new();
        let mut serving = JoinSet::new();
        serving.spawn(serve(api, listener, stop.clone(), self.drain));
        Server {
            address,
            health_address,
            registry,
            published,
            history,
            draining,
            stop,
            serving,
            hold,
            _compiler: compiler,
        }
    }
}

/// Namespaces `default` and `staging` have a zone each, and app `static` of the first has static records.
fn guard() -> Guard {
    let name = |name: &str| ZoneName::new(name).unwrap();
    let text = "$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nns A 192.0.2.53\nstatic A 192.0.2.1\n";
    let file = ZoneFile::parse("svc.zone".as_ref(), text, &name("svc.")).unwrap();
    let svc = ZoneSettings { file: Some(Arc::new(file)), ..ZoneSettings::default() };
    let namespace = Some(Namespace::new("staging").unwrap());
    let staging = ZoneSettings { name: name("staging."), namespace, ..ZoneSettings::default() };
    Guard::new(&[svc, staging])
}

fn readiness(draining: bool) -> Readiness {
    let source = SourceReadiness {
        name: "embedded".to_owned(),
        layout: "native".to_owned(),
        prefix: PREFIX_DEFAULT.to_owned(),
        revision: 7,
        has_view: true,
        contact_age_secs: Some(0.5),
        error: None,
    };
    Readiness { ready: true, draining, sources: vec![source] }
}

/// A server as it is without configuration, and a connection to it.
pub(crate) async fn start() -> (Server, Client) {
    start_with(|_| {}).await
}

pub(crate) async fn start_with(change: impl FnOnce(&mut Setup)) -> (Server, Client) {
    let mut setup = Setup::default();
    change(&mut setup);
    let server = setup.start().await;
    let client = Client::connect(server.address).await;
    (server, client)
}

impl Server {
    /// Holds the directory back as it is, or lets it go on.
    pub(crate) fn hold(&self, held: bool) {
        self.hold.send_replace(held);
    }

    /// One key of the registry.
    pub(crate) async fn entry(&self, path: &str) -> Option<Entry> {
        let key = format!("{PREFIX_DEFAULT}{path}");
        self.registry.inner.get(key.as_bytes()).await.unwrap().1
    }

    /// Writes a key as another program would, and waits until the directory has it.
    pub(crate) async fn write(&self, path: &str, value: &str) {
        let key = format!("{PREFIX_DEFAULT}{path}").into();
        let put = Write::Put { key, value: value.to_owned().into(), lease: None };
        self.commit(put).await;
    }

    /// Deletes a key as another program would.
    pub(crate) async fn delete(&self, path: &str) {
        self.commit(Write::Delete(format!("{PREFIX_DEFAULT}{path}").into())).await;
    }

    async fn commit(&self, write: Write) {
        let txn = Txn { preconditions: Vec::new(), writes: vec![write] };
        self.registry.inner.commit(txn).await.unwrap();
        let (stamp, _) = self.registry.inner.get(b"").await.unwrap();
        if !*self.hold.borrow() {
            self.published.reached(Position::default(), stamp.revision).await;
        }
    }
}

/// A token with these rights.
pub(crate) fn token(name: &str, apps: &[&str], may: &[Permission]) -> Token {
    Token {
        name: name.to_owned(),
        secret: format!("secret-of-{name}"),
        apps: apps.iter().map(ToString::to_string).collect(),
        may: may.to_vec(),
    }
}

/// Waits until a condition that another task brings about holds.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("{what}"));
}
