//! The compiler's thread: takes the mirror's steps, builds what they touch, publishes, and tells watchers.
//!
//! A thread of its own: building a large app takes milliseconds that no task of the runtime should wait for,
//! and dropping an old snapshot may take longer.
//!
//! Knows nothing of sockets, nor of what a step means.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::background;
use super::freshness::Freshness;
use crate::api::History;
use crate::layout::Parsed;
use crate::model::AppName;
use crate::registry::mirror::Arrived;
use crate::registry::{Origin, Revision};
use crate::zone::{
    Catalogue, Contents, Event, Oversized, Published, Retired, SavedSerial, Snapshot, ZoneName,
};

/// Steps that are taken in before answers are built from them: bounds what one build can hold up.
const GATHER_MAX: usize = 1_024;
/// Answers are published no more often than this: a lone change is seen at once, those of a burst together.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(2);
/// Between two looks at whether a reader has let go of a replaced snapshot.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
/// An app whose answers do not fit is worth a line no more often, while it is built on and on.
const WARN_INTERVAL: Duration = Duration::from_secs(3_600);

/// What the compiler works on.
pub(super) struct Compiler {
    pub(super) catalogue: Catalogue,
    pub(super) deltas: mpsc::Receiver<Arrived<Parsed>>,
    /// What zone files hold by now.
    pub(super) contents: mpsc::Receiver<Contents>,
    pub(super) published: Arc<Published>,
    pub(super) history: Arc<History>,
    pub(super) serials: watch::Sender<Vec<SavedSerial>>,
    pub(super) measures: Measures,
}

/// What is measured of it.
#[derive(Debug, Clone)]
pub(super) struct Measures {
    /// Seconds that one build and swap take.
    pub(super) build: Histogram,
    /// Seconds from the arrival of what touches an app until answers show it.
    pub(super) fresh: Histogram,
    /// Times that a set was built that does not fit even a TCP message.
    pub(super) oversized: Counter,
}

impl Default for Measures {
    fn default() -> Self {
        // From 10 µs, one small app, to 20 s.
        Self {
            build: Histogram::new(exponential_buckets(0.000_01, 2.0, 22)),
            // From 100 µs, a lone change of a small app, to 13 s.
            fresh: Histogram::new(exponential_buckets(0.000_1, 2.0, 18)),
            oversized: Counter::default(),
        }
    }
}

impl Compiler {
    /// Starts the thread. What is returned ends with it: in order when the mirror has gone, with the
    /// panic's text otherwise.
    pub(super) fn start(
        self,
        runtime: Handle,
    ) -> std::io::Result<impl Future<Output = Result<(), String>>> {
        background::start("compiler", move || {
            self.work(&runtime);
            Ok(())
        })
    }

    fn work(mut self, runtime: &Handle) {
        // Timers belong to a runtime, and this thread is none of its own.
        let _context = runtime.enter();
        let mut course = Course::new(&self.measures);
        // Ends when the mirror drops its end of the queue.
        loop {
            // A snapshot that a reader held when it was replaced is let go soon, however quiet the registry is.
            let sweep = (!course.retired.is_empty()).then(|| Instant::now() + SWEEP_INTERVAL);
            let wake = course.due.into_iter().chain(sweep).min();
            let next = next(&mut self.deltas, &mut self.contents, wake);
            let Some(next) = runtime.block_on(next) else { return };
            let first = match next {
                Next::Step(step) => Some(step),
                Next::Contents(contents) => {
                    self.catalogue.replace(contents);
                    None
                }
                Next::Time => {
                    course.retired.sweep();
                    if course.due.is_none_or(|due| Instant::now() < due) {
                        continue;
                    }
                    None
                }
            };
            // What comes within the interval is gathered; a lone change after a quiet time is not held up.
            runtime.block_on(sleep_until(course.next_publish));
            let told = self.take_in(first, &mut course);
            let replaced = self.publish(&mut course);
            self.tell(told, course.first_epoch);
            // Last, since freeing a large one takes a while.
            course.retired.push(replaced);
        }
    }

    /// Applies the steps that are there, and gives what watchers will be told of them.
    fn take_in(&mut self, first: Option<Arrived<Parsed>>, course: &mut Course) -> Vec<Told> {
        gather(first, &mut self.deltas)
            .map(|Arrived { origin, delta, at }| {
                if origin == Origin::NATIVE {
                    course.freshness.arrived(delta.epoch, delta.revision, at);
                    course.epoch = delta.epoch;
                }
                let happened = self.catalogue.apply(origin, &delta);
                // Nothing happened to what was there before we looked, and it may be a great deal.
                let first = course.viewed.insert(origin);
                let events = (!first).then_some(happened);
                Told { origin, epoch: course.epoch, revision: delta.revision, events }
            })
            .collect()
    }

    /// Builds what is due and swaps it in; gives what it replaced.
    fn publish(&mut self, course: &mut Course) -> Arc<Snapshot> {
        let (start, began) = (course.start, Instant::now());
        // Asked for before and after each app is built: there those who answer may come first, where there are fewer
        // cores than threads. Else a worker waits for this thread's whole slice, some milliseconds.
        let compiled = self.catalogue.compile(&|| {
            std::thread::yield_now();
            start.elapsed()
        });
        let shown = compiled.snapshot.revision;
        let replaced = self.published.publish(compiled.snapshot);
        let swapped = Instant::now();
        course.freshness.swapped_in(&compiled.built, shown, swapped);
        self.measures.build.observe((swapped - began).as_secs_f64());
        course.next_publish = swapped + PUBLISH_INTERVAL;
        course.due = compiled.due.map(|due| start + due);
        self.report(&compiled.oversized, &mut course.warned);
        replaced
    }

