//! `PUT` and `DELETE`: what is there is read, the write is decided upon, and done only if it is still there as read.
//!
//! | v2 | here |
//! |---|---|
//! | `ttl=N` | a lease; the one that is there, if it has that length, else a new one |
//! | `refresh`, same ttl | the lease is renewed, nothing is written: `modifiedIndex` stays as it was |
//! | `refresh`, another ttl | the same value under another lease, and no event here |
//! | `ttl=0` | written under a short lease, which is revoked at once: `set`, then `expire` |
//! | no ttl | no lease |
//! | a folder deleted | its keys one after another, each with an index of its own |
//!
//! Knows nothing of HTTP.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::decide::{self, There};
use super::fault::{Code, Fault};
use super::follow::Shared;
use super::intents::Intent;
use super::keys::{Answer, Keys, failed};
use super::node::{Action, Event, Life, Node};
use super::request::Request;
use crate::registry::{
    Committed, Entry, Error, LeaseId, Precondition, Revision, Stamp, Txn, Write,
};

/// Times that a write is tried anew after another writer came between.
const TRIES_MAX: usize = 8;
/// The lease of what is to end at once: it ends by itself, should this server end in between.
const OVER_SECS: u32 = 2;
/// The longest time to live: ten years, as good as for ever.
const TTL_SECS_MAX: u64 = 10 * 365 * 24 * 3_600;
/// Keys that one DELETE of a folder takes away.
const DELETED_MAX: usize = 1_000;
/// At once.
const DELETED_AT_ONCE: usize = 16;

/// A lease for a write.
#[derive(Debug, Clone, Copy)]
struct Held {
    lease: LeaseId,
    /// It is the one that holds the key already.
    kept: bool,
}

/// A write that was decided upon.
struct Put {
    key: Bytes,
    action: Action,
    /// What was seen there.
    there: Option<Entry>,
    /// It is done whatever is there by then.
    whatever: bool,
}

impl Keys {
    /// `PUT`.
    pub(super) async fn put(&self, request: &Request) -> Result<Answer, Fault> {
        if request.ttl.is_some_and(|ttl| ttl > TTL_SECS_MAX) {
            let cause = format!("ttl is above {TTL_SECS_MAX} s: leave it out for no end");
            return Err(Fault::new(Code::TtlNotANumber, cause));
        }
        for attempt in 1..=TRIES_MAX {
            let (stamp, there) = self.look(&request.path).await?;
            let action = decide::put(request, &there).map_err(|fault| fault.at(stamp.revision))?;
            let Some(key) = self.shared.places.key(&request.path) else {
                return Err(self.outside(&request.path, stamp));
            };
            let there = if let There::Key(entry) = there { Some(entry) } else { None };
            if request.dir {
                self.shared.folders.add(&request.path, stamp.revision);
                let node = Some(Node::folder(&request.path, stamp.revision));
                let event = Event { action, node, prev_node: None };
                return Ok(Answer { event, index: stamp.revision });
            }
            // What is set whatever was there is set in the end, though its prevNode may then be one write behind.
            let whatever = action == Action::Set && !request.refresh && attempt == TRIES_MAX;
            let write = Put { key: key.into(), action, there, whatever };
            if let Some(answer) = self.try_put(request, write, stamp).await? {
                return Ok(answer);
            }
        }
        Err(Fault::new(Code::Registry, "others wrote this key all the while: try again"))
    }

