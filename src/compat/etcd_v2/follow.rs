//! Follows one prefix of the registry, once a client has asked for something in it: what a mirror tells becomes the history
//! that waiting clients read.
//!
//! The mirror that answers of DNS come from is of no use here, since it keeps no values as they were written. So a layout
//! that no client of this listener asks for has no second one.
//!
//! Knows nothing of clients.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::folders::Folders;
use super::history::{History, Told, Written};
use super::intents::{Intent, Intents};
use super::keys::Keys;
use super::leases::Leases;
use super::node::{Action, Life, Node};
use super::places::Places;
use crate::registry::mirror::{Arrived, Delta, Kept, Mirror, News, Pacing, Statuses};
use crate::registry::{Entry, LeaseId, Registry};
use crate::supervise::Tasks;

/// Steps between the mirror and the history; more wait in the registry.
const STEPS_MAX: usize = 16;
/// How long the first who writes or waits below a prefix waits for its first view; what is not told then is recalled.
const VIEW_TIMEOUT: Duration = Duration::from_secs(2);

/// What all tracks of a listener share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Which key is which path.
    pub(super) places: Places,
    /// What this listener is about to do.
    pub(super) intents: Intents,
    /// How long leases last.
    pub(super) leases: Leases,
    /// Folders without keys.
    pub(super) folders: Folders,
    /// The time of day.
    pub(super) clock: fn() -> SystemTime,
}

/// The history of one prefix.
#[derive(Debug)]
pub(super) struct Track {
    /// The prefix.
    pub(super) prefix: String,
    history: Mutex<History>,
    /// Whether a client has asked for something below it.
    asked: watch::Sender<bool>,
    /// Counts the changes of the history.
    changed: watch::Sender<u64>,
}

impl Track {
    /// Follows a prefix from when it is asked for, for as long as these tasks run. `followed` is told then.
    pub(super) fn start(
        prefix: String,
        registry: Arc<dyn Registry>,
        shared: Arc<Shared>,
        followed: Statuses,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let track = Arc::new(Self {
            prefix,
            history: Mutex::default(),
            asked: watch::Sender::new(false),
            changed: watch::Sender::new(0),
        });
        let (deltas, arrived) = mpsc::channel(STEPS_MAX);
        let places = shared.places.clone();
        // Our own keys are in no history: nothing of them need be kept.
        let parse = move |entry: &Entry| {
            if places.is_own(&entry.key) { Bytes::new() } else { entry.value.clone() }
        };
        let prefix = track.prefix.clone().into_bytes();
        let mirror = Mirror::new(registry, prefix, Arc::new(parse), deltas, Pacing::default());
        let mirror = mirror.read_by("etcd_v2");
        let (mut asked, stop) = (track.asked.subscribe(), tasks.stop_token());
        let until = stop.clone();
        tasks.spawn(format!("etcd_v2 mirror of {:?}", track.prefix), async move {
            tokio::select! {
                () = until.cancelled() => return Ok(()),
                _ = asked.wait_for(|asked| *asked) => followed.add(mirror.status()),
            }
            mirror.run(until).await
        });
        let name = format!("etcd_v2 history of {:?}", track.prefix);
        tasks.spawn(name, track.clone().follow(arrived, shared, stop));
        track
    }

    /// Has it followed from now on.
    pub(super) fn ask(&self) {
        self.asked.send_if_modified(|asked| !std::mem::replace(asked, true));
    }

    /// Returns once there is a history.
    async fn ready(&self) {
        let mut changes = self.changes();
        while !self.history().is_ready() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// The history as it is now.
    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears of every change of the history from now on.
    #[must_use]
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    async fn follow(
        self: Arc<Self>,
        mut arrived: mpsc::Receiver<Arrived<Bytes>>,
        shared: Arc<Shared>,
        stop: CancellationToken,
    ) -> Result<(), String> {
        let mut epoch = None;
        loop {
            let arrived = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                arrived = arrived.recv() => arrived,
            };
            let Some(Arrived { delta, .. }) = arrived else {
                return if stop.is_cancelled() { Ok(()) } else { Err("mirror ended".to_owned()) };
            };
            self.apply(delta, &mut epoch, &shared);
            self.changed.send_modify(|count| *count += 1);
        }
    }

