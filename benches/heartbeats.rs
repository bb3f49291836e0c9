//! Heartbeats a second through one server on the registry in memory, and what each costs it.
//! `./dev bench heartbeats` prints it, in about half a minute.
//!
//! The product has no way to serve from memory alone, so this program starts itself once more as the server:
//! the API, wired as `serve` wires it, with a core to itself. Clients are connections that send a heartbeat,
//! wait for its answer, and send the next, on another core. Each instance beats again only after more others than
//! the API remembers, so that none is answered from the memory of a renewal a moment ago. Where it may, this goes
//! before everything else on the machine: a server whose core others have shows their rate, not its own.

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
use support::live::{Place, fill_each, scratch};
use support::machine::{self, Activity, Cores, monotonic};
use support::process::{self, Program};
use support::report::{Cell, Report, Table, note};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const APPS: usize = 40_000;
const INSTANCES: usize = 5;
const ALL: usize = APPS * INSTANCES;
/// The default: a renewal is remembered for a sixth of it.
const TTL_SECS: u32 = 30;
/// Connections of each row.
const CONNECTIONS: [usize; 3] = [8, 64, 512];
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
    let mut first = 0;
    for connections in CONNECTIONS {
        let row = row(&server, connections, &mut first).await;
        table.row(row);
    }
    let title = format!(
        "Heartbeats of {ALL} instances, one after the other on each connection; {} s a row",
        TIME.as_secs()
    );
    report.table("heartbeats", &title, &table);
    report.line(&Activity::now().since(before));
    report.finish();
}

/// Beats for a while, from that instance on.
async fn row(server: &Server, connections: usize, first: &mut usize) -> Vec<Cell> {
    let begin = monotonic() + WARM_UP;
    let mut clients = JoinSet::new();
    for number in 0..connections {
        let beats = Beats::connect(server.http, *first + number).await;
        clients.spawn(beats.run(connections, begin));
    }
    tokio::time::sleep(WARM_UP).await;
    let cpu = process::cpu_of_process(server.program.id());
    tokio::time::sleep(TIME).await;
    let cpu = process::cpu_of_process(server.program.id()) - cpu;
    let mut latency = Histogram::<u64>::new(3).expect("three digits");
    let mut failed = 0;
    let mut next = *first;
    while let Some(beaten) = clients.join_next().await {
        let beaten = beaten.expect("clients don't panic");
        latency.add(&beaten.latency).expect("of one kind");
        failed += beaten.failed;
        next = next.max(beaten.next);
    }
    *first = next % ALL;
    let all = latency.len() as f64;
    let millis = |micros: u64| Cell::number(micros as f64 / 1e3, 2);
    vec![
        Cell::number(connections as f64, 0),
        Cell::number(all / TIME.as_secs_f64(), 0),
        Cell::number(cpu.as_secs_f64() * 1e6 / all, 1),
        millis(latency.value_at_percentile(50.0)),
        millis(latency.value_at_percentile(99.0)),
        millis(latency.max()),
        Cell::number(f64::from(failed), 0),
    ]
}

/// One connection, and what was seen on it.
struct Beats {
    stream: TcpStream,
    host: String,
    /// Microseconds from a heartbeat to its answer.
    latency: Histogram<u64>,
    failed: u32,
    /// The instance that beats next.
    next: usize,
}

impl Beats {
    async fn connect(server: SocketAddr, first: usize) -> Self {
        let stream = TcpStream::connect(server).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a socket option");
        let latency = Histogram::new(3).expect("three digits");
        Self { stream, host: server.to_string(), latency, failed: 0, next: first }
    }

    /// Beats for every instance of so many; what is sent before `begin` is not counted.
    async fn run(mut self, step: usize, begin: Duration) -> Self {
        loop {
            let sent = monotonic();
            if sent >= begin + TIME {
                return self;
            }
            let place = self.next % ALL;
            self.next += step;
            let place = Place { app: place / INSTANCES, instance: place % INSTANCES };
            let done = self.beat(place).await.unwrap_or(false);
            if sent >= begin {
                let micros = (monotonic() - sent).as_micros() as u64;
                self.latency.record(micros).expect("a histogram that grows");
                self.failed += u32::from(!done);
            }
        }
    }

    /// Whether the answer is 200.
    async fn beat(&mut self, place: Place) -> std::io::Result<bool> {
        let request = format!(
            "PUT {}/heartbeat HTTP/1.1\r\nhost: {}\r\ncontent-length: 0\r\n\r\n",
            place.path(),
            self.host
        );
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
        Ok(answer.starts_with(b"HTTP/1.1 200 "))
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
            catalogue.apply(&arrived.delta);
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
