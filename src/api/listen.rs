//! Opens the sockets, and refuses to open what strangers could reach without a token.
//!
//! Knows nothing of HTTP.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::settings::Settings;
use crate::host::bind_advice;

/// The open sockets of the API.
#[derive(Debug)]
pub struct Listener {
    pub(super) api: TcpListener,
    pub(super) health: Option<TcpListener>,
    address: SocketAddr,
    health_address: Option<SocketAddr>,
}

/// Why the API can't listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The configuration would let anyone on the network register.
    #[error(
        "refusing to listen for http on {0}: it is beyond loopback and no token is configured, so anyone \
         could register and deregister: add a [[token]], ask for client certificates in [http.tls], listen on 127.0.0.1, \
         or set insecure = true"
    )]
    Open(SocketAddr),
    /// The system refused.
    #[error("cannot bind {what} listener {address}: {}", bind_advice(source))]
    Io {
        /// Which of the two.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
}

/// Opens the sockets that the settings ask for.
///
/// # Errors
/// An address beyond loopback without any token, or one that the system refuses.
pub async fn bind(settings: &Settings) -> Result<Listener, BindError> {
    if settings.is_open() {
        return Err(BindError::Open(settings.listen));
    }
    let (api, address) = open("http", settings.listen).await?;
    let (health, health_address) = match settings.health_listen {
        None => (None, None),
        Some(asked) => {
            let (health, address) = open("http health", asked).await?;
            (Some(health), Some(address))
        }
    };
    Ok(Listener { api, health, address, health_address })
}

async fn open(
    what: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), BindError> {
    let failed = |source| BindError::Io { what, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

impl Listener {
    /// Where the API listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where health and metrics have a listener of their own, if they have.
    #[must_use]
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.health_address
    }
}
