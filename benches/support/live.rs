//! rollcall as a process of its own, beside an etcd or on its embedded registry, and the fleet that is
//! registered there.
//!
//! Instance `i-K` of app `app-N` has the address 10.0.0.0 plus a number that whoever writes it chooses, so that
//! an answer tells which write it shows.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use rollcall::layout::native::{Keys, PREFIX_DEFAULT, instance_value};
use rollcall::model::{AppName, Label, Namespace, Spec};
use rollcall::registry::{Committed, Error, LeaseId, Registry, Revision, Txn, Write};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::machine::monotonic;
use super::process::{self, Program};
use super::programs::http::Http;

/// Longer than anything here takes unless it is broken.
const LIMIT: Duration = Duration::from_secs(60);

/// Operations that etcd takes in one transaction, unless it is told otherwise.
const TXN_OPS_MAX: usize = 128;

/// A server; ended with its value.
pub(crate) struct Rollcall {
    program: Program,
    pub(crate) dns: SocketAddr,
    pub(crate) http: SocketAddr,
}

impl Rollcall {
    /// Starts one on free ports and waits until it listens.
    pub(crate) fn start(registry: &[&str], data: &Path, core: Option<usize>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
        command.args(["serve", "--dns", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"]);
        command.arg(data).args(registry);
        // A folder without a configuration and without zone files.
        std::fs::create_dir_all(data).expect("a folder for its data");
        command.current_dir(data);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ROLLCALL_") {
                command.env_remove(name);
            }
        }
        let log = data.join("log");
        let mut program = Program::start(&command, core, &log).expect("rollcall starts");
        let mut listening = Value::Null;
        let listens = process::wait(LIMIT, || {
            let text = std::fs::read(data.join("listening.json")).unwrap_or_default();
            listening = serde_json::from_slice(&text).unwrap_or_default();
            listening["pid"] == program.id() || program.has_ended()
        });
        let address = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        match (listens, address(&listening["dns"][0]), address(&listening["http"])) {
            (true, Some(dns), Some(http)) => Self { program, dns, http },
            _ => panic!("rollcall: {}", std::fs::read_to_string(&log).unwrap_or_default()),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.program.id()
    }

    /// Ends it, and its data can be used again.
    pub(crate) fn stop(self) {
        drop(self.program);
    }

    /// A connection to its API.
    pub(crate) async fn connect(&self) -> Http {
        Http::connect(self.http).await.expect("rollcall accepts")
    }

    /// Waits until it is ready.
    pub(crate) async fn is_ready(&self) {
        let mut http = self.connect().await;
        self.asks(&mut http, "/readyz", |status, _| status == 200).await;
    }

    /// Waits until its answers show a revision.
    pub(crate) async fn shows(&self, revision: Revision) {
        let mut http = self.connect().await;
        let shown = |value: &Value| value["sources"][0]["revision"].as_u64().unwrap_or(0);
        self.asks(&mut http, "/readyz", |_, body| shown(body) >= revision).await;
    }

    async fn asks(&self, http: &mut Http, path: &str, enough: impl Fn(u16, &Value) -> bool) {
        let begin = monotonic();
        loop {
            let reply = http.send("GET", path, None).await.expect("rollcall replies");
            if enough(reply.status, &reply.body) {
                return;
            }
            assert!(monotonic() - begin < LIMIT, "{path} still says {:?}", reply.body);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The lines of a metric: what stands behind its name, and the value.
    pub(crate) async fn metric(&self, name: &str) -> Vec<(String, f64)> {
        let reply = self.connect().await.send("GET", "/metrics", None).await;
        let body = reply.expect("rollcall replies").body;
        let lines = body.as_str().unwrap_or_default().lines();
        let pair = |line: &str| {
            let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
            Some((labels.to_owned(), value.parse().ok()?))
        };
        lines.filter_map(pair).collect()
    }
}

/// A folder that no disk's pace decides about, where the system has one.
pub(crate) fn scratch() -> TempDir {
    let memory = TempDir::new_in("/dev/shm");
    memory.or_else(|_| TempDir::new()).expect("a folder of temporary files")
}

/// An instance's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) app: usize,
    pub(crate) instance: usize,
}

impl Place {
    /// All places of so many apps of so many instances.
    pub(crate) fn all(apps: usize, instances: usize) -> impl Iterator<Item = Self> + Clone {
        (0..apps).flat_map(move |app| (0..instances).map(move |instance| Self { app, instance }))
    }

    /// The name that has this instance's address alone.
    pub(crate) fn name(self) -> String {
        format!("i-{}.app-{}.svc.", self.instance, self.app)
    }

    /// The path in the API.
    pub(crate) fn path(self) -> String {
        format!("/v1/apps/app-{}/instances/i-{}", self.app, self.instance)
    }

    /// The body in the API.
    pub(crate) fn body(number: u32) -> Value {
        json!({"address": address(number), "port": 9000, "tags": ["v2"], "meta": {"version": "1.4.2"}})
    }

    fn key(self) -> Bytes {
        let (app, id) = (format!("app-{}", self.app), format!("i-{}", self.instance));
        let app = AppName::new(&app).expect("a legal name");
        let id = Label::new(&id).expect("a legal label");
        Keys::new(PREFIX_DEFAULT).instance(&Namespace::default(), &app, &id)
    }

    /// The write of it as our layout has it.
    pub(crate) fn put(self, number: u32, lease: Option<LeaseId>) -> Write {
        let spec: Spec = serde_json::from_value(Self::body(number)).expect("a legal body");
        let instance = spec.resolve(None).expect("a legal instance");
        Write::Put { key: self.key(), value: instance_value(&instance), lease }
    }
}

/// The address with that number.
pub(crate) fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + number % (1 << 24))
}

/// Writes one instance.
pub(crate) async fn put(
    registry: &dyn Registry,
    place: Place,
    number: u32,
    lease: Option<LeaseId>,
) -> Result<Revision, Error> {
    commit(registry, vec![place.put(number, lease)]).await
}

/// Registers all of these under one lease of an hour, many in a transaction, and gives the last revision.
pub(crate) async fn fill(
    registry: &dyn Registry,
    places: impl Iterator<Item = Place>,
    first: u32,
) -> Result<Revision, Error> {
    let lease = registry.grant(3_600).await?.lease;
    let writes: Vec<Write> =
        places.zip(first..).map(|(place, number)| place.put(number, Some(lease))).collect();
    let transactions = writes.chunks(TXN_OPS_MAX).map(|writes| commit(registry, writes.to_vec()));
    let done = stream::iter(transactions).buffer_unordered(8);
    done.try_fold(0, async |last: Revision, revision| Ok(last.max(revision))).await
}

/// Registers all of these, each under a lease of its own, as they come when each registers itself.
pub(crate) async fn fill_each(
    registry: &dyn Registry,
    places: impl Iterator<Item = Place>,
    ttl_secs: u32,
) -> Result<Revision, Error> {
    let registrations = places.zip(0..).map(async |(place, number)| {
        let lease = registry.grant(ttl_secs).await?.lease;
        put(registry, place, number, Some(lease)).await
    });
    let done = stream::iter(registrations).buffer_unordered(1_000);
    done.try_fold(0, async |last: Revision, revision| Ok(last.max(revision))).await
}

async fn commit(registry: &dyn Registry, writes: Vec<Write>) -> Result<Revision, Error> {
    match registry.commit(Txn { preconditions: Vec::new(), writes }).await? {
        Committed::Done(stamp) => Ok(stamp.revision),
        Committed::Refused(_) => unreachable!("there was no precondition"),
    }
}
