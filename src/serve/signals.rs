//! The signals that a server obeys.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// SIGTERM and SIGINT, which end it.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes them from the system's default, which is to die at once.
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next of them and names it.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// SIGHUP, at which files are read again. Each part that has any subscribes; several signals that come while one is
/// at work are one to it.
pub(super) struct Hangups {
    signal: Signal,
    told: watch::Sender<()>,
}

impl Hangups {
    /// Takes it from the system's default, which is to die at once.
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self { signal: signal(SignalKind::hangup())?, told: watch::Sender::new(()) })
    }

    /// What changes with each.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.told.subscribe()
    }

    /// Passes them on until it is told to stop.
    pub(super) async fn pass_on(mut self, stop: CancellationToken) -> Result<(), String> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                came = self.signal.recv() => {
                    came.ok_or("the system tells of no signals any more")?;
                    tracing::info!(signal = "SIGHUP", "reading files again");
                    self.told.send_replace(());
                }
            }
        }
    }
}
