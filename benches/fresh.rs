//! How long a change takes from the registry into answers, and what clients notice of it meanwhile.
//! `./dev bench fresh` prints it, in about a minute and a half.
//!
//! rollcall has a core to itself; etcd, writers and questioners share another. Instances are put straight into
//! a real etcd as our layout has them, or through rollcall's API, and DNS is asked again and again until the
//! answer shows the new address. etcd keeps its data in memory where there is such a file system: what it
//! takes for itself is the time until it acknowledges, and is told apart.

mod support;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use hdrhistogram::Histogram;
use rollcall::registry::{LeaseId, Registry};
use serde_json::json;
use support::live::{Place, Rollcall, address, fill, put, scratch};
use support::machine::{self, Activity, Cores, monotonic};
use support::process;
use support::programs::etcd::Etcd;
use support::programs::http::Http;
use support::question::{A, Asker, question};
use support::report::{Cell, Report, Table};
use support::steady::{Seen, Steady};
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

/// Apps of five, and beside them one app of as many instances.
const APPS: usize = 2_000;
const INSTANCES: usize = 5;
const BIG: usize = 10_000;
/// The time of one row, and of the quiet before all of them.
const TIME: Duration = Duration::from_secs(9);
/// Between two changes that are followed into the answer, where there are no others.
const PAUSE: Duration = Duration::from_millis(20);
/// The same in one large app, which rests for 50 ms after it was built: a lone change finds it rested.
const PAUSE_BIG: Duration = Duration::from_millis(100);
/// Changes a second of a busy registry.
const CHANGES: u32 = 1_000;
/// Writes that wait for etcd at one time.
const WRITES_MAX: usize = 64;
/// Between two looks at the answer: how exact the figures can be.
const LOOK: Duration = Duration::from_micros(200);
/// A change that does not show by then is a failure.
const LIMIT: Duration = Duration::from_secs(10);
/// Questions a second of clients that only want answers.
const QUESTIONS: u32 = 5_000;
/// The server's own histogram of freshness.
const OWN: &str = "rollcall_dns_programming_duration_seconds_bucket";

fn main() {
    let Some(arguments) = support::arguments() else { return };
    let cores = Cores::choose();
    machine::pin(&[cores.load]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run(&arguments, cores));
}

async fn run(arguments: &[String], cores: Cores) {
    let mut report = Report::new("fresh", arguments);
    report.line(&format!(
        "rollcall alone on core {}, etcd and all else on core {}",
        cores.server, cores.load
    ));
    let before = Activity::now();
    let bench = Bench::start(cores).await;
    let quiet = Steady::during(bench.rollcall.dns, &bench.questions, QUESTIONS, TIME / 2).await;
    let mut table = Table::new(&[
        "changed",
        "by",
        "changes/s",
        "followed",
        "sent to shown p50 ms",
        "p99 ms",
        "max ms",
        "acknowledged to shown p50 ms",
        "p99 ms ",
        "max ms ",
        "arrived to swapped in p99 ms",
        "server CPU µs a change",
        "DNS p50 µs",
        "DNS p99 µs",
        "p99 / quiet",
    ]);
    let mut faults: Vec<String> = quiet.faults().into_iter().collect();
    for scene in SCENES {
        let played = bench.play(scene).await;
        table.row(played.cells(scene, &quiet));
        faults.extend(played.dns.faults().map(|fault| format!("{}: {fault}", scene.changed)));
        faults.extend(played.fault);
    }
    let (p50, p99) = (quiet.micros(50.0), quiet.micros(99.0));
    report.line(&format!(
        "{QUESTIONS} questions a second in quiet: p50 {p50:.0} µs, p99 {p99:.0} µs"
    ));
    let title = format!(
        "A change in the registry until it is in the answer; {} instances registered",
        APPS * INSTANCES + BIG
    );
    report.table("fresh", &title, &table);
    faults.iter().for_each(|fault| report.line(fault));
    report.line(&Activity::now().since(before));
    report.finish();
}

/// What is changed, and how.
#[derive(Clone, Copy)]
struct Scene {
    changed: &'static str,
    big: bool,
    api: bool,
    busy: bool,
}

const SCENES: [Scene; 6] = [
    Scene { changed: "apps of 5", big: false, api: false, busy: false },
    Scene { changed: "apps of 5", big: false, api: false, busy: true },
    Scene { changed: "one app of 10,000", big: true, api: false, busy: false },
    Scene { changed: "one app of 10,000", big: true, api: false, busy: true },
    Scene { changed: "apps of 5", big: false, api: true, busy: false },
    Scene { changed: "apps of 5", big: false, api: true, busy: true },
];

