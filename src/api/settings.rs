//! What an operator says about the HTTP side.
//!
//! Knows nothing of where it was written.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::tls::Identity;

/// HTTP settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Address of the API. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// An address of their own for `/livez`, `/readyz` and `/metrics` (they stay on the API's too).
    pub health_listen: Option<SocketAddr>,
    /// Who we are, and perhaps whose clients alone are let in; none: HTTP without TLS. The health listener has none.
    pub identity: Option<Arc<Identity>>,
    /// Host names, besides IP addresses and `localhost`, that requests may be sent to.
    pub hosts: Vec<String>,
    /// Who may do what. With any token configured, every call below `/v1` needs one.
    pub tokens: Vec<Token>,
    /// Listen beyond loopback without any token.
    pub insecure: bool,
    /// Take loopback addresses into a shared registry.
    pub allow_loopback: bool,
    /// Connections at once, of which one client beyond loopback has a quarter.
    pub connections_max: usize,
    /// Largest request body in octets.
    pub body_octets_max: usize,
    /// How long a request may take to arrive whole.
    pub request_timeout: Duration,
    /// How long a write waits until this server's answers show it.
    pub visible_timeout: Duration,
    /// Events kept for watchers who resume.
    pub history_events_max: usize,
    /// Watchers at once.
    pub watchers_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8053)),
            health_listen: None,
            identity: None,
            hosts: Vec::new(),
            tokens: Vec::new(),
            insecure: false,
            allow_loopback: false,
            connections_max: 4_096,
            body_octets_max: 64 * 1024,
            request_timeout: Duration::from_secs(10),
            visible_timeout: Duration::from_secs(2),
            history_events_max: 10_000,
            watchers_max: 256,
        }
    }
}

impl Settings {
    /// Whether strangers on the network could register and deregister, without the operator's word for it. Where
    /// clients must have certificates, strangers can't: what a token shows for each call is shown there for the
    /// whole connection.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let beyond = !self.listen.ip().to_canonical().is_loopback();
        let own = self.identity.as_ref();
        let known = own.is_some_and(|own| own.files().client_ca.is_some());
        beyond && self.tokens.is_empty() && !known && !self.insecure
    }
}

/// A token: a secret and what it allows.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Name for logs and notes: the file's name.
    pub name: String,
    /// The secret that a request carries as `Authorization: Bearer …`.
    pub secret: String,
    /// Apps it is for: exact names, or a prefix followed by `*`. Empty: all.
    pub apps: Vec<String>,
    /// What it allows.
    pub may: Vec<Permission>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("name", &self.name)
            .field("apps", &self.apps)
            .field("may", &self.may)
            .finish_non_exhaustive()
    }
}

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// PUT and DELETE of instances, heartbeats.
    Register,
    /// Offline and online.
    Operate,
    /// GET of anything.
    Read,
}
