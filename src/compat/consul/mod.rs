//! The agent of Consul (`[compat.consul]`): the calls that clients register and find services by.
//!
//! ```text
//! body --definition--> agent (services, checks, clocks) --instance--> keeper --hold--> registry
//!                        |          ^-- run: checks over HTTP and TCP     background: what time brings about
//!                        +--saved--> data directory
//! directory + agent --catalog--> view --answer--> JSON, at once or when it changes
//! ```
//!
//! This server is the agent of a host, as Consul's own are: a service is alive as long as its checks say so, and is held in
//! the registry by the server that it was registered with. Where that is gone, so are they, once their leases end.
//! `instance` says what a service is in DNS, `definition::check` which checks are run, and `reach` where they may lead to.
//!
//! Knows nothing of DNS.

mod agent;
mod answer;
mod background;
mod catalog;
pub mod definition;
mod duration;
mod instance;
mod keeper;
mod listener;
mod query;
mod reach;
mod read;
mod resolver;
mod run;
mod tags;
mod view;
mod write;

pub use duration::GoDuration;
pub use tags::Tags;

pub(super) use listener::router;

use crate::model::{AppName, Instance, Label};

/// What the body of a registration registers, as soon as it passes: app, id and instance; none where it has no port, or an
/// address that is yet to be resolved.
///
/// # Errors
/// What Consul says, or would have to.
pub fn registered(body: &[u8]) -> Result<Option<(AppName, Label, Instance)>, String> {
    let (service, checks) = definition::service(body)?;
    let (id, mut agent) = (service.id.clone(), agent::Agent::default());
    let place = (std::net::IpAddr::from([192, 0, 2, 1]), std::collections::BTreeMap::new());
    agent.register(service, checks, place, false, tokio::time::Instant::now())?;
    Ok(agent.service(&id).and_then(|service| {
        let instance = instance::instance(service, service.definition.weights.passing)?;
        Some((service.app.clone(), service.label.clone(), instance))
    }))
}
