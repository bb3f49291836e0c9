//! A copy of one prefix of a registry, and the news of every change of it.
//!
//! ```text
//!  LISTING ---- listed ----> WATCHING <---- same history ---- CHECKING <--+
//!   | ^ ^                     |    |                            ^ |  |    | away, or behind
//!   +-+ |      compacted      |    |     error, end, silence    | |  +----+ for the first time
//!  fails|---------------------+    +----------------------------+ |
//!       |                                                         |
//!       +------------ another cluster, or behind twice -----------+
//! ```
//!
//! A pause, growing and jittered, follows every failure: all arrows but the two into WATCHING and the last.
//!
//! - *Listing* reads everything at one revision and tells the differences as one [`Delta`]: nothing that is
//!   still there is ever told as gone in between.
//! - *Watching* tells each revision as it comes. Progress replies prove that the registry still speaks to
//!   this watch. They never move the place to resume from, since they may overtake changes.
//! - *Checking* precedes every reopening. A registry restored from a backup accepts a watch "from the future"
//!   and is silent; so a linearizable answer must first show the same cluster at or beyond our revision. One
//!   answer from behind is discarded (it may be the last word of a member that has lost its place); two, or
//!   another cluster's id, begin a new epoch: everything is listed anew and replaces the view as a whole.
//!
//! A consumer that does not keep up fills the queue and thereby stops the mirror from reading. If the registry
//! compacts meanwhile, the mirror lists again: the cost of being late is bounded by the size of the view.
//!
//! Knows nothing of what keys and values mean, nor of how a registry is reached.

#[cfg(test)]
mod histories;
mod history;
mod pacing;
#[cfg(test)]
mod script;
mod status;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Change, Entry, Error, LeaseId, Origin, Registry, Revision, Watched};
use history::{History, Verdict};
use pacing::Backoff;
use table::Table;

pub use pacing::Pacing;
pub use status::{Facts, Status, Statuses};

/// What a mirror keeps of one key: never the raw value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept<P> {
    /// The revision that wrote it last.
    pub revision: Revision,
    /// The lease it is bound to.
    pub lease: Option<LeaseId>,
    /// What the parse function made of the value.
    pub parsed: P,
}

/// One key's news: what it was and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News<P> {
    /// The key.
    pub key: Bytes,
    /// What it was before, if it was there.
    pub was: Option<Kept<P>>,
    /// What it is now, if it is there.
    pub now: Option<Kept<P>>,
}

/// A step from one view of the prefix to the next. Applied whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta<P> {
    /// The revision that the view shows after this step.
    pub revision: Revision,
    /// Counts the times that a view replaced another as a whole because the registry's history broke
    /// (another cluster, a backup restored): revisions of different epochs don't compare.
    pub epoch: u64,
    /// The whole view was read anew: these are its differences from the view before (of the first: everything).
    /// A first delta has it set, even when the prefix is empty.
    pub whole: bool,
    /// What changed, in key order within a revision.
    pub news: Vec<News<P>>,
}

/// A step on its way to the consumer, with the time of its arrival from the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived<P> {
    /// Whose step it is, where several mirrors tell one consumer.
    pub origin: Origin,
    /// The step.
    pub delta: Delta<P>,
    /// When the mirror was given the batch or the listing that it comes from.
    pub at: Instant,
}

/// What makes a value of a key; `serve` hands a layout's in.
pub type Parse<P> = Arc<dyn Fn(&Entry) -> P + Send + Sync>;

/// Keeps a copy of one prefix; see the module's text.
pub struct Mirror<P> {
    registry: Arc<dyn Registry>,
    origin: Origin,
    prefix: Bytes,
    parse: Parse<P>,
    deltas: mpsc::Sender<Arrived<P>>,
    pacing: Pacing,
    status: Arc<Status>,
    table: Table<P>,
    history: History,
    backoff: Backoff,
    epoch: u64,
    /// Since when the registry is lost; set by the first failure, ended by a watch that speaks.
    lost: Option<Instant>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    List,
    Check,
    Watch,
}

