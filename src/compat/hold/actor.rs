//! Holds: takes commands, keeps what is due in hand, and has so many attempts under way at once.
//!
//! Each target has one wish, the last one, and at most one attempt at a time. An attempt that ends while the wish has
//! changed is followed by another; those who wait are answered by the first attempt that was begun after they asked.
//!
//! Knows nothing of how a key is written.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::reason::Reason;
use super::schedule::Schedule;
use super::writer::{Kept, Over, Tenure, Wanted, Writer};
use super::{HELD_MAX, HoldError, Loss, Lost, Target};
use crate::compat::Compat;
use crate::model::Instance;
use crate::registry::{Error, Revision};

/// Attempts at once.
const AT_ONCE_MAX: usize = 32;
/// Waits after failures: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// A registration that can't be taken away is left to its lease after that long.
const DEPART_TIME: Duration = Duration::from_secs(60);
/// Of a lease's length, renewed less than that part ago is renewed.
const FRESH_PART: u32 = 6;

/// What is wanted of a target.
#[derive(Debug, Clone)]
pub(super) enum Wish {
    Present {
        wanted: Wanted,
        ttl_secs: u32,
        /// None: for as long as the server runs.
        until: Option<Instant>,
    },
    Absent {
        instance: Arc<Instance>,
        reason: Reason,
    },
}

impl Wish {
    pub(super) fn present(
        instance: Instance,
        over: Over,
        ttl_secs: u32,
        until: Option<Instant>,
    ) -> Self {
        let instance = Arc::new(Instance { ttl: Some(ttl_secs), ..instance });
        Self::Present { wanted: Wanted { instance, over, before: None }, ttl_secs, until }
    }

    pub(super) fn absent(instance: Instance, reason: Reason) -> Self {
        let ttl = Some(super::TTL_SECS);
        Self::Absent { instance: Arc::new(Instance { ttl, ..instance }), reason }
    }
}

type Reply = oneshot::Sender<Result<Revision, HoldError>>;

/// What is asked.
pub(super) enum Command {
    /// A wish, and who waits for it.
    Wish { target: Target, wish: Wish, reply: Option<Reply> },
    /// Whether something is wished of a target.
    Holds { target: Target, reply: oneshot::Sender<bool> },
}

struct Held {
    wish: Wish,
    /// Rises with each wish.
    generation: u64,
    tenure: Tenure,
    renewed: Option<Instant>,
    /// An attempt is under way.
    busy: bool,
    failures: u32,
    /// When it was asked to go.
    leaving: Option<Instant>,
    waiting: Vec<(u64, Reply)>,
}

/// An attempt that ended.
struct Attempt {
    target: Target,
    generation: u64,
    begun: Instant,
    came: Result<Came, Error>,
}

enum Came {
    Kept(Kept),
    Gone(Revision),
}

/// The task.
pub(super) struct Actor {
    writer: Writer,
    commands: mpsc::Receiver<Command>,
    held: HashMap<Target, Held>,
    due: Schedule<Target>,
    attempts: JoinSet<Attempt>,
    /// Told of what is lost.
    lost: mpsc::Sender<Lost>,
    name: &'static str,
    /// Those whose last attempt failed.
    failing: usize,
    count: Gauge,
    unwritten: Gauge,
}

impl Actor {
    pub(super) fn new(
        compat: Arc<Compat>,
        name: &'static str,
        commands: mpsc::Receiver<Command>,
        lost: mpsc::Sender<Lost>,
    ) -> Self {
        let (count, unwritten) = (compat.metrics.held(name), compat.metrics.unwritten(name));
        Self {
            writer: Writer::new(compat, name),
            commands,
            held: HashMap::new(),
            due: Schedule::default(),
            attempts: JoinSet::new(),
            lost,
            name,
            failing: 0,
            count,
            unwritten,
        }
    }

