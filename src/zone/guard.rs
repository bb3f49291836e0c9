//! Whether a registration onto a name can be served here at all, asked before it is written.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::contents::Contents;
use super::settings::{Names, ZoneName, ZoneSettings};
use super::statics::Statics;
use super::wire;
use crate::model::{AppName, Label, Namespace};

/// The names that are taken whatever is registered. Clones are one: what is replaced in one is replaced in all.
#[derive(Debug, Clone)]
pub struct Guard {
    zones: Arc<[Guarded]>,
}

/// One zone's.
#[derive(Debug)]
struct Guarded {
    zone: ZoneName,
    namespace: Option<Namespace>,
    names: Names,
    statics: ArcSwap<Statics>,
}

/// Why a registration would not be served as written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No zone of this server serves the namespace.
    #[error("no zone of this server serves namespace {0}")]
    Unserved(Namespace),
    /// A zone has static records on the name.
    #[error("{place} has static records on {name}")]
    Static {
        /// The name, relative to the zone.
        name: String,
        /// File and line.
        place: String,
    },
}

impl Guard {
    /// The guard of these zones.
    #[must_use]
    pub fn new(zones: &[ZoneSettings]) -> Self {
        let guarded = zones.iter().map(|zone| Guarded {
            zone: zone.name.clone(),
            namespace: zone.namespace.clone(),
            names: zone.names.clone(),
            statics: ArcSwap::from_pointee(Statics::new(zone)),
        });
        Self { zones: guarded.collect() }
    }

    /// Guards what a zone file holds from now on.
    pub fn replace(&self, contents: &Contents) {
        if let Some(guarded) = self.zones.iter().find(|guarded| guarded.zone == contents.zone) {
            guarded.statics.store(contents.statics.clone());
        }
    }

    /// Checks an app's name and, where given, an instance's.
    ///
    /// # Errors
    /// The first zone of the namespace that has static records on either, or that there is no such zone.
    pub fn check(
        &self,
        namespace: &Namespace,
        app: &AppName,
        id: Option<&Label>,
    ) -> Result<(), Refusal> {
        let refusal = |name: String, place: &str| Refusal::Static { name, place: place.to_owned() };
        let mut served = false;
        for zone in self.zones.iter().filter(|zone| zone.namespace.as_ref() == Some(namespace)) {
            served = true;
            let name = zone.names.relative(app);
            let statics = zone.statics.load();
            if let Some(place) = statics.place(&name) {
                return Err(refusal(app.to_string(), place));
            }
            let Some(id) = id else { continue };
            if let Some(place) = statics.place(&wire::child(id.as_str(), &name)) {
                return Err(refusal(format!("{id}.{app}"), place));
            }
        }
        if served { Ok(()) } else { Err(Refusal::Unserved(namespace.clone())) }
    }
}
