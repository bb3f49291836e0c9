//! What one agent knows: the services that were registered with it, their checks, and how they stand.
//!
//! ```text
//! critical by an operator > critical > warning > passing     the worst of a service's checks and of its node's
//! in answers, with its weight for it:   warning, passing     a service without a check is connected to
//! ```
//!
//! Pure: the clock is handed in, and what is to be done (a check to run, a service whose state may have changed) is handed
//! out. A service that is registered again keeps how its checks stood, their clocks begin anew.
//!
//! Knows nothing of the registry, of DNS and of sockets.

mod check;
mod leaving;
mod maintenance;
pub(super) mod saved;
mod service;
mod size;
mod standing;
#[cfg(test)]
mod tests;
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

pub(super) use self::check::Check;
pub(super) use self::leaving::Leaving;
pub(super) use self::service::{Service, bare};
pub(super) use self::time::Run;

use self::service::{PROBE, is_own, maintenance_id, probe_id};
use self::size::{octets, within};
use super::definition::{CHECKS_MAX, CheckDefinition, ServiceDefinition, Status};
use crate::model::{Label, default_id, map_app};

/// Services that an agent may have, and checks of its node.
const SERVICES_MAX: usize = 10_000;
const NODE_CHECKS_MAX: usize = 64;

/// Services and checks by their ids.
#[derive(Debug, Default)]
pub(super) struct Agent {
    services: BTreeMap<String, Service>,
    /// Whose a check is; none: the node's.
    owners: BTreeMap<String, Option<String>>,
    /// Checks of the node, and so of all services.
    node: BTreeMap<String, Check>,
    leaving: Leaving,
    /// Grows with everything that is shown.
    version: u64,
    runs: u64,
}

/// The ids of services whose standing, place or weight may be another now, gone ones among them.
pub(super) type Touched = BTreeSet<String>;

impl Agent {
    /// Registers a service, in place of one of the same id. Checks that it had stay, unless `replace` says that those
    /// given are all.
    ///
    /// # Errors
    /// What Consul says, or would have to.
    pub(super) fn register(
        &mut self,
        definition: ServiceDefinition,
        checks: Vec<CheckDefinition>,
        place: (IpAddr, BTreeMap<String, Vec<IpAddr>>),
        replace: bool,
        now: Instant,
    ) -> Result<Touched, String> {
        let (node, resolved) = place;
        let id = definition.id.clone();
        if self.services.len() >= SERVICES_MAX && !self.services.contains_key(&id) {
            return Err(format!(
                "Validation failed: {SERVICES_MAX} services are registered already"
            ));
        }
        let app = map_app(definition.name.as_bytes())
            .map_err(|rule| format!("Validation failed: Name {:?} {rule}", definition.name))?;
        let (label, checks_before) = match self.services.get(&id) {
            Some(before) => (before.label.clone(), before.checks.clone()),
            None => (default_id(node, definition.port), BTreeMap::new()),
        };
        let mut service =
            Service { definition, node, app, label, resolved, checks: BTreeMap::new(), octets: 0 };
        service.label = self.free_label(&service);
        let count = checks.len();
        for (i, definition) in checks.into_iter().enumerate() {
            let check_id = match (&definition.id, count) {
                (Some(id), _) => id.clone(),
                (None, 1) => format!("service:{id}"),
                (None, _) => format!("service:{id}:{}", i + 1),
            };
            let mut check = Check::new(definition, now, Duration::ZERO);
            if let Some(before) = self.check(&check_id) {
                check.resume(before.status, &before.output, now);
            }
            service.checks.insert(check_id, check);
        }
        for (check_id, before) in checks_before {
            if !replace || check_id == maintenance_id(&id) {
                service.checks.entry(check_id).or_insert(before);
            }
        }
        if service.checks_beside("") > CHECKS_MAX {
            return Err(format!("Invalid check: a service has at most {CHECKS_MAX}"));
        }
        service.weigh();
        self.fits(&id, service.octets)?;
        self.remove(&id, now);
        for check_id in service.checks.keys().cloned().collect::<Vec<_>>() {
            self.disown(&check_id);
            self.owners.insert(check_id, Some(id.clone()));
        }
        self.services.insert(id.clone(), service);
        self.probe_if_unchecked(&id, now);
        self.version += 1;
        Ok(Touched::from([id]))
    }

