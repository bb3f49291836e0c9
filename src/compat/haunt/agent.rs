//! What the agent does with a call: book it, save it, hold it; and with what probes find.
//!
//! Calls change the book and give their commands one after the other, so that the last one is what is held; they wait
//! for disk and registry side by side.
//!
//! Knows nothing of HTTP.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use tokio::sync::mpsc;

use super::book::{Book, Change, SavedGroup, port};
use super::call::Group;
use crate::compat::hold::{
    HELD_MAX, Hold, HoldError, Loss, Lost, Pending, Probed, Prober, Reason, Saved, Target,
};
use crate::compat::{Room, StartError};
use crate::model::{Instance, Namespace};

/// The agent. Cloning gives the same.
#[derive(Clone)]
pub(super) struct Agent {
    namespace: Namespace,
    hold: Hold,
    prober: Prober<Target>,
    saved: Saved,
    book: Arc<Mutex<Book>>,
    /// Held from a change of the book until its commands are given.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// Why a call was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// It is not, or not yet, registered.
    #[error("{0}: {1}")]
    Hold(Target, HoldError),
    /// It is registered, and a restart of this server would forget it.
    #[error("cannot save: {0}")]
    Save(io::Error),
}

impl Agent {
    /// Reads what was saved, and begins to hold it.
    pub(super) fn start(room: &Room<'_>) -> Result<Self, StartError> {
        let (saved, groups) = Saved::open::<Vec<SavedGroup>>(room)?;
        let book = Book::restored(groups, &room.namespace)
            .map_err(|why| StartError::Saved(Saved::broken(room, why)))?;
        if book.len() > 0 {
            tracing::info!(
                instances = book.len(),
                "resuming what {} clients had registered",
                room.name
            );
        }
        let (prober, probe, changes) = Prober::new(room.stop.clone());
        room.tasks.spawn(format!("{} probes", room.name), probe);
        let (hold, lost) = Hold::start(room);
        let agent = Self {
            namespace: room.namespace.clone(),
            hold,
            prober,
            saved,
            book: Arc::new(Mutex::new(book)),
            turn: Arc::default(),
        };
        let (follow, stop) = (agent.clone().follow(changes, lost), room.stop.clone());
        room.tasks.spawn(format!("{} agent", room.name), async move {
            tokio::select! {
                () = follow => {}
                () = stop.cancelled() => {}
            }
            Ok(())
        });
        Ok(agent)
    }

    /// The namespace that it registers in.
    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Registers groups, or takes them away. All that could be refused is, before anything is done.
    pub(super) async fn call(&self, groups: &[Group], register: bool) -> Result<(), CallError> {
        let target = |group: &Group| {
            let (namespace, app) = (self.namespace.clone(), group.registration.app.clone());
            Target { namespace, app, id: group.id.clone() }
        };
        let groups: Vec<_> = groups.iter().map(|group| (target(group), group)).collect();
        let turn = self.turn.lock().await;
        if register {
            self.check(&groups)?;
        }
        let mut changes = BTreeMap::new();
        {
            let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            for (target, group) in &groups {
                changes.insert(target.clone(), book.change(target, group, register));
            }
        }
        let mut pending = Vec::with_capacity(changes.len());
        for (target, change) in changes {
            let begun = self.apply(&target, change).await;
            pending.push(async move {
                begun.wait().await.map_err(|error| CallError::Hold(target, error))
            });
        }
        drop(turn);
        let (saved, written) = tokio::join!(self.save(), join_all(pending));
        written.into_iter().collect::<Result<Vec<_>, _>>()?;
        saved.map_err(CallError::Save)
    }

    fn check(&self, groups: &[(Target, &Group)]) -> Result<(), CallError> {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = HELD_MAX.saturating_sub(book.len());
        for (target, group) in groups.iter().filter(|(_, group)| !group.registration.disabled) {
            let failed = |error| CallError::Hold(target.clone(), error);
            self.hold.check(target, &group.registration.instance).map_err(failed)?;
            if !book.has(target) {
                room = room.checked_sub(1).ok_or_else(|| failed(HoldError::Full(HELD_MAX)))?;
            }
        }
        Ok(())
    }

    async fn apply(&self, target: &Target, change: Change) -> Pending {
        match change {
            Change::Put(instance) => {
                if let Some(port) = port(&instance) {
                    self.prober.watch(target.clone(), port, true).await;
                }
                self.hold.begin_put(target.clone(), instance).await
            }
            Change::Remove(instance) => {
                self.prober.forget(target.clone()).await;
                self.hold.begin_remove(target.clone(), instance, Reason::Unregistered).await
            }
        }
    }

    /// Has all that was saved probed, and does what probes find, and what others did.
    async fn follow(
        self,
        mut changes: mpsc::Receiver<Probed<Target>>,
        mut lost: mpsc::Receiver<Lost>,
    ) {
        let saved = self.book.lock().unwrap_or_else(PoisonError::into_inner).ports();
        for (target, port) in saved {
            let turn = self.turn.lock().await;
            // It may have registered anew by now, or gone.
            let waits = {
                let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
                book.is_down(&target)
            };
            if waits {
                self.prober.watch(target, port, false).await;
            }
            drop(turn);
        }
        loop {
            tokio::select! {
                Some(probed) = changes.recv() => self.probed(probed).await,
                Some(lost) = lost.recv() => self.lost(lost).await,
                else => return,
            }
        }
    }

    async fn probed(&self, Probed { key: target, up }: Probed<Target>) {
        let _turn = self.turn.lock().await;
        let instance: Option<Instance> = {
            let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            book.heard(&target, up)
        };
        match instance {
            Some(instance) if up => self.hold.resume(target, instance).await,
            Some(instance) => {
                tracing::debug!(%target, "not held while its port does not answer");
                self.hold.let_go(target, instance, Reason::Closed).await;
            }
            None => {}
        }
    }

    /// What was deregistered elsewhere is to stay away until its client registers again.
    async fn lost(&self, Lost { target, why }: Lost) {
        let turn = self.turn.lock().await;
        // It may have registered again by now.
        if why != Loss::Dismissed || self.hold.holds(&target).await {
            return;
        }
        self.book.lock().unwrap_or_else(PoisonError::into_inner).strike(&target);
        self.prober.forget(target).await;
        drop(turn);
        if let Err(error) = self.save().await {
            // It is only tried once more to be held, at the next start, and found gone.
            tracing::debug!(%error, "cannot save what was deregistered elsewhere");
        }
    }

    async fn save(&self) -> io::Result<()> {
        let book = self.book.clone();
        self.saved.save(move || book.lock().unwrap_or_else(PoisonError::into_inner).saved()).await
    }
}
