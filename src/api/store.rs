//! The registry as one request sees it: every call within the time in which the request must be answered,
//! and leases that don't outlive the write they were granted for.
//!
//! Knows nothing of HTTP.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::call::Target;
use super::{Api, Shared};
use crate::layout::{Parsed, Registration};
use crate::model::{Instance, Namespace};
use crate::registry::{
    Committed, Entry, Error, LeaseId, Origin, Precondition, Revision, Stamp, Txn, Write,
};
use crate::zone::{InstanceView, Position};

/// Time for all registry calls of one request: a refusal is to arrive within 5 s.
const BUDGET: Duration = Duration::from_millis(4_500);
/// Times that a write is tried anew after another writer came between. Each time that other has got on, so
/// only a stampede on one id gets this far.
pub(super) const TRIES_MAX: usize = 8;

/// The registry, for one request.
pub(super) struct Store<'a> {
    shared: &'a Shared,
    /// When the request had been read: a client that sends it slowly is not measured.
    asked: Instant,
    /// Where the answers stood before anything was written.
    before: Position,
}

/// An instance's key as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Current {
    /// The revision that wrote it last.
    pub(super) revision: Revision,
    /// The lease that holds it.
    pub(super) lease: Option<LeaseId>,
    /// What it says; none where that is not readable.
    pub(super) registration: Option<Arc<Registration>>,
}

impl Current {
    /// What is registered, where that is readable.
    pub(super) fn instance(&self) -> Option<&Instance> {
        self.registration.as_deref().map(|registration| &registration.instance)
    }
}

/// A lease granted for a write. Dropped before the write is known to be done, it is given back.
pub(super) struct Fresh {
    pub(super) lease: LeaseId,
    pub(super) ttl_secs: u32,
    unused: mpsc::Sender<LeaseId>,
    /// The write was sent: revoking the lease now might undo what was done.
    used: bool,
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.used {
            // Where even that queue is full, the lease ends by itself.
            let _ = self.unused.try_send(self.lease);
        }
    }
}

