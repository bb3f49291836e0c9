//! The server's end of TLS: a handshake on a connection that was accepted.
//!
//! Knows nothing of what is said afterwards, but its name (ALPN, RFC 7301).

use std::fmt;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::WebPkiClientVerifier;

use super::identity::{Identity, Material};
use super::provider;

/// A connection under TLS.
pub type ServerStream = tokio_rustls::server::TlsStream<TcpStream>;

/// Does handshakes, with what the identity's files hold at the time.
pub struct Acceptor {
    identity: Arc<Identity>,
    protocols: &'static [&'static str],
    ready: ArcSwap<Ready>,
}

/// What handshakes are done with, and what it was made of: with another certificate come other sessions to
/// resume, so that nobody is let in on the word of an authority that is gone.
struct Ready {
    material: Arc<Material>,
    acceptor: TlsAcceptor,
}

impl Acceptor {
    /// As that identity; of these protocols, where the client names any.
    #[must_use]
    pub fn new(identity: Arc<Identity>, protocols: &'static [&'static str]) -> Self {
        let ready = ArcSwap::from_pointee(Ready::new(identity.current(), protocols));
        Self { identity, protocols, ready }
    }

    /// Does the handshake. The caller bounds the wait in time.
    ///
    /// # Errors
    /// What the client did wrong, or the connection's end.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<ServerStream> {
        let acceptor = self.acceptor();
        acceptor.accept(stream).await
    }

    fn acceptor(&self) -> TlsAcceptor {
        let material = self.identity.current();
        let ready = self.ready.load();
        if Arc::ptr_eq(&ready.material, &material) {
            return ready.acceptor.clone();
        }
        let ready = Ready::new(material, self.protocols);
        let acceptor = ready.acceptor.clone();
        self.ready.store(Arc::new(ready));
        acceptor
    }
}

impl Ready {
    fn new(material: Arc<Material>, protocols: &[&str]) -> Self {
        let clients = material.clients.clone().unwrap_or_else(WebPkiClientVerifier::no_client_auth);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has what TLS 1.2 and 1.3 ask for")
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::new(tokio_rustls::rustls::sign::SingleCertAndKey::from(
                material.key.clone(),
            )));
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self { material, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("identity", &self.identity)
            .field("protocols", &self.protocols)
            .finish_non_exhaustive()
    }
}
