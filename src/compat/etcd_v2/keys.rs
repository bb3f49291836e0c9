//! The keys as one call sees them: what is at a path, what is in a folder, read from the registry itself.
//!
//! Knows nothing of HTTP.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::decide::There;
use super::fault::{Code, Fault};
use super::follow::{Shared, Track};
use super::history::Stock;
use super::node::{Action, Event, Life, Node, folder};
use super::request::Request;
use crate::registry::{Entry, Error, Listing, Registry, Revision, Stamp};

/// Keys that one answer is made of.
const KEYS_MAX: usize = 20_000;
/// Octets of their values.
const VALUES_OCTETS_MAX: usize = 16 * 1024 * 1024;
/// Units of 1,024 octets that large answers take together while they are being sent.
const SENDING_UNITS_MAX: usize = 64 * 1024;
/// Folders read at once: each may be large.
const LISTINGS_MAX: usize = 8;

/// All that calls need.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) registry: Arc<dyn Registry>,
    pub(super) shared: Arc<Shared>,
    pub(super) tracks: Arc<[Arc<Track>]>,
    /// Places for those who wait.
    pub(super) waiters: Arc<Semaphore>,
    listings: Arc<Semaphore>,
    /// The place for listings of folders in what is large: it is not known before how much of it they are.
    large: Arc<Semaphore>,
    /// Places for those who read, until what they get is written.
    pub(super) readers: Arc<Semaphore>,
    /// Room for answers that are being sent.
    pub(super) sending: Arc<Semaphore>,
    pub(super) stop: CancellationToken,
}

/// What a call comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// What happened.
    pub(super) event: Event,
    /// Where the registry stood then.
    pub(super) index: Revision,
}

impl Answer {
    fn read(node: Node, stamp: Stamp) -> Self {
        let event = Event { action: Action::Get, node: Some(node), prev_node: None };
        Self { event, index: stamp.revision }
    }
}

impl Keys {
    /// Keys of that registry, followed along those tracks.
    pub(super) fn new(
        registry: Arc<dyn Registry>,
        shared: Arc<Shared>,
        tracks: Vec<Arc<Track>>,
        waiters_max: usize,
        stop: CancellationToken,
    ) -> Self {
        Self {
            registry,
            shared,
            tracks: tracks.into(),
            waiters: Arc::new(Semaphore::new(waiters_max)),
            listings: Arc::new(Semaphore::new(LISTINGS_MAX)),
            large: Arc::new(Semaphore::new(1)),
            readers: Arc::new(Semaphore::new(LISTINGS_MAX)),
            sending: Arc::new(Semaphore::new(SENDING_UNITS_MAX)),
            stop,
        }
    }

    /// The cluster's id, as last heard; 0 before.
    pub(super) fn cluster(&self) -> u64 {
        self.shared.heard.cluster()
    }

    /// Where the registry stood, as last heard; 0 before.
    pub(super) fn index(&self) -> Revision {
        self.shared.heard.revision()
    }

    /// Where the registry stands.
    pub(super) async fn stand(&self) -> Result<Stamp, Fault> {
        let (stamp, _) = self.registry.get(b"/").await.map_err(|error| failed(&error))?;
        Ok(self.heard(stamp))
    }

    pub(super) fn heard(&self, stamp: Stamp) -> Stamp {
        self.shared.heard.answer(stamp);
        stamp
    }

    /// `GET` of a key or folder.
    pub(super) async fn read(&self, request: &Request) -> Result<Answer, Fault> {
        let path = request.path.as_str();
        let (stamp, entries) = self.list(path).await?;
        if !entries.is_empty() {
            let files = self.files(path, entries, request.recursive).await?;
            return Ok(self.folder(path, files, request.recursive, stamp));
        }
        match self.at(path).await? {
            (stamp, There::Key(entry)) => {
                let life = self.life(&entry).await?;
                let node = Node::file(path, &entry.value, life, entry.revision);
                Ok(Answer::read(node, stamp))
            }
            (stamp, There::Below(file)) => {
                Err(Fault::new(Code::NotADirectory, file).at(stamp.revision))
            }
            (stamp, _) if self.is_empty_folder(path) => {
                Ok(self.folder(path, Vec::new(), request.recursive, stamp))
            }
            (stamp, _) => Err(Fault::new(Code::KeyNotFound, path).at(stamp.revision)),
        }
    }

