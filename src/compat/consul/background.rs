//! What happens without a call: clocks, checks, services whose standing they changed, host names that may have moved.
//!
//! Knows nothing of what any of it means.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::agent::Run;
use super::agent::saved::TOLD_DELAY;
use super::definition::Status;
use super::instance::host_names;
use super::keeper::Keeper;
use super::run::run;
use crate::compat::hold::Lost;

/// Checks that are run at once.
const RUNS_MAX: usize = 128;
/// Services that are settled at once.
const SETTLING_MAX: usize = 32;
/// A turn looks at every check: those that come together have one.
const PACE: Duration = Duration::from_millis(10);
/// A change that nobody waits for is saved that much later, with those that came meanwhile.
const SAVE_DELAY: Duration = Duration::from_secs(1);
/// Host names are resolved anew that often.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(60);
/// Failures to save are worth a line that often.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// The task.
pub(super) struct Background {
    keeper: Arc<Keeper>,
    lost: mpsc::Receiver<Lost>,
    runs: JoinSet<(Run, Status, String)>,
    /// How to end those that nobody waits for any more.
    under_way: Vec<(Run, AbortHandle)>,
    settling: JoinSet<()>,
    resolving: JoinSet<()>,
    save_at: Option<Instant>,
    resolve_at: Instant,
    warned: Option<Instant>,
}

impl Background {
    pub(super) fn new(keeper: Arc<Keeper>, lost: mpsc::Receiver<Lost>) -> Self {
        Self {
            keeper,
            lost,
            runs: JoinSet::new(),
            under_way: Vec::new(),
            settling: JoinSet::new(),
            resolving: JoinSet::new(),
            save_at: None,
            resolve_at: Instant::now() + RESOLVE_INTERVAL,
            warned: None,
        }
    }

    /// Works until the server stops; what was changed is saved then.
    pub(super) async fn run(mut self) -> Result<(), String> {
        let keeper = self.keeper.clone();
        keeper.seen().await;
        keeper.vouch();
        while let Some(id) = keeper.next_unsettled() {
            keeper.resume(&id).await;
        }
        while !keeper.stop.is_cancelled() {
            let next = self.turn();
            let paced = Instant::now() + PACE;
            tokio::select! {
                () = keeper.stop.cancelled() => {}
                () = keeper.wake.notified() => {}
                Some(ran) = self.runs.join_next() => self.ran(ran)?,
                Some(settled) = self.settling.join_next() => settled.map_err(panicked)?,
                Some(lost) = self.lost.recv(), if self.settling.len() < SETTLING_MAX => {
                    let keeper = keeper.clone();
                    self.settling.spawn(async move { keeper.lost(lost).await });
                }
                Some(resolved) = self.resolving.join_next() => resolved.map_err(panicked)?,
                () = sleep_until(next) => {}
            }
            if self.save_at.is_some_and(|at| at <= Instant::now()) {
                self.save_at = None;
                self.save().await;
            }
            sleep_until(paced).await;
            while let Some(ran) = self.runs.try_join_next() {
                self.ran(ran)?;
            }
            while let Some(settled) = self.settling.try_join_next() {
                settled.map_err(panicked)?;
            }
        }
        if self.save_at.is_some() || keeper.is_unsaved() || keeper.is_told() {
            self.save().await;
        }
        Ok(())
    }

    /// Does what is due, and says when to look again.
    fn turn(&mut self) -> Instant {
        let now = Instant::now();
        let room = RUNS_MAX.saturating_sub(self.runs.len());
        let (touched, due, next) = self.keeper.change(|agent, now| {
            let touched = agent.tick(now);
            let due = agent.due(room, now);
            // Those that find no room are looked at when one ends.
            let next = agent.next_at().map(|at| if at <= now { now + SAVE_DELAY } else { at });
            // A check that has gone, or was registered anew, gives its place to others.
            self.under_way.retain(|(run, handle)| {
                let awaited = agent.awaits(run);
                if !awaited {
                    handle.abort();
                }
                awaited
            });
            (touched, due, next)
        });
        if !touched.is_empty() {
            self.keeper.save_soon();
            self.keeper.settle_soon(touched);
        }
        for one in due {
            let resolver = self.keeper.resolver_for(one.afar).clone();
            let begun = one.clone();
            let handle = self.runs.spawn(async move {
                let (status, output) = run(&one.kind, &resolver).await;
                (one, status, output)
            });
            self.under_way.push((begun, handle));
        }
        while self.settling.len() < SETTLING_MAX {
            let Some(id) = self.keeper.next_unsettled() else { break };
            let keeper = self.keeper.clone();
            self.settling.spawn(async move {
                if let Err(error) = keeper.settle(&id).await {
                    tracing::debug!(service = id, %error, "not in the registry as it stands");
                }
            });
        }
        if self.keeper.is_unsaved() {
            let at = now + SAVE_DELAY;
            self.save_at = Some(self.save_at.map_or(at, |other| other.min(at)));
        }
        if self.keeper.is_told() {
            self.save_at.get_or_insert(now + TOLD_DELAY - SAVE_DELAY);
        }
        if self.resolve_at <= now && self.resolving.is_empty() {
            self.resolve_at = now + RESOLVE_INTERVAL;
            self.resolving.spawn(resolve(self.keeper.clone()));
        }
        [next, self.save_at].into_iter().flatten().fold(self.resolve_at, Instant::min)
    }

    fn ran(&mut self, ran: Result<(Run, Status, String), JoinError>) -> Result<(), String> {
        let (run, status, output) = match ran {
            Ok(ran) => ran,
            Err(error) if error.is_cancelled() => return Ok(()),
            Err(error) => return Err(panicked(error)),
        };
        self.under_way.retain(|(other, _)| *other != run);
        let touched = self.keeper.change(|agent, now| agent.ran(&run, status, &output, now));
        if !touched.is_empty() {
            self.keeper.save_soon();
            self.keeper.settle_soon(touched);
        }
        Ok(())
    }

    async fn save(&mut self) {
        let Err(error) = self.keeper.save().await else { return };
        self.keeper.save_soon();
        let now = Instant::now();
        if self.warned.is_none_or(|at| now.duration_since(at) >= WARN_INTERVAL) {
            self.warned = Some(now);
            tracing::warn!(%error, "cannot save what consul clients registered: look after the data directory");
        }
    }
}

/// Resolves the host names of all services anew.
async fn resolve(keeper: Arc<Keeper>) {
    let named: Vec<_> = {
        let agent = keeper.agent();
        let definitions = agent.services().map(|service| &service.definition);
        definitions.filter(|definition| !host_names(definition).is_empty()).cloned().collect()
    };
    for definition in named {
        let mut found = keeper.resolve(&definition).await;
        let touched = keeper.change(|agent, _| {
            // A name that can't be resolved now is where it was.
            let before = agent.service(&definition.id).map(|service| service.resolved.clone());
            for (name, addresses) in before.unwrap_or_default() {
                found.entry(name).or_insert(addresses);
            }
            agent.resolved(&definition.id, found)
        });
        if !touched.is_empty() {
            keeper.save_soon();
            keeper.settle_soon(touched);
        }
    }
}

fn panicked(error: JoinError) -> String {
    format!("what consul clients registered is not looked after any more: {error}")
}
