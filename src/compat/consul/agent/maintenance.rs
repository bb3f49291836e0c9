//! Maintenance: a check that an operator's word makes critical until it is taken back.
//!
//! Knows nothing of who asks for it.

use std::time::Duration;

use tokio::time::Instant;

use super::service::maintenance_id;
use super::{Agent, Check, Touched};
use crate::compat::consul::definition::{CheckDefinition, Kind, Status};

/// Characters of a reason that are kept.
const REASON_CHARS_MAX: usize = 1_000;
/// The check that is there while the node is in maintenance.
const NODE_MAINTENANCE: &str = "_node_maintenance";

impl Agent {
    /// Puts a service (none: the node) into maintenance, or takes it out. None: there is no such service.
    pub(in crate::compat::consul) fn maintain(
        &mut self,
        service: Option<&str>,
        reason: Option<&str>,
        now: Instant,
    ) -> Option<Touched> {
        if service.is_some_and(|id| !self.services.contains_key(id)) {
            return None;
        }
        let id = service.map_or_else(|| NODE_MAINTENANCE.to_owned(), maintenance_id);
        let mut touched = self.disown(&id);
        if let Some(reason) = reason {
            let what = if service.is_some() { "Service" } else { "Node" };
            let notes = match reason {
                "" => format!(
                    "Maintenance mode is enabled for this {}, but no reason was provided. This is a default message.",
                    what.to_ascii_lowercase()
                ),
                text => text.chars().take(REASON_CHARS_MAX).collect(),
            };
            let definition = CheckDefinition {
                id: Some(id.clone()),
                name: format!("{what} Maintenance Mode"),
                notes,
                service_id: service.map(str::to_owned),
                status: Status::Critical,
                kind: Kind::Maintenance,
                deregister_after: None,
                failures_before_critical: 0,
                successes_before_passing: 0,
                afar: false,
            };
            let check = Check::new(definition, now, Duration::ZERO);
            match service.and_then(|id| self.services.get_mut(id)) {
                Some(service) => service.checks.insert(id.clone(), check),
                None => self.node.insert(id.clone(), check),
            };
            self.owners.insert(id, service.map(str::to_owned));
            touched = self.concerned(service);
        }
        self.version += 1;
        Some(touched)
    }
}
