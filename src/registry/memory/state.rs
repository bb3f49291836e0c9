//! What a registry holds, and what an operation makes of it.
//!
//! An operation is either refused and leaves everything as it was, or done whole; the [`Step`] it returns
//! says what changed, for history, watches and disk. The maps are persistent: cloning a [`State`] costs
//! nothing and a clone goes its own way, so that the embedded registry can work ahead on a clone and show it
//! only once it is on disk.
//!
//! Knows nothing of time, tasks, disks, nor of who waits or watches.

use std::collections::HashSet;

use bytes::Bytes;
use imbl::{OrdMap, OrdSet};

use crate::registry::{
    Change, Committed, Entry, Error, LeaseId, Precondition, Revision, Stamp, Txn, Write,
};

/// All keys and leases at one revision.
#[derive(Debug, Clone)]
pub(crate) struct State {
    cluster: u64,
    revision: Revision,
    keys: Keys,
    /// Leases with their lengths in seconds.
    leases: OrdMap<LeaseId, u32>,
    /// Which keys end with which lease. One set for all leases: most have a single key, and a set of its own
    /// for each would cost ten times as much memory.
    bound: OrdSet<(LeaseId, Bytes)>,
    /// Octets of all keys and values.
    octets: u64,
}

/// Keys and what they hold, in key order.
pub(crate) type Keys = OrdMap<Bytes, Stored>;

/// What is stored under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The value.
    pub(crate) value: Bytes,
    /// The revision that wrote it.
    pub(crate) revision: Revision,
    /// The lease it ends with.
    pub(crate) lease: Option<LeaseId>,
}

impl Stored {
    /// The entry that this is under a key.
    pub(crate) fn entry(&self, key: &Bytes) -> Entry {
        Entry {
            key: key.clone(),
            value: self.value.clone(),
            revision: self.revision,
            lease: self.lease,
        }
    }
}

/// What may be done to a state.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// Runs a transaction.
    Commit(Txn),
    /// Makes a lease.
    Grant {
        /// Its id.
        lease: LeaseId,
        /// Its length.
        ttl_secs: u32,
    },
    /// Ends a lease, revoked or expired, and deletes its keys.
    End(LeaseId),
}

impl Op {
    /// Octets of what it writes.
    pub(crate) fn octets(&self) -> u64 {
        match self {
            Self::Commit(txn) => txn.writes.iter().map(octets).sum(),
            Self::Grant { .. } | Self::End(_) => 0,
        }
    }
}

/// What the caller of an operation hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Where the registry stood afterwards.
    pub(crate) stamp: Stamp,
    /// A precondition failed; nothing was done.
    pub(crate) refused: bool,
}

impl Answer {
    /// The answer to a transaction.
    pub(crate) fn into_committed(self) -> Committed {
        if self.refused { Committed::Refused(self.stamp) } else { Committed::Done(self.stamp) }
    }
}

/// What an operation changed.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// The revision after it; a new one only if keys changed.
    pub(crate) revision: Revision,
    /// The keys that changed.
    pub(crate) changes: Vec<Changed>,
    /// The lease that came or went.
    pub(crate) lease: Option<LeaseStep>,
}

impl Step {
    /// Whether nothing changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.lease.is_none()
    }
}

/// One key's change, with what was there before, so that older revisions can be read.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    /// What the key held.
    pub(crate) before: Option<Stored>,
    /// What became of it.
    pub(crate) change: Change,
}

/// A lease that came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseStep {
    /// It came, with this many seconds.
    Granted(LeaseId, u32),
    /// It went.
    Ended(LeaseId),
}

impl State {
    /// An empty state.
    pub(crate) fn new(cluster: u64) -> Self {
        Self::restore(cluster, FIRST_REVISION)
    }

    /// An empty state at a revision, to be filled with [`State::restore_lease`] and then
    /// [`State::restore_key`].
    pub(crate) fn restore(cluster: u64, revision: Revision) -> Self {
        let (keys, leases, bound) = (Keys::new(), OrdMap::new(), OrdSet::new());
        Self { cluster, revision, keys, leases, bound, octets: 0 }
    }

