//! One check as it stands: how well what it checks is, since when, and what is due next.
//!
//! The clock is handed in. Knows nothing of services.

use std::time::Duration;

use tokio::time::Instant;

use crate::compat::consul::definition::{CheckDefinition, Kind, Pace, Status};

/// A run that took no longer was quick.
const QUICK: Duration = Duration::from_secs(1);
/// Octets of what is shown of a check, as in Consul (agent/checks/check.go).
const OUTPUT_OCTETS_MAX: usize = 4 * 1024;

/// How long runs of a check take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    /// The last one was quick.
    Quick,
    /// None has ended.
    Unknown,
    /// The last one was not.
    Slow,
}

/// A check and its state.
#[derive(Debug, Clone)]
pub(in crate::compat::consul) struct Check {
    pub(in crate::compat::consul) definition: CheckDefinition,
    pub(in crate::compat::consul) status: Status,
    /// What the last result said, for people.
    pub(in crate::compat::consul) output: String,
    critical_since: Option<Instant>,
    /// When the owner must have told again.
    deadline: Option<Instant>,
    next_run: Option<Instant>,
    /// How it stood when its server ended, as long as nobody knows whether it still does.
    before: Option<(Status, String)>,
    /// How long after the first run the second one comes, where that is not an interval.
    spread: Option<Duration>,
    /// The number of the run that is under way, and when it began.
    running: Option<(u64, Instant)>,
    /// How long the last run took.
    haste: Haste,
    failures: u32,
    successes: u32,
}

impl Check {
    /// One that begins now; the first run, if it is run, after that delay.
    pub(super) fn new(definition: CheckDefinition, now: Instant, delay: Duration) -> Self {
        let status = definition.status;
        let mut check = Self {
            definition,
            status,
            output: String::new(),
            critical_since: None,
            deadline: None,
            next_run: None,
            before: None,
            spread: None,
            running: None,
            haste: Haste::Unknown,
            failures: 0,
            successes: 0,
        };
        check.critical_since = (status == Status::Critical).then_some(now);
        match &check.definition.kind {
            Kind::Ttl(ttl) => check.deadline = Some(now + *ttl),
            Kind::Http(..) | Kind::Tcp { .. } => check.next_run = Some(now + delay),
            Kind::Maintenance => {}
        }
        check
    }

    /// Takes over how another of the same id stood; the clocks of this one have begun anew.
    pub(super) fn resume(&mut self, status: Status, output: &str, now: Instant) {
        self.set(status, output, now);
    }

    /// Takes over how it stood when its server ended. What its owner tells counts if that is not too old; what is run, once
    /// it was run, which is now, or once somebody vouches for it. The first result counts as the last of those that it takes.
    pub(super) fn restart(
        &mut self,
        (status, output): (Status, String),
        overdue: bool,
        spread: Duration,
        now: Instant,
    ) {
        match self.definition.kind {
            Kind::Ttl(_) if overdue && status != Status::Critical => {
                self.deadline = None;
                self.set(Status::Critical, "TTL expired before rollcall started", now);
            }
            Kind::Http(..) | Kind::Tcp { .. } => {
                self.next_run = Some(now);
                self.spread = Some(spread);
                let CheckDefinition { failures_before_critical, successes_before_passing, .. } =
                    self.definition;
                self.failures = failures_before_critical.saturating_sub(1);
                self.successes = successes_before_passing.saturating_sub(1);
                match status {
                    Status::Critical => self.set(status, &output, now),
                    _ => {
                        self.before = Some((status, output));
                        self.set(Status::Critical, "not run since rollcall started", now)
                    }
                };
            }
            Kind::Ttl(_) | Kind::Maintenance => {
                self.set(status, &output, now);
            }
        }
    }

    /// Somebody knows that it stands as before the restart. Says whether anything that is shown is different.
    pub(super) fn vouch(&mut self, now: Instant) -> bool {
        let Some((status, output)) = self.before.take() else { return false };
        self.set(status, &output, now)
    }

