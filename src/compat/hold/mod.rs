//! Registrations that this server keeps for clients which send no heartbeats of ours.
//!
//! ```text
//! put, put_until, remove --commands--> actor.rs --bounded work--> writer.rs --> registry
//!                                        ^---- due again: a third of the TTL, or a back-off
//! saved.rs: what a listener must remember across restarts      probe.rs: whether a port answers
//! ```
//!
//! What is put gets a lease of its own, which is renewed every third of its length; a lease that was lost, or a key
//! that somebody took away, is written again. On the server's end all leases are left as they are: they end by
//! themselves, unless the server is back before and holds the same again, which takes them over without a write.
//!
//! Whose is an id that another registration has already? A client that speaks now has its say ([`Over`]): it is written
//! over what it may be written over, under a lease of its own, and the other one stands back. Whoever does not speak, by
//! [`Hold::resume`] and by renewals, writes over nobody: it looks again at each renewal, and comes back once the id is
//! free, unless somebody deregistered it meanwhile. Only an equal registration whose lease nobody renews any more, such as
//! our own of before a restart, is taken over. What is lost like that is told ([`Lost`]).
//!
//! Knows nothing of whose clients they are.

mod actor;
mod probe;
mod reason;
mod saved;
mod schedule;
#[cfg(test)]
mod tests;
mod writer;

pub use saved::SavedError;

pub(super) use probe::{Probed, Prober};
pub(super) use reason::Reason;
pub(super) use saved::Saved;
pub(super) use writer::Over;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::{Compat, Room};
use crate::model::{AppName, Instance, Label, Namespace, limits};
use crate::registry::Revision;
use crate::zone::Refusal;
use actor::{Actor, Command, Wish};

/// The lease of what is held, in seconds.
pub(super) const TTL_SECS: u32 = limits::TTL_SECS_DEFAULT;
/// Instances that one listener holds.
pub(super) const HELD_MAX: usize = 10_000;
/// Commands that wait for the actor; beyond that callers wait.
const COMMANDS_MAX: usize = 1_024;
/// Losses that were not heard yet.
const LOST_MAX: usize = 1_024;
/// How long a caller waits until what it asked for is written: clients give up after 5 s or later.
const WAIT: Duration = Duration::from_millis(4_500);

/// Which instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Target {
    pub(super) namespace: Namespace,
    pub(super) app: AppName,
    pub(super) id: Label,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "instance {} of app {} in namespace {}", self.id, self.app, self.namespace)
    }
}

/// What is not registered any more, or not yet, though it is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) target: Target,
    pub(super) why: Loss,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// An instance that is somewhere else has the id. It is held on, and registered once the id is free.
    Taken,
    /// Somebody deregistered it. It is not held any more.
    Dismissed,
}

impl Lost {
    fn new(target: &Target, why: Loss) -> Self {
        Self { target: target.clone(), why }
    }
}

/// Whether two instances listen at the same place.
pub(super) fn is_same_place(one: &Instance, other: &Instance) -> bool {
    (&one.host, &one.addresses, &one.endpoints) == (&other.host, &other.addresses, &other.endpoints)
}

/// Why something is not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum HoldError {
    /// No zone could serve it; it is not held.
    #[error(transparent)]
    Unserved(#[from] Refusal),
    /// Its address means nothing to others; it is not held.
    #[error(
        "{0} means nothing to others that share the registry: register an address that clients can connect to, or set \
         http.allow_loopback = true in the server's configuration"
    )]
    Loopback(IpAddr),
    /// It is not held.
    #[error("app {0} has {1} instances already, the most there may be")]
    AppFull(AppName, usize),
    /// It is not held.
    #[error("this server holds {0} instances already, the most it may")]
    Full(usize),
    /// It is held, and written as soon as the id is free.
    #[error("another registration has its id")]
    Others,
    /// It is held, and written as soon as the registry takes it.
    #[error("not written yet, and tried on: {0}")]
    Pending(String),
}

/// What one listener holds. Cloning gives the same.
#[derive(Clone)]
pub(super) struct Hold {
    compat: Arc<Compat>,
    commands: mpsc::Sender<Command>,
}

impl Hold {
    /// Begins to hold, nothing yet; and to tell what is lost of it.
    pub(super) fn start(room: &Room<'_>) -> (Self, mpsc::Receiver<Lost>) {
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        let (tell, lost) = mpsc::channel(LOST_MAX);
        let actor = Actor::new(room.compat.clone(), room.name, received, tell);
        room.tasks.spawn(format!("{} hold", room.name), actor.run(room.stop.clone()));
        (Self { compat: room.compat.clone(), commands }, lost)
    }

