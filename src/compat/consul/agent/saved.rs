//! What of an agent outlives its server: services and checks, how they stood, and until when.
//!
//! Nobody looked while there was no server. A TTL check that its owner kept alive begins its time anew, as in Consul; one
//! whose time was over meanwhile is critical. Checks over HTTP and TCP are run at once, and are critical until then, unless
//! the registry still has what they stand for: then there was no time in which it could have been missed.
//!
//! Knows nothing of files.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Agent, Check, Service};
use crate::compat::consul::definition::{CheckDefinition, ServiceDefinition, Status};
use crate::model::{Label, map_app};

/// What owners tell is saved that much later at most: each word of theirs would be a write else.
pub(in crate::compat::consul) const TOLD_DELAY: Duration = Duration::from_secs(5);

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
    /// Until when its owner may be silent, in milliseconds since 1970.
    until: Option<u64>,
}

/// One moment, by the clock that goes on in one run, and by the one that goes on from one run to the next.
#[derive(Debug, Clone, Copy)]
pub(in crate::compat::consul) struct Clocks {
    pub(in crate::compat::consul) now: Instant,
    pub(in crate::compat::consul) wall: SystemTime,
}

impl Clocks {
    fn after(&self, wait: Duration) -> u64 {
        let since = self.wall.duration_since(UNIX_EPOCH).unwrap_or_default() + wait;
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

impl SavedCheck {
    fn new((id, check): (&String, &Check), clocks: Clocks) -> Self {
        let (status, output) = check.lasting();
        Self {
            id: id.clone(),
            definition: check.definition.clone(),
            status,
            output: output.to_owned(),
            until: check.left(clocks.now).map(|left| clocks.after(left)),
        }
    }

    /// The second run comes at a moment within the interval, and not with those of all others.
    fn resume(&self, clocks: Clocks, draw: impl FnOnce(Duration) -> Duration) -> Check {
        let mut check = Check::new(self.definition.clone(), clocks.now, Duration::ZERO);
        // Its owner may have told more than what was saved.
        let told = Duration::from_millis(self.until.unwrap_or(0)) + TOLD_DELAY;
        let overdue = told <= Duration::from_millis(clocks.after(Duration::ZERO));
        let spread = draw(check.pace().map(|pace| pace.interval).unwrap_or_default());
        check.restart((self.status, self.output.clone()), overdue, spread, clocks.now);
        check
    }
}

impl Agent {
    /// What of it outlives its server.
    pub(in crate::compat::consul) fn save(&self, clocks: Clocks) -> SavedAgent {
        let saved = |check| SavedCheck::new(check, clocks);
        let services = self.services.values().map(|service| SavedService {
            definition: service.definition.clone(),
            node: service.node,
            label: service.label.to_string(),
            resolved: service.resolved.clone(),
            checks: service.checks.iter().map(saved).collect(),
        });
        let node_checks = self.node.iter().map(saved).collect();
        SavedAgent { services: services.collect(), node_checks }
    }

    /// The agent that it was; `draw` gives a moment within a duration.
    pub(in crate::compat::consul) fn resume(
        saved: &SavedAgent,
        clocks: Clocks,
        mut draw: impl FnMut(Duration) -> Duration,
    ) -> Self {
        let mut agent = Self::default();
        for check in &saved.node_checks {
            agent.owners.insert(check.id.clone(), None);
            agent.node.insert(check.id.clone(), check.resume(clocks, &mut draw));
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
                checks.insert(check.id.clone(), check.resume(clocks, &mut draw));
            }
            let (definition, node) = (service.definition.clone(), service.node);
            let resolved = service.resolved.clone();
            let mut resumed = Service { definition, node, app, label, resolved, checks, octets: 0 };
            resumed.weigh();
            agent.services.insert(id.clone(), resumed);
        }
        agent
    }

    /// A service was passing a moment before the restart, since the registry still has it: so its checks, and its node's,
    /// stand as they did until they are run.
    pub(in crate::compat::consul) fn vouch(&mut self, id: &str, now: Instant) {
        let own = self.services.get_mut(id).into_iter().flat_map(|it| it.checks.values_mut());
        for check in own.chain(self.node.values_mut()) {
            self.version += u64::from(check.vouch(now));
        }
    }
}