    /// One try; none if another writer came between.
    async fn try_put(
        &self,
        request: &Request,
        put: Put,
        stamp: Stamp,
    ) -> Result<Option<Answer>, Fault> {
        let Put { key, action, there, whatever } = put;
        let Shared { intents, leases, clock, .. } = &*self.shared;
        let value = match &there {
            Some(entry) if request.refresh => entry.value.clone(),
            _ => Bytes::from(request.value.clone()),
        };
        // Before its lease is renewed, after which this would be the new time.
        let prev_node = match &there {
            None => None,
            Some(entry) => {
                let life = match entry.lease.and_then(|lease| leases.estimate(lease)) {
                    Some(secs @ 1..) => Life::of(clock(), secs),
                    _ => self.life(entry).await?,
                };
                Some(Node::file(&request.path, &entry.value, life, entry.revision))
            }
        };
        let held = self.hold(request.ttl, there.as_ref()).await?;
        let life = request.ttl.map_or(Life::Permanent, |ttl| Life::of(clock(), ttl));
        let answer = |revision, index| {
            let node = Some(Node::file(&request.path, &value, life, revision));
            Answer { event: Event { action, node, prev_node }, index }
        };
        if let (Some(entry), Some(Held { kept: true, .. }), true) = (&there, held, request.refresh)
        {
            return Ok(Some(answer(entry.revision, stamp.revision)));
        }
        let seen = there.as_ref().map_or(0, |entry| entry.revision);
        let before = if whatever { None } else { Some(seen) };
        let over = request.ttl == Some(0);
        let intent = Intent { action, quiet: request.refresh, over };
        let lease = held.map(|held| held.lease);
        let write = Write::Put { key: key.clone(), value: value.clone(), lease };
        let Some(done) = self.commit(&key, before, write, intent).await? else {
            if let Some(Held { lease, kept: false }) = held {
                self.end(lease).await;
            }
            return Ok(None);
        };
        if over && let Some(lease) = lease {
            let expire = Intent { action: Action::Expire, quiet: false, over: false };
            intents.note(&key, done.revision, expire);
            self.end(lease).await;
            self.shared.folders.left(&request.path, done.revision);
        }
        Ok(Some(answer(done.revision, done.revision)))
    }

