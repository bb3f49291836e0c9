//! The agent at work: what it knows is saved, what is in answers of it is held in the registry, and what time brings about
//! is brought about.
//!
//! ```text
//! calls --> agent --services whose standing may have changed--> settle() --> hold --> registry
//!             ^                                                   |
//!             +---- clocks, results of checks: Background --------+
//! ```
//!
//! A service is settled by one at a time, from how it stands at that moment: so the last change wins, whoever saw it.
//!
//! Knows nothing of paths and bodies.

mod names;
mod resume;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::agent::Agent;
use super::agent::saved::{Clocks, SavedAgent};
use super::definition::{CheckDefinition, ServiceDefinition};
use super::instance::{host_names, instance};
use super::reach::{self, Reach};
use super::resolver::Resolver;
use crate::compat::hold::{Hold, HoldError, Lost, Over, Reason, Saved, Target};
use crate::compat::{Compat, Room, StartError};
use crate::host;
use crate::model::{Instance, Namespace, limits};
use crate::registry::Revision;

/// Locks that services share: enough that one which waits for the registry keeps few others waiting.
const STRIPES: usize = 64;
/// Calls that wait for a change at once.
const WAITERS_MAX: usize = 512;
/// How long host names may take to resolve while somebody waits.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a call waits until answers of DNS show what was done.
const VISIBLE_TIMEOUT: Duration = Duration::from_secs(2);

/// What is held of a service.
type Held = HashMap<String, (Target, Instance)>;

/// What all calls share.
pub(super) struct Keeper {
    pub(super) compat: Arc<Compat>,
    pub(super) namespace: Namespace,
    /// What this agent's node is called, and where it is for others: those who share the registry, or ask this server.
    pub(super) node: String,
    pub(super) address: IpAddr,
    pub(super) waiters: Arc<Semaphore>,
    resolver: Resolver,
    /// For what somebody on another host wants.
    afar: Resolver,
    pub(super) stop: CancellationToken,
    /// What indexes begin with: no later run of this server gives those of an earlier one for something else.
    pub(super) began: u64,
    agent: Mutex<Agent>,
    hold: Hold,
    saved: Saved,
    held: [tokio::sync::Mutex<Held>; STRIPES],
    hasher: RandomState,
    /// The version of what is shown.
    version: watch::Sender<u64>,
    /// Services that the background is to settle.
    unsettled: Mutex<BTreeSet<String>>,
    /// Something is not saved that would better be.
    unsaved: AtomicBool,
    /// Owners of checks told that they go on, which is not saved.
    told: AtomicBool,
    pub(super) wake: Notify,
}

impl Keeper {
    /// Resumes what was saved; gives also what is lost of what is held.
    pub(super) fn start(room: &Room<'_>) -> Result<(Arc<Self>, mpsc::Receiver<Lost>), StartError> {
        let (saved, before) = Saved::open::<SavedAgent>(room)?;
        let draw = |within: Duration| within.mul_f64(fastrand::f64());
        let agent = Agent::resume(&before, clocks(&room.compat), draw);
        let unsettled = agent.services().map(|service| service.definition.id.clone()).collect();
        let began = (room.compat.wall_clock)().duration_since(UNIX_EPOCH).unwrap_or_default();
        let elsewhere = room.compat.shared_registry || room.compat.dns_is_open;
        let address = if elsewhere { host::default_source() } else { None };
        let resolver = Resolver::default();
        let (hold, lost) = Hold::start(room);
        let keeper = Self {
            compat: room.compat.clone(),
            namespace: room.namespace.clone(),
            node: host::name().unwrap_or_else(|| "rollcall".to_owned()),
            address: address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            waiters: Arc::new(Semaphore::new(WAITERS_MAX)),
            afar: resolver.within(Reach::beyond(&room.compat.listening)),
            resolver,
            stop: room.stop.clone(),
            began: u64::try_from(began.as_millis()).unwrap_or(1),
            version: watch::Sender::new(agent.version()),
            agent: Mutex::new(agent),
            hold,
            saved,
            held: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            hasher: RandomState::new(),
            unsettled: Mutex::new(unsettled),
            unsaved: AtomicBool::new(false),
            told: AtomicBool::new(false),
            wake: Notify::new(),
        };
        Ok((Arc::new(keeper), lost))
    }

