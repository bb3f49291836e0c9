//! What the values of single flags look like, and what is said when they do not.
//!
//! Knows nothing of which command wants them.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::ForwardChoice;

/// A length of time: "6s", "500ms", or a bare number of seconds, since that is what the API takes.
pub(super) fn length(text: &str) -> Result<Duration, String> {
    if let Ok(secs) = text.parse() {
        return Ok(Duration::from_secs(secs));
    }
    humantime::parse_duration(text)
        .map_err(|_| "must be a length of time such as 6s, or a number of seconds".into())
}

/// The same in whole seconds, as leases are.
pub(super) fn whole_secs(text: &str) -> Result<u32, String> {
    let length = length(text)?;
    u32::try_from(length.as_secs())
        .ok()
        .filter(|_| length.subsec_nanos() == 0)
        .ok_or_else(|| "must be whole seconds".into())
}

/// A port that something listens on.
pub(super) fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| "is not a port, 1 to 65535".into())
}

/// An address to answer DNS on.
pub(super) fn dns_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "must be IP:PORT such as 127.0.0.1:1053 or [::1]:1053, in --dns or ROLLCALL_DNS".into()
    })
}

/// Whom to ask for names of others.
pub(super) fn forward(text: &str) -> Result<ForwardChoice, String> {
    ForwardChoice::parse(text).map_err(|why| format!("{why}, in --forward or ROLLCALL_FORWARD"))
}

/// An address to answer HTTP on.
pub(super) fn http_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "must be IP:PORT such as 127.0.0.1:8053 or [::1]:8053, in --http or ROLLCALL_HTTP".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_number_is_seconds() {
        assert_eq!(length("6"), length("6s"));
        assert_eq!(length("6s"), Ok(Duration::from_secs(6)));
        assert_eq!(length("500ms"), Ok(Duration::from_millis(500)));
        assert!(length("soon").is_err() && length("-1").is_err());
        assert_eq!((whole_secs("5m"), whole_secs("30")), (Ok(300), Ok(30)));
        assert_eq!(whole_secs("1500ms"), Err("must be whole seconds".into()));
    }
}