    /// Whether an instance can be held at all, so far as that is known before it is written.
    pub(super) fn check(&self, target: &Target, instance: &Instance) -> Result<(), HoldError> {
        let Target { namespace, app, id } = target;
        self.compat.guard.check(namespace, app, Some(id))?;
        if self.compat.shared_registry && !self.compat.allow_loopback {
            let own = instance.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
            let mut all = instance.addresses.iter().chain(own);
            if let Some(address) = all.find(|address| address.is_loopback()) {
                return Err(HoldError::Loopback(*address));
            }
        }
        let snapshot = self.compat.published.load();
        let count = snapshot.directory.app(namespace, app).map_or(0, |app| app.instances.len());
        let known = || snapshot.directory.registered(namespace, app, id).is_some();
        if count >= limits::INSTANCES_MAX && !known() {
            return Err(HoldError::AppFull(app.clone(), count));
        }
        Ok(())
    }

    /// Registers an instance and keeps it registered. Returns once it is written, with the revision that shows it.
    ///
    /// # Errors
    /// It is not held, or, [`HoldError::Pending`] and [`HoldError::Others`], held and not written yet.
    pub(super) async fn put(
        &self,
        target: Target,
        instance: Instance,
        over: Over,
    ) -> Result<Revision, HoldError> {
        self.check(&target, &instance)?;
        self.begin(target, Wish::present(instance, over, TTL_SECS, None)).await.wait().await
    }

    /// As [`Self::put`] of what was checked, over anything: returns once it is in order behind what was asked before, to be waited for.
    pub(super) async fn begin_put(&self, target: Target, instance: Instance) -> Pending {
        self.begin(target, Wish::present(instance, Over::Anything, TTL_SECS, None)).await
    }

    /// As [`Self::remove`]: returns once it is in order behind what was asked before, to be waited for.
    pub(super) async fn begin_remove(
        &self,
        target: Target,
        instance: Instance,
        reason: Reason,
    ) -> Pending {
        self.begin(target, Wish::absent(instance, reason)).await
    }

    /// Registers an instance until then, unless it is put again before. As [`Self::put`] else; the lease is of that
    /// length and renewed only when it is put again, so that it ends with what is heard, even without this server.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub(super) async fn put_until(
        &self,
        target: Target,
        instance: Instance,
        ttl_secs: u32,
        until: Instant,
    ) -> Result<Revision, HoldError> {
        self.check(&target, &instance)?;
        let wish = Wish::present(instance, Over::Anything, ttl_secs, Some(until));
        self.begin(target, wish).await.wait().await
    }

    /// Has an instance registered that registered once: after a restart, or since its port answers again. Overwrites
    /// nobody, and nobody waits for it.
    pub(super) async fn resume(&self, target: Target, instance: Instance) {
        if let Err(error) = self.check(&target, &instance) {
            tracing::warn!(%target, %error, "not registered again");
            return;
        }
        self.tell(target, Wish::present(instance, Over::Nothing, TTL_SECS, None)).await;
    }

    /// As [`Self::remove`], and nobody waits for it.
    pub(super) async fn let_go(&self, target: Target, instance: Instance, reason: Reason) {
        self.tell(target, Wish::absent(instance, reason)).await;
    }

    /// Lets go of an instance and takes its registration away, with a note that says why. Another server's is left alone,
    /// unless the reason reaches that far; what is not known yet to be anybody's is taken away if a client wants that and it
    /// is registered with just that content. Returns the revision once that is done.
    ///
    /// # Errors
    /// [`HoldError::Pending`]: it is tried on, and its lease is not renewed any more.
    pub(super) async fn remove(
        &self,
        target: Target,
        instance: Instance,
        reason: Reason,
    ) -> Result<Revision, HoldError> {
        self.begin_remove(target, instance, reason).await.wait().await
    }

    /// Whether anything is held of a target, or about to be taken away, after all that was asked before.
    pub(super) async fn holds(&self, target: &Target) -> bool {
        let (reply, replied) = oneshot::channel();
        let _ = self.commands.send(Command::Holds { target: target.clone(), reply }).await;
        replied.await.unwrap_or(false)
    }

    async fn tell(&self, target: Target, wish: Wish) {
        // The actor ends with the server only.
        let _ = self.commands.send(Command::Wish { target, wish, reply: None }).await;
    }

    async fn begin(&self, target: Target, wish: Wish) -> Pending {
        let until = Instant::now() + WAIT;
        let (reply, replied) = oneshot::channel();
        let command = Command::Wish { target, wish, reply: Some(reply) };
        // Where it can't be sent, the answer is that there is none.
        let _ = timeout_at(until, self.commands.send(command)).await;
        Pending { until, replied }
    }
}

/// Something that was asked for.
pub(super) struct Pending {
    until: Instant,
    replied: oneshot::Receiver<Result<Revision, HoldError>>,
}

impl Pending {
    /// Waits until it is written, with the revision that shows it.
    pub(super) async fn wait(self) -> Result<Revision, HoldError> {
        match timeout_at(self.until, self.replied).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(HoldError::Pending("the server is busy, or stopping".to_owned())),
            Err(_) => Err(HoldError::Pending(format!(
                "no answer of the registry within {:.1} s",
                WAIT.as_secs_f64()
            ))),
        }
    }
}
