//! The HTTP API: registration, operators' marks, reading, watching, health and metrics, as
//! docs/api.md describes it.
//!
//! ```text
//! crate::http --request--> gate --admitted--> handler --> registry (writes)
//!                         gate.rs               |-----> published snapshot (reads)
//! ```
//!
//! [`bind`] opens the sockets and reports their addresses, [`serve`] runs until it is told to stop and then
//! finishes what is in flight. In reading order: `server`, `routes`, `gate`, `call`, `register`, `depart`,
//! `marks`, `read`, `watch`.
//!
//! Knows nothing of DNS and of etcd: it writes through [`crate::registry::Registry`] and reads the directory
//! of the published snapshot.

mod body;
mod call;
mod depart;
mod gate;
mod health;
mod history;
mod listen;
mod marks;
mod metrics;
mod problem;
mod read;
mod register;
mod renewals;
mod routes;
mod server;
pub mod settings;
mod store;
mod token;
mod view;
mod watch;

pub use health::{Readiness, SourceReadiness};
pub use history::History;
pub use listen::{BindError, Listener, bind};
pub use metrics::Metrics;
pub use server::serve;
pub use settings::{Permission, Settings, Token};

use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::registry::Registry as MetricsRegistry;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::layout::native::Keys;
use crate::registry::{LeaseId, Registry};
use crate::zone::{Guard, Published};

/// What the API is made of; `serve` puts it together.
pub struct Api {
    /// Where writes go.
    pub registry: Arc<dyn Registry>,
    /// Whether other machines read that registry too: a loopback address means nothing to them.
    pub shared_registry: bool,
    /// How keys are written.
    pub keys: Keys,
    /// The names of the layouts that are read besides ours, in the order of their numbers.
    pub layouts: Vec<&'static str>,
    /// Where reads come from.
    pub published: Arc<Published>,
    /// What zones have to say about a registration.
    pub guard: Guard,
    /// What watchers are told.
    pub history: Arc<History>,
    /// What `/readyz` says.
    pub readiness: Arc<dyn Fn() -> Readiness + Send + Sync>,
    /// The API's own counters.
    pub metrics: Metrics,
    /// What `/metrics` shows; the counters above are in it.
    pub exposition: Arc<MetricsRegistry>,
    /// What the operator says.
    pub settings: Settings,
    /// The time written into notes.
    pub wall_clock: fn() -> SystemTime,
}

/// What all requests share.
struct Shared {
    api: Api,
    tokens: token::Tokens,
    renewals: renewals::Renewals,
    watchers: Arc<Semaphore>,
    /// Leases granted for a write that was then not done.
    unused_leases: mpsc::Sender<LeaseId>,
    stop: CancellationToken,
}
