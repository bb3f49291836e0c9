//! Whether a registration onto a name can be served here at all, asked before it is written.

use super::settings::ZoneSettings;
use super::statics::Statics;
use super::wire;
use crate::model::{AppName, Label, Namespace};

/// The names that are taken whatever is registered.
#[derive(Debug)]
pub struct Guard {
    zones: Vec<(Option<Namespace>, Statics)>,
}

/// A name that the zone file has records on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} has static records on {name}")]
pub struct Refusal {
    /// The name, relative to the zone.
    pub name: String,
    /// File and line.
    pub place: String,
}

impl Guard {
    /// The guard of these zones.
    #[must_use]
    pub fn new(zones: &[ZoneSettings]) -> Self {
        Self {
            zones: zones.iter().map(|zone| (zone.namespace.clone(), Statics::new(zone))).collect(),
        }
    }

    /// Whether a zone of this server serves that namespace.
    #[must_use]
    pub fn serves(&self, namespace: &Namespace) -> bool {
        self.zones.iter().any(|(zone, _)| zone.as_ref() == Some(namespace))
    }

    /// Checks an app's name and an instance's.
    ///
    /// # Errors
    /// The first zone of the namespace that has static records on either.
    pub fn check(&self, namespace: &Namespace, app: &AppName, id: &Label) -> Result<(), Refusal> {
        let name = wire::relative(app);
        let child = wire::child(id.as_str(), &name);
        for (_, statics) in self.zones.iter().filter(|(zone, _)| zone.as_ref() == Some(namespace)) {
            if let Some(place) = statics.place(&name) {
                return Err(Refusal { name: app.to_string(), place: place.to_owned() });
            }
            if let Some(place) = statics.place(&child) {
                return Err(Refusal { name: format!("{id}.{app}"), place: place.to_owned() });
            }
        }
        Ok(())
    }
}
