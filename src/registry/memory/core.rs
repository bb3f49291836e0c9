//! What readers see of a registry, behind one lock that is never held across an await.
//!
//! Knows nothing of disks; of time only what it is told.

use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::deadlines::Deadlines;
use super::history::{self, History};
use super::state::{Answer, FIRST_REVISION, Keys, LeaseStep, Op, State, Step};
use super::watch::CoreWatch;
use crate::registry::{Entry, Error, LeaseId, Listing, Revision, Stamp, Watched};

/// A state with its history, its leases' ends, and whoever waits for news.
#[derive(Debug)]
pub(crate) struct Core {
    live: Mutex<Live>,
    /// Wakes watches; the number means nothing.
    news: watch::Sender<u64>,
    /// Wakes the expiry task: a lease may end earlier than all it knew of.
    granted: Notify,
}

#[derive(Debug)]
struct Live {
    state: State,
    history: History,
    deadlines: Deadlines,
    /// Why no call is answered, if none is.
    cut_off: Option<&'static str>,
    /// Counts the times it was cut off, so that a watch that slept through one ends as well.
    outages: u64,
}

impl Core {
    /// Begins with a state as it was restored: every lease gets its full length, and nothing is known of
    /// the past.
    pub(crate) fn new(state: State) -> Self {
        let revision = state.stamp().revision;
        // A new registry has no past to be forgotten, so a watch may start from its first revision.
        let unknown = if revision == FIRST_REVISION { 0 } else { revision };
        let mut deadlines = Deadlines::default();
        let now = Instant::now();
        for (lease, ttl_secs) in state.leases() {
            deadlines.set(lease, now + secs(ttl_secs));
        }
        let history = History::after(unknown);
        let live = Live { state, history, deadlines, cut_off: None, outages: 0 };
        Self { live: Mutex::new(live), news: watch::Sender::new(0), granted: Notify::new() }
    }

