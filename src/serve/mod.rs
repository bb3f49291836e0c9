//! Puts the server together: config, bind, run, drain.
//!
//! ```text
//! zone files --reload--> contents --+
//!                                   |
//! registry --mirrors-> deltas --compiler thread--> published snapshot --> dns workers, api
//!     ^                                               events --> api watchers
//!     +------------------------- api (writes)
//! ```
//!
//! All sockets are bound before anything runs, so that a server that starts is one that can serve. Parts
//! that must go on are tasks of one group: if one of them ends, the process ends loudly. On SIGHUP, and when they
//! change, zone files are read again; a zone is answered as before until they can be served. On SIGTERM
//! readiness goes first, then `lameduck` passes, then what is in flight is finished (laws 9 and 10,
//! docs/architecture.md).
//!
//! Knows nothing of how any room does its work.

mod background;
mod certificates;
mod compiler;
mod data;
mod descriptors;
mod freshness;
mod logging;
mod metrics;
mod parts;
mod readiness;
mod reload;
mod serials;
mod signals;
mod sources;
mod staleness;

pub use self::certificates::certificate_warnings;
use crate::config::Config;
use crate::registry::embedded;
use crate::supervise::TaskFailed;
use crate::{api, compat, dns};

/// Why the server did not start, or ended. One line: what, where, why, what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data directory can't be used.
    #[error(transparent)]
    Data(#[from] data::DataError),
    /// The embedded registry can't be opened.
    #[error(transparent)]
    Registry(#[from] embedded::OpenError),
    /// etcd can't be used as configured.
    #[error("cannot use etcd: {0}")]
    Etcd(crate::registry::Error),
    /// The DNS side can't listen.
    #[error(transparent)]
    Dns(#[from] dns::BindError),
    /// Names of others can't be looked up as configured.
    #[error(transparent)]
    Forward(#[from] dns::forward::ForwardError),
    /// The HTTP side can't listen.
    #[error(transparent)]
    Http(#[from] api::BindError),
    /// A listener for other systems' clients can't listen.
    #[error(transparent)]
    CompatBind(#[from] compat::BindError),
    /// It can't begin.
    #[error(transparent)]
    Compat(#[from] compat::StartError),
    /// The system gives no threads, signals or the like.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
    /// A part of the running server failed.
    #[error(transparent)]
    Task(#[from] TaskFailed),
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// What kept it from starting, or what ended it.
pub fn run(mut config: Config) -> Result<(), ServeError> {
    logging::start(&config.log);
    certificates::warn(&config);
    descriptors::make_room(&mut config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let signals = signals::Signals::install()?;
        let hangups = signals::Hangups::install()?;
        let parts = parts::Parts::bind(config).await?;
        parts.run(signals, hangups).await
    });
    // Whatever still runs is past its deadline.
    runtime.shutdown_background();
    outcome
}
