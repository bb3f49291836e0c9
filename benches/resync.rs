//! What DNS clients notice while a server reads its whole registry anew. `./dev bench resync` prints it, in
//! about a minute.
//!
//! rollcall has one core for everything it does; etcd, the proxy between them and the questioners share
//! another. The proxy breaks the connection, etcd forgets its history, and when the server gets through again
//! it must list all keys: in one row none of them has changed, in the other all of them have. Quiet and
//! resyncs take turns.

mod support;

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use rollcall::registry::Registry;
use support::figures::median;
use support::live::{Place, Rollcall, fill, put, scratch};
use support::machine::{self, Activity, Cores, monotonic};
use support::process;
use support::programs::etcd::Etcd;
use support::programs::proxy::Proxy;
use support::question::{SRV, question};
use support::report::{Cell, Report, Table, note};
use support::steady::{Seen, Steady};

const APPS: usize = 20_000;
const INSTANCES: usize = 5;
/// An instance beside them, whose change shows that a resync is done.
const MARK: Place = Place { app: APPS, instance: 0 };
/// Questions a second: far from all that one core can answer, even where others use it as well.
const RATE: u32 = 4_000;
/// Turns of each kind.
const ROUNDS: usize = 4;
/// Quiet before each resync.
const QUIET: Duration = Duration::from_secs(2);
/// The server takes its time to notice that it is cut off.
const NOTICE_MAX: Duration = Duration::from_secs(10);

fn main() {
    let Some(arguments) = support::arguments() else { return };
    let cores = Cores::choose();
    machine::pin(&[cores.load]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run(&arguments, cores));
}

async fn run(arguments: &[String], cores: Cores) {
    let mut report = Report::new("resync", arguments);
    let (server, load) = (cores.server, cores.load);
    report.line(&format!("rollcall alone on core {server}, etcd and all else on core {load}"));
    let before = Activity::now();
    note("filling an etcd");
    let bench = Bench::start(cores).await;
    let [mut quiet, mut same, mut new] = [(); 3].map(|()| Phase::new());
    for round in 1..=ROUNDS {
        note(&format!("round {round} of {ROUNDS}"));
        bench.quiet(&mut quiet).await;
        bench.resync(&mut same, false).await;
        bench.quiet(&mut quiet).await;
        bench.resync(&mut new, true).await;
    }
    let mut table = Table::new(&[
        "meanwhile",
        "lasts ms",
        "server CPU ms",
        "questions",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "max µs",
        "p99 / quiet",
    ]);
    table.row(quiet.cells("nothing", &quiet));
    table.row(same.cells("all listed, none new", &quiet));
    table.row(new.cells("all listed, all new", &quiet));
    let all = APPS * INSTANCES;
    let title = format!(
        "UDP answers at {RATE} questions a second while {all} keys are read anew; {ROUNDS} times each"
    );
    report.table("resync", &title, &table);
    for phase in [&quiet, &same, &new] {
        phase.faults.iter().for_each(|fault| report.line(fault));
    }
    report.line(&Activity::now().since(before));
    report.finish();
}

/// One kind of time, over all rounds.
struct Phase {
    latency: Histogram<u64>,
    asked: u64,
    lasted: Vec<f64>,
    cpu: Vec<f64>,
    faults: Vec<String>,
}

impl Phase {
    fn new() -> Self {
        let latency = Histogram::new(3).expect("three digits");
        Self { latency, asked: 0, lasted: Vec::new(), cpu: Vec::new(), faults: Vec::new() }
    }

    fn take(&mut self, seen: &Seen, lasted: Duration, cpu: Duration) {
        self.latency.add(&seen.latency).expect("of one kind");
        self.asked += seen.asked;
        self.lasted.push(lasted.as_secs_f64() * 1e3);
        self.cpu.push(cpu.as_secs_f64() * 1e3);
        self.faults.extend(seen.faults());
    }

    fn micros(&self, percentile: f64) -> f64 {
        self.latency.value_at_percentile(percentile) as f64 / 1e3
    }

