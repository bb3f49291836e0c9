//! What of an agent outlives its server: services and checks, and how they stood. Clocks begin anew.
//!
//! Knows nothing of files.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::service::probe_id;
use super::{Agent, Check, Service};
use crate::compat::consul::definition::{CheckDefinition, Kind, ServiceDefinition, Status};
use crate::model::{Label, map_app};

/// All of it.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::compat::consul) struct SavedAgent {
    services: Vec<SavedService>,
    node_checks: Vec<SavedCheck>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedService {
    definition: ServiceDefinition,
    node: IpAddr,
    label: String,
    resolved: BTreeMap<String, Vec<IpAddr>>,
    checks: Vec<SavedCheck>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedCheck {
    id: String,
    definition: CheckDefinition,
    status: Status,
    output: String,
}

impl SavedCheck {
    fn new((id, check): (&String, &Check)) -> Self {
        Self {
            id: id.clone(),
            definition: check.definition.clone(),
            status: check.status,
            output: check.output.clone(),
        }
    }

    /// The first run comes at a moment within the interval, and not with those of all others.
    fn resume(&self, now: Instant, draw: impl FnOnce(Duration) -> Duration) -> Check {
        let delay = match &self.definition.kind {
            Kind::Http(_, pace) | Kind::Tcp { pace, .. } => draw(pace.interval),
            _ => Duration::ZERO,
        };
        let mut check = Check::new(self.definition.clone(), now, delay);
        check.resume(self.status, &self.output, now);
        check
    }
}

impl Agent {
    /// What of it outlives its server.
    pub(in crate::compat::consul) fn save(&self) -> SavedAgent {
        let services = self.services.values().map(|service| SavedService {
            definition: service.definition.clone(),
            node: service.node,
            label: service.label.to_string(),
            resolved: service.resolved.clone(),
            checks: service.checks.iter().map(SavedCheck::new).collect(),
        });
        let node_checks = self.node.iter().map(SavedCheck::new).collect();
        SavedAgent { services: services.collect(), node_checks }
    }

    /// The agent that it was; `draw` gives a moment within a duration.
    pub(in crate::compat::consul) fn resume(
        saved: &SavedAgent,
        now: Instant,
        mut draw: impl FnMut(Duration) -> Duration,
    ) -> Self {
        let mut agent = Self::default();
        for check in &saved.node_checks {
            agent.owners.insert(check.id.clone(), None);
            agent.node.insert(check.id.clone(), check.resume(now, &mut draw));
        }
        for service in &saved.services {
            let id = &service.definition.id;
            // Both were legal when they were saved; a file that somebody mended may not be.
            let (Ok(app), Ok(label)) =
                (map_app(service.definition.name.as_bytes()), Label::new(&service.label))
            else {
                continue;
            };
            let mut checks = BTreeMap::new();
            for check in &service.checks {
                agent.owners.insert(check.id.clone(), Some(id.clone()));
                // Nobody was asked meanwhile whether one that nobody else checks is still there.
                let check_now = check.id == probe_id(id);
                let mut resumed = check.resume(now, |within| match check_now {
                    true => Duration::ZERO,
                    false => draw(within),
                });
                if check_now {
                    resumed.doubt();
                }
                checks.insert(check.id.clone(), resumed);
            }
            let (definition, node) = (service.definition.clone(), service.node);
            let resolved = service.resolved.clone();
            let resumed = Service { definition, node, app, label, resolved, checks };
            agent.services.insert(id.clone(), resumed);
        }
        agent
    }
}
