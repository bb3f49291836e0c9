//! Follows one prefix of the registry, from when that is first asked for: what a mirror tells becomes the history that
//! waiting clients read. The catalogue's own mirror of the same prefix keeps no values; and most layouts are written and
//! watched by clients of etcd 3 alone, so that nobody asks for this one.
//!
//! Knows nothing of clients.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::folders::Folders;
use super::history::{History, Stock, Told, Written};
use super::intents::{Intent, Intents};
use super::leases::Leases;
use super::node::{Action, Life, Node};
use super::places::Places;
use crate::registry::mirror::{Arrived, Delta, Kept, Mirror, News, Pacing, Statuses};
use crate::registry::{Entry, LeaseId, Registry, Revision, Stamp};
use crate::supervise::Tasks;

/// Who follows, for people.
const READER: &str = "etcd_v2";
/// Steps between the mirror and the history; more wait in the registry.
const STEPS_MAX: usize = 16;

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
    /// What the registry said of itself last.
    pub(super) heard: Heard,
    /// The time of day.
    pub(super) clock: fn() -> SystemTime,
}

/// Whose registry it is and where it stood, as last heard; 0 before.
#[derive(Debug, Default)]
pub(super) struct Heard {
    cluster: AtomicU64,
    revision: AtomicU64,
}

impl Heard {
    /// It answered so. Answers overtake each other: this may be a little older than the one before.
    pub(super) fn answer(&self, stamp: Stamp) {
        self.cluster.store(stamp.cluster, Ordering::Relaxed);
        self.revision.store(stamp.revision, Ordering::Relaxed);
    }

    /// Its history broke, and goes on from there.
    fn broke(&self, revision: Revision) {
        self.revision.store(revision, Ordering::Relaxed);
    }

    /// The cluster's id.
    pub(super) fn cluster(&self) -> u64 {
        self.cluster.load(Ordering::Relaxed)
    }

    /// Where it stood.
    pub(super) fn revision(&self) -> Revision {
        self.revision.load(Ordering::Relaxed)
    }
}

/// The history of one prefix.
#[derive(Debug)]
pub(super) struct Track {
    /// The prefix.
    pub(super) prefix: String,
    history: Mutex<History>,
    /// Counts the changes of the history.
    changed: watch::Sender<u64>,
    /// Somebody asks for it.
    asked: Notify,
}

impl Track {
    /// Follows a prefix from when it is asked for, for as long as these tasks run.
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
            changed: watch::Sender::new(0),
            asked: Notify::new(),
        });
        let (deltas, arrived) = mpsc::channel(STEPS_MAX);
        let places = shared.places.clone();
        // Our own keys are in no history: nothing of them need be kept.
        let parse = move |entry: &Entry| {
            if places.is_own(&entry.key) { Bytes::new() } else { entry.value.clone() }
        };
        let prefix = track.prefix.clone().into_bytes();
        let mirror = Mirror::new(registry, prefix, Arc::new(parse), deltas, Pacing::default());
        let mirror = mirror.read_by(READER);
        let stop = tasks.stop_token();
        let (lazy, stopped) = (track.clone(), stop.clone());
        tasks.spawn(format!("{READER} mirror of {:?}", track.prefix), async move {
            tokio::select! {
                () = stopped.cancelled() => return Ok(()),
                () = lazy.asked.notified() => {}
            }
            followed.add(mirror.status());
            mirror.run(stopped).await
        });
        let name = format!("{READER} history of {:?}", track.prefix);
        tasks.spawn(name, track.clone().follow(arrived, shared, stop));
        track
    }

    /// Begins to follow, if that has not begun.
    pub(super) fn ask(&self) {
        self.asked.notify_one();
    }

    /// Follows, and waits for the first view.
    pub(super) async fn viewed(&self) {
        self.ask();
        let mut changes = self.changes();
        while self.history().last().is_none() && changes.changed().await.is_ok() {}
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
        let (mut came, mut went) = (Stock::default(), Stock::default());
        for News { was, now, .. } in &delta.news {
            now.iter().for_each(|now| came.add(&now.parsed));
            was.iter().for_each(|was| went.add(&was.parsed));
        }
        let mut history = self.history();
        if *epoch != Some(delta.epoch) {
            // Of another registry's history, revisions mean nothing.
            if epoch.is_some() {
                shared.heard.broke(delta.revision);
            }
            let stock = history.stock().changed(came, went);
            history.begin(delta.revision, stock);
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
