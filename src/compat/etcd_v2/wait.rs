//! `GET` with `wait`: the head is answered at once, since clients take it for the sign that they are heard; the body is one
//! event, when it comes, or nothing when the time is over.
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
use super::history::{Found, Told};
use super::keys::Keys;
use super::node::{Event, Life, Node};
use super::request::Request;
use crate::registry::Revision;

/// The longest wait; etcd has none, and clients wait again upon an empty answer.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// Somebody who waits.
pub(super) struct Waiter {
    keys: Keys,
    track: Arc<Track>,
    path: String,
    recursive: bool,
    from: Revision,
    deadline: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Keys {
    /// Takes somebody who waits, and says where the registry stands.
    pub(super) async fn wait(&self, request: &Request) -> Result<(Waiter, Revision), Fault> {
        let permit = self.waiters.clone().try_acquire_owned().map_err(|_| {
            Fault::new(Code::Registry, "as many clients wait here as may: try another server")
        })?;
        let index = self.stand().await?.revision;
        let track = self.track(&request.path).map_err(|fault| fault.at(index))?;
        let from = if request.wait_index == 0 { index + 1 } else { request.wait_index };
        match track.history().find(&request.path, request.recursive, from) {
            Found::Unready => {
                let cause = "the registry has not been read yet: try again in a moment";
                return Err(Fault::new(Code::Registry, cause).at(index));
            }
            Found::Cleared(start) => {
                let cause = format!("the requested history has been cleared [{start}/{from}]");
                return Err(Fault::new(Code::EventIndexCleared, cause).at(index));
            }
            Found::Event(_) | Found::Nothing(_) => {}
        }
        let waiter = Waiter {
            keys: self.clone(),
            track,
            path: request.path.clone(),
            recursive: request.recursive,
            from,
            deadline: Instant::now() + WAIT_MAX,
            _permit: permit,
        };
        Ok((waiter, index))
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
        let mut changes = self.track.changes();
        loop {
            // Before looking, so that what comes meanwhile is not slept over.
            changes.mark_unchanged();
            match self.track.history().find(&self.path, self.recursive, self.from) {
                Found::Event(told) => return Some(told.clone()),
                Found::Nothing(next) => self.from = next,
                Found::Cleared(_) | Found::Unready => return None,
            }
            timeout_at(self.deadline, changes.changed()).await.ok()?.ok()?;
        }
    }

    async fn written(&self, told: Told) -> Bytes {
        let Told { revision, path, action, now, was, at } = told;
        let node = match now {
            None => {
                Node::gone(&path, revision, was.as_ref().map_or(revision, |was| was.modified_index))
            }
            Some(now) => {
                let life = match now.lease {
                    _ if now.over => Life::Until(at, 0),
                    None => Life::Permanent,
                    Some(lease) => {
                        let shared = &self.keys.shared;
                        let asked = HashSet::from([lease]);
                        let left = shared.leases.left(&*self.keys.registry, asked).await;
                        // That it has ended will be the next event.
                        let secs = left.ok().and_then(|left| left.get(&lease).copied());
                        Life::of((shared.clock)(), secs.unwrap_or(1))
                    }
                };
                Node::file(&path, &now.value, life, revision)
            }
        };
        let event = Event { action, node: Some(node), prev_node: was };
        let mut json = serde_json::to_vec(&event).unwrap_or_default();
        json.push(b'\n');
        json.into()
    }
}