impl Scene {
    /// A place to be followed. Nobody else writes to it, or what is looked for might never show.
    fn followed(self, rng: &mut fastrand::Rng) -> Place {
        match self.big {
            true => Place { app: APPS, instance: rng.usize(..BIG / INSTANCES) },
            false => Place { app: rng.usize(..APPS), instance: 0 },
        }
    }

    /// A place for all others.
    fn other(self, rng: &mut fastrand::Rng) -> Place {
        match self.big {
            true => Place { app: APPS, instance: rng.usize(BIG / INSTANCES..BIG) },
            false => Place { app: rng.usize(..APPS), instance: rng.usize(1..INSTANCES) },
        }
    }
}

/// What a scene showed.
struct Played {
    sent: Histogram<u64>,
    acknowledged: Histogram<u64>,
    /// Changes beside those that were followed, a second.
    others: f64,
    own: Option<f64>,
    cpu: Duration,
    dns: Seen,
    fault: Option<String>,
}

impl Played {
    fn cells(&self, scene: Scene, quiet: &Seen) -> Vec<Cell> {
        let millis = |micros: u64| Cell::number(micros as f64 / 1_000.0, 1);
        let three = |times: &Histogram<u64>| {
            [times.value_at_percentile(50.0), times.value_at_percentile(99.0), times.max()]
                .map(millis)
        };
        let by = if scene.api { "API" } else { "etcd" };
        let followed = self.sent.len() as f64;
        let changes = self.others * TIME.as_secs_f64() + followed;
        let mut cells = vec![
            Cell::text(scene.changed),
            Cell::text(by),
            Cell::number(changes / TIME.as_secs_f64(), 0),
            Cell::number(followed, 0),
        ];
        cells.extend(three(&self.sent));
        cells.extend(three(&self.acknowledged));
        cells.push(self.own.map_or_else(Cell::none, |secs| Cell::number(secs * 1_000.0, 1)));
        cells.push(Cell::number(self.cpu.as_secs_f64() * 1e6 / changes, 0));
        cells.push(Cell::number(self.dns.micros(50.0), 0));
        cells.push(Cell::number(self.dns.micros(99.0), 0));
        cells.push(Cell::number(self.dns.micros(99.0) / quiet.micros(99.0), 2));
        cells
    }
}

/// The server, its registry, and who looks at its answers.
struct Bench {
    rollcall: Rollcall,
    registry: Arc<dyn Registry>,
    lease: LeaseId,
    looker: Looker,
    questions: Vec<Vec<u8>>,
    _etcd: Etcd,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn start(cores: Cores) -> Self {
        let etcd = Etcd::start_in(scratch()).await;
        let registry: Arc<dyn Registry> = etcd.registry().await;
        let big = (0..BIG).map(|instance| Place { app: APPS, instance });
        let places = Place::all(APPS, INSTANCES).chain(big);
        let revision = fill(&*registry, places, 0).await.expect("etcd takes the fleet");
        let lease = registry.grant(3_600).await.expect("etcd grants").lease;
        let folder = scratch();
        let flags = ["--etcd", &etcd.url()];
        let rollcall = Rollcall::start(&flags, &folder.path().join("data"), Some(cores.server));
        rollcall.shows(revision).await;
        let looker = Looker::start(Asker::new(rollcall.dns));
        let names = (0..APPS).map(|app| Place { app, instance: 0 }.name());
        let questions = names.map(|name| question(&name, A)).collect();
        Self { rollcall, registry, lease, looker, questions, _etcd: etcd, _folder: folder }
    }

    async fn play(&self, scene: Scene) -> Played {
        let steady = Steady::begin(self.rollcall.dns, self.questions.clone(), QUESTIONS);
        let before = self.rollcall.metric(OWN).await;
        let cpu = || process::cpu_of_process(self.rollcall.id());
        let (busy, end) = (cpu(), monotonic() + TIME);
        let others = async { if scene.busy { self.change_others(scene, end).await } else { 0.0 } };
        let (others, followed) = tokio::join!(others, self.follow(scene, end));
        let own = percentile(&before, &self.rollcall.metric(OWN).await, 0.99);
        // Answers cost a little too, the same in every row.
        let cpu = cpu() - busy;
        let [sent, acknowledged] = followed.times;
        Played { sent, acknowledged, others, own, cpu, dns: steady.end(), fault: followed.fault }
    }