impl<'a> Store<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        let before = shared.api.published.position();
        Self { shared, asked: Instant::now(), before }
    }

    fn deadline(&self) -> Instant {
        self.asked + BUDGET
    }

    /// Waits, within bounds, until this server's answers show what was written in a namespace; says whether they do. Of
    /// one that was not read whole yet they show nothing.
    pub(super) async fn visible(&self, namespace: &Namespace, revision: Revision) -> bool {
        let Api { published, settings, metrics, .. } = &self.shared.api;
        let reached = published.reached(self.before, revision);
        let visible = tokio::time::timeout(settings.visible_timeout, reached).await.is_ok();
        let visible = visible && published.load().knows(namespace);
        metrics.written(visible.then(|| self.asked.elapsed()));
        visible
    }

    /// What the directory says of an instance: right, or a moment behind.
    pub(super) fn listed(&self, target: &Target) -> Option<Current> {
        let snapshot = self.shared.api.published.load();
        let Target { namespace, app, id } = target;
        let view =
            snapshot.directory.registered(namespace, app, id).filter(|view| is_stored(view))?;
        Some(Current {
            revision: view.revision,
            lease: view.lease,
            registration: Some(view.registration.clone()),
        })
    }

    /// What the registry says of an instance now.
    pub(super) async fn current(&self, target: &Target) -> Result<Option<Current>, Error> {
        let Target { namespace, app, id } = target;
        let key = self.shared.api.keys.instance(namespace, app, id);
        Ok(self.entry(&key).await?.map(|entry| Current {
            revision: entry.revision,
            lease: entry.lease,
            registration: match self.shared.api.keys.parse(&entry) {
                Parsed::Instance(registration) => Some(registration),
                _ => None,
            },
        }))
    }

    /// What the registry says of a key now.
    pub(super) async fn entry(&self, key: &[u8]) -> Result<Option<Entry>, Error> {
        let (_, entry) = self.read(self.shared.api.registry.get(key)).await?;
        Ok(entry)
    }

    /// Whether the registry has any key under that prefix now.
    pub(super) async fn any(&self, prefix: &[u8]) -> Result<bool, Error> {
        let listing = self.read(self.shared.api.registry.list(prefix, true, None)).await?;
        Ok(!listing.entries.is_empty())
    }

    /// Seconds until a lease ends.
    pub(super) async fn time_left(&self, lease: LeaseId) -> Result<u32, Error> {
        self.read(self.shared.api.registry.time_left(lease)).await
    }

    /// A lease for a write to come.
    pub(super) async fn grant(&self, ttl_secs: u32) -> Result<Fresh, Error> {
        let granted = self.read(self.shared.api.registry.grant(ttl_secs)).await?;
        Ok(Fresh {
            lease: granted.lease,
            ttl_secs: granted.ttl_secs,
            unused: self.shared.unused_leases.clone(),
            used: false,
        })
    }

    /// Starts a lease's time anew and gives its length; none if it has ended.
    pub(super) async fn renew(&self, lease: LeaseId) -> Result<Option<u32>, Error> {
        let renewals = &self.shared.renewals;
        let now = Instant::now();
        if let Some(ttl_secs) = renewals.recent(lease, now) {
            return Ok(Some(ttl_secs));
        }
        let renewed = timeout_at(self.deadline(), self.shared.api.registry.renew(lease)).await;
        match renewed.unwrap_or_else(|_| Err(Error::Unknown(silent()))) {
            Ok(ttl_secs) => {
                renewals.remember(lease, ttl_secs, now);
                Ok(Some(ttl_secs))
            }
            Err(Error::LeaseNotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes, bound to that fresh lease if there is one. None: a precondition failed, nothing was written.
    pub(super) async fn commit(
        &self,
        preconditions: impl IntoIterator<Item = Precondition>,
        writes: Vec<Write>,
        mut fresh: Option<&mut Fresh>,
    ) -> Result<Option<Stamp>, Error> {
        if let Some(fresh) = &mut fresh {
            fresh.used = true;
        }
        let txn = Txn { preconditions: preconditions.into_iter().collect(), writes };
        let committed = timeout_at(self.deadline(), self.shared.api.registry.commit(txn)).await;
        let done = match committed.unwrap_or_else(|_| Err(Error::Unknown(silent()))) {
            Ok(Committed::Done(stamp)) => return Ok(Some(stamp)),
            Err(error @ Error::Unknown(_)) => return Err(error),
            Ok(Committed::Refused(_)) => Ok(None),
            Err(error) => Err(error),
        };
        if let Some(fresh) = fresh {
            fresh.used = false;
        }
        done
    }

    /// Nothing is written by these, whatever became of the answer.
    async fn read<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match timeout_at(self.deadline(), call).await {
            Ok(Err(Error::Unknown(why))) => Err(Error::Unavailable(why)),
            Ok(answer) => answer,
            Err(_) => Err(Error::Unavailable(silent())),
        }
    }
}

fn silent() -> String {
    format!("no answer within {:.1} s", BUDGET.as_secs_f64())
}

/// Whether an instance is a key of our own layout. A pin is none: there is nothing to renew, take away or mark.
pub(super) fn is_stored(view: &InstanceView) -> bool {
    !is_pin(view) && view.registration.origin == Origin::NATIVE
}

/// Whether an instance is not in the registry at all.
pub(super) fn is_pin(view: &InstanceView) -> bool {
    view.revision == 0
}

/// The precondition that an instance's key is as it was seen.
pub(super) fn unmoved(key: &Bytes, seen: Option<&Current>) -> Precondition {
    match seen {
        None => Precondition::Absent(key.clone()),
        Some(current) => Precondition::At(key.clone(), current.revision),
    }
}
