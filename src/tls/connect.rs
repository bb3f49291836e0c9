//! The client's end of TLS, for the command line and for checks of health: whom it trusts, and who it is itself.
//!
//! Knows nothing of HTTP.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::ResolvesClientCert;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, RootCertStore,
};

use super::anybody::Anybody;
use super::pem::{self, TlsError};
use super::provider;

/// A connection under TLS.
pub type ClientStream = tokio_rustls::client::TlsStream<TcpStream>;

/// Does handshakes with servers.
#[derive(Clone)]
pub struct Connector(TlsConnector);

/// No handshake. Displays as why; what to do is the caller's to say.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server is not who it should be, as far as we know whom to trust.
    #[error("its certificate is not to be trusted: {0}")]
    Untrusted(String),
    /// What came back is no TLS.
    #[error("it speaks no TLS")]
    NoTls,
    /// Anything else, such as a server that wants a certificate of ours.
    #[error("no TLS with it: {0}")]
    Failed(String),
}

impl Connector {
    /// Trusts the authorities of that file, or else the system's; shows that certificate (with its key), if any.
    ///
    /// # Errors
    /// The file that can't be used, and why.
    pub fn new(ca: Option<&Path>, own: Option<(&Path, &Path)>) -> Result<Self, TlsError> {
        let roots = match ca {
            Some(file) => pem::authorities(file)?,
            None => system_roots(),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has what TLS 1.2 and 1.3 ask for")
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let (key, _) = pem::certified_key(cert, key)?;
                let key = SingleCertAndKey::from(key);
                let resolver: Arc<dyn ResolvesClientCert> = Arc::new(key);
                builder.with_client_cert_resolver(resolver)
            }
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Trusts whoever answers. For checks of health alone: nothing that is worth keeping secret may be sent there.
    ///
    /// # Panics
    /// Never: the provider has what is asked for.
    #[must_use]
    pub fn unverified() -> Self {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has what TLS 1.2 and 1.3 ask for")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider())))
            .with_no_client_auth();
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// Does the handshake with the server of that name or address. The caller bounds the wait in time.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<ClientStream, ConnectError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| ConnectError::Failed(format!("{host:?} is no host name or address")))?;
        self.0.connect(name, stream).await.map_err(|error| why(&error))
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// Whether something failed because the other end wants a certificate of us, or another one. With TLS 1.3 that
/// is heard only after the handshake.
#[must_use]
pub fn wants_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An I/O error shows its inner error's source as its own, and not the inner error.
        let io = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = io.and_then(|inner| inner.downcast_ref()).or_else(|| error.downcast_ref());
        if let Some(Error::AlertReceived(alert)) = tls {
            return matches!(
                alert,
                AlertDescription::CertificateRequired
                    | AlertDescription::UnknownCA
                    | AlertDescription::BadCertificate
                    | AlertDescription::CertificateExpired
                    | AlertDescription::CertificateUnknown
                    | AlertDescription::DecryptError
            );
        }
        cause = error.source();
    }
    false
}

/// Those that can be read: whoever needs another one is told so by the handshake.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn why(error: &io::Error) -> ConnectError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            ConnectError::Untrusted("its authority is unknown here".into())
        }
        Some(Error::InvalidCertificate(why)) => ConnectError::Untrusted(why.to_string()),
        Some(Error::InvalidMessage(_)) => ConnectError::NoTls,
        Some(other) => ConnectError::Failed(other.to_string()),
        None => ConnectError::Failed(error.to_string()),
    }
}
