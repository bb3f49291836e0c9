//! Heartbeats a second through one server, on the registry in memory and through a real etcd, and what each
//! costs. `./dev bench heartbeats` prints it, in about a minute.
//!
//! The product has no way to serve from memory alone, so this program starts itself once more as the server:
//! the API, wired as `serve` wires it, with a core to itself. Clients are connections that send a heartbeat,
//! wait for its answer, and send the next, on another core. Each instance beats again only after more others than
//! the API remembers, so that none is answered from the memory of a renewal a moment ago. Where it may, this goes
//! before everything else on the machine: a server whose core others have shows their rate, not its own.
//!
//! With etcd the server is rollcall itself, and etcd, one member with its data in memory, shares the clients' core:
//! the rate is what that core is good for, and the CPU time of each is what to reckon with.

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use rollcall::api::{self, Api, History, Metrics, Readiness};
use rollcall::layout::native::{Keys, PREFIX_DEFAULT};
use rollcall::registry::mirror::{Mirror, Pacing};
use rollcall::registry::{Entry, Registry, memory::MemoryRegistry};
use rollcall::zone::{Catalogue, Guard, Published, ZoneSettings};
use support::live::{Place, Rollcall, fill_each, scratch};
use support::machine::{self, Activity, Cores, monotonic};
use support::process::{self, Program};
use support::programs::etcd::Etcd;
use support::report::{Cell, Report, Table, note};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const APPS: usize = 40_000;
const INSTANCES: usize = 5;
/// Of etcd's fleet: more instances than one row beats for.
const APPS_ETCD: usize = 8_000;
/// The default: a renewal is remembered for a sixth of it.
const TTL_SECS: u32 = 30;
/// Connections of each row.
const CONNECTIONS: [usize; 3] = [8, 64, 512];
/// The same with etcd.
const CONNECTIONS_ETCD: usize = 64;
/// Longer than etcd's fleet takes to register, so that nothing ends before its first heartbeat.
const TTL_SECS_ETCD: u32 = 120;
/// The time of one row, and before it the time in which nothing is counted.
const TIME: Duration = Duration::from_secs(5);
const WARM_UP: Duration = Duration::from_secs(1);
/// Longer than the fleet takes to register.
const LIMIT: Duration = Duration::from_secs(60);
/// The word that makes this program the server.
const SERVE: &str = "serve-heartbeats";

fn main() {
    let Some(arguments) = support::arguments() else { return };
    if let [word, file] = arguments.as_slice()
        && word == SERVE
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        return runtime.expect("a runtime").block_on(serve(Path::new(file)));
    }
    let cores = Cores::choose();
    let rank = machine::come_first();
    machine::pin(&[cores.load]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run(&arguments, cores, rank));
}

// ---- the clients ---------------------------------------------------------------------------------

async fn run(arguments: &[String], cores: Cores, rank: &str) {
    let mut report = Report::new("heartbeats", arguments);
    report.line(&format!(
        "server alone on core {}, clients on core {}, {rank}",
        cores.server, cores.load
    ));
    let before = Activity::now();
    note("registering the fleet");
    let folder = scratch();
    let server = Server::start(cores, folder.path());
    let mut table = Table::new(&[
        "connections",
        "heartbeats/s",
        "server CPU µs each",
        "p50 ms",
        "p99 ms",
        "max ms",
        "failed",
    ]);
    let mut clients = Clients::new(server.http, APPS);
    for connections in CONNECTIONS {
        let busy = || process::cpu_of_process(server.program.id());
        let row = clients.row(Call::Heartbeat, connections, busy).await;
        let mut cells = vec![Cell::number(connections as f64, 0), row.rate(), row.micros(row.cpu)];
        cells.extend(row.latencies());
        table.row(cells);
    }
    let title = format!(
        "Heartbeats of {} instances, one after the other on each connection; {} s a row",
        APPS * INSTANCES,
        TIME.as_secs()
    );
    report.table("heartbeats", &title, &table);
    drop(server);
    with_etcd(&mut report, cores).await;
    report.line(&Activity::now().since(before));
    report.finish();
}