    /// Removes a service and its checks.
    pub(super) fn deregister(&mut self, id: &str, now: Instant) -> Touched {
        match self.remove(id, now) {
            true => Touched::from([id.to_owned()]),
            false => Touched::new(),
        }
    }

    /// Puts a service back as it was: what came in its place can't be served.
    pub(super) fn restore(&mut self, before: Service, now: Instant) {
        let id = before.definition.id.clone();
        self.remove(&id, now);
        for check_id in before.checks.keys() {
            self.owners.insert(check_id.clone(), Some(id.clone()));
        }
        self.services.insert(id, before);
        self.version += 1;
    }

    /// Registers a check, of a service or of the node, in place of one of the same id.
    ///
    /// # Errors
    /// What Consul says.
    pub(super) fn register_check(
        &mut self,
        definition: CheckDefinition,
        now: Instant,
    ) -> Result<Touched, String> {
        let id = definition.id.clone().unwrap_or_else(|| definition.name.clone());
        let owner = definition.service_id.clone();
        let mut check = Check::new(definition, now, Duration::ZERO);
        if let Some(before) = self.check(&id) {
            check.resume(before.status, &before.output, now);
        }
        within(octets(&check.definition))?;
        match &owner {
            None if self.node.len() >= NODE_CHECKS_MAX && !self.node.contains_key(&id) => {
                return Err(format!("Invalid check: the node has {NODE_CHECKS_MAX} already"));
            }
            None => {}
            Some(service) => match self.services.get(service) {
                None => return Err(format!("ServiceID {service:?} does not exist")),
                Some(service) if service.checks_beside(&id) >= CHECKS_MAX => {
                    return Err(format!("Invalid check: a service has at most {CHECKS_MAX}"));
                }
                Some(service) => {
                    let before =
                        service.checks.get(&id).map_or(0, |before| octets(&before.definition));
                    let with = service.octets.saturating_sub(before) + octets(&check.definition);
                    self.fits(&service.definition.id, with)?;
                }
            },
        }
        let mut touched = self.disown(&id);
        match owner.as_ref().and_then(|service| self.services.get_mut(service)) {
            Some(service) => {
                service.octets += octets(&check.definition);
                service.checks.insert(id.clone(), check)
            }
            None => self.node.insert(id.clone(), check),
        };
        touched.append(&mut self.concerned(owner.as_deref()));
        self.owners.insert(id, owner.clone());
        for service in owner.iter().chain(&touched.clone()) {
            self.probe_if_unchecked(service, now);
        }
        self.version += 1;
        Ok(touched)
    }

    /// Removes a check.
    pub(super) fn deregister_check(&mut self, id: &str, now: Instant) -> Touched {
        let touched = self.disown(id);
        for service in &touched {
            self.probe_if_unchecked(service, now);
        }
        self.version += u64::from(!touched.is_empty());
        touched
    }

    /// Takes what the owner of a TTL check tells. None: there is no such check.
    pub(super) fn told(
        &mut self,
        id: &str,
        status: Status,
        output: &str,
        now: Instant,
    ) -> Option<Touched> {
        let changed = self.check_mut(id)?.told(status, output, now)?;
        Some(self.changed(id, changed))
    }

    /// Takes the addresses that the host names of a service have by now.
    pub(super) fn resolved(&mut self, id: &str, found: BTreeMap<String, Vec<IpAddr>>) -> Touched {
        let Some(service) = self.services.get_mut(id) else { return Touched::new() };
        if service.resolved == found {
            return Touched::new();
        }
        service.resolved = found;
        Touched::from([id.to_owned()])
    }

    /// Gives a service another label, as the one that it has is another's of the same app.
    pub(super) fn relabel(&mut self, id: &str) -> bool {
        let Some(service) = self.services.get_mut(id) else { return false };
        let label = service.unique_label();
        std::mem::replace(&mut service.label, label) != service.label
    }

