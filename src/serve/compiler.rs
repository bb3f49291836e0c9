//! The compiler's thread: takes the mirror's steps, builds what they touch, publishes, and tells watchers.
//!
//! A thread of its own: building a large app takes milliseconds that no task of the runtime should wait for,
//! and dropping an old snapshot may take longer.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::retired::Retired;
use crate::api::History;
use crate::layout::Parsed;
use crate::registry::mirror::Delta;
use crate::supervise::panic_message;
use crate::zone::{Catalogue, Oversized, Published, SavedSerial};

/// Steps that are taken in before answers are built from them: bounds what one build can hold up.
const GATHER_MAX: usize = 1_024;
/// Answers are published no more often than this: a lone change is seen at once, those of a burst together.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(2);

/// What the compiler works on.
pub(super) struct Compiler {
    pub(super) catalogue: Catalogue,
    pub(super) deltas: mpsc::Receiver<Delta<Parsed>>,
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
    /// Times that a set was built that does not fit even a TCP message.
    pub(super) oversized: Counter,
}

impl Default for Measures {
    fn default() -> Self {
        // From 10 µs, one small app, to 20 s.
        Self {
            build: Histogram::new(exponential_buckets(0.000_01, 2.0, 22)),
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
        let (ended, end) = oneshot::channel();
        std::thread::Builder::new().name("compiler".to_owned()).spawn(move || {
            let work = std::panic::AssertUnwindSafe(|| self.work(&runtime));
            let outcome = std::panic::catch_unwind(work);
            let outcome = outcome.map_err(|panic| format!("panicked: {}", panic_message(&*panic)));
            // Nobody waits for it only when the process is ending.
            let _ = ended.send(outcome);
        })?;
        Ok(async { end.await.unwrap_or_else(|_| Err("thread vanished".to_owned())) })
    }

    fn work(mut self, runtime: &Handle) {
        // Timers belong to a runtime, and this thread is none of its own.
        let _context = runtime.enter();
        let start = Instant::now();
        let clock = move || start.elapsed();
        let mut retired = Retired::default();
        // Each process counts epochs from 0, and its first view stands in the history as if all of it had
        // happened just then: an event's id must mean nothing to another process, that it says `reset`.
        let first_epoch = u64::from(fastrand::u32(..)) << 16;
        let mut due: Option<Instant> = None;
        let mut next_publish = start;
        // Ends when the mirror drops its end of the queue.
        while let Some(first) = runtime.block_on(next(&mut self.deltas, due)) {
            // What comes within the interval is gathered; a lone change after a quiet time is not held up.
            runtime.block_on(tokio::time::sleep_until(next_publish));
            let mut events = Vec::new();
            let mut epoch = None;
            let mut delta = first;
            for _ in 0..GATHER_MAX {
                if let Some(delta) = &delta {
                    events.extend(self.catalogue.apply(delta));
                    epoch = Some(delta.epoch);
                }
                delta = match self.deltas.try_recv() {
                    Ok(delta) => Some(delta),
                    Err(_) => break,
                };
            }
            let began = Instant::now();
            let compiled = self.catalogue.compile(&clock);
            retired.push(self.published.publish(compiled.snapshot));
            self.measures.build.observe(began.elapsed().as_secs_f64());
            next_publish = Instant::now() + PUBLISH_INTERVAL;
            due = compiled.due.map(|due| start + due);
            if let Some(epoch) = epoch {
                self.history.push(first_epoch + epoch, events);
            }
            self.report(&compiled.oversized);
            self.serials.send_if_modified(|saved| {
                let serials = self.catalogue.serials();
                let changed = *saved != serials;
                *saved = serials;
                changed
            });
        }
    }

    fn report(&self, oversized: &[Oversized]) {
        for Oversized { zone, app, octets } in oversized {
            self.measures.oversized.inc();
            tracing::warn!(
                %zone, %app, octets,
                "answers for this app do not fit a TCP message: each client gets a steady sample"
            );
        }
    }
}

/// The next step, or nothing but the time that apps which were put off are due; none at the end.
async fn next(
    deltas: &mut mpsc::Receiver<Delta<Parsed>>,
    due: Option<Instant>,
) -> Option<Option<Delta<Parsed>>> {
    match due {
        None => deltas.recv().await.map(Some),
        Some(due) => match timeout_at(due, deltas.recv()).await {
            Ok(delta) => delta.map(Some),
            Err(_) => Some(None),
        },
    }
}