/// Heartbeats, and registrations of instances that were not there, through rollcall to a real etcd.
async fn with_etcd(report: &mut Report, cores: Cores) {
    note("registering the fleet in etcd");
    let etcd = Etcd::start_in(scratch()).await;
    let registry = etcd.registry().await;
    let fleet = Place::all(APPS_ETCD, INSTANCES);
    let revision = fill_each(&*registry, fleet, TTL_SECS_ETCD).await.expect("etcd takes the fleet");
    let folder = scratch();
    let flags = ["--etcd", &etcd.url()];
    let rollcall = Rollcall::start(&flags, &folder.path().join("data"), Some(cores.server));
    rollcall.shows(revision).await;
    let mut table = Table::new(&[
        "call",
        "calls/s",
        "rollcall CPU µs each",
        "etcd CPU µs each",
        "log entries each",
        "p50 ms",
        "p99 ms",
        "max ms",
        "failed",
    ]);
    let mut clients = Clients::new(rollcall.http, APPS_ETCD);
    for call in [Call::Heartbeat, Call::Register] {
        let busy = || process::cpu_of_process(rollcall.id());
        let (entries, etcd_cpu) = (etcd.log_entries().await, process::cpu_of_process(etcd.id()));
        let row = clients.row(call, CONNECTIONS_ETCD, busy).await;
        let etcd_cpu = process::cpu_of_process(etcd.id()) - etcd_cpu;
        let entries = (etcd.log_entries().await - entries) as f64;
        // etcd was looked at before and after all calls, those of the warm-up among them.
        let made = row.made as f64;
        let mut cells = vec![Cell::text(call.name()), row.rate(), row.micros(row.cpu)];
        cells.push(Cell::number(etcd_cpu.as_secs_f64() * 1e6 / made, 1));
        cells.push(Cell::number(entries / made, 2));
        cells.extend(row.latencies());
        table.row(cells);
    }
    let title = format!(
        "Through rollcall to etcd, which is beside the clients on core {}; {CONNECTIONS_ETCD} connections, {} instances",
        cores.load,
        APPS_ETCD * INSTANCES
    );
    report.table("etcd", &title, &table);
}

/// What is asked of the server.
#[derive(Clone, Copy)]
enum Call {
    Heartbeat,
    /// A PUT of an instance that is not there.
    Register,
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Register => "PUT, new",
        }
    }

    fn request(self, place: Place, host: &str) -> String {
        let (what, kind, body) = match self {
            Self::Heartbeat => ("/heartbeat", "", String::new()),
            Self::Register => {
                ("", "content-type: application/json\r\n", Place::body(0).to_string())
            }
        };
        let (path, length) = (place.path(), body.len());
        format!(
            "PUT {path}{what} HTTP/1.1\r\nhost: {host}\r\n{kind}content-length: {length}\r\n\r\n{body}"
        )
    }
}

/// Those who call, and for whom.
struct Clients {
    server: SocketAddr,
    /// Instances registered when the first heartbeat comes.
    fleet: usize,
    /// The instance that beats next.
    beats: usize,
    /// The instance that registers next.
    registers: usize,
}

impl Clients {
    fn new(server: SocketAddr, apps: usize) -> Self {
        let fleet = apps * INSTANCES;
        Self { server, fleet, beats: 0, registers: fleet }
    }

    /// Calls for a while; `busy` gives the server's CPU time.
    async fn row(&mut self, call: Call, connections: usize, busy: impl Fn() -> Duration) -> Row {
        let begin = monotonic() + WARM_UP;
        let (first, end) = match call {
            Call::Heartbeat => (self.beats, self.fleet),
            Call::Register => (self.registers, usize::MAX),
        };
        let mut clients = JoinSet::new();
        for number in 0..connections {
            let beats = Beats::connect(self.server, call, first + number).await;
            clients.spawn(beats.run(connections, end, begin));
        }
        tokio::time::sleep(WARM_UP).await;
        let cpu = busy();
        tokio::time::sleep(TIME).await;
        let cpu = busy() - cpu;
        let latency = Histogram::new(3).expect("three digits");
        let mut row = Row { latency, failed: 0, made: 0, cpu };
        let mut next = first;
        while let Some(beaten) = clients.join_next().await {
            let beaten = beaten.expect("clients don't panic");
            row.latency.add(&beaten.latency).expect("of one kind");
            row.failed += beaten.failed;
            row.made += beaten.made;
            next = next.max(beaten.next);
        }
        match call {
            Call::Heartbeat => self.beats = next % self.fleet,
            Call::Register => self.registers = next,
        }
        row
    }
}

/// What a row showed.
struct Row {
    /// Of the calls that count.
    latency: Histogram<u64>,
    failed: u32,
    /// All calls, those before the row among them.
    made: u64,
    /// What the server took for those that count.
    cpu: Duration,
}

impl Row {
    fn rate(&self) -> Cell {
        Cell::number(self.latency.len() as f64 / TIME.as_secs_f64(), 0)
    }

    fn micros(&self, cpu: Duration) -> Cell {
        Cell::number(cpu.as_secs_f64() * 1e6 / self.latency.len() as f64, 1)
    }

    fn latencies(&self) -> [Cell; 4] {
        let millis = |micros: u64| Cell::number(micros as f64 / 1e3, 2);
        [
            millis(self.latency.value_at_percentile(50.0)),
            millis(self.latency.value_at_percentile(99.0)),
            millis(self.latency.max()),
            Cell::number(f64::from(self.failed), 0),
        ]
    }
}

