//! Writes a plan into etcd. What is there already is never overwritten unless that is asked for, or it is an earlier copy
//! of the same thing; a second run of the same plan writes nothing.
//!
//! Knows nothing of where a plan comes from.

use std::collections::{BTreeMap, HashMap};

use futures_util::stream::{self, StreamExt as _};

use super::{Plan, Planned, Skipped, text_of};
use crate::layout::native::imported_from;
use crate::registry::etcd::EtcdRegistry;
use crate::registry::{Committed, Entry, Error, LeaseId, Precondition, Registry as _, Txn, Write};

/// Writes under way at once: etcd makes one commit of those that arrive together.
const AT_ONCE: usize = 32;

/// Where a plan is written, and how.
pub struct Target<'a> {
    /// The etcd.
    pub registry: &'a EtcdRegistry,
    /// What all keys of the plan begin with.
    pub prefix: &'a [u8],
    /// Leases that are to be there, and their lengths in seconds; those of a plan that are not here are there already.
    pub leases: HashMap<LeaseId, u32>,
    /// Overwrite registrations that are no earlier copies.
    pub replace: bool,
    /// Write nothing, only say what would be.
    pub dry_run: bool,
}

/// What became of a plan.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Written where nothing was: source and key.
    pub copied: Vec<(String, String)>,
    /// Written over what was there.
    pub changed: Vec<(String, String)>,
    /// There already, as planned.
    pub unchanged: usize,
    /// Not copied, those of the plan among them.
    pub skipped: Vec<Skipped>,
}

/// What became of one key.
enum Fate {
    Copied,
    Changed,
    Unchanged,
    Skipped(&'static str),
}

impl Target<'_> {
    /// Carries the plan out; `progress` hears how many keys are done, of how many.
    ///
    /// # Errors
    /// Where etcd can't be reached or refuses a write. What was written stays; to run the plan again is safe.
    pub async fn run(
        &self,
        plan: Plan,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Report, Error> {
        let listing = self.registry.list(self.prefix, false, None).await?;
        let there: BTreeMap<_, _> =
            listing.entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        let total = plan.writes.len();
        let mut report = Report { skipped: plan.skipped, ..Report::default() };
        let fates = plan.writes.iter().map(async |planned| {
            let fate = self.one(planned, there.get(&planned.key)).await;
            fate.map(|fate| (planned, fate))
        });
        let mut fates = std::pin::pin!(stream::iter(fates).buffered(AT_ONCE));
        let mut done = 0;
        while let Some(fate) = fates.next().await {
            let (planned, fate) = fate?;
            let pair = || (planned.from.clone(), text_of(&planned.key));
            match fate {
                Fate::Copied => report.copied.push(pair()),
                Fate::Changed => report.changed.push(pair()),
                Fate::Unchanged => report.unchanged += 1,
                Fate::Skipped(why) => {
                    let key = planned.from.clone();
                    report.skipped.push(Skipped { key, reason: why.to_owned() });
                }
            }
            done += 1;
            progress(done, total);
        }
        Ok(report)
    }

    async fn one(&self, planned: &Planned, there: Option<&Entry>) -> Result<Fate, Error> {
        let Planned { from, key, value, lease } = planned;
        let (precondition, fate) = match there {
            None => (Precondition::Absent(key.clone()), Fate::Copied),
            Some(entry) if entry.value == value && entry.lease == *lease => {
                return Ok(Fate::Unchanged);
            }
            Some(entry) if self.replace || imported_from(&entry.value).as_ref() == Some(from) => {
                (Precondition::At(key.clone(), entry.revision), Fate::Changed)
            }
            Some(_) => {
                return Ok(Fate::Skipped(
                    "something is registered there already: --replace overwrites it",
                ));
            }
        };
        if self.dry_run {
            return Ok(fate);
        }
        if let Some((lease, secs)) = lease.and_then(|lease| self.leases.get_key_value(&lease)) {
            self.registry.grant_as(*lease, *secs).await?;
        }
        let write = Write::Put { key: key.clone(), value: value.clone(), lease: *lease };
        let txn = Txn { preconditions: vec![precondition], writes: vec![write] };
        match self.registry.commit(txn).await {
            Ok(Committed::Done(_)) => Ok(fate),
            Ok(Committed::Refused(_)) => Ok(Fate::Skipped("somebody registered there meanwhile")),
            Err(Error::LeaseNotFound) => Ok(Fate::Skipped("its lease has ended meanwhile")),
            Err(error) => Err(error),
        }
    }
}
