//! How a registry lies on disk: three tables of a redb database.
//!
//! ```text
//!     meta    "format" | "cluster" | "revision" -> number
//!     keys    key -> (revision, lease id or 0, value)
//!     leases  lease id -> length in seconds
//! ```
//!
//! Each commit leads from one state of the registry to a later one and is durable when it returns (redb writes
//! to free pages only, syncs, and checks sums on opening), so that a crash leaves the state before it or after.
//!
//! Knows nothing of paths, tasks and time.

use std::fs::File;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::registry::memory::state::{Changed, FIRST_REVISION, LeaseStep, State, Step, Stored};
use crate::registry::{Change, LeaseId};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const KEYS: TableDefinition<'_, &[u8], StoredColumns<'_>> = TableDefinition::new("keys");
const LEASES: TableDefinition<'_, u64, u32> = TableDefinition::new("leases");

type StoredColumns<'a> = (u64, u64, &'a [u8]);

/// An open database.
#[derive(Debug)]
pub(super) struct Store {
    database: Database,
    /// Released after the database is closed, and therefore the last field.
    _lock: Option<File>,
}

/// Why a database can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// It can't be read or written.
    #[error(transparent)]
    Database(#[from] redb::Error),
    /// A later version of ours wrote it.
    #[error("format {0}")]
    Newer(u64),
    /// It contradicts itself.
    #[error("{0}")]
    Inconsistent(String),
}

impl Store {
    /// Takes a database over and reads the state that it holds; a new one gets an empty state first.
    pub(super) fn load(database: Database) -> Result<(Self, State), LoadError> {
        let store = Self { database, _lock: None };
        if store.is_new()? {
            store.begin(fastrand::u64(1..))?;
        }
        let state = store.read()?;
        Ok((store, state))
    }

    /// Holds a lock for as long as the database is open.
    pub(super) fn holding(self, lock: File) -> Self {
        Self { _lock: Some(lock), ..self }
    }

    /// Saves what a row of operations changed, in one durable commit.
    pub(super) fn save(&self, steps: &[Step]) -> Result<(), redb::Error> {
        let Some(last) = steps.last() else { return Ok(()) };
        let txn = self.database.begin_write()?;
        {
            let mut keys = txn.open_table(KEYS)?;
            let mut leases = txn.open_table(LEASES)?;
            for step in steps {
                match step.lease {
                    Some(LeaseStep::Granted(lease, ttl_secs)) => {
                        leases.insert(lease.get(), ttl_secs)?;
                    }
                    Some(LeaseStep::Ended(lease)) => {
                        leases.remove(lease.get())?;
                    }
                    None => {}
                }
                for Changed { change, .. } in &step.changes {
                    match change {
                        Change::Put(entry) => {
                            let lease = entry.lease.map_or(0, LeaseId::get);
                            keys.insert(&*entry.key, (entry.revision, lease, &*entry.value))?;
                        }
                        Change::Delete(key) => {
                            keys.remove(&**key)?;
                        }
                    }
                }
            }
            txn.open_table(META)?.insert(REVISION, last.revision)?;
        }
        txn.commit()?;
        Ok(())
    }

    fn is_new(&self) -> Result<bool, redb::Error> {
        Ok(self.database.begin_read()?.list_tables()?.next().is_none())
    }

    fn begin(&self, cluster: u64) -> Result<(), redb::Error> {
        let txn = self.database.begin_write()?;
        {
            let mut meta = txn.open_table(META)?;
            meta.insert(FORMAT, FORMAT_NOW)?;
            meta.insert(CLUSTER, cluster)?;
            meta.insert(REVISION, FIRST_REVISION)?;
            txn.open_table(KEYS)?;
            txn.open_table(LEASES)?;
        }
        txn.commit()?;
        Ok(())
    }

