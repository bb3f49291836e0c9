//! What is registered of which container, and the tasks that keep it so.
//!
//! ```text
//! started, found by a look --> set(container, services) --> a registration for each service
//! died, found gone ----------> end(container, farewell) --> deregistered, or left to its lease
//! ```
//!
//! Knows nothing of the engine.

use std::collections::HashMap;

use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::services::Service;
use crate::cli::client::Client;
use crate::cli::error::Error;
use crate::cli::instance::Described;
use crate::cli::output;
use crate::cli::registration::{Lost, OnRefusal, Registration};
use crate::model::{Label, derived_label, map_label};

/// Registrations by container.
pub(super) struct Table {
    client: Client,
    containers: HashMap<String, Vec<Held>>,
    tasks: JoinSet<()>,
}

/// One registration that is kept, or that was lost to another who took its id.
struct Held {
    service: Service,
    label: Label,
    stop: CancellationToken,
    task: AbortHandle,
}

/// How a registration ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// It is taken away at once.
    Deregister,
    /// It is no longer renewed.
    LeaveToLease,
}

impl Table {
    /// Nothing is registered yet.
    pub(super) fn new(client: Client) -> Self {
        Self { client, containers: HashMap::new(), tasks: JoinSet::new() }
    }

    /// The containers that it knows, also those of which nothing is registered.
    pub(super) fn containers(&self) -> Vec<String> {
        self.containers.keys().cloned().collect()
    }

    /// Whether it knows that container.
    pub(super) fn knows(&self, container: &str) -> bool {
        self.containers.contains_key(container)
    }

    /// From now on these services of that container are registered, and no others. What is registered already and is still
    /// the same is left alone, unless somebody took its id.
    pub(super) fn set(&mut self, container: &str, services: Vec<Service>) {
        self.bury();
        let before = self.containers.remove(container);
        let is_new = before.is_none();
        let mut kept = Vec::with_capacity(services.len());
        let mut new = Vec::new();
        let mut before: Vec<_> = before.into_iter().flatten().map(Some).collect();
        for service in services {
            let same = |held: &Held| held.service == service && !held.task.is_finished();
            let place = before.iter_mut().find(|held| held.as_ref().is_some_and(same));
            match place.and_then(Option::take) {
                Some(held) => kept.push(held),
                None => new.push(service),
            }
        }
        for held in before.into_iter().flatten() {
            held.end(Farewell::Deregister);
        }
        self.containers.insert(container.to_owned(), kept);
        for service in new {
            match self.label(&service) {
                Ok(label) => {
                    let held = self.keep(service, label);
                    self.containers.entry(container.to_owned()).or_default().push(held);
                }
                // Of what was looked at before, it was said then.
                Err(_) if !is_new => {}
                Err(why) => output::note(&format!(
                    "left out: port {} of container {}: {why}",
                    service.port,
                    short(container)
                )),
            }
        }
    }

    /// The container is gone.
    pub(super) fn end(&mut self, container: &str, farewell: Farewell) {
        for held in self.containers.remove(container).unwrap_or_default() {
            if farewell == Farewell::LeaveToLease && !held.task.is_finished() {
                output::note(&format!(
                    "{} {} is left to its lease: its container failed",
                    held.service.app, held.label
                ));
            }
            held.end(farewell);
        }
        self.bury();
    }

    /// Takes all registrations away, and waits until that is done.
    pub(super) async fn leave(&mut self) {
        for held in self.containers.drain().flat_map(|(_, services)| services) {
            held.end(Farewell::Deregister);
        }
        while self.tasks.join_next().await.is_some() {}
    }

    /// The id that a service is registered under. Two that only mapping makes alike are told apart; of two that say the
    /// same id, the first has it.
    fn label(&self, service: &Service) -> Result<Label, String> {
        let label = map_label(service.id.as_bytes()).map_err(|rule| format!("its id {rule}"))?;
        let mut others = self.containers.values().flatten();
        let same = |held: &&Held| held.service.app == service.app && held.label == label;
        match others.find(same) {
            None => Ok(label),
            Some(other) if other.service.id == service.id => Err(format!(
                "{} {label} is registered for another port or container: give it a SERVICE_ID of its own",
                service.app
            )),
            Some(_) => Ok(derived_label(label.as_str(), service.id.as_bytes())),
        }
    }

    fn keep(&mut self, service: Service, label: Label) -> Held {
        let stop = CancellationToken::new();
        let Service { spec, instance, .. } = service.clone();
        let described = Described { spec, instance, id: Some(label.clone()), address_flag: "--ip" };
        let registration = Registration::new(self.client.clone(), service.app.clone(), described);
        let task = self.tasks.spawn(keep(registration, stop.clone()));
        Held { service, label, stop, task }
    }

    /// Forgets tasks that have ended.
    fn bury(&mut self) {
        while self.tasks.try_join_next().is_some() {}
    }
}

impl Held {
    fn end(self, farewell: Farewell) {
        match farewell {
            Farewell::Deregister => self.stop.cancel(),
            // Also a registration whose answer is under way ends with its lease.
            Farewell::LeaveToLease => self.task.abort(),
        }
    }
}

/// One registration's whole life.
async fn keep(mut registration: Registration, stop: CancellationToken) {
    let told = |registration: &Registration, _: &_| {
        output::note(&format!("registered {}", registration.name()));
    };
    let kept = registration.keep(&stop, OnRefusal::TryLater, told).await;
    let name = registration.name();
    if let Err(Lost::Taken(why) | Lost::Refused(why)) = kept {
        output::note(&format!("{name} is another one's now: {why}"));
    }
    if !registration.is_held() {
        return;
    }
    let secs = registration.ttl().unwrap_or_default().as_secs();
    match registration.leave().await {
        Ok(()) => output::note(&format!("deregistered {name}")),
        Err(error) => output::note(&format!(
            "cannot deregister {name}: {}: it goes with its lease, in {secs} s at most",
            Error::from(error)
        )),
    }
}

/// As many digits of a container's id as people are shown.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
