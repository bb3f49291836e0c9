//! What PEM files hold, or why they can't be used, in words that name the file.
//!
//! Knows nothing of who uses a certificate.

use std::io;
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{CertificateError, Error, InconsistentKeys};

use super::provider;
use super::validity::Validity;
use crate::files;

/// Largest file: a bundle of all public authorities has a quarter of it.
const FILE_OCTETS_MAX: usize = 1 << 20;
/// What stands in a key that OpenSSL encrypted in its own way, before there was PKCS#8 (RFC 1421 section 4.6.1.1).
const ENCRYPTED: &str = "Proc-Type: 4,ENCRYPTED";
/// Said of a key that can't be used without a passphrase, and of a file that holds no key at all.
const NO_KEY: &str =
    "holds no private key that is not encrypted: give a PEM file with -----BEGIN PRIVATE KEY-----";

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

/// A certificate chain and its key, which belong together; and how long the certificate is good.
pub(super) fn certified_key(cert: &Path, key: &Path) -> Result<(CertifiedKey, Validity), TlsError> {
    let chain = certificates(cert)?;
    let own = chain.first().map_or(&[][..], |own| own.as_ref());
    let validity = Validity::of(own).map_err(|why| TlsError::new(cert, why))?;
    let private = private_key(key)?;
    let made =
        CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                let why = format!(
                    "is not the key of the certificate in {}: give the two that were made together",
                    cert.display()
                );
                TlsError::new(key, why)
            }
            Error::InvalidCertificate(why) => {
                TlsError::new(cert, format!("is no certificate that can be used: {}", flaw(&why)))
            }
            other => TlsError::new(key, format!("is no key that can be used: {other}")),
        })?;
    Ok((made, validity))
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let octets = read(file)?;
    if octets.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED.as_bytes()) {
        return Err(TlsError::new(file, NO_KEY));
    }
    PrivateKeyDer::from_pem_slice(&octets).map_err(|error| TlsError::new(file, no_key(&error)))
}

/// The authorities that a file lists.
pub(super) fn authorities(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| {
            let why = match &error {
                Error::InvalidCertificate(why) => flaw(why).to_owned(),
                other => other.to_string(),
            };
            TlsError::new(file, format!("holds an authority that can't be used: {why}"))
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
    files::read(file, FILE_OCTETS_MAX).map_err(|error| {
        TlsError::new(file, format!("cannot be read: {}: give a PEM file", io_reason(&error)))
    })
}

/// What is wrong with a certificate that is read here, in words: rustls has them only for those that a client meets.
fn flaw(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::BadEncoding => "it is cut or broken",
        CertificateError::UnhandledCriticalExtension => {
            "it has a critical extension that is unknown here"
        }
        _ => "it is none that TLS takes (X.509 version 3, RFC 5280)",
    }
}

fn no_key(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => NO_KEY.into(),
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
