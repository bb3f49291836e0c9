//! TLS for whoever listens or connects: certificates from PEM files, the newest that are whole, and streams
//! under them.
//!
//! ```text
//! files --Identity (looked at every other second, by `keep`)--> Acceptor --> dns over tls, https; http api
//!                                                         +--> resolver() --> what brings TLS of its own (quic)
//! ```
//!
//! ring does the arithmetic here as everywhere. Knows nothing of DNS, of HTTP, and of where settings are written.

mod accept;
mod anybody;
mod connect;
mod identity;
mod keep;
mod pem;
#[cfg(test)]
mod tests;
mod validity;

use std::sync::{Arc, LazyLock};

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

pub use self::accept::{Acceptor, ServerStream};
pub use self::connect::{ClientStream, ConnectError, Connector, wants_certificate};
pub use self::identity::{Files, Identity};
pub use self::keep::keep;
pub use self::pem::TlsError;
pub use self::validity::Validity;

/// The one provider of cryptography; named, so that another crate's choice of a default changes nothing here.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(ring::default_provider()));
    PROVIDER.clone()
}
