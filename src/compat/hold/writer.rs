//! One attempt to have a key as it is wanted: registered under a living lease, or gone.
//!
//! What was acknowledged is not trusted to stay: each renewal looks whether the key is still there, in the directory,
//! which costs nothing, and in the registry where the directory says otherwise or may be behind.
//!
//! A lease is renewed by one server only, so what is under another one is another server's. Where that may be our own of
//! before a restart, time tells: nobody renews it any more.
//!
//! Knows nothing of when attempts are made.

use std::sync::Arc;

use bytes::Bytes;

use super::reason::Reason;
use super::{Target, is_same_place};
use crate::compat::Compat;
use crate::layout::Parsed;
use crate::layout::native::{DEPARTED_TTL_SECS, instance_value, note_value};
use crate::model::Instance;
use crate::registry::{
    Committed, Entry, Error, LeaseId, Precondition, Revision, Stamp, Txn, Write,
};

/// Times that a write is tried anew after another writer came between, in one attempt.
const TRIES_MAX: usize = 4;

/// What we wrote, or took over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) lease: LeaseId,
    pub(super) ttl_secs: u32,
    pub(super) revision: Revision,
}

/// Whose a key is, so far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tenure {
    /// Nothing was seen of it yet.
    Unknown,
    Ours(Own),
    Others,
}

impl Tenure {
    pub(super) fn own(self) -> Option<Own> {
        match self {
            Self::Ours(own) => Some(own),
            Self::Unknown | Self::Others => None,
        }
    }
}

/// How a key stands after an attempt to register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is ours.
    Ours(Own),
    /// Another registration has it, and was left alone.
    Others {
        /// It is not where ours is: two instances have one id.
        elsewhere: bool,
    },
    /// It is nobody's, and somebody said that it is to be gone.
    Dismissed,
}

/// What is written over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::compat) enum Over {
    /// Whatever has the id: a client speaks now, and its ids are its own everywhere.
    Anything,
    /// What is at the same place: a client speaks now, and its ids are its own at its agent.
    SamePlace,
    /// Nothing that others wrote: nobody speaks.
    Nothing,
}

/// What is to be registered.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) instance: Arc<Instance>,
    pub(super) over: Over,
    /// What was wanted of the same id before: what is at that place is at ours.
    pub(super) before: Option<Arc<Instance>>,
}

/// Writes for one listener.
#[derive(Clone)]
pub(super) struct Writer {
    compat: Arc<Compat>,
    /// Who deregisters, in notes.
    by: &'static str,
}

impl Writer {
    pub(super) fn new(compat: Arc<Compat>, by: &'static str) -> Self {
        Self { compat, by }
    }