    /// The registry says of a service what it is to say.
    pub(super) fn settled(&mut self, id: &str) {
        self.leaving.settled(id);
    }

    /// The names that services here had a moment ago.
    pub(super) fn leaving(&self) -> &Leaving {
        &self.leaving
    }

    /// A service.
    pub(super) fn service(&self, id: &str) -> Option<&Service> {
        self.services.get(id)
    }

    /// All services, by id.
    pub(super) fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// The checks of the node.
    pub(super) fn node_checks(&self) -> impl Iterator<Item = (&str, &Check)> {
        self.node.iter().map(|(id, check)| (id.as_str(), check))
    }

    /// Grows with everything that is shown.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    fn checks_mut(&mut self) -> impl Iterator<Item = (&String, &mut Check)> {
        let of_services = self.services.values_mut().flat_map(|service| service.checks.iter_mut());
        of_services.chain(self.node.iter_mut())
    }

    fn check(&self, id: &str) -> Option<&Check> {
        match self.owners.get(id)? {
            Some(service) => self.services.get(service)?.checks.get(id),
            None => self.node.get(id),
        }
    }

    fn check_mut(&mut self, id: &str) -> Option<&mut Check> {
        match self.owners.get(id)? {
            Some(service) => self.services.get_mut(service)?.checks.get_mut(id),
            None => self.node.get_mut(id),
        }
    }

    /// The services that something of that owner concerns.
    fn concerned(&self, owner: Option<&str>) -> Touched {
        match owner {
            Some(service) => Touched::from([service.to_owned()]),
            None => self.services.keys().cloned().collect(),
        }
    }

    fn changed(&mut self, check: &str, changed: bool) -> Touched {
        let owner = match self.owners.get(check) {
            Some(owner) if changed => owner.clone(),
            _ => return Touched::new(),
        };
        self.version += 1;
        self.concerned(owner.as_deref())
    }

    /// Takes a check from whoever has it.
    fn disown(&mut self, id: &str) -> Touched {
        let Some(owner) = self.owners.remove(id) else { return Touched::new() };
        match owner.as_ref().map(|service| self.services.get_mut(service)) {
            Some(Some(service)) => {
                let removed = service.checks.remove(id);
                if let Some(check) =
                    removed.as_ref().filter(|_| !is_own(&service.definition.id, id))
                {
                    service.octets = service.octets.saturating_sub(octets(&check.definition));
                }
                removed
            }
            Some(None) => None,
            None => self.node.remove(id),
        };
        self.concerned(owner.as_deref())
    }

    fn remove(&mut self, id: &str, now: Instant) -> bool {
        let Some(service) = self.services.remove(id) else { return false };
        self.leaving.add(&service, now);
        for check in service.checks.keys() {
            self.owners.remove(check);
        }
        self.version += 1;
        true
    }

    /// Connects to what nobody checks otherwise, and leaves what somebody does.
    fn probe_if_unchecked(&mut self, id: &str, now: Instant) {
        let Some(service) = self.services.get_mut(id) else { return };
        let probe_id = probe_id(id);
        if service.checks.keys().any(|check| !is_own(id, check)) {
            service.checks.remove(&probe_id);
            self.owners.remove(&probe_id);
            return;
        }
        let Some(definition) = service.probe() else { return };
        let same = |check: &Check| check.definition == definition;
        if !service.checks.get(&probe_id).is_some_and(same) {
            service.checks.insert(probe_id.clone(), Check::new(definition, now, PROBE.interval));
            self.owners.insert(probe_id, Some(id.to_owned()));
        }
    }

    /// The label that a service gets: its own, or where another service here has that, a derived one.
    fn free_label(&self, service: &Service) -> Label {
        let label = service.mapped_label();
        let id = &service.definition.id;
        let mut others = self.services.values().filter(|other| other.definition.id != *id);
        match others.any(|other| other.app == service.app && other.label == label) {
            true => service.unique_label(),
            false => label,
        }
    }
}