    fn read(&self) -> Result<State, LoadError> {
        let txn = self.database.begin_read().map_err(redb::Error::from)?;
        let meta = txn.open_table(META).map_err(redb::Error::from)?;
        let number = |name: &str| {
            let found = meta.get(name).map_err(redb::Error::from)?;
            let missing = || LoadError::Inconsistent(format!("its {name} is missing"));
            Ok::<_, LoadError>(found.ok_or_else(missing)?.value())
        };
        let format = number(FORMAT)?;
        if format > FORMAT_NOW {
            return Err(LoadError::Newer(format));
        }
        let revision = number(REVISION)?;
        let mut state = State::restore(number(CLUSTER)?, revision);

        let leases = txn.open_table(LEASES).map_err(redb::Error::from)?;
        for row in every_second_first(leases.iter().map_err(redb::Error::from)?) {
            let (id, ttl_secs) = row.map_err(redb::Error::from)?;
            let none = || LoadError::Inconsistent("a lease has no id".to_owned());
            let lease = LeaseId::new(id.value()).ok_or_else(none)?;
            state.restore_lease(lease, ttl_secs.value());
        }
        let keys = txn.open_table(KEYS).map_err(redb::Error::from)?;
        for row in every_second_first(keys.iter().map_err(redb::Error::from)?) {
            let (key, columns) = row.map_err(redb::Error::from)?;
            let (written, lease, value) = columns.value();
            let stored = Stored {
                value: value.to_vec().into(),
                revision: written,
                lease: LeaseId::new(lease),
            };
            let key: bytes::Bytes = key.value().to_vec().into();
            if written > revision || !state.restore_key(key.clone(), stored) {
                let what = format!("key {key:?} is of an unknown revision or lease");
                return Err(LoadError::Inconsistent(what));
            }
        }
        Ok(state)
    }
}

/// Rows in an order that suits the state's trees: of each group every second one, then those between. In their
/// own order they would leave each node half empty behind them; so the second half fills what the first has made.
fn every_second_first<T>(mut rows: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    let groups = std::iter::from_fn(move || {
        let group = rows.by_ref().take(GROUP_ROWS).enumerate();
        let (first, second): (Vec<_>, Vec<_>) = group.partition(|(place, _)| place % 2 == 0);
        (!first.is_empty()).then(|| first.into_iter().chain(second))
    });
    groups.flatten().map(|(_, row)| row)
}

/// Rows of a group: many nodes of a tree, and next to no memory.
const GROUP_ROWS: usize = 1_024;

const FORMAT: &str = "format";
const CLUSTER: &str = "cluster";
const REVISION: &str = "revision";

/// Raised when the tables change in a way that older versions can't read.
pub(super) const FORMAT_NOW: u64 = 1;

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    fn database() -> Database {
        Database::builder().create_with_backend(InMemoryBackend::new()).unwrap()
    }

    /// A store that holds nothing but what `change` makes of its tables.
    fn changed(change: impl FnOnce(&redb::WriteTransaction)) -> LoadError {
        let (store, _) = Store::load(database()).unwrap();
        let txn = store.database.begin_write().unwrap();
        change(&txn);
        txn.commit().unwrap();
        Store::load(store.database).unwrap_err()
    }

    #[test]
    fn a_new_store_is_empty_and_keeps_its_cluster() {
        let (store, state) = Store::load(database()).unwrap();
        assert_eq!(state.stamp().revision, FIRST_REVISION);
        let (_, again) = Store::load(store.database).unwrap();
        assert_eq!(again.stamp(), state.stamp());
    }

    #[test]
    fn rows_come_in_two_halves_of_each_group() {
        let order = |count| every_second_first(0..count).collect::<Vec<usize>>();
        assert!(order(0).is_empty());
        assert_eq!(order(5), [0, 2, 4, 1, 3]);
        let mut all = order(GROUP_ROWS + 3);
        assert_eq!(all[GROUP_ROWS..], [GROUP_ROWS, GROUP_ROWS + 2, GROUP_ROWS + 1]);
        all.sort_unstable();
        assert!(all.into_iter().eq(0..GROUP_ROWS + 3), "a row is missing or doubled");
    }

    #[test]
    fn a_later_format_is_not_touched() {
        let error = changed(|txn| {
            txn.open_table(META).unwrap().insert(FORMAT, FORMAT_NOW + 1).unwrap();
        });
        assert!(matches!(error, LoadError::Newer(2)), "{error:?}");
    }

    #[test]
    fn a_store_that_contradicts_itself_is_refused() {
        for (columns, lease) in [((1, 7, &b""[..]), 8), ((2, 0, &b""[..]), 8)] {
            let error = changed(|txn| {
                txn.open_table(KEYS).unwrap().insert(&b"k"[..], columns).unwrap();
                txn.open_table(LEASES).unwrap().insert(lease, 1).unwrap();
            });
            let why = "key b\"k\" is of an unknown revision or lease";
            assert_eq!(error.to_string(), why);
        }
        let error = changed(|txn| {
            txn.open_table(META).unwrap().remove(REVISION).unwrap();
        });
        assert_eq!(error.to_string(), "its revision is missing");
        let error = changed(|txn| {
            txn.open_table(LEASES).unwrap().insert(0, 1).unwrap();
        });
        assert_eq!(error.to_string(), "a lease has no id");
    }
}
