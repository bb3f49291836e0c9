//! What was registered before a restart: what is believed of it, and what is held of it again.
//!
//! Knows nothing of how it was saved.

use std::time::Duration;

use tokio::time::timeout;

use super::Keeper;
use crate::compat::consul::agent::Service;
use crate::compat::consul::instance::instance;
use crate::compat::hold::{Reason, Target, is_same_place};
use crate::model::Instance;

/// How long a start waits for the first view of the registry: leases are longer.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

impl Keeper {
    /// Waits until it is known what others have registered, so that names which they took meanwhile are left to them;
    /// but not for long, as leases go on.
    pub(in crate::compat::consul) async fn seen(&self) {
        let published = &self.compat.published;
        let ready = async {
            loop {
                let edition = published.edition();
                if published.load().knows(&self.namespace) {
                    return;
                }
                published.changed(edition).await;
            }
        };
        tokio::select! {
            _ = timeout(READY_TIMEOUT, ready) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Believes what was saved of the services that the registry still has: there was no time in which their end could have
    /// been missed.
    pub(in crate::compat::consul) fn vouch(&self) {
        let ids: Vec<String> = {
            let agent = self.agent();
            let there = agent.services().filter(|service| self.there(service).is_some());
            there.map(|service| service.definition.id.clone()).collect()
        };
        self.change(|agent, now| ids.iter().for_each(|id| agent.vouch(id, now)));
    }

    /// Holds on to a service that was held before a restart, if it is still to be.
    pub(in crate::compat::consul) async fn resume(&self, id: &str) {
        let mut held = self.stripe(id).lock().await;
        if held.contains_key(id) {
            // A call was faster.
            return;
        }
        if let Some((target, instance)) = self.wanted(id, None) {
            self.hold.resume(target.clone(), instance.clone()).await;
            if self.hold.check(&target, &instance).is_ok() {
                held.insert(id.to_owned(), (target, instance));
            }
        } else if !self.compat.shared_registry {
            // Leases of a registry of our own began anew with us. In another's they went on, and what is there by now may be
            // held by the server that its client went to meanwhile.
            let stale = {
                let agent = self.agent();
                agent
                    .service(id)
                    .and_then(|service| Some((self.target(service), self.there(service)?)))
            };
            if let Some((target, instance)) = stale {
                self.hold.let_go(target, instance, Reason::Critical).await;
            }
        }
    }

    /// What the registry has of a service, where that is.
    fn there(&self, service: &Service) -> Option<Instance> {
        let wanted = instance(service, service.definition.weights.passing)?;
        let Target { namespace, app, id } = self.target(service);
        let snapshot = self.compat.published.load();
        let view = snapshot.directory.registered(&namespace, &app, &id)?;
        let there = &view.registration.instance;
        is_same_place(there, &wanted).then(|| there.clone())
    }
}