    /// A folder of these keys, and of the folders without keys that are known in it.
    fn folder(&self, path: &str, mut files: Vec<Node>, recursive: bool, stamp: Stamp) -> Answer {
        let folders = &self.shared.folders;
        let empty = folders.below(path).into_iter();
        files.extend(empty.map(|(path, since)| Node::folder(&path, since)));
        let since = files.is_empty().then(|| folders.get(path).unwrap_or(1));
        let node = folder(path, files, recursive);
        Answer::read(since.map_or(node, |since| Node::folder(path, since)), stamp)
    }

    /// What is at a path. Whether it is a folder counts only where no key is there.
    pub(super) async fn look(&self, path: &str) -> Result<(Stamp, There), Fault> {
        let (stamp, there) = self.at(path).await?;
        if there != There::Nothing {
            return Ok((stamp, there));
        }
        let is_folder = self.is_empty_folder(path) || !self.list_keys(path).await?.1.is_empty();
        Ok((stamp, if is_folder { There::Folder } else { There::Nothing }))
    }

    /// The key at a path, or one that is where a folder would have to be.
    async fn at(&self, path: &str) -> Result<(Stamp, There), Fault> {
        let Some(key) = self.shared.places.key(path) else {
            return Ok((self.stand().await?, There::Nothing));
        };
        let (stamp, entry) = self.get(&key).await?;
        if let Some(entry) = entry {
            return Ok((stamp, There::Key(entry)));
        }
        let above = path.match_indices('/').map(|(at, _)| &path[..at]).skip(1);
        let above: Vec<(&str, String)> =
            above.filter_map(|path| Some((path, self.shared.places.key(path)?))).collect();
        let entries = try_join_all(above.iter().map(|(_, key)| self.get(key))).await?;
        let file = above.iter().zip(entries).find(|(_, (_, entry))| entry.is_some());
        let there = file.map_or(There::Nothing, |((path, _), _)| There::Below((*path).to_owned()));
        Ok((stamp, there))
    }

    async fn get(&self, key: &str) -> Result<(Stamp, Option<Entry>), Fault> {
        let (stamp, entry) =
            self.registry.get(key.as_bytes()).await.map_err(|error| failed(&error))?;
        Ok((self.heard(stamp), entry))
    }

    /// Whether a path is a folder without any key being there.
    pub(super) fn is_empty_folder(&self, path: &str) -> bool {
        self.shared.places.is_folder(path) || self.shared.folders.get(path).is_some()
    }

    /// All keys in a folder, at any depth, by their paths; too many are refused, at as little cost as can be.
    async fn list(&self, path: &str) -> Result<(Stamp, Vec<(String, Entry)>), Fault> {
        let below = self.shared.places.below(path);
        let whole = |track: &Track| below.iter().any(|prefix| track.prefix.starts_with(prefix));
        let part = |track: &Track| below.iter().any(|prefix| prefix.starts_with(&track.prefix));
        let all = self.stock(whole);
        if all.keys > KEYS_MAX {
            return Err(too_many(path));
        }
        if all.octets > VALUES_OCTETS_MAX {
            return Err(too_large(path));
        }
        let around = self.stock(part);
        if around.keys > KEYS_MAX {
            // It may be in this folder that they are. The values are what is large.
            self.list_keys(path).await?;
        }
        let _large = match around.octets > VALUES_OCTETS_MAX {
            true => self.large.acquire().await.ok(),
            false => None,
        };
        let listed = self.list_all(path, &below, false, None).await;
        if matches!(&listed, Err(fault) if fault.code() == Code::InvalidField) {
            // So many are not to be read again: who follows them knows their number.
            let meant = self.tracks.iter().filter(|track| whole(track) || part(track));
            meant.for_each(|track| track.ask());
        }
        listed
    }

    /// The same without values.
    pub(super) async fn list_keys(
        &self,
        path: &str,
    ) -> Result<(Stamp, Vec<(String, Entry)>), Fault> {
        self.list_all(path, &self.shared.places.below(path), true, None).await
    }