    /// Puts back a lease that was saved.
    pub(crate) fn restore_lease(&mut self, lease: LeaseId, ttl_secs: u32) {
        self.leases.insert(lease, ttl_secs);
    }

    /// Puts back a key that was saved. Says no to one whose lease is not there.
    #[must_use]
    pub(crate) fn restore_key(&mut self, key: Bytes, stored: Stored) -> bool {
        let known = stored.lease.is_none_or(|lease| self.leases.contains_key(&lease));
        if known {
            self.set(key, stored);
        }
        known
    }

    /// Where the registry stands.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { cluster: self.cluster, revision: self.revision }
    }

    /// All keys.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// All leases with their lengths.
    pub(crate) fn leases(&self) -> impl Iterator<Item = (LeaseId, u32)> + '_ {
        self.leases.iter().map(|(lease, ttl_secs)| (*lease, *ttl_secs))
    }

    /// A lease's length.
    pub(crate) fn ttl_secs(&self, lease: LeaseId) -> Option<u32> {
        self.leases.get(&lease).copied()
    }

    /// Does an operation whole, or fails and leaves everything as it was.
    pub(crate) fn apply(&mut self, op: Op) -> Result<(Answer, Step), Error> {
        match op {
            Op::Commit(txn) => self.commit(txn),
            Op::Grant { lease, ttl_secs } => self.grant(lease, ttl_secs),
            Op::End(lease) => self.end(lease),
        }
    }

    fn commit(&mut self, txn: Txn) -> Result<(Answer, Step), Error> {
        check_shape(&txn)?;
        if !txn.preconditions.iter().all(|condition| self.holds(condition)) {
            return Ok((Answer { stamp: self.stamp(), refused: true }, self.step(vec![], None)));
        }
        self.check_writes(&txn.writes)?;

        let revision = self.revision + 1;
        let mut changes = Vec::with_capacity(txn.writes.len());
        for write in txn.writes {
            match write {
                Write::Put { key, value, lease } => {
                    let stored = Stored { value, revision, lease };
                    let entry = stored.entry(&key);
                    let before = self.set(key, stored);
                    changes.push(Changed { before, change: Change::Put(entry) });
                }
                Write::Delete(key) => changes.extend(self.unset(key)),
            }
        }
        Ok(self.done(changes, None))
    }

    fn grant(&mut self, lease: LeaseId, ttl_secs: u32) -> Result<(Answer, Step), Error> {
        if self.leases.len() >= LEASES_MAX {
            return Err(Error::Refused(format!("no more than {LEASES_MAX} leases")));
        }
        if self.leases.contains_key(&lease) {
            return Err(Error::Refused(format!("lease {lease} exists already")));
        }
        self.restore_lease(lease, ttl_secs);
        Ok(self.done(vec![], Some(LeaseStep::Granted(lease, ttl_secs))))
    }

    fn end(&mut self, lease: LeaseId) -> Result<(Answer, Step), Error> {
        self.leases.remove(&lease).ok_or(Error::LeaseNotFound)?;
        let from = (lease, Bytes::new());
        let bound = self.bound.range(from..).take_while(|(of, _)| *of == lease);
        let keys: Vec<_> = bound.map(|(_, key)| key.clone()).collect();
        let changes = keys.into_iter().filter_map(|key| self.unset(key)).collect();
        Ok(self.done(changes, Some(LeaseStep::Ended(lease))))
    }

    fn holds(&self, condition: &Precondition) -> bool {
        match condition {
            Precondition::Absent(key) => !self.keys.contains_key(key),
            Precondition::At(key, revision) => {
                self.keys.get(key).is_some_and(|stored| stored.revision == *revision)
            }
        }
    }

    /// What must be known before the first write, since there is no way back from it.
    fn check_writes(&self, writes: &[Write]) -> Result<(), Error> {
        let mut octets = self.octets;
        for write in writes {
            if let Write::Put { key, value, lease } = write {
                if lease.is_some_and(|lease| !self.leases.contains_key(&lease)) {
                    return Err(Error::LeaseNotFound);
                }
                octets += weigh(key, value);
            }
        }
        // What the writes replace is not taken off: near the limit it is no use to be exact.
        let puts = octets > self.octets;
        if puts && octets > STORED_OCTETS_MAX {
            return Err(Error::Refused(format!(
                "the registry is full ({STORED_OCTETS_MAX} octets): delete keys"
            )));
        }
        Ok(())
    }

    fn set(&mut self, key: Bytes, stored: Stored) -> Option<Stored> {
        let lease = stored.lease;
        self.octets += weigh(&key, &stored.value);
        let before = self.keys.insert(key.clone(), stored);
        if let Some(before) = &before {
            self.detach(&key, before);
        }
        if let Some(lease) = lease {
            self.bound.insert((lease, key));
        }
        before
    }

    fn unset(&mut self, key: Bytes) -> Option<Changed> {
        let before = self.keys.remove(&key)?;
        self.detach(&key, &before);
        Some(Changed { before: Some(before), change: Change::Delete(key) })
    }

    /// What a key held counts no more and is no longer its lease's.
    fn detach(&mut self, key: &Bytes, before: &Stored) {
        self.octets -= weigh(key, &before.value);
        if let Some(lease) = before.lease {
            self.bound.remove(&(lease, key.clone()));
        }
    }

    fn done(&mut self, changes: Vec<Changed>, lease: Option<LeaseStep>) -> (Answer, Step) {
        if !changes.is_empty() {
            self.revision += 1;
        }
        (Answer { stamp: self.stamp(), refused: false }, self.step(changes, lease))
    }

    fn step(&self, changes: Vec<Changed>, lease: Option<LeaseStep>) -> Step {
        Step { revision: self.revision, changes, lease }
    }
}