    /// Holds until the stop, and then until nobody can ask any more and what was asked is done.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), String> {
        let mut asked = true;
        while asked || !(stop.is_cancelled() && self.attempts.is_empty()) {
            let ending = !asked && stop.is_cancelled();
            let room = self.attempts.len() < AT_ONCE_MAX && !ending;
            let next = self.due.next();
            let due = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(ended) = self.attempts.join_next() => {
                    self.ended(ended.map_err(|error| format!("an attempt panicked: {error}"))?);
                }
                command = self.commands.recv(), if asked => match command {
                    Some(Command::Wish { target, wish, reply }) => self.wish(target, wish, reply),
                    Some(Command::Holds { target, reply }) => {
                        let _ = reply.send(self.held.contains_key(&target));
                    }
                    None => asked = false,
                },
                () = due, if room => self.begin(),
                () = stop.cancelled(), if !asked && !ending => {}
            }
            self.count.set(i64::try_from(self.held.len()).unwrap_or(i64::MAX));
            self.unwritten.set(i64::try_from(self.failing).unwrap_or(i64::MAX));
        }
        Ok(())
    }

    fn wish(&mut self, target: Target, mut wish: Wish, reply: Option<Reply>) {
        let now = Instant::now();
        let known = self.held.contains_key(&target);
        if !known && self.held.len() >= HELD_MAX {
            if let Some(reply) = reply {
                let _ = reply.send(Err(HoldError::Full(HELD_MAX)));
            }
            return;
        }
        let held = self.held.entry(target.clone()).or_insert_with(|| Held::new(wish.clone()));
        if known && held.is_fresh(&wish, now) {
            held.wish = wish;
            if let (Some(reply), Some(own)) = (reply, held.tenure.own()) {
                let _ = reply.send(Ok(own.revision));
            }
            self.schedule(&target, now);
            return;
        }
        if let (Wish::Present { wanted: old, .. }, Wish::Present { wanted: new, .. }) =
            (&held.wish, &mut wish)
        {
            new.before = Some(old.instance.clone());
        }
        held.generation += 1;
        held.leaving = matches!(wish, Wish::Absent { .. }).then_some(now);
        held.wish = wish;
        let generation = held.generation;
        // Who has given up waiting makes room.
        held.waiting.retain(|(_, reply)| !reply.is_closed());
        held.waiting.extend(reply.map(|reply| (generation, reply)));
        self.due.set(target, now);
    }

    /// Begins the first attempt that is due.
    fn begin(&mut self) {
        let now = Instant::now();
        let Some(target) = self.due.take(now) else { return };
        let Some(held) = self.held.get_mut(&target) else { return };
        if held.busy {
            // Its end looks at the wish again.
            return;
        }
        if held.is_over(now) {
            // Nothing was heard for too long. Its lease would end too, but not at that moment.
            held.leave(now);
        }
        if held.leaving.is_some_and(|since| now.duration_since(since) > DEPART_TIME) {
            self.failing -= usize::from(held.failures > 0);
            self.held.remove(&target);
            return;
        }
        held.busy = true;
        let (wish, tenure, generation) = (held.wish.clone(), held.tenure, held.generation);
        let writer = self.writer.clone();
        self.attempts.spawn(async move {
            let begun = now;
            let came = match wish {
                Wish::Present { wanted, .. } => {
                    writer.keep(&target, &wanted, tenure.own()).await.map(Came::Kept)
                }
                Wish::Absent { instance, reason } => {
                    writer.depart(&target, &instance, reason, tenure).await.map(Came::Gone)
                }
            };
            Attempt { target, generation, begun, came }
        });
    }

    fn ended(&mut self, Attempt { target, generation, begun, came }: Attempt) {
        let Some(held) = self.held.get_mut(&target) else { return };
        held.busy = false;
        let first = self.failing == 0 && came.is_err();
        self.failing -= usize::from(held.failures > 0);
        held.failures = if came.is_ok() { 0 } else { held.failures.saturating_add(1) };
        self.failing += usize::from(held.failures > 0);
        let answer = match came {
            Ok(Came::Kept(kept)) => {
                held.renewed = Some(begun);
                let current = held.generation == generation;
                // From now on whoever overwrites it means to.
                if let Wish::Present { wanted, .. } = &mut held.wish
                    && current
                {
                    wanted.over = Over::Nothing;
                }
                match kept {
                    Kept::Ours(own) => {
                        held.tenure = Tenure::Ours(own);
                        Ok(own.revision)
                    }
                    Kept::Others { elsewhere } => {
                        if elsewhere {
                            tracing::debug!(%target, "another registration has the id of what is held");
                            // Where there is no room for that it is told the next time.
                            let _ = self.lost.try_send(Lost::new(&target, Loss::Taken));
                        }
                        held.tenure = Tenure::Others;
                        Err(HoldError::Others)
                    }
                    Kept::Dismissed => {
                        held.tenure = Tenure::Others;
                        let told = || self.lost.try_send(Lost::new(&target, Loss::Dismissed));
                        if current && !matches!(told(), Err(mpsc::error::TrySendError::Full(_))) {
                            tracing::debug!(%target, "held no more, as somebody deregistered it");
                            self.held.remove(&target);
                            return;
                        }
                        Err(HoldError::Others)
                    }
                }
            }
            Ok(Came::Gone(revision)) => {
                held.tenure = Tenure::Unknown;
                if held.generation == generation {
                    for (_, reply) in self.held.remove(&target).into_iter().flat_map(|h| h.waiting)
                    {
                        let _ = reply.send(Ok(revision));
                    }
                    return;
                }
                Ok(revision)
            }
            Err(error) => {
                let (listener, failures) = (self.name, held.failures);
                if first {
                    tracing::warn!(listener, %target, %error, "cannot write what is held; trying on");
                }
                tracing::debug!(listener, %target, %error, failures, "cannot write what is held");
                Err(HoldError::Pending(error.to_string()))
            }
        };
        let waiting = std::mem::take(&mut held.waiting);
        for (asked, reply) in waiting {
            if asked <= generation {
                let _ = reply.send(answer.clone());
            } else {
                held.waiting.push((asked, reply));
            }
        }
        let now = Instant::now();
        if held.generation == generation {
            self.schedule(&target, now);
        } else {
            self.due.set(target, now);
        }
    }

    /// Has a target due when there is something to do for it next.
    fn schedule(&mut self, target: &Target, now: Instant) {
        let Some(held) = self.held.get(target) else { return };
        let at = held.next(now, fastrand::f64());
        self.due.set(target.clone(), at);
    }
}