    fn cells(&self, meanwhile: &str, quiet: &Self) -> Vec<Cell> {
        let mut cells = vec![
            Cell::text(meanwhile),
            Cell::number(median(&self.lasted), 0),
            Cell::number(median(&self.cpu), 0),
            Cell::number(self.asked as f64, 0),
        ];
        let percentiles = [50.0, 99.0, 99.9, 100.0];
        cells.extend(percentiles.map(|percentile| Cell::number(self.micros(percentile), 0)));
        cells.push(Cell::number(self.micros(99.0) / quiet.micros(99.0), 2));
        cells
    }
}

/// The server, its registry, and what is between them.
struct Bench {
    rollcall: Rollcall,
    registry: Arc<dyn Registry>,
    questions: Vec<Vec<u8>>,
    proxy: Proxy,
    etcd: Etcd,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn start(cores: Cores) -> Self {
        let etcd = Etcd::start_in(scratch()).await;
        let registry: Arc<dyn Registry> = etcd.registry().await;
        let revision = fill(&*registry, places(), 0).await.expect("etcd takes the fleet");
        let proxy = Proxy::to(etcd.client_port()).await;
        let folder = scratch();
        let flags = ["--etcd", &proxy.url()];
        let rollcall = Rollcall::start(&flags, &folder.path().join("data"), Some(cores.server));
        rollcall.shows(revision).await;
        // All over the zone, so that no cache has them all.
        let mut rng = fastrand::Rng::with_seed(1);
        let questions = (0..5_000).map(|_| {
            let name = format!("_nova._tcp.app-{}.svc.", rng.usize(..APPS));
            question(&name, SRV)
        });
        let questions = questions.collect();
        Self { rollcall, registry, questions, proxy, etcd, _folder: folder }
    }

    fn begin(&self) -> (Steady, Duration, Duration) {
        let steady = Steady::begin(self.rollcall.dns, self.questions.clone(), RATE);
        (steady, process::cpu_of_process(self.rollcall.id()), monotonic())
    }

    fn end(&self, phase: &mut Phase, (steady, cpu, began): (Steady, Duration, Duration)) {
        let lasted = monotonic() - began;
        let cpu = process::cpu_of_process(self.rollcall.id()) - cpu;
        phase.take(&steady.end(), lasted, cpu);
    }

    async fn quiet(&self, phase: &mut Phase) {
        let begun = self.begin();
        tokio::time::sleep(QUIET).await;
        self.end(phase, begun);
    }

    /// Measured from the moment at which the way to etcd is open again until answers show what etcd has.
    async fn resync(&self, phase: &mut Phase, all_new: bool) {
        let lists = self.lists().await;
        self.proxy.cut();
        self.notices().await;
        let write = async {
            if all_new {
                fill(&*self.registry, places(), fastrand::u32(..1 << 20)).await?;
            }
            // Two, so that the first is not the place that the server resumes from.
            put(&*self.registry, MARK, 1, None).await?;
            put(&*self.registry, MARK, 2, None).await
        };
        let revision = write.await.expect("etcd takes it");
        self.etcd.compact(revision).await;
        let begun = self.begin();
        self.proxy.mend();
        self.rollcall.shows(revision).await;
        self.end(phase, begun);
        let listed = self.lists().await - lists;
        if listed < 1.0 {
            phase.faults.push("the watch went on: nothing was listed".to_owned());
        }
    }

    /// Waits until the server says that its registry is away.
    async fn notices(&self) {
        let limit = monotonic() + NOTICE_MAX;
        while self.value("rollcall_registry_watching").await > 0.0 {
            assert!(monotonic() < limit, "the server does not notice that it is cut off");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn lists(&self) -> f64 {
        self.value("rollcall_registry_relists_total").await
    }

    async fn value(&self, metric: &str) -> f64 {
        self.rollcall.metric(metric).await.first().map_or(0.0, |(_, value)| *value)
    }
}

fn places() -> impl Iterator<Item = Place> {
    Place::all(APPS, INSTANCES)
}
