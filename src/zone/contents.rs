//! What a zone file holds, made ready to take the place of what it held before.
//!
//! Made by whoever read the file, so that the compiler's thread need not wait for a large one.

use std::sync::Arc;

use super::settings::{ZoneName, ZoneSettings};
use super::statics::Statics;

/// New content of a zone.
#[derive(Debug, Clone)]
pub struct Contents {
    pub(super) zone: ZoneName,
    pub(super) statics: Arc<Statics>,
}

impl Contents {
    /// The content of one of the zones `all`, as these settings of it say.
    #[must_use]
    pub fn new(settings: &ZoneSettings, all: &[ZoneSettings]) -> Self {
        let mut statics = Statics::new(settings);
        for (below, _) in settings.name.zones_below(all) {
            statics.lead_to(below);
        }
        Self { zone: settings.name.clone(), statics: Arc::new(statics) }
    }
}
