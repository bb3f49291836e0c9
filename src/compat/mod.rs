//! What clients of other registries call, so that they can go on unchanged: a listener for each system, off unless it
//! is configured.
//!
//! A folder for each system, named as configurations name it. What etcd holds in other systems' layouts is
//! `layout::foreign`'s; here is what they call.
//!
//! ```text
//! octets of a client --gate.rs--> a system's own files --registrations--> hold/ --leases--> registry
//!                                                          saved and probed there
//! ```
//!
//! [`bind`] opens the sockets, [`Bound::run`] serves on them. Registrations that come without heartbeats are held by the
//! server that took them (`hold`).
//!
//! Knows nothing of DNS: what was registered comes to it through the registry, as all else.

pub mod consul;
pub mod etcd_v2;
mod gate;
pub mod haunt;
mod hold;
mod listen;
mod metrics;
pub mod settings;
pub mod tars;

pub use hold::SavedError;
pub use listen::{BindError, Bound, CONNECTIONS_MAX, StartError, bind, open_to_all};
pub use metrics::Metrics;
pub use settings::Settings;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use crate::layout::Note;
use crate::layout::native::Keys;
use crate::model::Namespace;
use crate::registry::Registry;
use crate::registry::mirror::Statuses;
use crate::supervise::Tasks;
use crate::zone::{Guard, Published};

/// What all listeners are made of; `serve` puts it together.
pub struct Compat {
    /// Where writes go.
    pub registry: Arc<dyn Registry>,
    /// Whether other machines read that registry too: a loopback address means nothing to them.
    pub shared_registry: bool,
    /// How our own keys are written.
    pub keys: Keys,
    /// What zones have to say about a registration.
    pub guard: Guard,
    /// Where reads come from.
    pub published: Arc<Published>,
    /// Where this server listens itself.
    pub listening: Vec<SocketAddr>,
    /// Whether other machines may ask its DNS.
    pub dns_is_open: bool,
    /// Take loopback addresses into a shared registry.
    pub allow_loopback: bool,
    /// Names that this host's programs may call this server by, besides `localhost`.
    pub hosts: Vec<String>,
    /// What must survive this server.
    pub files: Arc<dyn Files>,
    /// What is counted.
    pub metrics: Metrics,
    /// Where it is told of what listeners read of the registry besides what all read.
    pub followed: Statuses,
    /// The time written into notes.
    pub wall_clock: fn() -> SystemTime,
}

impl Compat {
    /// A note for people, of now.
    fn note(&self, by: String, reason: String) -> Note {
        let at = humantime::format_rfc3339_seconds((self.wall_clock)()).to_string();
        Note { by, at, reason }
    }
}

/// Small files that must survive the server. Calls block.
pub trait Files: Send + Sync {
    /// A file's content; none if it is not there.
    ///
    /// # Errors
    /// What the system says.
    fn load(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Replaces a file as a whole: after a crash it is the old one or the new one. One call a file at a time.
    ///
    /// # Errors
    /// What the system says.
    fn save(&self, name: &str, content: &[u8]) -> io::Result<()>;

    /// Where a file is, for messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// What one listener starts with.
struct Room<'t> {
    /// Its name, as configurations have it.
    name: &'static str,
    compat: Arc<Compat>,
    /// Where what it registers lives.
    namespace: Namespace,
    /// What runs as long as the server does.
    tasks: &'t Tasks,
    /// When that ends.
    stop: CancellationToken,
}
