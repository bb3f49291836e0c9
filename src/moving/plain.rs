//! From the records of a DNS server's tree to those of a zone file: our own layout has no records without an app.
//!
//! What a name answers is asked of the catalogue that a server would have: so a name has the records below it here as
//! there.
//!
//! Knows nothing of how names and records are written.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Permanent, Plan, Skipped};
use crate::layout::Parsed;
use crate::layout::foreign::Foreign;
use crate::registry::mirror::{Delta, Kept, News};
use crate::registry::{Entry, Origin};
use crate::zone::statics::RrSet;
use crate::zone::{Catalogue, Snapshot, ZoneName, ZoneSettings, excerpt};

/// Longest time to live of a record, in seconds, and that of those that say none: what CoreDNS gives them.
const TTL_SECS: u32 = 300;

/// The records of a zone.
#[derive(Debug, Default)]
pub struct ZoneRecords {
    /// Names in wire form with the root label, the zone's own first, and a set that each has.
    pub sets: Vec<(Box<[u8]>, RrSet)>,
    /// Keys that are not in it, or not under the names that they ask for.
    pub skipped: Vec<Skipped>,
}

impl ZoneRecords {
    /// Those of a zone that a tree's entries make, with an SOA and an NS record. What has a lease would stay for ever in
    /// a file, as what has none does in a registry.
    #[must_use]
    pub fn of(layout: &Foreign, entries: &[Entry], zone: &ZoneName, leased: Permanent) -> Self {
        let (mut plan, mut news, mut names) = (Plan::default(), Vec::new(), BTreeSet::new());
        for entry in entries {
            match layout.parse(entry) {
                Parsed::Plain(_) if entry.lease.is_some() && leased == Permanent::Skip => {
                    plan.skip(
                        entry,
                        "it has a lease, and would stay for ever in a file: --permanent copies it",
                    );
                }
                Parsed::Plain(record) => {
                    names.extend(
                        [Some(&record.name), record.derived.as_ref()]
                            .into_iter()
                            .flatten()
                            .cloned(),
                    );
                    let parsed = Parsed::Plain(record);
                    let now = Kept { revision: entry.revision, lease: entry.lease, parsed };
                    news.push(News { key: entry.key.clone(), was: None, now: Some(now) });
                }
                Parsed::Rejected(reason) => plan.skip(entry, &*reason),
                _ => {}
            }
        }
        let snapshot = snapshot(layout, zone, news);
        let listed = snapshot.directory.rejected(None);
        plan.skipped.extend(
            listed.map(|one| Skipped { key: one.key.to_string(), reason: one.reason.to_string() }),
        );
        Self { sets: excerpt(&snapshot, zone, &names), skipped: plan.skipped }
    }
}

/// What a server would answer that has nothing else.
fn snapshot(layout: &Foreign, zone: &ZoneName, news: Vec<News<Parsed>>) -> Arc<Snapshot> {
    let settings = ZoneSettings {
        name: zone.clone(),
        namespace: Some(layout.namespace.clone()),
        ttl_secs: TTL_SECS,
        ..ZoneSettings::default()
    };
    let mut catalogue =
        Catalogue::new(&[settings], &[], &[]).with_layouts([layout.namespace.clone()]);
    let whole = |news| Delta { revision: 1, epoch: 0, whole: true, news };
    catalogue.apply(Origin::NATIVE, &whole(Vec::new()));
    catalogue.apply(Origin(1), &whole(news));
    // Nothing has been built that would have others wait.
    catalogue.compile(&|| Duration::ZERO).snapshot
}
