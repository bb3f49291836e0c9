//! What the zones say to the API about a registration before it is written.

use std::sync::Arc;

use crate::api::{self, GuardRefusal};
use crate::zone::{Guard, Refusal, ZoneSettings};

/// The API's guard of these zones.
pub(super) fn guard(zones: &[ZoneSettings]) -> Arc<api::Guard> {
    let guard = Guard::new(zones);
    Arc::new(move |namespace, app, id| {
        guard.check(namespace, app, id).map_err(|refusal| match refusal {
            Refusal::Unserved(_) => GuardRefusal::Unserved(refusal.to_string()),
            Refusal::Static { .. } => GuardRefusal::Taken(refusal.to_string()),
        })
    })
}
