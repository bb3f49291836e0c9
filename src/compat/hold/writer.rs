//! One attempt to have a key as it is wanted: registered under a living lease, or gone.
//!
//! What was acknowledged is not trusted to stay: each renewal looks whether the key is still there, in the directory,
//! which costs nothing, and in the registry where the directory says otherwise or may be behind.
//!
//! Knows nothing of when attempts are made.

use std::sync::Arc;

use super::Target;
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

/// How a key stands after an attempt to register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is ours.
    Ours(Own),
    /// Another registration has it, and was left alone.
    Others,
}

/// What is to be registered.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) instance: Arc<Instance>,
    /// Overwrites another registration.
    pub(super) insist: bool,
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

    /// Has the key say what is wanted: under that lease, under the one it has, or under a new one. Gives back a lease
    /// that was granted and certainly not used.
    async fn write(
        &self,
        target: &Target,
        wanted: &Wanted,
        lease: Option<(LeaseId, u32)>,
    ) -> (Result<Kept, Error>, Option<LeaseId>) {
        let mut own = lease;
        let mut fresh = None;
        for _ in 0..TRIES_MAX {
            let entry = match self.entry(target).await {
                Ok(entry) => entry,
                Err(error) => return (Err(error), fresh),
            };
            if let Some(entry) = &entry {
                let equal = self.instance(entry).as_deref() == Some(&*wanted.instance);
                match entry.lease {
                    Some(lease) if equal => match self.compat.registry.renew(lease).await {
                        Ok(ttl_secs) => {
                            let own = Own { lease, ttl_secs, revision: entry.revision };
                            return (Ok(Kept::Ours(own)), fresh);
                        }
                        // Its key goes with it, if it has not gone yet.
                        Err(Error::LeaseNotFound) => {}
                        Err(error) => return (Err(error), fresh),
                    },
                    held if wanted.insist || held.is_some_and(|held| is_lease(own, held)) => {}
                    _ => return (Ok(Kept::Others), fresh),
                }
            }
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
            match self.put(target, wanted, entry.as_ref(), lease).await {
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

    async fn grant(&self, wanted: &Wanted) -> Result<(LeaseId, u32), Error> {
        let ttl_secs = wanted.instance.ttl.unwrap_or(super::TTL_SECS);
        let granted = self.compat.registry.grant(ttl_secs).await?;
        Ok((granted.lease, granted.ttl_secs))
    }

    async fn put(
        &self,
        target: &Target,
        wanted: &Wanted,
        seen: Option<&Entry>,
        lease: LeaseId,
    ) -> Result<Committed, Error> {
        let key = self.key(target);
        let precondition = match seen {
            None => Precondition::Absent(key.clone()),
            Some(entry) => Precondition::At(key.clone(), entry.revision),
        };
        let value = instance_value(&wanted.instance);
        let writes = vec![Write::Put { key, value, lease: Some(lease) }];
        self.compat.registry.commit(Txn { preconditions: vec![precondition], writes }).await
    }

    /// Takes a registration away if it is ours: under our lease, or with just that content. Gives the revision that
    /// does not have it.
    pub(super) async fn depart(
        &self,
        target: &Target,
        instance: &Instance,
        reason: &str,
        own: Option<Own>,
    ) -> Result<Revision, Error> {
        let Target { namespace, app, id } = target;
        let key = self.key(target);
        let note = note_value(&self.compat.note(self.by.to_owned(), reason.to_owned()));
        let mut fresh = None;
        for _ in 0..TRIES_MAX {
            let (stamp, entry) = self.compat.registry.get(&key).await?;
            let ours = |entry: &Entry| {
                own.is_some_and(|own| entry.lease == Some(own.lease))
                    || self.instance(entry).as_deref() == Some(instance)
            };
            let Some(entry) = entry.filter(ours) else { return Ok(stamp.revision) };
            let lease = match fresh {
                Some(lease) => lease,
                None => {
                    let granted = self.compat.registry.grant(DEPARTED_TTL_SECS).await?;
                    *fresh.insert(granted.lease)
                }
            };
            let departed = self.compat.keys.departed(namespace, app, id);
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

    fn key(&self, target: &Target) -> bytes::Bytes {
        let Target { namespace, app, id } = target;
        self.compat.keys.instance(namespace, app, id)
    }

    async fn entry(&self, target: &Target) -> Result<Option<Entry>, Error> {
        Ok(self.compat.registry.get(&self.key(target)).await?.1)
    }

    /// What an entry says, where that is readable.
    fn instance(&self, entry: &Entry) -> Option<Box<Instance>> {
        match self.compat.keys.parse(entry) {
            Parsed::Instance(registration) => Some(Box::new(registration.instance.clone())),
            _ => None,
        }
    }
}

fn is_lease(own: Option<(LeaseId, u32)>, lease: LeaseId) -> bool {
    own.is_some_and(|(own, _)| own == lease)
}