    /// What a restart takes over: how it stands, or stood.
    pub(super) fn lasting(&self) -> (Status, &str) {
        match &self.before {
            Some((status, output)) => (*status, output),
            None => (self.status, &self.output),
        }
    }

    /// How long its owner may be silent still; none if it has been for too long, or need not tell.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(now))
    }

    /// Its status from now on. Says whether anything that is shown is different.
    fn set(&mut self, status: Status, output: &str, now: Instant) -> bool {
        let output = cut(output);
        let changed = self.status != status || self.output != output;
        if self.status != status || self.critical_since.is_some() != (status == Status::Critical) {
            self.critical_since = (status == Status::Critical).then_some(now);
        }
        self.status = status;
        if self.output != output {
            output.clone_into(&mut self.output);
        }
        changed
    }

    /// Its owner tells how it is. None: that is not for its owner to tell.
    pub(super) fn told(&mut self, status: Status, output: &str, now: Instant) -> Option<bool> {
        let Kind::Ttl(ttl) = self.definition.kind else { return None };
        self.deadline = Some(now + ttl);
        Some(self.set(status, output, now))
    }

    /// Critical, if its owner has been silent for too long. Says whether it became so.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return false;
        }
        self.deadline = None;
        self.set(Status::Critical, "TTL expired", now)
    }

    /// Whether it has been critical for so long that its service is to go.
    pub(super) fn is_given_up(&self, now: Instant) -> bool {
        self.given_up_at().is_some_and(|at| at <= now)
    }

    fn given_up_at(&self) -> Option<Instant> {
        Some(self.critical_since? + self.definition.deregister_after?)
    }

    /// When something of it is due next.
    pub(super) fn due_at(&self) -> Option<Instant> {
        [self.deadline, self.run_at(), self.given_up_at()].into_iter().flatten().min()
    }

    /// When it is to be run next, unless that is under way.
    pub(super) fn run_at(&self) -> Option<Instant> {
        self.next_run.filter(|_| self.running.is_none())
    }

    /// How long it will take, by how it was before.
    pub(super) fn haste(&self) -> Haste {
        self.haste
    }

    /// The number of the run that is under way.
    pub(super) fn running(&self) -> Option<u64> {
        self.running.map(|(number, _)| number)
    }

    /// Begins a run of that number.
    pub(super) fn begin(&mut self, number: u64, now: Instant) {
        self.running = Some((number, now));
        let after = self.pace().map(|pace| self.spread.take().unwrap_or(pace.interval));
        self.next_run = after.map(|after| now + after);
    }

    /// Takes the result of the run of that number. One that was begun for another definition is passed over. Says whether
    /// anything that is shown is different.
    pub(super) fn ran(&mut self, number: u64, status: Status, output: &str, now: Instant) -> bool {
        let Some((_, begun)) = self.running.take_if(|(running, _)| *running == number) else {
            return false;
        };
        let is_quick = now.duration_since(begun) <= QUICK;
        self.haste = if is_quick { Haste::Quick } else { Haste::Slow };
        self.before = None;
        let CheckDefinition { failures_before_critical, successes_before_passing, .. } =
            self.definition;
        if status == Status::Critical {
            self.successes = 0;
            self.failures = self.failures.saturating_add(1);
            if self.failures < failures_before_critical {
                return false;
            }
        } else {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
            if self.successes < successes_before_passing {
                return false;
            }
        }
        self.set(status, output, now)
    }

    pub(super) fn pace(&self) -> Option<Pace> {
        match self.definition.kind {
            Kind::Http(_, pace) | Kind::Tcp { pace, .. } => Some(pace),
            _ => None,
        }
    }
}

/// As much of a text as is shown.
fn cut(text: &str) -> &str {
    if text.len() <= OUTPUT_OCTETS_MAX {
        return text;
    }
    // A character has four octets at most.
    (0..4).find_map(|back| text.get(..OUTPUT_OCTETS_MAX - back)).unwrap_or_default()
}
