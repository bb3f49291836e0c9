//! What the agent does with a call: book it, save it, hold it; and with what probes find.
//!
//! Calls change the book and give their commands one after the other, so that the last one is what is held; they wait
//! for disk and registry side by side.
//!
//! Knows nothing of HTTP.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::book::{Book, Change, GROUPS_MAX, SavedGroup, port};
use super::call::Group;
use crate::compat::hold::{
    HELD_MAX, Hold, HoldError, Loss, Lost, Pending, Probed, Prober, Reason, Saved, Target,
};
use crate::compat::{Room, StartError};
use crate::model::{Instance, Namespace};

/// What is down is looked over that often for what is to be forgotten.
const FORGET_INTERVAL: Duration = Duration::from_secs(600);
/// What could not be saved is saved again after that long, for as long as that fails.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);
/// Failures to save are worth a line that often.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

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
    unsaved: Arc<Unsaved>,
}

/// What the disk lacks.
#[derive(Default)]
struct Unsaved {
    is: AtomicBool,
    wake: Notify,
    warned: Mutex<Option<Instant>>,
}

/// Why a call was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// It is not, or not yet, registered.
    #[error("{0}: {1}")]
    Hold(Target, HoldError),
    /// Nothing of it was done.
    #[error(
        "{0} would have more than {GROUPS_MAX} groups: protocols and domains of one address and port"
    )]
    Crowded(Target),
}

impl Agent {
    /// Reads what was saved, and begins to hold it.
    pub(super) fn start(room: &Room<'_>) -> Result<Self, StartError> {
        let (saved, groups) = Saved::open::<Vec<SavedGroup>>(room)?;
        let book = Book::restored(groups, &room.namespace, Instant::now())
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
            unsaved: Arc::default(),
        };
        let (follow, stop) = (agent.clone().follow(changes, lost), room.stop.clone());
        room.tasks.spawn(format!("{} agent", room.name), async move {
            tokio::select! {
                () = follow => {}
                () = stop.cancelled() => {}
            }
            Ok(())
        });
        let (saver, stop) = (agent.clone(), room.stop.clone());
        room.tasks.spawn(format!("{} saves", room.name), async move {
            tokio::select! {
                () = saver.save_again() => {}
                () = stop.cancelled() => {}
            }
            if saver.unsaved.is.load(Relaxed) {
                saver.save().await;
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
            let mut book = self.book();
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
        // Held it is in any case: a disk that is full is no reason to be out of answers.
        let ((), written) = tokio::join!(self.save(), join_all(pending));
        written.into_iter().try_for_each(|written| written.map(drop))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves the book. Returns once it is on disk, or that has failed, to be tried on.
    async fn save(&self) {
        let agent = self.clone();
        // Before, as it may become so again meanwhile.
        self.unsaved.is.store(false, Relaxed);
        let Err(error) = self.saved.save(move || agent.book().saved()).await else { return };
        self.unsaved.is.store(true, Relaxed);
        self.unsaved.wake.notify_one();
        self.warn(&error);
    }

    fn warn(&self, error: &io::Error) {
        let now = Instant::now();
        let mut warned = self.unsaved.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| now.duration_since(at) >= WARN_INTERVAL) {
            *warned = Some(now);
            tracing::warn!(
                %error,
                "cannot save what haunt clients registered, a restart would forget it; trying on: look after the data \
                 directory"
            );
        }
    }

    /// Saves what could not be saved.
    async fn save_again(&self) {
        loop {
            self.unsaved.wake.notified().await;
            sleep(SAVE_INTERVAL).await;
            if self.unsaved.is.load(Relaxed) {
                self.save().await;
            }
        }
    }

    fn check(&self, groups: &[(Target, &Group)]) -> Result<(), CallError> {
        let book = self.book();
        if let Some(target) = book.crowded(groups.iter().map(|(target, group)| (target, *group))) {
            return Err(CallError::Crowded(target.clone()));
        }
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
        let saved = self.book().ports();
        for (target, port) in saved {
            let turn = self.turn.lock().await;
            // It may have registered anew by now, or gone.
            let waits = self.book().is_down(&target);
            if waits {
                self.prober.watch(target, port, false).await;
            }
            drop(turn);
        }
        let mut forget = interval(FORGET_INTERVAL);
        forget.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(probed) = changes.recv() => self.probed(probed).await,
                Some(lost) = lost.recv() => self.lost(lost).await,
                _ = forget.tick() => self.forget().await,
            }
        }
    }

    async fn probed(&self, Probed { key: target, up }: Probed<Target>) {
        let _turn = self.turn.lock().await;
        let instance: Option<Instance> = self.book().heard(&target, up, Instant::now());
        match instance {
            Some(instance) if up => self.hold.resume(target, instance).await,
            Some(instance) => {
                tracing::debug!(%target, "not held while its port does not answer");
                self.hold.let_go(target, instance, Reason::Closed).await;
            }
            None => {}
        }
    }

    /// Forgets what is down for good.
    async fn forget(&self) {
        let turn = self.turn.lock().await;
        let forgotten = self.book().forget(Instant::now());
        for target in &forgotten {
            self.prober.forget(target.clone()).await;
        }
        drop(turn);
        if !forgotten.is_empty() {
            tracing::info!(
                instances = forgotten.len(),
                "forgotten, as their ports have not answered for a day"
            );
            self.save().await;
        }
    }

    /// What was deregistered elsewhere is to stay away until its client registers again.
    async fn lost(&self, Lost { target, why }: Lost) {
        let turn = self.turn.lock().await;
        // It may have registered again by now.
        if why != Loss::Dismissed || self.hold.holds(&target).await {
            return;
        }
        self.book().strike(&target);
        self.prober.forget(target).await;
        drop(turn);
        self.save().await;
    }
}