    fn apply(&self, delta: Delta<Bytes>, epoch: &mut Option<u64>, shared: &Shared) {
        let came = delta.news.iter().filter(|news| news.was.is_none()).count();
        let went = delta.news.iter().filter(|news| news.now.is_none()).count();
        let mut history = self.history();
        if *epoch != Some(delta.epoch) {
            // Of another registry's history, revisions mean nothing.
            let keys = history.keys() + came;
            history.begin(delta.revision, keys.saturating_sub(went));
            *epoch = Some(delta.epoch);
            return;
        }
        let revision = delta.revision;
        let mut told: Vec<Told> =
            delta.news.into_iter().filter_map(|news| shared.told(news, revision)).collect();
        // A listing read anew tells the writes of many revisions in the order of their keys.
        told.sort_by_key(|told| told.revision);
        for told in told {
            history.push(told);
        }
        history.reached(revision, came, went);
    }
}

impl Keys {
    /// Who follows what a path is in, or what is below it.
    pub(super) fn tracks(&self, path: &str) -> impl Iterator<Item = &Arc<Track>> {
        let key = self.shared.places.key(path);
        let below = self.shared.places.below(path);
        self.tracks.iter().filter(move |track| {
            let holds = |key: &String| {
                key.starts_with(&track.prefix) || track.prefix.starts_with(key.as_str())
            };
            key.as_ref().is_some_and(|key| key.starts_with(&track.prefix))
                || below.iter().any(holds)
        })
    }

    /// Has a path followed from now on, so that what happens there is told to who waits next.
    pub(super) fn ask(&self, path: &str) {
        self.tracks(path).for_each(|track| track.ask());
    }

    /// The same, and returns once that is so, unless it takes too long.
    pub(super) async fn follow(&self, path: &str) {
        self.ask(path);
        let ready = join_all(self.tracks(path).map(|track| track.ready()));
        let _ = timeout(VIEW_TIMEOUT, ready).await;
    }
}

impl Shared {
    /// The event that a change is to those who wait; none if it is not for them.
    fn told(&self, news: News<Bytes>, revision: u64) -> Option<Told> {
        let News { key, was, now } = news;
        let path = self.places.path(&key)?;
        let before = was.as_ref().map_or(0, |was| was.revision);
        let intent = self.intents.take(&key, before);
        let at = (self.clock)();
        match now {
            None => {
                let was = was?;
                // Who deletes a folder here doesn't want it to be left; of the others' keys, it is.
                if intent.is_none() {
                    self.folders.left(&path, before);
                }
                let lease = was.lease.filter(|_| intent.is_none());
                let action = match intent {
                    Some(intent) => intent.action,
                    None if lease.is_some() => Action::Expire,
                    None => Action::Delete,
                };
                let life = match action {
                    Action::Expire => Life::Until(at, 0),
                    _ => self.lived(was.lease, at),
                };
                let was = Some(Node::file(&path, &was.parsed, life, was.revision));
                Some(Told { revision, path, action, now: None, was, lease, at })
            }
            Some(Kept { revision, lease, parsed: value }) => {
                let set = Intent { action: Action::Set, quiet: false, over: false };
                let Intent { action, quiet, over } = intent.unwrap_or(set);
                if quiet && was.as_ref().is_some_and(|was| was.parsed == value) {
                    return None;
                }
                let was = was.map(|was| {
                    let life = self.lived(was.lease, at);
                    Node::file(&path, &was.parsed, life, was.revision)
                });
                let now = Some(Written { value, lease, over });
                Some(Told { revision, path, action, now, was, lease: None, at })
            }
        }
    }

    /// How long a key would still have lived. Where that is not known, a second: what counts is that it was to end.
    #[must_use]
    pub(super) fn lived(&self, lease: Option<LeaseId>, at: SystemTime) -> Life {
        lease.map_or(Life::Permanent, |lease| {
            Life::of(at, self.leases.estimate(lease).unwrap_or(1).max(1))
        })
    }
}