/// Why a step did not lead to the next.
#[derive(Debug)]
enum Trouble {
    /// The registry failed us.
    Failed(Error),
    /// It answered, from a place where it can't be.
    Doubted(String),
    /// The receiving end of the queue is gone.
    Unread,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl<P: Clone + Send + Sync> Mirror<P> {
    /// A mirror of all keys under `prefix`, which tells its steps to `deltas`.
    #[must_use]
    pub fn new(
        registry: Arc<dyn Registry>,
        prefix: impl Into<Bytes>,
        parse: Parse<P>,
        deltas: mpsc::Sender<Arrived<P>>,
        pacing: Pacing,
    ) -> Self {
        let prefix = prefix.into();
        let status = Arc::new(Status::new("", &prefix));
        Self {
            registry,
            origin: Origin::NATIVE,
            prefix,
            parse,
            deltas,
            pacing,
            status,
            table: Table::default(),
            history: History::default(),
            backoff: Backoff::new(pacing.backoff_min, pacing.backoff_max),
            epoch: 0,
            lost: None,
        }
    }

    /// Its steps carry that number.
    #[must_use]
    pub fn numbered(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// It mirrors for that reader, whose name stands in its log lines.
    #[must_use]
    pub fn read_by(self, reader: &'static str) -> Self {
        Self { status: Arc::new(Status::new(reader, &self.prefix)), ..self }
    }

    /// How it stands; stays valid while the mirror runs.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Runs until it is stopped.
    ///
    /// # Errors
    /// Only if nobody reads its deltas any more; trouble with the registry is met here.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), String> {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            () = self.until_unread() => {
                if stop.is_cancelled() { Ok(()) } else { Err("nobody reads its changes".to_owned()) }
            }
        }
    }

    async fn until_unread(&mut self) {
        let mut step = Step::List;
        // Ends when the consumer has gone. Every failure pauses, so that it never spins.
        loop {
            let went = match step {
                Step::List => self.list().await,
                Step::Check => self.check().await,
                Step::Watch => self.watch().await,
            };
            step = match went {
                Ok(next) => next,
                Err(Trouble::Unread) => return,
                Err(Trouble::Failed(error @ Error::Compacted { .. })) => {
                    // Not a loss: the registry is there, only our place in it is gone.
                    let (reader, prefix) = (self.status.reader(), self.status.prefix());
                    tracing::debug!(reader, prefix, %error, "listing again");
                    self.status.lost(error.to_string());
                    self.pause().await;
                    Step::List
                }
                Err(Trouble::Failed(error)) => self.retreat(step, error.to_string()).await,
                Err(Trouble::Doubted(why)) => self.retreat(step, why).await,
            };
        }
    }

    /// Notes a failure and waits a little. What had to be listed still has to be.
    async fn retreat(&mut self, from: Step, why: String) -> Step {
        let (reader, prefix) = (self.status.reader(), self.status.prefix());
        if self.lost.is_none() {
            self.lost = Some(Instant::now());
            let revision = self.history.applied();
            if self.status.facts().has_view {
                tracing::warn!(
                    reader,
                    prefix,
                    revision,
                    error = why,
                    "registry lost, serving what is known"
                );
            } else {
                tracing::warn!(reader, prefix, error = why, "registry not reached yet, trying on");
            }
        } else {
            tracing::debug!(reader, prefix, error = why, "registry still lost");
        }
        self.status.lost(why);
        self.pause().await;
        if from == Step::List { Step::List } else { Step::Check }
    }

    async fn pause(&mut self) {
        sleep(self.backoff.pause()).await;
    }

    async fn list(&mut self) -> Result<Step, Trouble> {
        let listing = self.registry.list(&self.prefix, false, None).await?;
        let at = Instant::now();
        self.status.heard();
        let stamp = listing.stamp;
        let continues = match self.history.judge(stamp) {
            Verdict::Continues => true,
            Verdict::Doubtful(why) => return Err(Trouble::Doubted(why)),
            Verdict::Broken(why) => {
                self.epoch += 1;
                let (reader, prefix) = (self.status.reader(), self.status.prefix());
                let (epoch, revision) = (self.epoch, stamp.revision);
                tracing::warn!(
                    reader,
                    prefix,
                    revision,
                    epoch,
                    why,
                    "registry's history broke, view replaced"
                );
                false
            }
        };
        let first = self.history.adopt(stamp);
        let news = self.table.replace(listing.entries, continues, &*self.parse);
        if first {
            let (reader, prefix) = (self.status.reader(), self.status.prefix());
            tracing::info!(
                reader,
                prefix,
                keys = news.len(),
                revision = stamp.revision,
                "first view complete"
            );
        }
        self.tell(stamp.revision, true, news, at).await?;
        self.status.listed(first);
        Ok(Step::Watch)
    }

    async fn check(&mut self) -> Result<Step, Trouble> {
        let (stamp, _) = self.registry.get(&self.prefix).await?;
        self.status.heard();
        match self.history.judge(stamp) {
            Verdict::Continues => Ok(Step::Watch),
            Verdict::Doubtful(why) => Err(Trouble::Doubted(why)),
            Verdict::Broken(_) => Ok(Step::List),
        }
    }

    /// Never leads on by itself: a watch ends in trouble.
    async fn watch(&mut self) -> Result<Step, Trouble> {
        let from = self.history.applied() + 1;
        let mut watch = self.registry.watch(&self.prefix, from).await?;
        self.status.opened();
        let opened = Instant::now();
        // Its first tick is at once: a fresh watch is to prove itself.
        let mut ask = interval(self.pacing.progress_every);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = opened;
        // Ends when the watch fails, falls silent, or nobody reads.
        loop {
            let news = tokio::select! {
                biased;
                news = watch.next() => news?,
                _ = ask.tick() => {
                    watch.request_progress().await?;
                    continue;
                }
                () = sleep_until(heard + self.pacing.silence_max) => {
                    let secs = self.pacing.silence_max.as_secs_f32();
                    return Err(Error::Unavailable(format!("no sign of life for {secs} s")).into());
                }
            };
            let at = Instant::now();
            self.found();
            if opened.elapsed() >= self.pacing.backoff_max {
                self.backoff.reset();
            }
            if let Watched::Batch { revision, changes } = news {
                self.apply(revision, changes, at).await?;
            }
            // Taken after the delta was: a slow consumer is not the registry's silence.
            heard = Instant::now();
        }
    }

    /// The watch has spoken.
    fn found(&mut self) {
        self.status.found();
        if let Some(since) = self.lost.take() {
            let (reader, prefix) = (self.status.reader(), self.status.prefix());
            let revision = self.history.applied();
            tracing::info!(reader, prefix, revision, away = ?since.elapsed(), "registry back");
        }
    }

    async fn apply(
        &mut self,
        revision: Revision,
        changes: Vec<Change>,
        at: Instant,
    ) -> Result<(), Trouble> {
        if !self.history.advance(revision) {
            return Ok(());
        }
        let news = self.table.apply(changes, &*self.parse);
        self.tell(revision, false, news, at).await
    }

    async fn tell(
        &self,
        revision: Revision,
        whole: bool,
        news: Vec<News<P>>,
        at: Instant,
    ) -> Result<(), Trouble> {
        let delta = Delta { revision, epoch: self.epoch, whole, news };
        let arrived = Arrived { origin: self.origin, delta, at };
        self.deltas.send(arrived).await.map_err(|_| Trouble::Unread)?;
        self.status.told(self.epoch, revision);
        Ok(())
    }
}
