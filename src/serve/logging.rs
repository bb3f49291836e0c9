//! Where log lines go: standard error, in the form that the configuration asks for.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Libraries that have a line above debug for what strangers send: for each query, even, or for each datagram that is no
/// answer of an upstream server's.
const TALKATIVE: &str =
    "hickory_server=off,hickory_net=off,hickory_resolver=off,h3=off,quinn=off,quinn_proto=off";

/// Starts logging, and sends panics to the log too: the process's standard error may be read by nobody.
pub(super) fn start(log: &Log) {
    // What is said of one of these by name in the configuration comes later, and counts.
    let filter = EnvFilter::new(format!("{TALKATIVE},{}", log.filter));
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
