//! Where log lines go: standard error, in the form that the configuration asks for.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// How the names of the resolver's crates begin.
const RESOLVER: &str = "hickory";

/// Starts logging, and sends panics to the log too: the process's standard error may be read by nobody.
pub(super) fn start(log: &Log) {
    let mut filter = log.filter.clone();
    // The resolver's library warns of every datagram that is no answer, which strangers can send at will.
    if !filter.contains(RESOLVER) {
        filter = format!("{filter},{RESOLVER}_net=off,{RESOLVER}_resolver=off");
    }
    let filter = EnvFilter::new(filter);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A second start in one process (tests do it) keeps the first one's.
    let _ = match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        let message = crate::supervise::panic_message(panic.payload());
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked: {message}");
    }));
}
