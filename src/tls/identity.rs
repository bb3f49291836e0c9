//! Who we are to those who connect, and whom we let in: a certificate, its key, and perhaps the authority of
//! clients; the newest files that are whole and belong together.
//!
//! Knows nothing of sockets.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::pem::{self, TlsError};
use super::provider;
use super::validity::Validity;
use crate::files::Watched;

/// The files of an identity, all PEM.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Files {
    /// The certificate, followed by those between it and its authority.
    pub cert: PathBuf,
    /// Its key, not encrypted.
    pub key: PathBuf,
    /// Authorities of clients; with it, only clients with a certificate of theirs are let in.
    pub client_ca: Option<PathBuf>,
}

/// An identity that follows its files. Equal to another one of the same files.
pub struct Identity {
    files: Files,
    current: ArcSwap<Material>,
    /// The files as they were when they were read last, good or bad: a bad pair is told of once.
    watched: Mutex<Watched>,
    /// Whether they were good then.
    good: AtomicBool,
}

/// What the files held when all was well with them.
pub(super) struct Material {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) clients: Option<Arc<dyn ClientCertVerifier>>,
    pub(super) validity: Validity,
}

/// What a look at the files came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Looked {
    /// They are as they were, or still change.
    Same,
    /// What they hold is used from now on.
    Taken,
    /// They changed and can't be used: what was there before goes on.
    Kept(TlsError),
}

impl Identity {
    /// Reads the files.
    ///
    /// # Errors
    /// The file that can't be used, and why.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        // Before the files are read, so that whatever changes meanwhile is seen as a change.
        let watched = Mutex::new(files.watched());
        let current = ArcSwap::from_pointee(Material::load(&files)?);
        Ok(Self { files, current, watched, good: AtomicBool::new(true) })
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// How long the certificate that is in use is good.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.current.load().validity
    }

    /// Whether the files could be used when they were read last; else older ones are in use.
    #[must_use]
    pub fn is_as_its_files(&self) -> bool {
        self.good.load(Relaxed)
    }

    /// Gives our certificate to whatever brings TLS of its own.
    #[must_use]
    pub fn resolver(self: &Arc<Self>) -> Arc<dyn ResolvesServerCert> {
        Arc::new(Resolver(self.clone()))
    }

    /// Looks at the files, and takes what they hold if they changed since they were read and have settled, or in any
    /// case.
    pub(super) fn look(&self, in_any_case: bool) -> Looked {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if !in_any_case && !watched.have_changed() {
            return Looked::Same;
        }
        *watched = self.files.watched();
        let loaded = Material::load(&self.files);
        self.good.store(loaded.is_ok(), Relaxed);
        match loaded {
            Ok(material) => {
                self.current.store(Arc::new(material));
                Looked::Taken
            }
            Err(error) => Looked::Kept(error),
        }
    }

    pub(super) fn current(&self) -> Arc<Material> {
        self.current.load_full()
    }
}

impl Material {
    fn load(files: &Files) -> Result<Self, TlsError> {
        let (key, validity) = pem::certified_key(&files.cert, &files.key)?;
        let clients = files.client_ca.as_deref().map(verifier).transpose()?;
        Ok(Self { key: Arc::new(key), clients, validity })
    }
}

fn verifier(file: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = Arc::new(pem::authorities(file)?);
    WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| TlsError::new(file, format!("cannot be used: {error}")))
}

impl Files {
    fn watched(&self) -> Watched {
        let all = [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()];
        Watched::now(all.into_iter().flatten().map(PathBuf::as_path))
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("files", &self.files).finish_non_exhaustive()
    }
}

/// Hands out the certificate that holds now.
#[derive(Debug)]
struct Resolver(Arc<Identity>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current.load().key.clone())
    }
}
