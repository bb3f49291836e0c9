//! All that is read of the registry: our own layout, and those of other systems, a mirror each.
//!
//! Knows nothing of what keys say.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::background;
use crate::layout::Parsed;
use crate::layout::foreign::Foreign;
use crate::layout::native::Keys;
use crate::registry::mirror::{Arrived, Mirror, Pacing, Parse, Status};
use crate::registry::{Entry, Registry};
use crate::supervise::Tasks;

/// Steps of the mirrors that wait for the compiler; beyond that the mirrors wait.
const DELTAS_MAX: usize = 1_024;

/// Mirrors that do not run yet.
pub(super) struct Sources {
    sources: Vec<Mirror<Parsed>>,
}

impl Sources {
    /// One for each layout, our own first, and the steps that they will tell.
    pub(super) fn new(
        registry: &Arc<dyn Registry>,
        keys: &Keys,
        layouts: &[Foreign],
    ) -> (Self, mpsc::Receiver<Arrived<Parsed>>) {
        let (send, deltas) = mpsc::channel(DELTAS_MAX);
        let mirror = |prefix: &str, parse: Parse<Parsed>| {
            let prefix = prefix.to_owned();
            Mirror::new(registry.clone(), prefix, parse, send.clone(), Pacing::default())
        };
        let native = keys.clone();
        let native = mirror(keys.prefix(), patient(move |entry| native.parse(entry)));
        let mut sources = vec![native.read_by("native")];
        for layout in layouts {
            let (system, origin) = (layout.system.as_str(), layout.origin);
            let reader = layout.clone();
            let mirror = mirror(&layout.prefix, patient(move |entry| reader.parse(entry)));
            sources.push(mirror.read_by(system).numbered(origin));
        }
        (Self { sources }, deltas)
    }

    /// How they stand; stays valid while they run.
    pub(super) fn statuses(&self) -> Vec<Arc<Status>> {
        self.sources.iter().map(Mirror::status).collect()
    }

    /// Runs them until they are stopped, each on a thread.
    pub(super) fn run(self, tasks: &Tasks, until: &CancellationToken) -> std::io::Result<()> {
        for mirror in self.sources {
            let (runtime, until) = (Handle::current(), until.clone());
            let mirror = move || runtime.block_on(mirror.run(until));
            tasks.spawn("mirror", background::start("mirror", mirror)?);
        }
        Ok(())
    }
}

/// A listing has very many entries, and those who answer come first, as in the compiler.
fn patient(parse: impl Fn(&Entry) -> Parsed + Send + Sync + 'static) -> Parse<Parsed> {
    Arc::new(move |entry: &Entry| {
        std::thread::yield_now();
        parse(entry)
    })
}