    /// The agent, to read.
    pub(super) fn agent(&self) -> MutexGuard<'_, Agent> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the agent, and lets those know who wait for it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Agent, Instant) -> T) -> T {
        let mut agent = self.agent();
        let done = change(&mut agent, Instant::now());
        let version = agent.version();
        drop(agent);
        self.version.send_if_modified(|known| std::mem::replace(known, version) != version);
        done
    }

    /// What is told of every change of the agent.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Saves the agent. Returns once it is on disk.
    pub(super) async fn save(self: &Arc<Self>) -> io::Result<()> {
        let keeper = self.clone();
        self.told.store(false, Relaxed);
        self.saved.save(move || keeper.agent().save(clocks(&keeper.compat))).await
    }

    /// Has the agent saved soon: how checks stand is worth that, but nothing that anybody waits for.
    pub(super) fn save_soon(&self) {
        self.unsaved.store(true, Relaxed);
    }

    /// Has the agent saved some time: after a restart it is to be known until when an owner has told.
    pub(super) fn save_later(&self) {
        if !self.told.swap(true, Relaxed) {
            self.wake.notify_one();
        }
    }

    /// Whether somebody wanted it to be saved some time, and it was not since then.
    pub(super) fn is_told(&self) -> bool {
        self.told.load(Relaxed)
    }

    /// Whether somebody wanted it to be saved since this was asked last.
    pub(super) fn is_unsaved(&self) -> bool {
        self.unsaved.swap(false, Relaxed)
    }

    /// Has the background settle services.
    pub(super) fn settle_soon(&self, services: impl IntoIterator<Item = String>) {
        self.unsettled().extend(services);
        self.wake.notify_one();
    }

    /// One of the services that are to be settled.
    pub(super) fn next_unsettled(&self) -> Option<String> {
        self.unsettled().pop_first()
    }

    fn unsettled(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a service could be held as it is described, whatever its checks say.
    pub(super) fn admit(&self, id: &str) -> Result<(), HoldError> {
        let wanted = self.agent().service(id).and_then(|service| {
            let instance = instance(service, service.definition.weights.passing)?;
            Some((self.target(service), instance))
        });
        wanted.map_or(Ok(()), |(target, instance)| self.hold.check(&target, &instance))
    }

    /// Has the registry say of a service what it is to say now. Returns once this server's answers show that, unless it
    /// takes them too long.
    ///
    /// # Errors
    /// It does not, or not yet.
    pub(super) async fn settle(&self, id: &str) -> Result<(), HoldError> {
        let published = &self.compat.published;
        let before = published.position();
        if let Some(revision) = self.write(id).await? {
            // Whoever asks next, by DNS too, is to find it so; but nobody waits for that for long.
            let _ = timeout(VISIBLE_TIMEOUT, published.reached(before, revision)).await;
        }
        self.change(|agent, _| agent.settled(id));
        Ok(())
    }

    /// Gives the revision of what had to be written, if anything.
    async fn write(&self, id: &str) -> Result<Option<Revision>, HoldError> {
        let mut held = self.stripe(id).lock().await;
        let before = held.get(id).cloned();
        let Some((mut target, mut wanted)) = self.wanted(id, before.as_ref()) else {
            let Some((target, instance)) = held.remove(id) else { return Ok(None) };
            let registered = self.agent().service(id).is_some();
            let reason = if registered { Reason::Critical } else { Reason::Deregistered };
            return self.hold.remove(target, instance, reason).await.map(Some);
        };
        if before.as_ref() == Some(&(target.clone(), wanted.clone())) {
            return Ok(None);
        }
        let put = async |target: &Target, wanted: &Instance| {
            self.hold.put(target.clone(), wanted.clone(), Over::SamePlace).await
        };
        let mut written = put(&target, &wanted).await;
        if written == Err(HoldError::Others)
            && let Some((own, instance)) = self.renamed(id)
        {
            // Another agent was faster with that name. What waits for it is to wait no more.
            self.hold.let_go(target, wanted, Reason::Changed).await;
            (target, wanted) = (own, instance);
            written = put(&target, &wanted).await;
        }
        if matches!(written, Ok(_) | Err(HoldError::Pending(_) | HoldError::Others)) {
            held.insert(id.to_owned(), (target.clone(), wanted));
        } else {
            held.remove(id);
        }
        // What it was before goes last, so that it never has no name at all.
        let kept = held.get(id).map(|(target, _)| target);
        if let Some((old, instance)) = before.filter(|(old, _)| Some(old) != kept) {
            return self.hold.remove(old, instance, Reason::Changed).await.map(Some);
        }
        written.map(Some)
    }

    fn stripe(&self, id: &str) -> &tokio::sync::Mutex<Held> {
        let stripe = self.hasher.hash_one(id) % STRIPES as u64;
        // Never beyond the end, and no panic if it were.
        self.held.get(usize::try_from(stripe).unwrap_or(0)).unwrap_or(&self.held[0])
    }

    /// Where a service is that says nothing of it: where the call came from, or where this host is.
    pub(super) fn place(&self, peer: IpAddr) -> IpAddr {
        match peer.to_canonical() {
            peer if peer.is_loopback() && !self.address.is_loopback() => self.address,
            peer => peer,
        }
    }

    /// What connects to what a check leads to.
    pub(super) fn resolver_for(&self, afar: bool) -> &Resolver {
        if afar { &self.afar } else { &self.resolver }
    }

    /// Whether a check may lead to where it does, so far as that is known before it is run.
    ///
    /// # Errors
    /// Why not.
    pub(super) async fn admit_check(&self, check: &CheckDefinition) -> Result<(), String> {
        if !check.afar {
            return Ok(());
        }
        let invalid = |why: String| format!("Invalid check: {why}");
        reach::admit_method(&check.kind).map_err(invalid)?;
        let Some((host, port)) = reach::target(&check.kind) else { return Ok(()) };
        let admitted = timeout(RESOLVE_TIMEOUT, self.afar.admit(&host, port)).await;
        // What takes too long to resolve is looked at when it is run.
        admitted.unwrap_or(Ok(())).map_err(invalid)
    }

    /// The addresses of the host names that a service is known by, of those that have any.
    pub(super) async fn resolve(
        &self,
        service: &ServiceDefinition,
    ) -> BTreeMap<String, Vec<IpAddr>> {
        let deadline = Instant::now() + RESOLVE_TIMEOUT;
        let mut found = BTreeMap::new();
        for name in host_names(service) {
            let resolved = timeout_at(deadline, self.resolver.addresses(&name)).await;
            if let Ok(Ok(mut addresses)) = resolved {
                addresses.sort_unstable();
                addresses.dedup();
                addresses.truncate(limits::ADDRESSES_MAX);
                found.insert(name, addresses);
            }
        }
        found
    }
}

fn clocks(compat: &Compat) -> Clocks {
    Clocks { now: Instant::now(), wall: (compat.wall_clock)() }
}