    /// Tells watchers what is in the answers now, and the keeper of serials where they stand.
    fn tell(&self, told: Vec<Told>, first_epoch: u64) {
        for Told { origin, epoch, revision, events } in told {
            match events {
                Some(events) => self.history.push(first_epoch + epoch, events),
                None if origin == Origin::NATIVE => {
                    self.history.begin(first_epoch + epoch, revision);
                }
                None => {}
            }
        }
        self.serials.send_if_modified(|saved| {
            let serials = self.catalogue.serials();
            let changed = *saved != serials;
            *saved = serials;
            changed
        });
    }

    /// Counts sets that do not fit, and says so once in a while for each app, however often it is built.
    fn report(&self, oversized: &[Oversized], warned: &mut HashMap<(ZoneName, AppName), Instant>) {
        self.measures.oversized.inc_by(oversized.len() as u64);
        warned.retain(|_, at| at.elapsed() < WARN_INTERVAL);
        for Oversized { zone, app, octets } in oversized {
            if warned.insert((zone.clone(), app.clone()), Instant::now()).is_none() {
                tracing::warn!(
                    %zone, %app, octets,
                    "answers for this app do not fit a TCP message: each client gets a steady sample"
                );
            }
        }
    }
}

/// Where the work stands between two turns.
struct Course {
    start: Instant,
    retired: Retired,
    freshness: Freshness,
    /// Each process counts epochs from 0: an event's id must mean nothing to another one, so that who
    /// resumes there is told to begin anew.
    first_epoch: u64,
    /// When apps that were put off are to be built.
    due: Option<Instant>,
    next_publish: Instant,
    /// Whose first view was taken in.
    viewed: HashSet<Origin>,
    /// The last that was taken in of our own layout. Events of all layouts are numbered in it.
    epoch: u64,
    /// When an app was last said not to fit.
    warned: HashMap<(ZoneName, AppName), Instant>,
}

impl Course {
    fn new(measures: &Measures) -> Self {
        let start = Instant::now();
        Self {
            start,
            retired: Retired::default(),
            freshness: Freshness::new(measures.fresh.clone()),
            first_epoch: u64::from(fastrand::u32(..)) << 16,
            due: None,
            next_publish: start,
            viewed: HashSet::new(),
            epoch: 0,
            warned: HashMap::new(),
        }
    }
}

/// What watchers are told of one step, once it is in the answers.
struct Told {
    origin: Origin,
    epoch: u64,
    revision: Revision,
    /// None of the first view.
    events: Option<Vec<Event>>,
}

/// The step that was waited for, if there is one, and those that wait behind it. Takes none from the queue
/// that it does not give.
fn gather(
    first: Option<Arrived<Parsed>>,
    deltas: &mut mpsc::Receiver<Arrived<Parsed>>,
) -> impl Iterator<Item = Arrived<Parsed>> {
    first.into_iter().chain(std::iter::from_fn(|| deltas.try_recv().ok())).take(GATHER_MAX)
}

/// What there is to do.
enum Next {
    Step(Arrived<Parsed>),
    Contents(Contents),
    /// Apps that were put off are due, or replaced snapshots to be looked at.
    Time,
}

/// The next of these; none when there are no more steps.
async fn next(
    deltas: &mut mpsc::Receiver<Arrived<Parsed>>,
    contents: &mut mpsc::Receiver<Contents>,
    wake: Option<Instant>,
) -> Option<Next> {
    let time = async {
        match wake {
            Some(wake) => sleep_until(wake).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // Those that are few come first, or a flood of the others would keep them waiting.
        biased;
        Some(contents) = contents.recv() => Some(Next::Contents(contents)),
        step = deltas.recv() => step.map(Next::Step),
        () = time => Some(Next::Time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::mirror::Delta;

    fn step(revision: Revision) -> Arrived<Parsed> {
        let delta = Delta { revision, epoch: 0, whole: false, news: Vec::new() };
        Arrived { origin: Origin::NATIVE, delta, at: Instant::now() }
    }

    #[tokio::test]
    async fn gathering_loses_no_step() {
        let last = 2 * GATHER_MAX as Revision + 7;
        let (send, mut deltas) = mpsc::channel(2 * GATHER_MAX + 7);
        for revision in 1..=last {
            send.try_send(step(revision)).unwrap();
        }
        drop(send);
        let mut taken = Vec::new();
        let (_, mut contents) = mpsc::channel(1);
        while let Some(next) = next(&mut deltas, &mut contents, None).await {
            let Next::Step(first) = next else { panic!("there are steps only") };
            let before = taken.len();
            taken.extend(gather(Some(first), &mut deltas).map(|step| step.delta.revision));
            assert!(taken.len() - before <= GATHER_MAX);
        }
        assert!(taken.into_iter().eq(1..=last));
    }
}