    /// Registers, or renews what we have.
    pub(super) async fn keep(
        &self,
        target: &Target,
        wanted: &Wanted,
        own: Option<Own>,
    ) -> Result<Kept, Error> {
        let mut lease = None;
        if let Some(own) = own {
            match self.compat.registry.renew(own.lease).await {
                Ok(ttl_secs) => {
                    let own = Own { ttl_secs, ..own };
                    if self.is_shown(target, wanted, own) {
                        return Ok(Kept::Ours(own));
                    }
                    lease = Some((own.lease, ttl_secs));
                }
                Err(Error::LeaseNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        let (outcome, unused) = self.write(target, wanted, lease).await;
        if let Some(unused) = unused {
            // Best effort: it ends by itself, too.
            let _ = self.compat.registry.revoke(unused).await;
        }
        outcome
    }

    /// Whether the directory shows what we wrote, and can't be behind in that.
    fn is_shown(&self, target: &Target, wanted: &Wanted, own: Own) -> bool {
        let Target { namespace, app, id } = target;
        let snapshot = self.compat.published.load();
        let view = snapshot.directory.registered(namespace, app, id);
        snapshot.revision >= own.revision
            && view.is_some_and(|view| {
                view.lease == Some(own.lease) && view.registration.instance == *wanted.instance
            })
    }

    /// Has the key say what is wanted: under that lease, or under a new one. Gives back a lease that was granted and
    /// certainly not used.
    async fn write(
        &self,
        target: &Target,
        wanted: &Wanted,
        lease: Option<(LeaseId, u32)>,
    ) -> (Result<Kept, Error>, Option<LeaseId>) {
        let mut own = lease;
        let mut fresh = None;
        for _ in 0..TRIES_MAX {
            let preconditions = match self.look(target, wanted, own).await {
                Ok(Seen::Free(preconditions)) => preconditions,
                Ok(Seen::Kept(kept)) => return (Ok(kept), fresh),
                Err(error) => return (Err(error), fresh),
            };
            let (lease, ttl_secs) = match own {
                Some(own) => own,
                None => match self.grant(wanted).await {
                    Ok(granted) => {
                        fresh = Some(granted.0);
                        *own.insert(granted)
                    }
                    Err(error) => return (Err(error), None),
                },
            };
            match self.put(target, wanted, preconditions, lease).await {
                Ok(Committed::Done(Stamp { revision, .. })) => {
                    return (Ok(Kept::Ours(Own { lease, ttl_secs, revision })), None);
                }
                Ok(Committed::Refused(_)) => {}
                Err(Error::LeaseNotFound) => (own, fresh) = (None, None),
                // It may have been written: the next attempt sees.
                Err(error @ Error::Unknown(_)) => return (Err(error), None),
                Err(error) => return (Err(error), fresh),
            }
        }
        let busy = Error::Unavailable("others wrote this id all the while".to_owned());
        (Err(busy), fresh)
    }

    /// Looks whether the key may be written, and what must not have changed when it is.
    async fn look(
        &self,
        target: &Target,
        wanted: &Wanted,
        own: Option<(LeaseId, u32)>,
    ) -> Result<Seen, Error> {
        let key = self.key(target);
        let Some(entry) = self.compat.registry.get(&key).await?.1 else {
            let mut preconditions = vec![Precondition::Absent(key)];
            if wanted.over == Over::Nothing {
                let key = self.departed(target);
                let note = self.compat.registry.get(&key).await?.1;
                if note.as_ref().is_some_and(|note| self.is_said(note)) {
                    return Ok(Seen::Kept(Kept::Dismissed));
                }
                preconditions.push(match note {
                    None => Precondition::Absent(key),
                    Some(note) => Precondition::At(key, note.revision),
                });
            }
            return Ok(Seen::Free(preconditions));
        };
        let free = || Ok(Seen::Free(vec![Precondition::At(key.clone(), entry.revision)]));
        let found = self.instance(&entry);
        let equal = found.as_deref() == Some(&*wanted.instance);
        if let Some((lease, ttl_secs)) = own.filter(|(own, _)| entry.lease == Some(*own)) {
            let own = Own { lease, ttl_secs, revision: entry.revision };
            return if equal { Ok(Seen::Kept(Kept::Ours(own))) } else { free() };
        }
        let places = [Some(&wanted.instance), wanted.before.as_ref()];
        let elsewhere = found.is_some_and(|found| {
            !places.into_iter().flatten().any(|place| is_same_place(&found, place))
        });
        match (wanted.over, entry.lease) {
            (Over::Anything, _) => free(),
            (Over::SamePlace, _) if !elsewhere => free(),
            (Over::Nothing, Some(lease)) if equal => {
                let renewed = match self.compat.registry.time_left(lease).await {
                    Ok(left)
                        if self.compat.shared_registry && left > idle_secs(&wanted.instance) =>
                    {
                        return Ok(Seen::Kept(Kept::Others { elsewhere }));
                    }
                    // Nobody has renewed it for so long that nobody does.
                    Ok(_) => self.compat.registry.renew(lease).await,
                    Err(error) => Err(error),
                };
                match renewed {
                    Ok(ttl_secs) => {
                        let own = Own { lease, ttl_secs, revision: entry.revision };
                        Ok(Seen::Kept(Kept::Ours(own)))
                    }
                    // Its key goes with it, if it has not gone yet.
                    Err(Error::LeaseNotFound) => free(),
                    Err(error) => Err(error),
                }
            }
            _ => Ok(Seen::Kept(Kept::Others { elsewhere })),
        }
    }

    /// Whether a note is somebody's word that the instance is to be gone, and not just what a server found.
    fn is_said(&self, note: &Entry) -> bool {
        let Parsed::Departed(departure) = self.compat.keys.parse(note) else { return false };
        let note = &departure.note;
        note.by != self.by || Reason::of(&note.reason).is_none_or(Reason::is_said)
    }

    async fn grant(&self, wanted: &Wanted) -> Result<(LeaseId, u32), Error> {
        let ttl_secs = wanted.instance.ttl.unwrap_or(super::TTL_SECS);
        let granted = self.compat.registry.grant(ttl_secs).await?;
        Ok((granted.lease, granted.ttl_secs))
    }

    async fn put(
        &self,
        target: &Target,
        wanted: &Wanted,
        preconditions: Vec<Precondition>,
        lease: LeaseId,
    ) -> Result<Committed, Error> {
        let (key, value) = (self.key(target), instance_value(&wanted.instance));
        let put = Write::Put { key, value, lease: Some(lease) };
        // So a note that is there is newer than any registration that we made.
        let writes = vec![put, Write::Delete(self.departed(target))];
        self.compat.registry.commit(Txn { preconditions, writes }).await
    }

    /// Takes a registration away if it is ours to take: under our lease; or with just that content, where a client wants
    /// that and it is nobody else's so far as is known. Gives the revision that does not have it.
    pub(super) async fn depart(
        &self,
        target: &Target,
        instance: &Instance,
        reason: Reason,
        tenure: Tenure,
    ) -> Result<Revision, Error> {
        let key = self.key(target);
        let note = note_value(&self.compat.note(self.by.to_owned(), reason.text().to_owned()));
        // In a registry of our own there is no other server whose it could be.
        let alone = reason.is_said() || !self.compat.shared_registry;
        let equal = reason.is_everywhere() || alone && tenure == Tenure::Unknown;
        let mut fresh = None;
        for _ in 0..TRIES_MAX {
            let (stamp, entry) = self.compat.registry.get(&key).await?;
            let ours = |entry: &Entry| {
                tenure.own().is_some_and(|own| entry.lease == Some(own.lease))
                    || equal && self.instance(entry).as_deref() == Some(instance)
            };
            let Some(entry) = entry.filter(ours) else { return Ok(stamp.revision) };
            let lease = match fresh {
                Some(lease) => lease,
                None => {
                    let granted = self.compat.registry.grant(DEPARTED_TTL_SECS).await?;
                    *fresh.insert(granted.lease)
                }
            };
            let departed = self.departed(target);
            let note = Write::Put { key: departed, value: note.clone(), lease: Some(lease) };
            let preconditions = vec![Precondition::At(key.clone(), entry.revision)];
            let writes = vec![Write::Delete(key.clone()), note];
            if let Committed::Done(stamp) =
                self.compat.registry.commit(Txn { preconditions, writes }).await?
            {
                return Ok(stamp.revision);
            }
        }
        Err(Error::Unavailable("others wrote this id all the while".to_owned()))
    }

    fn key(&self, target: &Target) -> Bytes {
        let Target { namespace, app, id } = target;
        self.compat.keys.instance(namespace, app, id)
    }

    fn departed(&self, target: &Target) -> Bytes {
        let Target { namespace, app, id } = target;
        self.compat.keys.departed(namespace, app, id)
    }

    /// What an entry says, where that is readable.
    fn instance(&self, entry: &Entry) -> Option<Box<Instance>> {
        match self.compat.keys.parse(entry) {
            Parsed::Instance(registration) => Some(Box::new(registration.instance.clone())),
            _ => None,
        }
    }
}

/// What a look at a key came to.
enum Seen {
    /// It may be written where these hold.
    Free(Vec<Precondition>),
    Kept(Kept),
}

/// A lease with more left is somebody's, who renews it every third of its length.
fn idle_secs(instance: &Instance) -> u32 {
    instance.ttl.unwrap_or(super::TTL_SECS) / 2
}