    /// The lease that a key is to be bound to: the one that holds it, renewed, if that is as long.
    async fn hold(&self, ttl: Option<u64>, there: Option<&Entry>) -> Result<Option<Held>, Fault> {
        let Some(ttl) = ttl else { return Ok(None) };
        let secs = u32::try_from(ttl).unwrap_or(u32::MAX);
        if let Some(lease) = there.and_then(|entry| entry.lease).filter(|_| secs > 0) {
            match self.registry.renew(lease).await {
                Ok(length) => {
                    self.shared.leases.learn(lease, u64::from(length));
                    if length == secs {
                        return Ok(Some(Held { lease, kept: true }));
                    }
                }
                Err(Error::LeaseNotFound) => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        let asked = if secs == 0 { OVER_SECS } else { secs };
        let granted = self.registry.grant(asked).await.map_err(|error| failed(&error))?;
        if secs > 0 {
            self.shared.leases.learn(granted.lease, ttl);
        }
        Ok(Some(Held { lease: granted.lease, kept: false }))
    }

    /// Ends a lease that this call has made. Best effort: it ends by itself, too.
    async fn end(&self, lease: LeaseId) {
        if let Err(error) = self.registry.revoke(lease).await {
            tracing::debug!(%lease, %error, "lease left to end by itself");
        }
    }

    /// Writes if the key was last written at that revision (0: is not there), or whatever it is. None: it was not so, and
    /// nothing was done.
    async fn commit(
        &self,
        key: &Bytes,
        before: Option<Revision>,
        write: Write,
        intent: Intent,
    ) -> Result<Option<Stamp>, Fault> {
        let precondition = before.map(|before| match before {
            0 => Precondition::Absent(key.clone()),
            revision => Precondition::At(key.clone(), revision),
        });
        let followed = self.follow(key);
        // In the first view it would be one key of many, and its note would be left over.
        if let Some(before) = before.filter(|_| followed) {
            self.shared.intents.note(key, before, intent);
        }
        let txn = Txn { preconditions: precondition.into_iter().collect(), writes: vec![write] };
        match self.registry.commit(txn).await {
            Ok(Committed::Done(stamp)) => Ok(Some(self.heard(stamp))),
            // The note stays: it may have been done.
            Err(error @ Error::Unknown(_)) => Err(failed(&error)),
            refused => {
                if let Some(before) = before {
                    self.shared.intents.forget(key, before);
                }
                match refused {
                    Err(error) if error != Error::LeaseNotFound => Err(failed(&error)),
                    _ => Ok(None),
                }
            }
        }
    }

    /// Has a key's changes followed from now on; whether they were already.
    fn follow(&self, key: &Bytes) -> bool {
        let mut tracks = self.tracks.iter();
        let track = tracks.find(|track| key.starts_with(track.prefix.as_bytes()));
        track.is_some_and(|track| {
            track.ask();
            track.history().last().is_some()
        })
    }

    /// `DELETE`.
    pub(super) async fn delete(&self, request: &Request) -> Result<Answer, Fault> {
        let path = request.path.as_str();
        for _ in 0..TRIES_MAX {
            let (stamp, there) = self.look(path).await?;
            let action =
                decide::delete(request, &there).map_err(|fault| fault.at(stamp.revision))?;
            let There::Key(entry) = there else {
                return self.delete_folder(request, stamp).await;
            };
            let life = self.life(&entry).await?;
            let (key, before) = (entry.key.clone(), entry.revision);
            let intent = Intent { action, quiet: false, over: false };
            let write = Write::Delete(key.clone());
            if let Some(done) = self.commit(&key, Some(before), write, intent).await? {
                let index = done.revision;
                self.shared.folders.left(path, before);
                let node = Some(Node::gone(path, index, before));
                let prev_node = Some(Node::file(path, &entry.value, life, before));
                return Ok(Answer { event: Event { action, node, prev_node }, index });
            }
        }
        Err(Fault::new(Code::Registry, "others wrote this key all the while: try again"))
    }

    async fn delete_folder(&self, request: &Request, stamp: Stamp) -> Result<Answer, Fault> {
        let path = request.path.as_str();
        let at = |fault: Fault| fault.at(stamp.revision);
        let (_, entries) = self.list_keys(path).await?;
        decide::delete_folder(
            request,
            entries.is_empty() && self.shared.folders.below(path).is_empty(),
        )
        .map_err(at)?;
        if self.shared.places.key(&format!("{path}/x")).is_none() {
            return Err(self.outside(path, stamp));
        }
        if entries.len() > DELETED_MAX {
            let cause = format!("{path} has more than {DELETED_MAX} keys: delete a folder in it");
            return Err(at(Fault::new(Code::InvalidField, cause)));
        }
        let since = entries.iter().map(|(_, entry)| entry.revision).min();
        let since = since.or_else(|| self.shared.folders.get(path)).unwrap_or(1);
        let deleted: Vec<Revision> = stream::iter(entries)
            .map(|(_, entry)| self.delete_below(entry))
            .buffer_unordered(DELETED_AT_ONCE)
            .try_collect()
            .await?;
        self.shared.folders.remove(path);
        let index = deleted.into_iter().max().unwrap_or(stamp.revision);
        let node = Node { created_index: since, ..Node::folder(path, index) };
        let prev_node = Some(Node::folder(path, since));
        let event = Event { action: Action::Delete, node: Some(node), prev_node };
        Ok(Answer { event, index })
    }

    /// Deletes a key of a folder that is deleted, whatever others do to it meanwhile; says when.
    async fn delete_below(&self, entry: Entry) -> Result<Revision, Fault> {
        let Entry { key, mut revision, .. } = entry;
        let intent = Intent { action: Action::Delete, quiet: false, over: false };
        for _ in 0..TRIES_MAX {
            let write = Write::Delete(key.clone());
            if let Some(done) = self.commit(&key, Some(revision), write, intent).await? {
                return Ok(done.revision);
            }
            let (stamp, entry) = self.registry.get(&key).await.map_err(|error| failed(&error))?;
            match entry {
                None => return Ok(stamp.revision),
                Some(entry) => revision = entry.revision,
            }
        }
        Err(Fault::new(Code::Registry, "others wrote in this folder all the while: try again"))
    }

    /// A write where no layout is.
    fn outside(&self, path: &str, stamp: Stamp) -> Fault {
        let cause = format!(
            "{path} is below no configured layout (prefixes: {}): add a [[layout]] with its kind and prefix to the \
             configuration of rollcall",
            self.shared.places.named()
        );
        Fault::new(Code::Unauthorized, cause).at(stamp.revision)
    }
}
