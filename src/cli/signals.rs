//! Signals as events.

use nix::sys::signal::Signal;
use tokio::signal::unix;

use super::error::Error;

/// The signals that end a command: what a terminal, a supervisor or a hang-up sends.
pub(super) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
    quit: unix::Signal,
}

impl Signals {
    /// From now on these signals come here instead of ending the process.
    pub(super) fn listen() -> Result<Self, Error> {
        let listen = |kind| {
            unix::signal(kind)
                .map_err(|error| Error::Refused(format!("cannot take signals: {error}")))
        };
        Ok(Self {
            interrupt: listen(unix::SignalKind::interrupt())?,
            terminate: listen(unix::SignalKind::terminate())?,
            hang_up: listen(unix::SignalKind::hangup())?,
            quit: listen(unix::SignalKind::quit())?,
        })
    }

    /// The next of them.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.hang_up.recv() => Signal::SIGHUP,
            _ = self.quit.recv() => Signal::SIGQUIT,
        }
    }
}