    /// All keys that begin so, as they stand or stood, at one revision.
    pub(super) async fn list_all(
        &self,
        path: &str,
        below: &[String],
        keys_only: bool,
        at: Option<Revision>,
    ) -> Result<(Stamp, Vec<(String, Entry)>), Fault> {
        let _permit = self.listings.acquire().await;
        let mut stamp: Option<Stamp> = None;
        let (mut read, mut octets, mut all) = (0, 0, Vec::new());
        for prefix in below {
            let at = stamp.map(|stamp| stamp.revision).or(at);
            let listing = self.registry.list(prefix.as_bytes(), keys_only, at).await;
            let Listing { stamp: heard, entries } = listing.map_err(|error| failed(&error))?;
            stamp.get_or_insert(heard);
            read += entries.len();
            if read > KEYS_MAX {
                return Err(too_many(path));
            }
            octets += entries.iter().map(|entry| entry.value.len()).sum::<usize>();
            if octets > VALUES_OCTETS_MAX {
                return Err(too_large(path));
            }
            let places = &self.shared.places;
            let entries = entries.into_iter();
            all.extend(entries.filter_map(|entry| Some((places.path(&entry.key)?, entry))));
        }
        match stamp {
            Some(stamp) => Ok((self.heard(stamp), all)),
            None => Ok((self.stand().await?, all)),
        }
    }

    /// How much such tracks have, a moment ago.
    fn stock(&self, is_meant: impl Fn(&Track) -> bool) -> Stock {
        let meant = self.tracks.iter().filter(|track| is_meant(track));
        meant.fold(Stock::default(), |all, track| {
            all.changed(track.history().stock(), Stock::default())
        })
    }

    /// Entries as nodes; how long they live is asked only for those that are shown.
    async fn files(
        &self,
        path: &str,
        entries: Vec<(String, Entry)>,
        recursive: bool,
    ) -> Result<Vec<Node>, Fault> {
        let above = if path == "/" { 0 } else { path.len() };
        let is_shown = |path: &str| {
            recursive || path.get(above + 1..).is_some_and(|behind| !behind.contains('/'))
        };
        let shown = entries.iter().filter(|(path, _)| is_shown(path));
        let leases: HashSet<_> = shown.filter_map(|(_, entry)| entry.lease).collect();
        let left = self.shared.leases.left(&*self.registry, leases).await;
        let left = left.map_err(|error| failed(&error))?;
        let now = (self.shared.clock)();
        let files = entries.into_iter().map(|(path, entry)| {
            let life = match entry.lease {
                None => Life::Permanent,
                // It has ended since, or is not shown.
                Some(lease) => {
                    left.get(&lease).map_or(Life::Until(now, 0), |secs| Life::of(now, *secs))
                }
            };
            Node::file(&path, &entry.value, life, entry.revision)
        });
        Ok(files.collect())
    }

    /// How long a key lives.
    pub(super) async fn life(&self, entry: &Entry) -> Result<Life, Fault> {
        let now = (self.shared.clock)();
        let Some(lease) = entry.lease else { return Ok(Life::Permanent) };
        let left = self.shared.leases.left(&*self.registry, HashSet::from([lease])).await;
        let left = left.map_err(|error| failed(&error))?;
        Ok(left.get(&lease).map_or(Life::Until(now, 0), |secs| Life::of(now, *secs)))
    }
}

fn too_many(path: &str) -> Fault {
    let cause = format!("{path} has more than {KEYS_MAX} keys: ask for a folder in it");
    Fault::new(Code::InvalidField, cause)
}

fn too_large(path: &str) -> Fault {
    let max = VALUES_OCTETS_MAX / (1024 * 1024);
    let cause = format!("the values in {path} are more than {max} MiB: ask for a folder in it");
    Fault::new(Code::InvalidField, cause)
}

/// What the registry's failure is to a client: 500, upon which clients ask another server, or again; or that what was
/// asked for is long past.
pub(super) fn failed(error: &Error) -> Fault {
    let past = matches!(error, Error::Compacted { .. });
    let code = if past { Code::EventIndexCleared } else { Code::Registry };
    Fault::new(code, error.to_string())
}