    /// Changes one instance after another and waits for each to show.
    async fn follow(&self, scene: Scene, end: Duration) -> Followed {
        let mut followed = Followed::default();
        let mut http = self.rollcall.connect().await;
        let mut rng = fastrand::Rng::with_seed(1);
        // Above all numbers in use.
        let mut number = 1 << 20;
        while monotonic() < end {
            number += 1;
            let place = scene.followed(&mut rng);
            let shown = self.looker.look(question(&place.name(), A), number);
            let sent = monotonic();
            if let Err(why) = self.write(scene, &mut http, place, number).await {
                followed.fault = Some(format!("{}: {why}", scene.changed));
                break;
            }
            let acknowledged = monotonic();
            let Ok(Some(shown)) = shown.await else {
                followed.fault = Some(format!("{}: {} not shown", scene.changed, place.name()));
                break;
            };
            for (times, from) in followed.times.iter_mut().zip([sent, acknowledged]) {
                // What showed before it was acknowledged took no time.
                let micros = shown.saturating_sub(from).as_micros() as u64;
                times.record(micros).expect("a histogram that grows");
            }
            if !scene.busy {
                tokio::time::sleep(if scene.big { PAUSE_BIG } else { PAUSE }).await;
            }
        }
        followed
    }

    async fn write(
        &self,
        scene: Scene,
        http: &mut Http,
        place: Place,
        number: u32,
    ) -> Result<(), String> {
        if !scene.api {
            let done = put(&*self.registry, place, number, Some(self.lease)).await;
            return done.map(drop).map_err(|error| error.to_string());
        }
        let reply = http.send("PUT", &place.path(), Some(&Place::body(number))).await;
        let reply = reply.map_err(|error| error.to_string())?;
        let visible = reply.status == 200 && reply.body["visible"] == json!(true);
        if visible { Ok(()) } else { Err(format!("{reply:?}")) }
    }

    /// Changes others at a steady rate, straight in etcd, and says at which.
    async fn change_others(&self, scene: Scene, end: Duration) -> f64 {
        let mut rng = fastrand::Rng::with_seed(2);
        let mut tick = tokio::time::interval(Duration::from_secs(1) / CHANGES);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut writes = FuturesUnordered::new();
        let (begin, mut done) = (monotonic(), 0_u32);
        while monotonic() < end {
            tokio::select! {
                Some(written) = writes.next() => done += u32::from(written),
                _ = tick.tick(), if writes.len() < WRITES_MAX => {
                    let (place, number) = (scene.other(&mut rng), rng.u32(..1 << 19));
                    writes.push(async move {
                        put(&*self.registry, place, number, Some(self.lease)).await.is_ok()
                    });
                }
            }
        }
        let rate = f64::from(done) / (monotonic() - begin).as_secs_f64();
        while writes.next().await.is_some() {}
        rate
    }
}

/// Changes that were followed: microseconds from sent, and from acknowledged, to shown.
struct Followed {
    times: [Histogram<u64>; 2],
    fault: Option<String>,
}

impl Default for Followed {
    fn default() -> Self {
        let times = [(); 2].map(|()| Histogram::new(3).expect("three digits"));
        Self { times, fault: None }
    }
}

/// Looks at answers on a thread of its own.
struct Looker {
    looks: SyncSender<Look>,
}

/// What to look for, and whom to tell when it was seen.
struct Look {
    question: Vec<u8>,
    number: u32,
    seen: oneshot::Sender<Option<Duration>>,
}

impl Looker {
    fn start(asker: Asker) -> Self {
        let (looks, asked) = sync_channel(1);
        // Ends with its queue.
        std::thread::spawn(move || keep_looking(&asker, &asked));
        Self { looks }
    }

    /// When the answer shows that number; none if it does not.
    fn look(&self, question: Vec<u8>, number: u32) -> oneshot::Receiver<Option<Duration>> {
        let (seen, when) = oneshot::channel();
        self.looks.send(Look { question, number, seen }).expect("the looker lives");
        when
    }
}

fn keep_looking(asker: &Asker, asked: &Receiver<Look>) {
    while let Ok(Look { question, number, seen }) = asked.recv() {
        let (begin, wanted) = (monotonic(), address(number));
        let mut shown = None;
        // Whoever gave up does not wait.
        while shown.is_none() && !seen.is_closed() && monotonic() - begin < LIMIT {
            if asker.address(&question) == Some(wanted) {
                shown = Some(monotonic());
            } else {
                std::thread::park_timeout(LOOK);
            }
        }
        let _ = seen.send(shown);
    }
}

/// A percentile of what a histogram of the server took in meanwhile: the upper bound of its bucket.
fn percentile(before: &[(String, f64)], after: &[(String, f64)], share: f64) -> Option<f64> {
    let new = |at: usize| after[at].1 - before.get(at).map_or(0.0, |(_, count)| *count);
    let all = new(after.len().checked_sub(1)?);
    let bucket = (0..after.len()).find(|at| new(*at) >= all * share)?;
    let bound = after[bucket].0.split('"').nth(1)?;
    bound.parse().ok().filter(|_| all > 0.0)
}
