//! What comes due: checks whose owners are silent, services that are given up, checks to be run.
//!
//! The clock is handed in. Knows nothing of how checks are run.

use tokio::time::Instant;

use super::check::Haste;
use super::{Agent, Check, Service, Touched};
use crate::compat::consul::definition::{Kind, Status};

/// Checks of which the last run was not quick that are run at once: those that hang leave places to the others.
const SLOW_RUNS_MAX: usize = 64;
/// The same together with those that were never run.
const UNPROVEN_RUNS_MAX: usize = 96;

/// A check to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::compat::consul) struct Run {
    pub(in crate::compat::consul) check: String,
    pub(in crate::compat::consul) kind: Kind,
    /// Whether somebody on another host wanted it.
    pub(in crate::compat::consul) afar: bool,
    number: u64,
}

impl Agent {
    /// What time alone brings about: checks whose owners are silent, and services that are given up.
    pub(in crate::compat::consul) fn tick(&mut self, now: Instant) -> Touched {
        let mut expired = Vec::new();
        for (id, check) in self.checks_mut() {
            if check.expire(now) {
                expired.push(id.clone());
            }
        }
        let mut touched = Touched::new();
        for id in expired {
            touched.append(&mut self.changed(&id, true));
        }
        if self.leaving.expire(now) {
            self.version += 1;
        }
        let gone = |service: &Service| service.checks.values().any(|check| check.is_given_up(now));
        let gone = self.services.iter().filter(|(_, service)| gone(service));
        for id in gone.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            touched.append(&mut self.deregister(&id, now));
        }
        touched
    }

    /// When [`Agent::tick`] or [`Agent::due`] has something to do next.
    pub(in crate::compat::consul) fn next_at(&self) -> Option<Instant> {
        let of_services = self.services.values().flat_map(|service| service.checks.values());
        let checks = of_services.chain(self.node.values()).filter_map(Check::due_at);
        checks.chain(self.leaving.next_at()).min()
    }

    /// Begins checks that are to be run now, so many at most: where there are more, those that have waited longest, and of
    /// those that may take long no more than leave room for others.
    pub(in crate::compat::consul) fn due(&mut self, max: usize, now: Instant) -> Vec<Run> {
        let (mut slow, mut unproven) = (0, 0);
        let mut waiting: Vec<(Instant, Haste, String)> = Vec::new();
        for (id, check) in self.checks_mut() {
            if check.running().is_some() {
                slow += usize::from(check.haste() == Haste::Slow);
                unproven += usize::from(check.haste() != Haste::Quick);
            } else if let Some(at) = check.run_at().filter(|at| *at <= now) {
                waiting.push((at, check.haste(), id.clone()));
            }
        }
        waiting
            .sort_unstable_by(|(at, _, id), (other_at, _, other)| (at, id).cmp(&(other_at, other)));
        let mut runs = Vec::new();
        for (_, haste, check) in waiting {
            let full = match haste {
                Haste::Quick => false,
                Haste::Unknown => unproven >= UNPROVEN_RUNS_MAX,
                Haste::Slow => slow >= SLOW_RUNS_MAX || unproven >= UNPROVEN_RUNS_MAX,
            };
            if full {
                continue;
            }
            if runs.len() >= max {
                break;
            }
            slow += usize::from(haste == Haste::Slow);
            unproven += usize::from(haste != Haste::Quick);
            let number = self.runs + 1;
            let Some(begun) = self.check_mut(&check) else { continue };
            begun.begin(number, now);
            let (kind, afar) = (begun.definition.kind.clone(), begun.definition.afar);
            runs.push(Run { check, kind, afar, number });
            self.runs = number;
        }
        runs
    }

    /// Whether a run's check is still there, and waits for it.
    pub(in crate::compat::consul) fn awaits(&self, run: &Run) -> bool {
        self.check(&run.check).is_some_and(|check| check.running() == Some(run.number))
    }

    /// Takes what a run came to.
    pub(in crate::compat::consul) fn ran(
        &mut self,
        run: &Run,
        status: Status,
        output: &str,
        now: Instant,
    ) -> Touched {
        let changed = self
            .check_mut(&run.check)
            .is_some_and(|check| check.ran(run.number, status, output, now));
        self.changed(&run.check, changed)
    }
}