impl Held {
    fn new(wish: Wish) -> Self {
        Self {
            wish,
            generation: 0,
            tenure: Tenure::Unknown,
            renewed: None,
            busy: false,
            failures: 0,
            leaving: None,
            waiting: Vec::new(),
        }
    }

    /// Whether it was wished for until a time that has come.
    fn is_over(&self, now: Instant) -> bool {
        matches!(&self.wish, Wish::Present { until: Some(until), .. } if *until <= now)
    }

    /// Wishes it gone, since nothing was heard.
    fn leave(&mut self, now: Instant) {
        if let Wish::Present { wanted, .. } = &self.wish {
            self.wish = Wish::Absent { instance: wanted.instance.clone(), reason: Reason::Silent };
            self.generation += 1;
            self.leaving = Some(now);
        }
    }

    /// Whether a wish to live on, without anything else new, came so soon after the last renewal that the lease does.
    fn is_fresh(&self, wish: &Wish, now: Instant) -> bool {
        let (
            Wish::Present { wanted: old, until: Some(_), .. },
            Wish::Present { wanted: new, ttl_secs, until: Some(_) },
        ) = (&self.wish, wish)
        else {
            return false;
        };
        let fresh = Duration::from_secs((*ttl_secs).into()) / FRESH_PART;
        old.instance == new.instance
            && self.tenure.own().is_some()
            && self.failures == 0
            && self.renewed.is_some_and(|at| now.duration_since(at) < fresh)
    }

    /// When there is something to do next, with a random number of 0 to 1 that keeps many from coming at once.
    fn next(&self, now: Instant, random: f64) -> Instant {
        if self.failures > 0 {
            let (first, longest) = BACK_OFF;
            let wait = first.saturating_mul(1 << self.failures.min(6).saturating_sub(1));
            return now + wait.min(longest).mul_f64(0.5 + random / 2.0);
        }
        match &self.wish {
            Wish::Present { until: Some(until), .. } if self.tenure.own().is_some() => *until,
            Wish::Present { until, ttl_secs, .. } => {
                let ttl_secs = self.tenure.own().map_or(*ttl_secs, |own| own.ttl_secs);
                let third = now + Duration::from_secs(ttl_secs.into()) / 3;
                until.map_or(third, |until| third.min(until))
            }
            Wish::Absent { .. } => now,
        }
    }
}