    /// One key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<(Stamp, Option<Entry>), Error> {
        let live = self.open()?;
        let found = live.state.keys().get_key_value(key);
        Ok((live.state.stamp(), found.map(|(key, stored)| stored.entry(key))))
    }

    /// All keys under a prefix at one revision.
    pub(crate) fn list(
        &self,
        prefix: &[u8],
        keys_only: bool,
        at: Option<Revision>,
    ) -> Result<Listing, Error> {
        let (mut stamp, mut keys, undone) = {
            let live = self.open()?;
            let stamp = live.state.stamp();
            let undone = match at {
                Some(at) if at > stamp.revision => return Err(future(at, stamp)),
                Some(at) if at < stamp.revision => live.history.back_to(at)?,
                _ => Vec::new(),
            };
            (stamp, live.state.keys().clone(), undone)
        };
        // Outside the lock: the clone is nobody else's.
        for batch in undone {
            history::undo(&mut keys, &batch);
        }
        stamp.revision = at.unwrap_or(stamp.revision);
        Ok(Listing { stamp, entries: entries(&keys, prefix, keys_only) })
    }

    /// A watch on a prefix from a revision on.
    pub(crate) fn watch(
        self: &Arc<Self>,
        prefix: &[u8],
        from: Revision,
    ) -> Result<CoreWatch, Error> {
        let live = self.open()?;
        let stamp = live.state.stamp();
        if from > stamp.revision + 1 {
            return Err(future(from, stamp));
        }
        live.history.check(from)?;
        let prefix = Bytes::copy_from_slice(prefix);
        Ok(CoreWatch::new(Arc::clone(self), self.news.subscribe(), prefix, from, live.outages))
    }

    /// What a watch that was opened after `outages` outages reads next, if there is anything, and the revision
    /// to go on from.
    pub(crate) fn read(
        &self,
        prefix: &[u8],
        from: Revision,
        outages: u64,
    ) -> Result<(Option<Watched>, Revision), Error> {
        let live = self.open()?;
        if live.outages != outages {
            return Err(Error::Unavailable(CUT_OFF.to_owned()));
        }
        Ok(match live.history.next(prefix, from)? {
            Some((revision, changes)) => (Some(Watched::Batch { revision, changes }), revision + 1),
            None => (None, live.state.stamp().revision + 1),
        })
    }

    /// Where the registry stands.
    pub(crate) fn stamp(&self) -> Result<Stamp, Error> {
        Ok(self.open()?.state.stamp())
    }

    /// Starts a lease's time anew.
    pub(crate) fn renew(&self, lease: LeaseId, now: Instant) -> Result<u32, Error> {
        let mut live = self.open()?;
        let ttl_secs = live.state.ttl_secs(lease).ok_or(Error::LeaseNotFound)?;
        live.deadlines.end(lease, now).ok_or(Error::LeaseNotFound)?;
        live.deadlines.set(lease, now + secs(ttl_secs));
        Ok(ttl_secs)
    }

    /// Whole seconds until a lease ends.
    pub(crate) fn time_left(&self, lease: LeaseId, now: Instant) -> Result<u32, Error> {
        let live = self.open()?;
        let end = live.deadlines.end(lease, now).ok_or(Error::LeaseNotFound)?;
        Ok(u32::try_from((end - now).as_secs()).unwrap_or(u32::MAX))
    }

    /// Does an operation and shows it at once.
    pub(crate) fn run(&self, op: Op, now: Instant) -> Result<Answer, Error> {
        let mut live = self.open()?;
        let (answer, step) = live.state.apply(op)?;
        let granted = live.record(vec![step], now);
        drop(live);
        self.tell(granted);
        Ok(answer)
    }

    /// A copy to work ahead on; nobody else may change the state until it is published or dropped.
    pub(crate) fn ahead(&self) -> Result<State, Error> {
        Ok(self.lock()?.state.clone())
    }

    /// Shows a state that was worked ahead to, and the steps that led there.
    pub(crate) fn publish(
        &self,
        state: State,
        steps: Vec<Step>,
        now: Instant,
    ) -> Result<(), Error> {
        let mut live = self.lock()?;
        let old = std::mem::replace(&mut live.state, state);
        let granted = live.record(steps, now);
        drop(live);
        drop(old);
        self.tell(granted);
        Ok(())
    }

    /// Fails where no call is to be answered.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        self.open().map(drop)
    }

    /// Ends leases and shows it at once; gives back those that are still there.
    pub(crate) fn end_all(&self, leases: Vec<LeaseId>, now: Instant) -> Vec<LeaseId> {
        let Ok(mut live) = self.lock() else { return leases };
        for lease in leases {
            // One that was revoked meanwhile is gone as well.
            if let Ok((_, step)) = live.state.apply(Op::End(lease)) {
                live.record(vec![step], now);
            }
        }
        drop(live);
        self.tell(false);
        Vec::new()
    }

    /// Takes up to `max` leases that are due. From here on they can't be renewed.
    pub(crate) fn take_due(&self, now: Instant, max: usize) -> Result<Vec<LeaseId>, Error> {
        Ok(self.lock()?.deadlines.take_due(now, max))
    }

    /// Leases that were due could not be ended; they are due again at that time.
    pub(crate) fn retry_at(&self, leases: &[LeaseId], at: Instant) -> Result<(), Error> {
        let mut live = self.lock()?;
        for lease in leases {
            live.deadlines.retry(*lease, at);
        }
        Ok(())
    }

    /// When the next lease ends.
    pub(crate) fn next_end(&self) -> Result<Option<Instant>, Error> {
        Ok(self.lock()?.deadlines.next())
    }

    /// Waits for a grant since the last call.
    pub(crate) async fn granted(&self) {
        self.granted.notified().await;
    }

    /// Cuts all callers off, or lets them in again.
    pub(crate) fn set_available(&self, available: bool) {
        self.cut_off(if available { None } else { Some(CUT_OFF) });
    }

    /// Ends all watches and answers no more.
    pub(crate) fn close(&self) {
        self.cut_off(Some("it was closed"));
    }

    fn cut_off(&self, why: Option<&'static str>) {
        if let Ok(mut live) = self.lock() {
            live.outages += u64::from(why.is_some());
            live.cut_off = why;
        }
        self.tell(false);
    }

    /// Forgets all history.
    pub(crate) fn forget_history(&self) {
        if let Ok(mut live) = self.lock() {
            live.history = History::after(live.state.stamp().revision);
        }
        self.tell(false);
    }

    fn tell(&self, granted: bool) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
        if granted {
            self.granted.notify_one();
        }
    }

    fn open(&self) -> Result<MutexGuard<'_, Live>, Error> {
        let live = self.lock()?;
        match live.cut_off {
            Some(why) => Err(Error::Unavailable(why.to_owned())),
            None => Ok(live),
        }
    }

    /// After a panic in the middle of a change the state can't be trusted: no call is answered any more.
    fn lock(&self) -> Result<MutexGuard<'_, Live>, Error> {
        self.live.lock().map_err(|_| {
            Error::Unavailable("a change of its state panicked: restart the server".to_owned())
        })
    }
}

impl Live {
    /// Brings history and leases' ends to where the state is. Says whether a lease was granted.
    fn record(&mut self, steps: Vec<Step>, now: Instant) -> bool {
        let mut granted = false;
        for step in steps {
            match step.lease {
                Some(LeaseStep::Granted(lease, ttl_secs)) => {
                    self.deadlines.set(lease, now + secs(ttl_secs));
                    granted = true;
                }
                Some(LeaseStep::Ended(lease)) => self.deadlines.forget(lease),
                None => {}
            }
            if !step.changes.is_empty() {
                self.history.push(step.revision, step.changes);
            }
        }
        granted
    }
}

fn entries(keys: &Keys, prefix: &[u8], keys_only: bool) -> Vec<Entry> {
    keys.range::<_, [u8]>((Bound::Included(prefix), Bound::Unbounded))
        .take_while(|(key, _)| key.starts_with(prefix))
        .map(|(key, stored)| {
            let entry = stored.entry(key);
            if keys_only { Entry { value: Bytes::new(), ..entry } } else { entry }
        })
        .collect()
}

fn future(asked: Revision, stamp: Stamp) -> Error {
    Error::Refused(format!(
        "revision {asked} is in the future, the registry is at {}",
        stamp.revision
    ))
}

fn secs(ttl_secs: u32) -> Duration {
    Duration::from_secs(ttl_secs.into())
}

const CUT_OFF: &str = "it was cut off";
