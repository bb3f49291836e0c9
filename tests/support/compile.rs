//! From a case to the snapshot that the product makes of it.

use std::sync::Arc;
use std::time::Duration;

use rollcall::layout::Parsed;
use rollcall::layout::native::{Keys, PREFIX_DEFAULT};
use rollcall::registry::Origin;
use rollcall::registry::mirror::{Delta, Kept, News};
use rollcall::zone::{Catalogue, Snapshot};

use crate::case::Case;

/// The revision at which everything in a case was written.
const REVISION: u64 = 7;

/// The snapshot that shows what the case says. The only place of the case tests that knows how the product
/// compiles.
pub(crate) fn compile(case: &Case) -> Arc<Snapshot> {
    let keys = Keys::new(PREFIX_DEFAULT);
    let registered = case.registrations.iter().map(|registration| {
        let id = registration.id.parse().expect("ids of our own layout are labels");
        let key = keys.instance(&registration.namespace, &registration.app, &id);
        (key, Parsed::Instance(Arc::new(registration.clone())))
    });
    let marked = case.marks.iter().map(|mark| {
        let key = keys.offline(&mark.namespace, &mark.app, mark.id.as_ref());
        (key, Parsed::Offline(Arc::new(mark.clone())))
    });
    let mut news: Vec<News<Parsed>> = registered
        .chain(marked)
        .chain(case.records.iter().map(|(key, parsed)| (key.clone().into(), parsed.clone())))
        .map(|(key, parsed)| {
            let now = Some(Kept { revision: REVISION, lease: None, parsed });
            News { key, was: None, now }
        })
        .collect();
    news.sort_by(|one, other| one.key.cmp(&other.key));
    let mut catalogue = Catalogue::new(&case.zones, &case.pins, &[]);
    if case.ready {
        catalogue.apply(Origin::NATIVE, &Delta { revision: REVISION, epoch: 0, whole: true, news });
    } else {
        assert!(news.is_empty(), "what nobody has seen yet can't be registered");
    }
    // Everything is due: nothing was built before.
    let compiled = catalogue.compile(&|| Duration::from_secs(1));
    assert_eq!(compiled.due, None);
    compiled.snapshot
}
