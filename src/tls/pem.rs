//! What PEM files hold, or why they can't be used, in words that name the file.
//!
//! Knows nothing of who uses a certificate.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, InconsistentKeys};

use super::provider;

/// Largest file: a bundle of all public authorities has a quarter of it.
const FILE_OCTETS_MAX: u64 = 1 << 20;

/// A file can't be used. Displays as the file, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub struct TlsError {
    /// The file that is to be mended.
    pub file: PathBuf,
    /// Why, and what to do.
    pub why: String,
}

impl TlsError {
    pub(super) fn new(file: &Path, why: impl Into<String>) -> Self {
        Self { file: file.to_owned(), why: why.into() }
    }
}

/// A certificate chain and its key, which belong together.
pub(super) fn certified_key(cert: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(cert)?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|error| TlsError::new(key, no_key(&error)))?;
    CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let why = format!(
                "is not the key of the certificate in {}: give the two that were made together",
                cert.display()
            );
            TlsError::new(key, why)
        }
        Error::InvalidCertificate(why) => {
            TlsError::new(cert, format!("is no certificate that can be used: {why}"))
        }
        other => TlsError::new(key, format!("is no key that can be used: {other}")),
    })
}

/// The authorities that a file lists.
pub(super) fn authorities(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| {
            TlsError::new(file, format!("holds no authority that can be used: {error}"))
        })?;
    }
    Ok(roots)
}

/// At least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let octets = read(file)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&octets).collect();
    let all =
        all.map_err(|error| TlsError::new(file, format!("is not PEM: {}", reason(&error))))?;
    if all.is_empty() {
        let why = "holds no certificate: give a PEM file with -----BEGIN CERTIFICATE-----";
        return Err(TlsError::new(file, why));
    }
    Ok(all)
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error: io::Error| {
        TlsError::new(file, format!("cannot be read: {}: give a PEM file", io_reason(&error)))
    };
    let mut octets = Vec::new();
    let opened = File::open(file).map_err(unreadable)?;
    opened.take(FILE_OCTETS_MAX + 1).read_to_end(&mut octets).map_err(unreadable)?;
    if octets.len() as u64 > FILE_OCTETS_MAX {
        let why = format!("has more than {FILE_OCTETS_MAX} octets: give a PEM file");
        return Err(TlsError::new(file, why));
    }
    Ok(octets)
}

fn no_key(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => {
            "holds no private key that is not encrypted: give a PEM file with -----BEGIN PRIVATE KEY-----"
                .into()
        }
        other => format!("is not PEM: {}", reason(other)),
    }
}

fn reason(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end".into(),
        pem::Error::IllegalSectionStart { .. } => "a section's first line is cut".into(),
        pem::Error::Base64Decode(why) => format!("its base64 is broken: {why}"),
        other => other.to_string(),
    }
}

/// An I/O error in words, without the number that the standard library adds.
fn io_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    text.to_lowercase()
}
