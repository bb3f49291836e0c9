//! What one change costs and what an instance takes in memory, by size: from the registry's watch through mirror
//! and catalogue to the published snapshot, as the product does it. `./dev bench change` prints the tables.
//!
//! Each line is measured in a process of its own, so that none finds memory that another one used.

#[path = "../tests/support/world.rs"]
#[allow(dead_code, reason = "each bench uses a part of it")]
mod world;

use std::error::Error;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use rollcall::layout::Parsed;
use rollcall::layout::native::PREFIX_DEFAULT;
use rollcall::registry::embedded::EmbeddedRegistry;
use rollcall::registry::memory::MemoryRegistry;
use rollcall::registry::mirror::{Arrived, Delta, Kept, Mirror, News, Pacing};
use rollcall::registry::{Entry, Origin, Registry, Txn, Write};
use rollcall::zone::{Catalogue, Published, Retired, Snapshot, ZoneSettings};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use world::{Registrations, World};

/// Apps and instances of each.
const SIZES: [(usize, usize); 3] = [(200, 5), (20_000, 5), (200_000, 5)];
const ONE_APP: [(usize, usize); 4] = [(1, 10), (1, 100), (1, 1_000), (1, 10_000)];
/// Names of plain records, and how many are below each.
const PLAIN: [(usize, usize); 4] = [(2_000, 5), (20_000, 5), (1, 10_000), (1, 100_000)];
/// Writes that are on their way to the registry at one time while it is filled.
const AT_ONCE: usize = 2_000;
/// Long enough that no lease ends meanwhile.
const TTL_SECS: u32 = 3_600;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--change", apps, instances] => change(apps.parse()?, instances.parse()?),
        ["--plain", names, records] => plain(names.parse()?, records.parse()?),
        ["--replace", apps, instances] => replace(apps.parse()?, instances.parse()?),
        ["--memory", apps, instances] => memory(apps.parse()?, instances.parse()?),
        ["--resident", apps, instances] => resident(apps.parse()?, instances.parse()?),
        _ => all(),
    }
}

fn all() -> Outcome<()> {
    report("one change, in microseconds: medians, and the 99th percentile of the whole");
    report(" instances  an app |  mirror    apply  compile     swap     free |   whole      p99");
    for (apps, instances) in SIZES.into_iter().chain(ONE_APP) {
        measure("--change", apps, instances)?;
    }
    report(
        "\none change of a plain record (SkyDNS), in microseconds: medians and the 99th percentile",
    );
    report("   records  a name |  apply and compile      p99");
    for (names, records) in PLAIN {
        measure("--plain", names, records)?;
    }
    report(
        "\nevery instance changed at once, as after a break of the registry's history, in milliseconds",
    );
    report(" instances  an app |    apply  compile     swap     free");
    for (apps, instances) in SIZES {
        measure("--replace", apps, instances)?;
    }
    report("\nmemory, in octets an instance as asked for by each part");
    report(" instances  an app | registry  mirror  catalogue  directory and answers |     all");
    for (apps, instances) in SIZES {
        measure("--memory", apps, instances)?;
    }
    report("\nresident memory of a process with the embedded registry on disk, octets an instance");
    report(" instances  an app |     all");
    for (apps, instances) in SIZES {
        measure("--resident", apps, instances)?;
    }
    Ok(())
}

fn measure(what: &str, apps: usize, instances: usize) -> Outcome<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([what.to_owned(), apps.to_string(), instances.to_string()]);
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{what}: {status}").into()) }
}

/// Registry, mirror and catalogue, on one thread.
struct Line {
    runtime: Runtime,
    registry: Arc<dyn Registry>,
    registrations: Registrations,
    deltas: mpsc::Receiver<Arrived<Parsed>>,
    catalogue: Catalogue,
    published: Published,
    retired: Retired,
    /// Each look is an hour later, so that every app is due.
    hours: u32,
}