/// A random id for a new lease, and the length it gets.
pub(crate) fn new_lease(ttl_secs: u32) -> (LeaseId, u32) {
    // Positive as a signed number, as etcd's are: tools of both worlds can read it.
    let id = LeaseId::new(fastrand::u64(1..1 << 63)).expect("the range begins at 1");
    (id, ttl_secs.max(1))
}

/// What can be said of a transaction without a look at the state.
fn check_shape(txn: &Txn) -> Result<(), Error> {
    if txn.writes.len() > TXN_OPS_MAX || txn.preconditions.len() > TXN_OPS_MAX {
        return Err(Error::Refused(format!("a transaction has at most {TXN_OPS_MAX} operations")));
    }
    let mut written = HashSet::with_capacity(txn.writes.len());
    for write in &txn.writes {
        let (Write::Put { key, .. } | Write::Delete(key)) = write;
        if key.is_empty() {
            return Err(Error::Refused("a key is empty".to_owned()));
        }
        if !written.insert(key) {
            return Err(Error::Refused(format!("key {key:?} is written twice")));
        }
    }
    let octets: u64 = txn.writes.iter().map(octets).sum();
    if octets > REQUEST_OCTETS_MAX {
        return Err(Error::Refused(format!(
            "a transaction has at most {REQUEST_OCTETS_MAX} octets, this one {octets}"
        )));
    }
    Ok(())
}

fn octets(write: &Write) -> u64 {
    match write {
        Write::Put { key, value, .. } => weigh(key, value),
        Write::Delete(key) => weigh(key, b""),
    }
}

