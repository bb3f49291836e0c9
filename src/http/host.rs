//! To whom a request is sent, by the name that its sender used.
//!
//! A web page can point a name of its own at this server's address (DNS rebinding), and what it then makes a browser send
//! looks like any other request; but it can't make the browser hide that name. So there are no names but known ones.
//!
//! Knows nothing of who sends.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::Authority;

/// Why a request is not for us.
#[derive(Debug, PartialEq, Eq)]
pub enum HostError {
    /// It does not say to whom it is sent.
    Missing,
    /// It says so twice.
    Twice,
    /// That is no host.
    Malformed,
    /// It is sent to somebody else.
    Foreign(String),
}

/// Checks that a request is sent to an address, `localhost`, or one of those names.
///
/// # Errors
/// [`HostError`], of the header or of the request line.
pub fn check_host<'n>(
    parts: &Parts,
    names: impl IntoIterator<Item = &'n str> + Clone,
) -> Result<(), HostError> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next().ok_or(HostError::Missing)?;
    if hosts.next().is_some() {
        return Err(HostError::Twice);
    }
    let host: Authority = host
        .to_str()
        .ok()
        .filter(|text| !text.contains('@'))
        .and_then(|text| text.parse().ok())
        .ok_or(HostError::Malformed)?;
    for authority in [Some(&host), parts.uri.authority()].into_iter().flatten() {
        if !is_ours(authority.host(), names.clone()) {
            return Err(HostError::Foreign(authority.host().to_owned()));
        }
    }
    Ok(())
}

fn is_ours<'n>(host: &str, names: impl IntoIterator<Item = &'n str>) -> bool {
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if v6.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok()) || host.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut names = names.into_iter().map(|name| name.strip_suffix('.').unwrap_or(name));
    host.eq_ignore_ascii_case("localhost") || names.any(|name| name.eq_ignore_ascii_case(host))
}