impl Line {
    /// A registry with nothing behind it yet.
    fn new(
        registrations: Registrations,
        registry: impl FnOnce() -> Outcome<Arc<dyn Registry>>,
    ) -> Outcome<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let context = runtime.enter();
        let registry = registry()?;
        fill(&runtime, &registry, &registrations)?;
        let (_, deltas) = mpsc::channel(1);
        drop(context);
        Ok(Self {
            runtime,
            registry,
            registrations,
            deltas,
            catalogue: Catalogue::new(&[ZoneSettings::default()], &[], &[]),
            published: Published::new(Arc::new(Snapshot::default())),
            retired: Retired::default(),
            hours: 0,
        })
    }

    /// Starts the mirror and gives its first view.
    fn view(&mut self) -> Outcome<Delta<Parsed>> {
        let (send, deltas) = mpsc::channel(16);
        self.deltas = deltas;
        let keys = self.registrations.keys.clone();
        let parse = Arc::new(move |entry: &_| keys.parse(entry));
        let mirror =
            Mirror::new(self.registry.clone(), PREFIX_DEFAULT, parse, send, Pacing::default());
        self.runtime.spawn(mirror.run(CancellationToken::new()));
        self.delta()
    }

    fn delta(&mut self) -> Outcome<Delta<Parsed>> {
        Ok(self.runtime.block_on(self.deltas.recv()).ok_or("the mirror ended")?.delta)
    }

    fn compile(&mut self) -> Arc<Snapshot> {
        self.hours += 1;
        let now = Duration::from_secs(3_600) * self.hours;
        self.catalogue.compile(&|| now).snapshot
    }

    /// Registers an instance anew on another port, and gives the time that each part took for it.
    fn change(&mut self, app: usize, instance: usize, port: u16) -> Outcome<[Duration; 5]> {
        let (key, value) = self.registrations.entry(app, instance, port);
        let txn = Txn { writes: vec![Write::Put { key, value, lease: None }], ..Txn::default() };
        self.runtime.block_on(self.registry.commit(txn))?;
        let mut times = [Duration::ZERO; 5];
        let mut began = Instant::now();
        let mut lap = |part: usize| {
            let now = Instant::now();
            times[part] = now - began;
            began = now;
        };
        let delta = self.delta()?;
        lap(0);
        let events = self.catalogue.apply(Origin::NATIVE, &delta);
        lap(1);
        let snapshot = self.compile();
        lap(2);
        let old = self.published.publish(snapshot);
        lap(3);
        self.retired.push(old);
        drop((events, delta));
        lap(4);
        Ok(times)
    }
}

/// One lease and one key for each instance.
fn fill(
    runtime: &Runtime,
    registry: &Arc<dyn Registry>,
    registrations: &Registrations,
) -> Outcome<()> {
    let mut all = registrations.all().peekable();
    while all.peek().is_some() {
        let some: Vec<_> = all.by_ref().take(AT_ONCE).collect();
        let grants = some.iter().map(|_| registry.grant(TTL_SECS));
        let leases = runtime.block_on(try_join_all(grants))?;
        let puts = some.iter().zip(leases).map(|((app, instance), granted)| {
            let (key, value) = registrations.entry(*app, *instance, 9000);
            let writes = vec![Write::Put { key, value, lease: Some(granted.lease) }];
            registry.commit(Txn { writes, ..Txn::default() })
        });
        runtime.block_on(try_join_all(puts))?;
    }
    Ok(())
}

fn in_memory() -> Outcome<Arc<dyn Registry>> {
    Ok(Arc::new(MemoryRegistry::new()))
}

fn change(apps: usize, instances: usize) -> Outcome<()> {
    let mut line = Line::new(Registrations::new(apps, instances), in_memory)?;
    let view = line.view()?;
    line.catalogue.apply(Origin::NATIVE, &view);
    drop(view);
    let first = line.compile();
    drop(line.published.publish(first));
    let samples = if instances > 1_000 { 300 } else { 3_000 };
    let mut rng = fastrand::Rng::with_seed(1);
    let mut parts: [Vec<Duration>; 6] = Default::default();
    // The first ones warm the caches up.
    for sample in 0..samples + samples / 5 {
        let port = u16::try_from(sample % 60_000 + 1)?;
        let times = line.change(rng.usize(0..apps), rng.usize(0..instances), port)?;
        if sample >= samples / 5 {
            let whole = times.iter().sum();
            parts.iter_mut().zip(times.into_iter().chain([whole])).for_each(|(p, t)| p.push(t));
        }
    }
    let micros = |part: usize, rank: f64, parts: &mut [Vec<Duration>; 6]| {
        let part = &mut parts[part];
        part.sort_unstable();
        part[((part.len() - 1) as f64 * rank) as usize].as_secs_f64() * 1e6
    };
    let medians: Vec<String> =
        (0..5).map(|part| format!("{:8.1}", micros(part, 0.5, &mut parts))).collect();
    report(&format!(
        "{:10} {instances:7} |{} |{:8.1} {:8.1}",
        apps * instances,
        medians.join(" "),
        micros(5, 0.5, &mut parts),
        micros(5, 0.99, &mut parts)
    ));
    // The process ends here; to take a million instances down piece by piece would only take time.
    std::mem::forget(line);
    Ok(())
}

