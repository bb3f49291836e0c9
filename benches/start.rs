//! How long a server takes from its start until it answers, with a large fleet registered, and what memory it
//! has then. `./dev bench start` prints it, in about a minute.
//!
//! rollcall has a core to itself; etcd and all else share another. The embedded registry is filled by this
//! process, each instance under a lease of its own, and the server is started on what that leaves. All data is
//! in memory where there is such a file system: no disk is measured.

mod support;

use std::path::Path;
use std::time::Duration;

use rollcall::registry::embedded::EmbeddedRegistry;
use support::figures::median;
use support::live::{Place, Rollcall, address, fill, fill_each, scratch};
use support::machine::{self, Activity, Cores, monotonic};
use support::process;
use support::programs::etcd::Etcd;
use support::question::{A, Asker, question};
use support::report::{Cell, Report, Table, note};

const APPS: usize = 20_000;
const INSTANCES: usize = 5;
const ALL: usize = APPS * INSTANCES;
/// Starts of each kind; the table has their medians.
const ROUNDS: usize = 5;
/// A server that does not answer by then never will.
const LIMIT: Duration = Duration::from_secs(30);
/// Leases outlive the benchmark.
const TTL_SECS: u32 = 3_600;

fn main() {
    let Some(arguments) = support::arguments() else { return };
    let cores = Cores::choose();
    machine::pin(&[cores.load]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run(&arguments, cores));
}

async fn run(arguments: &[String], cores: Cores) {
    let mut report = Report::new("start", arguments);
    let (server, load) = (cores.server, cores.load);
    report.line(&format!("rollcall alone on core {server}, etcd and all else on core {load}"));
    let before = Activity::now();
    let mut table = Table::new(&[
        "registry",
        "instances",
        "listens after ms",
        "ready after ms",
        "right answer after ms",
        "CPU until then ms",
        "resident MB",
        "octets an instance",
        "at most MB meanwhile",
    ]);
    let empty = scratch();
    let none = starts(cores, &[], empty.path(), 0).await;
    table.row(none.cells("embedded", 0, &none));

    let folder = scratch();
    note("filling an embedded registry");
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data).expect("a folder for its data");
    let registry = EmbeddedRegistry::open(&data).expect("an empty registry");
    let places = Place::all(APPS, INSTANCES);
    fill_each(&registry, places.clone(), TTL_SECS).await.expect("it takes the fleet");
    drop(registry);
    let embedded = starts(cores, &[], folder.path(), ALL).await;
    table.row(embedded.cells("embedded", ALL, &none));

    note("filling an etcd");
    let etcd = Etcd::start_in(scratch()).await;
    fill(&*etcd.registry().await, places, 0).await.expect("etcd takes the fleet");
    let folder = scratch();
    let shared = starts(cores, &["--etcd", &etcd.url()], folder.path(), ALL).await;
    table.row(shared.cells("etcd", ALL, &none));

    let title = format!(
        "From the start of the process, in apps of {INSTANCES}; medians of {ROUNDS} starts. \
         Octets are those above the empty server's"
    );
    report.table("start", &title, &table);
    report.line(&Activity::now().since(before));
    report.finish();
}

/// Medians over starts of one kind.
struct Started {
    listens: f64,
    ready: f64,
    answers: f64,
    cpu: f64,
    resident: f64,
    peak: f64,
}

impl Started {
    fn cells(&self, registry: &str, instances: usize, empty: &Self) -> Vec<Cell> {
        let octets = (self.resident - empty.resident) / instances as f64;
        vec![
            Cell::text(registry),
            Cell::number(instances as f64, 0),
            Cell::number(self.listens * 1e3, 0),
            Cell::number(self.ready * 1e3, 0),
            if instances == 0 { Cell::none() } else { Cell::number(self.answers * 1e3, 0) },
            Cell::number(self.cpu * 1e3, 0),
            Cell::number(self.resident / 1e6, 1),
            if instances == 0 { Cell::none() } else { Cell::number(octets, 0) },
            Cell::number(self.peak / 1e6, 1),
        ]
    }
}

/// Starts a server again and again, in that folder.
async fn starts(cores: Cores, flags: &[&str], folder: &Path, instances: usize) -> Started {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(start(cores, flags, &folder.join("data"), instances).await);
    }
    let of = |pick: fn(&Started) -> f64| median(&rounds.iter().map(pick).collect::<Vec<_>>());
    Started {
        listens: of(|one| one.listens),
        ready: of(|one| one.ready),
        answers: of(|one| one.answers),
        cpu: of(|one| one.cpu),
        resident: of(|one| one.resident),
        peak: of(|one| one.peak),
    }
}

async fn start(cores: Cores, flags: &[&str], data: &Path, instances: usize) -> Started {
    let begin = monotonic();
    let since = || (monotonic() - begin).as_secs_f64();
    let rollcall = Rollcall::start(flags, data, Some(cores.server));
    let listens = since();
    rollcall.is_ready().await;
    let ready = since();
    if let Some(last) = instances.checked_sub(1) {
        // Numbers were given in the order of places.
        let place = Place { app: last / INSTANCES, instance: last % INSTANCES };
        let (asker, question) = (Asker::new(rollcall.dns), question(&place.name(), A));
        let wanted = Some(address(u32::try_from(last).expect("a number of an address")));
        let answers = process::wait(LIMIT, || asker.address(&question) == wanted);
        assert!(answers, "{} has no right answer after {LIMIT:?}", place.name());
    }
    let answers = since();
    let cpu = process::cpu_of_process(rollcall.id()).as_secs_f64();
    let [resident, peak] =
        ["VmRSS:", "VmHWM:"].map(|field| process::status(rollcall.id(), field) as f64);
    rollcall.stop();
    Started { listens, ready, answers, cpu, resident, peak }
}
