//! Under which name a service is registered: its own, or where that is another's one that nobody else has.
//!
//! Knows nothing of checks.

use super::Keeper;
use crate::compat::consul::agent::Service;
use crate::compat::consul::instance::instance;
use crate::compat::hold::{Loss, Lost, Target, is_same_place};
use crate::model::{Instance, limits};

impl Keeper {
    /// What is to be in answers of a service. Where its name is another's by now, it gets one of its own.
    pub(super) fn wanted(
        &self,
        id: &str,
        before: Option<&(Target, Instance)>,
    ) -> Option<(Target, Instance)> {
        let (target, wanted) = self.wish(id)?;
        if before.is_some_and(|(held, _)| *held == target) || !self.is_anothers(&target, &wanted) {
            return Some((target, wanted));
        }
        self.renamed(id).or_else(|| self.wish(id))
    }

    /// What is to be in answers of a service that gets a name of its own; none if it has that already.
    pub(super) fn renamed(&self, id: &str) -> Option<(Target, Instance)> {
        if !self.change(|agent, _| agent.relabel(id)) {
            return None;
        }
        self.save_soon();
        self.wish(id)
    }

    /// Does what is to be done about a service that others took out of the registry.
    pub(in crate::compat::consul) async fn lost(&self, Lost { target, why }: Lost) {
        let named = |service: &&Service| self.target(service) == target;
        let id = self.agent().services().find(named).map(|service| service.definition.id.clone());
        let Some(id) = id else { return };
        let mut held = self.stripe(&id).lock().await;
        if held.get(&id).is_none_or(|(held, _)| *held != target) {
            return;
        }
        match why {
            Loss::Taken => {
                drop(held);
                if self.renamed(&id).is_some() {
                    self.settle_soon([id]);
                }
            }
            // It stays away until it is registered again, or stands otherwise. That may have been by now.
            Loss::Dismissed => {
                if !self.hold.holds(&target).await {
                    held.remove(&id);
                }
            }
        }
    }

    pub(super) fn wish(&self, id: &str) -> Option<(Target, Instance)> {
        let agent = self.agent();
        let service = agent.service(id)?;
        let instance = instance(service, agent.weight(service)?)?;
        // As it is written, so that it can be compared with what is there.
        let ttl = Some(limits::TTL_SECS_DEFAULT);
        Some((self.target(service), Instance { ttl, ..instance }))
    }

    pub(super) fn target(&self, service: &Service) -> Target {
        let (app, id) = (service.app.clone(), service.label.clone());
        Target { namespace: self.namespace.clone(), app, id }
    }

    /// Whether an instance that is somewhere else has the name.
    pub(super) fn is_anothers(&self, target: &Target, wanted: &Instance) -> bool {
        let Target { namespace, app, id } = target;
        let snapshot = self.compat.published.load();
        snapshot
            .directory
            .registered(namespace, app, id)
            .is_some_and(|view| !is_same_place(&view.registration.instance, wanted))
    }
}