/// One of many plain records gets another address.
fn plain(names: usize, records: usize) -> Outcome<()> {
    let mut world = World::of(&[ZoneSettings::default()], 0, 0);
    let path = |name: usize, record: usize| format!("svc/app-{name}/r-{record}");
    let value = |n: usize| format!(r#"{{"host":"10.0.0.{}","port":{}}}"#, n % 250, n % 60_000 + 1);
    let first = value(1);
    let all = (0..names).flat_map(|name| (0..records).map(move |record| (name, record)));
    world.records(all.map(|(name, record)| (path(name, record), &*first)));
    let mut shown = world.snapshot();
    let samples = if records > 1_000 { 100 } else { 1_000 };
    let mut rng = fastrand::Rng::with_seed(1);
    let mut times = Vec::with_capacity(samples);
    for sample in 0..samples {
        let (path, value) = (path(rng.usize(0..names), rng.usize(0..records)), value(sample + 2));
        let began = Instant::now();
        world.records([(path, &*value)].into_iter());
        let next = world.snapshot();
        times.push(began.elapsed());
        drop(std::mem::replace(&mut shown, next));
    }
    times.sort_unstable();
    let micros = |rank: usize| times[(samples - 1) * rank / 100].as_secs_f64() * 1e6;
    report(&format!("{:10} {records:7} |{:19.1}{:9.1}", names * records, micros(50), micros(99)));
    std::mem::forget((world, shown));
    Ok(())
}

/// Another view in the place of the whole: nothing of the snapshot before is in the one after.
fn replace(apps: usize, instances: usize) -> Outcome<()> {
    let mut line = Line::new(Registrations::new(apps, instances), in_memory)?;
    let mut view = line.view()?;
    line.catalogue.apply(Origin::NATIVE, &view);
    let first = line.compile();
    drop(line.published.publish(first));
    view.epoch += 1;
    let all = line.registrations.all();
    let mut all: Vec<_> =
        all.map(|(app, instance)| line.registrations.entry(app, instance, 9001)).collect();
    all.sort();
    for (news, (key, value)) in view.news.iter_mut().zip(all) {
        let Some(was) = news.now.take() else { return Err("no view".into()) };
        let entry = Entry { key: key.clone(), value, revision: was.revision, lease: was.lease };
        let parsed = line.registrations.keys.parse(&entry);
        *news = News { key, now: Some(Kept { parsed, ..was.clone() }), was: Some(was) };
    }
    let mut began = Instant::now();
    let mut lap = || {
        let now = Instant::now();
        (now - std::mem::replace(&mut began, now)).as_secs_f64() * 1e3
    };
    let events = line.catalogue.apply(Origin::NATIVE, &view);
    let apply = lap();
    drop((view, events));
    lap();
    let snapshot = line.compile();
    let compile = lap();
    let old = line.published.publish(snapshot);
    let swap = lap();
    line.retired.push(old);
    report(&format!(
        "{:10} {instances:7} |{apply:9.1}{compile:9.1}{swap:9.3}{:9.1}",
        apps * instances,
        lap()
    ));
    Ok(())
}

/// What each part has asked the allocator for and not given back. All of it happens on this thread.
fn memory(apps: usize, instances: usize) -> Outcome<()> {
    let mut line = None;
    let registry = held(|| {
        line = Some(Line::new(Registrations::new(apps, instances), in_memory)?);
        Ok(())
    })?;
    let mut line = line.ok_or("no line")?;
    let mut view = None;
    let mut mirror = held(|| {
        view = Some(line.view()?);
        Ok(())
    })?;
    let catalogue = held(|| {
        drop(line.catalogue.apply(Origin::NATIVE, view.as_ref().ok_or("no view")?));
        Ok(())
    })?;
    mirror += held(|| {
        view = None;
        Ok(())
    })?;
    let answers = held(|| {
        let snapshot = line.compile();
        drop(line.published.publish(snapshot));
        Ok(())
    })?;
    let all = (apps * instances) as f64;
    let each = |octets: i64| octets as f64 / all;
    report(&format!(
        "{all:10} {instances:7} |{:9.0}{:8.0}{:11.0}{:23.0} |{:8.0}",
        each(registry),
        each(mirror),
        each(catalogue),
        each(answers),
        each(registry + mirror + catalogue + answers)
    ));
    Ok(())
}

fn held(work: impl FnOnce() -> Outcome<()>) -> Outcome<i64> {
    let mut outcome = Ok(());
    let info = allocation_counter::measure(|| outcome = work());
    outcome.map(|()| info.bytes_current)
}

/// What the process grows by, allocator and store included.
fn resident(apps: usize, instances: usize) -> Outcome<()> {
    // Beside the benchmark: where temporary files are is often memory.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let before = resident_octets()?;
    let mut line = Line::new(Registrations::new(apps, instances), || {
        Ok(Arc::new(EmbeddedRegistry::open(dir.path())?))
    })?;
    let view = line.view()?;
    line.catalogue.apply(Origin::NATIVE, &view);
    drop(view);
    let snapshot = line.compile();
    drop(line.published.publish(snapshot));
    let each = resident_octets()?.saturating_sub(before) / (apps * instances);
    report(&format!("{:10} {instances:7} |{each:8}", apps * instances));
    Ok(())
}

fn resident_octets() -> Outcome<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
}

#[allow(clippy::print_stdout, reason = "a benchmark's report")]
fn report(line: &str) {
    println!("{line}");
}