/// One connection, and what was seen on it.
struct Beats {
    stream: TcpStream,
    host: String,
    call: Call,
    /// Microseconds from a heartbeat to its answer.
    latency: Histogram<u64>,
    failed: u32,
    made: u64,
    /// The instance that is next.
    next: usize,
}

impl Beats {
    async fn connect(server: SocketAddr, call: Call, first: usize) -> Self {
        let stream = TcpStream::connect(server).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a socket option");
        let latency = Histogram::new(3).expect("three digits");
        Self { stream, host: server.to_string(), call, latency, failed: 0, made: 0, next: first }
    }

    /// Calls for every instance of so many, from 0 again at `end`; what is sent before `begin` is not counted.
    async fn run(mut self, step: usize, end: usize, begin: Duration) -> Self {
        loop {
            let sent = monotonic();
            if sent >= begin + TIME {
                return self;
            }
            let place = self.next % end;
            self.next += step;
            let place = Place { app: place / INSTANCES, instance: place % INSTANCES };
            let done = self.ask(place).await.unwrap_or(false);
            self.made += 1;
            if sent >= begin {
                let micros = (monotonic() - sent).as_micros() as u64;
                self.latency.record(micros).expect("a histogram that grows");
                self.failed += u32::from(!done);
            }
        }
    }

    /// Whether the answer is 200, or 201 for what was not there.
    async fn ask(&mut self, place: Place) -> std::io::Result<bool> {
        let request = self.call.request(place, &self.host);
        self.stream.write_all(request.as_bytes()).await?;
        let mut answer = [0; 2_048];
        let mut len = 0;
        while !is_whole(&answer[..len]) {
            let read = self.stream.read(&mut answer[len..]).await?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            len += read;
        }
        Ok(answer.starts_with(b"HTTP/1.1 20"))
    }
}

/// Whether an answer has come with all of its body.
fn is_whole(answer: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(answer) else { return false };
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| body.len() >= length)
}

// ---- the server ----------------------------------------------------------------------------------

/// This program as the server; ended with its value.
struct Server {
    program: Program,
    http: SocketAddr,
}

impl Server {
    fn start(cores: Cores, folder: &Path) -> Self {
        let file = folder.join("http");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--bench", SERVE]).arg(&file);
        let log = folder.join("log");
        let mut program = Program::start(&command, Some(cores.server), &log).expect("it starts");
        let mut http = None;
        process::wait(LIMIT, || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            http = text.strip_suffix('\n').and_then(|text| text.parse().ok());
            http.is_some() || program.has_ended()
        });
        match http {
            Some(http) => Self { program, http },
            None => panic!("no server: {}", std::fs::read_to_string(&log).unwrap_or_default()),
        }
    }
}

/// Registers the fleet, then serves the API and writes where to into that file.
async fn serve(file: &Path) {
    let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::new());
    let revision = fill_each(&*registry, Place::all(APPS, INSTANCES), TTL_SECS).await;
    let revision = revision.expect("memory takes the fleet");
    let zones = [ZoneSettings::default()];
    let mut catalogue = Catalogue::new(&zones, &[], &[]);
    let published = Arc::new(Published::new(catalogue.compile(&|| Duration::ZERO).snapshot));

    let (send, mut deltas) = mpsc::channel(1_024);
    let keys = Keys::new(PREFIX_DEFAULT);
    let layout = keys.clone();
    let parse = Arc::new(move |entry: &Entry| layout.parse(entry));
    let mirror =
        Mirror::new(registry.clone(), keys.prefix().to_owned(), parse, send, Pacing::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { mirror.run(CancellationToken::new()).await.expect("it is read") });
    let shown = published.clone();
    // Heartbeats change nothing that is shown: one build is all that they need.
    tasks.spawn(async move {
        let begin = monotonic();
        while let Some(arrived) = deltas.recv().await {
            catalogue.apply(arrived.origin, &arrived.delta);
            drop(shown.publish(catalogue.compile(&|| monotonic() - begin).snapshot));
        }
    });
    published.reached(published.position(), revision).await;

    let settings = api::Settings { listen: ([127, 0, 0, 1], 0).into(), ..api::Settings::default() };
    let listener = api::bind(&settings).await.expect("a free port");
    let mut exposition = prometheus_client::registry::Registry::default();
    let text = format!("{}\n", listener.address());
    let api = Api {
        registry,
        shared_registry: false,
        keys,
        layouts: Vec::new(),
        published,
        guard: Guard::new(&zones),
        history: Arc::new(History::new(settings.history_events_max)),
        readiness: Arc::new(|| Readiness { ready: true, draining: false, sources: Vec::new() }),
        metrics: Metrics::new(&mut exposition),
        exposition: Arc::new(exposition),
        settings,
        wall_clock: || SystemTime::UNIX_EPOCH,
    };
    std::fs::write(file, text).expect("a folder for it");
    api::serve(api, listener, CancellationToken::new(), Duration::ZERO).await;
}
