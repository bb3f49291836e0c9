//! `GET` with `wait`: the head is answered at once, since clients take it for the sign that they are heard; the body is one
//! event, when it comes, or nothing when the time is over.
//!
//! Where the history has what is asked for, the registry is not: it may be away, and a client that is turned away then
//! begins anew where it is told to, which may be behind what happens as the registry comes back. For the same reason
//! a failure says the index before the one that was asked for: nothing has been told since.
//!
//! Knows nothing of how events come about.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::fault::{Code, Fault};
use super::follow::Track;
use super::history::{Found, Told, Written};
use super::keys::Keys;
use super::node::{Action, Event, Life, Node};
use super::recall::Recalled;
use super::request::Request;
use crate::registry::{LeaseId, Revision};

/// The longest wait; etcd has none, and clients wait again upon an empty answer.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// Somebody who waits.
pub(super) struct Waiter {
    keys: Keys,
    track: Arc<Track>,
    path: String,
    recursive: bool,
    from: Revision,
    /// An event from before the history begins, which is to be told.
    past: Option<Told>,
    deadline: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Keys {
    /// Takes somebody who waits, and says where the registry stands.
    pub(super) async fn wait(&self, request: &Request) -> Result<(Waiter, Revision), Fault> {
        let permit = self.waiters.clone().try_acquire_owned().map_err(|_| {
            Fault::new(Code::Registry, "as many clients wait here as may: try another server")
        })?;
        let track = self.track(&request.path).map_err(|fault| fault.at(self.index()))?;
        track.viewed().await;
        let index = track.history().last().unwrap_or_default().max(self.index());
        let mut from = if request.wait_index == 0 { index + 1 } else { request.wait_index };
        let mut past = None;
        let start = match track.history().find(&request.path, request.recursive, from) {
            Found::Event(_) | Found::Nothing(_) => None,
            Found::Several(next) => return Err(cleared(next, from).at(index)),
            Found::Cleared(start) => Some(start),
            Found::Unready => {
                let cause = "the registry has not been read yet: try again in a moment";
                return Err(Fault::new(Code::Registry, cause).at(index));
            }
        };
        if let Some(start) = start {
            let recalled = self.recall(&request.path, request.recursive, from, start - 1).await;
            match recalled.map_err(|fault| fault.at(index))? {
                Recalled::Event(told) => past = Some(*told),
                Recalled::Nothing => from = start,
                Recalled::Unknown => return Err(cleared(start, from).at(index)),
            }
        }
        let waiter = Waiter {
            keys: self.clone(),
            track,
            path: request.path.clone(),
            recursive: request.recursive,
            from,
            past,
            deadline: Instant::now() + WAIT_MAX,
            _permit: permit,
        };
        Ok((waiter, index))
    }

    /// What a wait that failed is told to have seen, so that it waits for the same again.
    pub(super) fn seen(&self, request: &Request) -> Revision {
        if request.wait_index == 0 { self.index() } else { request.wait_index - 1 }
    }

    /// Who follows what a path is in. Of several, events would come in no order.
    fn track(&self, path: &str) -> Result<Arc<Track>, Fault> {
        let key = self.shared.places.key(path);
        let below = self.shared.places.below(path);
        let mut tracks = self.tracks.iter().filter(|track| {
            let holds = |key: &String| {
                key.starts_with(&track.prefix) || track.prefix.starts_with(key.as_str())
            };
            key.as_ref().is_some_and(|key| key.starts_with(&track.prefix))
                || below.iter().any(holds)
        });
        match (tracks.next(), tracks.next()) {
            (Some(track), None) => Ok(track.clone()),
            (Some(_), Some(_)) => {
                let cause = format!("{path} holds several layouts: wait in one of them");
                Err(Fault::new(Code::InvalidField, cause))
            }
            (None, _) => Err(Fault::new(Code::KeyNotFound, path)),
        }
    }
}

fn cleared(start: Revision, from: Revision) -> Fault {
    let cause = format!("the requested history has been cleared [{start}/{from}]");
    Fault::new(Code::EventIndexCleared, cause)
}

impl Waiter {
    /// The event, when it comes; nothing when the time is over, when the server stops, or when history broke meanwhile:
    /// who waits again is told of that.
    pub(super) async fn event(mut self) -> Bytes {
        let told = tokio::select! {
            () = self.keys.stop.clone().cancelled_owned() => None,
            told = self.told() => told,
        };
        match told {
            Some(told) => self.written(told).await,
            None => Bytes::new(),
        }
    }

    async fn told(&mut self) -> Option<Told> {
        if let Some(past) = self.past.take() {
            return Some(past);
        }
        let mut changes = self.track.changes();
        loop {
            // Before looking, so that what comes meanwhile is not slept over.
            changes.mark_unchanged();
            match self.track.history().find(&self.path, self.recursive, self.from) {
                Found::Event(told) => return Some(told.clone()),
                Found::Nothing(next) => self.from = next,
                Found::Cleared(_) | Found::Several(_) | Found::Unready => return None,
            }
            timeout_at(self.deadline, changes.changed()).await.ok()?.ok()?;
        }
    }

    async fn written(&self, told: Told) -> Bytes {
        let Told { revision, path, mut action, now, mut was, lease, at } = told;
        // A watch doesn't say why a key went. Its lease does: it ends with what was over, and outlives what was deleted.
        if let Some(lease) = lease
            && let Some(secs) = self.outlived(lease).await
        {
            action = Action::Delete;
            was = was.map(|was| was.living(Life::of(at, secs)));
        }
        let node = match now {
            None => {
                let before = was.as_ref().map_or(revision, |was| was.modified_index);
                Node::gone(&path, revision, before)
            }
            Some(Written { value, lease, over }) => {
                let life = match lease {
                    _ if over => Life::Until(at, 0),
                    None => Life::Permanent,
                    // That it has ended will be the next event.
                    Some(lease) => {
                        let secs = self.left(lease).await.unwrap_or(1);
                        Life::of((self.keys.shared.clock)(), secs)
                    }
                };
                Node::file(&path, &value, life, revision)
            }
        };
        let event = Event { action, node: Some(node), prev_node: was };
        let mut json = serde_json::to_vec(&event).unwrap_or_default();
        json.push(b'\n');
        json.into()
    }

    /// Seconds that a lease still has; none if it has ended, or where that can't be had.
    async fn left(&self, lease: LeaseId) -> Option<u64> {
        let Keys { shared, registry, .. } = &self.keys;
        let left = shared.leases.left(&**registry, HashSet::from([lease])).await;
        left.ok()?.remove(&lease)
    }

    /// The same, of a lease whose key has gone: what was heard of it before that says nothing.
    async fn outlived(&self, lease: LeaseId) -> Option<u64> {
        let Keys { shared, registry, .. } = &self.keys;
        shared.leases.ask(&**registry, lease).await.ok()?
    }
}