fn weigh(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

/// The revision of an empty registry, as in etcd.
pub(crate) const FIRST_REVISION: Revision = 1;

/// Operations of one transaction: etcd's default (`--max-txn-ops`), so that nothing works here that fails
/// there.
const TXN_OPS_MAX: usize = 128;

/// Octets of one transaction: etcd's default (`--max-request-bytes`).
pub(crate) const REQUEST_OCTETS_MAX: u64 = 3 * 512 * 1024;

/// Octets of all keys and values: etcd's default (`--quota-backend-bytes`).
const STORED_OCTETS_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Leases: one for each instance of the largest fleet in the budgets, and as many again while it is replaced.
const LEASES_MAX: usize = 2_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &'static str, value: &'static str, lease: Option<LeaseId>) -> Write {
        Write::Put { key: key.into(), value: value.into(), lease }
    }

    fn commit(state: &mut State, writes: Vec<Write>) -> Result<(Answer, Step), Error> {
        state.apply(Op::Commit(Txn { preconditions: vec![], writes }))
    }

    fn lease(id: u64) -> LeaseId {
        LeaseId::new(id).unwrap()
    }

    #[test]
    fn a_refused_operation_changes_nothing() {
        let mut state = State::new(7);
        commit(&mut state, vec![put("a", "1", None)]).unwrap();
        let before = (state.revision, state.octets, state.keys.clone());

        let dead = commit(&mut state, vec![put("a", "2", None), put("b", "3", Some(lease(9)))]);
        assert_eq!(dead.unwrap_err(), Error::LeaseNotFound);
        let twice = commit(&mut state, vec![put("a", "2", None), Write::Delete("a".into())]);
        assert!(matches!(twice.unwrap_err(), Error::Refused(why) if why.contains("written twice")));
        let empty = commit(&mut state, vec![put("", "2", None)]);
        assert!(matches!(empty.unwrap_err(), Error::Refused(why) if why == "a key is empty"));
        let big = Bytes::from(vec![0; REQUEST_OCTETS_MAX as usize]);
        let writes = vec![Write::Put { key: "a".into(), value: big, lease: None }];
        let big = commit(&mut state, writes).unwrap_err();
        assert!(matches!(big, Error::Refused(why) if why.contains("at most 1572864 octets")));
        let many = vec![put("a", "2", None); TXN_OPS_MAX + 1];
        let many = commit(&mut state, many).unwrap_err();
        assert!(matches!(many, Error::Refused(why) if why.contains("at most 128 operations")));

        assert_eq!(before, (state.revision, state.octets, state.keys.clone()));
    }

    #[test]
    fn a_full_registry_takes_deletes_and_no_puts() {
        let mut state = State::new(7);
        commit(&mut state, vec![put("a", "1", None)]).unwrap();
        state.octets += STORED_OCTETS_MAX;
        let full = commit(&mut state, vec![put("b", "1", None)]).unwrap_err();
        assert!(matches!(full, Error::Refused(why) if why.contains("full")));
        commit(&mut state, vec![Write::Delete("a".into())]).unwrap();
        assert!(state.keys.is_empty());
    }

    #[test]
    fn a_key_belongs_to_the_lease_of_its_last_put() {
        let mut state = State::new(7);
        for id in [1, 2] {
            state.apply(Op::Grant { lease: lease(id), ttl_secs: 10 }).unwrap();
        }
        commit(&mut state, vec![put("a", "1", Some(lease(1)))]).unwrap();
        commit(&mut state, vec![put("a", "2", Some(lease(2)))]).unwrap();
        let (_, step) = state.apply(Op::End(lease(1))).unwrap();
        assert!(step.changes.is_empty(), "{step:?}");
        assert_eq!(step.revision, 3, "a lease without keys ends without a revision");
        let (_, step) = state.apply(Op::End(lease(2))).unwrap();
        assert_eq!(step.changes[0].change, Change::Delete("a".into()));
        assert_eq!((state.octets, state.bound.len()), (0, 0));
        assert_eq!(state.apply(Op::End(lease(2))).unwrap_err(), Error::LeaseNotFound);
    }

    #[test]
    fn a_lease_id_is_granted_once() {
        let mut state = State::new(7);
        state.apply(Op::Grant { lease: lease(1), ttl_secs: 10 }).unwrap();
        let twice = state.apply(Op::Grant { lease: lease(1), ttl_secs: 10 }).unwrap_err();
        assert!(
            matches!(twice, Error::Refused(why) if why == "lease 0000000000000001 exists already")
        );
    }

    #[test]
    fn a_clone_goes_its_own_way() {
        let mut state = State::new(7);
        let mut ahead = state.clone();
        commit(&mut ahead, vec![put("a", "1", None)]).unwrap();
        assert!(state.keys.is_empty());
        commit(&mut state, vec![put("b", "1", None)]).unwrap();
        assert!(!ahead.keys.contains_key(&Bytes::from("b")));
    }
}
