//! The certificates of a configuration file, and the listeners that have TLS: one pair of files in `[tls]` for all
//! of them, or one of its own for each.
//!
//! Knows nothing of what a certificate holds.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::problem::Problem;
use super::reader::Section;
use super::secrets::world_readable;
use super::sections::{listen, path};
use super::values::{ValueError, filled, flag};
use crate::dns::{self, Https, Secure};
use crate::tls::{Files, Identity};
use toml::de::DeValue;

/// The identities that a file names, each pair of files once.
#[derive(Debug, Default)]
pub(super) struct Identities {
    /// What `[tls]` says: whether it is there, and the files that can be used.
    shared_given: bool,
    shared: Option<Files>,
    /// What to say if no listener uses those.
    unused: Option<Problem>,
    all: Vec<Arc<Identity>>,
    /// Keys that others can read.
    warnings: Vec<Problem>,
}

impl Identities {
    /// Reads `[tls]`.
    pub(super) fn read(root: &Section<'_>) -> Self {
        let section = root.section("tls");
        let mut identities = Self { shared_given: root.has("tls"), ..Self::default() };
        if let Some(files) = pair(&section) {
            let identity = identities.load(&section, files);
            identities.shared = identity.map(|identity| identity.files().clone());
        } else if identities.shared_given && !section.has("cert_file") && !section.has("key_file") {
            section.report("cert_file", "is missing, for example: cert_file = \"rollcall.pem\"");
        }
        let unused =
            "is used by no listener: add one, for example [dns.tls] listen = [\"127.0.0.1:853\"]";
        identities.unused = identities.shared_given.then(|| section.warning(unused));
        section.finish();
        identities
    }

    /// All of them, and what is unwise about them.
    pub(super) fn into_all(mut self) -> (Vec<Arc<Identity>>, Vec<Problem>) {
        self.warnings.extend(self.unused);
        (self.all, self.warnings)
    }

    /// Who a listener is: by its own files, else by those of `[tls]`. None where there is a problem, which is then
    /// reported.
    pub(super) fn of(
        &mut self,
        section: &Section<'_>,
        client_ca: Option<PathBuf>,
    ) -> Option<Arc<Identity>> {
        let own = pair(section);
        if own.is_none() && (section.has("cert_file") || section.has("key_file")) {
            return None;
        }
        if own.is_none() && !self.shared_given {
            let message =
                "is missing: give cert_file and key_file here, or in [tls] for all listeners";
            section.report("cert_file", message);
            return None;
        }
        if own.is_none() {
            self.unused = None;
        }
        let files = Files { client_ca, ..own.or_else(|| self.shared.clone())? };
        self.load(section, files)
    }

    fn load(&mut self, section: &Section<'_>, files: Files) -> Option<Arc<Identity>> {
        if let Some(known) = self.all.iter().find(|known| *known.files() == files) {
            return Some(known.clone());
        }
        let (key, client_ca) = (files.key.clone(), files.client_ca.clone());
        match Identity::load(files) {
            Ok(identity) => {
                let identity = Arc::new(identity);
                self.all.push(identity.clone());
                let unwise = std::fs::metadata(&key).ok().and_then(|about| world_readable(&about));
                let unwise = unwise.map(|warning| Problem::at(&key, 0, warning));
                self.warnings.extend(unwise.filter(|warning| !self.warnings.contains(warning)));
                Some(identity)
            }
            Err(error) => {
                let setting = match &error.file {
                    file if *file == key => "key_file",
                    file if client_ca.as_ref() == Some(file) => "client_ca_file",
                    _ => "cert_file",
                };
                section.report(setting, error);
                None
            }
        }
    }
}

/// A certificate and its key: both or neither.
fn pair(section: &Section<'_>) -> Option<Files> {
    let (cert, key) = (section.get("cert_file", path), section.get("key_file", path));
    match (section.has("cert_file"), section.has("key_file")) {
        (true, false) => section.report("cert_file", "stands without 'key_file'"),
        (false, true) => section.report("key_file", "stands without 'cert_file'"),
        _ => {}
    }
    Some(Files { cert: cert?, key: key?, client_ca: None })
}

/// TLS of the API: on where its section is there.
pub(super) fn http(parent: &Section<'_>, own: &mut Identities) -> Option<Arc<Identity>> {
    let section = parent.section("tls");
    let client_ca = section.get("client_ca_file", path);
    let identity = if parent.has("tls") { own.of(&section, client_ca) } else { known(&section) };
    section.finish();
    identity
}

/// The listeners of DNS that are encrypted: each is on where its section is there.
pub(super) fn dns(dns_section: &Section<'_>, dns: &mut dns::Settings, own: &mut Identities) {
    dns.tls = secure(dns_section, "tls", "853", own);
    dns.https = https(dns_section, own);
    dns.quic = secure(dns_section, "quic", "853", own);
    dns.h3 = secure(dns_section, "h3", "443", own);
}

fn secure(
    parent: &Section<'_>,
    key: &'static str,
    port: &str,
    own: &mut Identities,
) -> Option<Secure> {
    let section = parent.section(key);
    let on = parent.has(key);
    let listen = addresses(&section, on, port);
    let identity = if on { own.of(&section, None) } else { known(&section) };
    section.finish();
    Some(Secure { listen: listen?, identity: identity? })
}

fn https(parent: &Section<'_>, own: &mut Identities) -> Option<Https> {
    let section = parent.section("https");
    let on = parent.has("https");
    let listen = addresses(&section, on, "443");
    let mut path = Https::PATH.to_owned();
    section.set("path", &mut path, url_path);
    let (mut tls, mut insecure) = (true, false);
    section.set("tls", &mut tls, flag);
    section.set("insecure", &mut insecure, flag);
    let identity = if on && tls { own.of(&section, None) } else { known(&section) };
    if let Some(open) = listen
        .iter()
        .flatten()
        .find(|address| on && !tls && !insecure && !address.ip().to_canonical().is_loopback())
    {
        let message = format!(
            "{open} is beyond loopback and tls is false, so anyone on the way could read and change answers: \
             listen on 127.0.0.1, where a proxy with TLS asks, or set insecure = true"
        );
        section.report("listen", message);
    }
    section.finish();
    let identity = if tls { Some(identity?) } else { None };
    Some(Https { listen: listen?, path, identity })
}

fn addresses(section: &Section<'_>, on: bool, port: &str) -> Option<Vec<SocketAddr>> {
    if on {
        section.need("listen", &format!("[\"127.0.0.1:{port}\"]"), listen)
    } else {
        section.get("listen", listen)
    }
}

/// Asks for the keys of a section that is not there, so that all keys are known; says nothing.
fn known(section: &Section<'_>) -> Option<Arc<Identity>> {
    pair(section);
    None
}

/// A path that requests can be sent to and that has no part which would be taken for anything but itself.
fn url_path(value: &DeValue<'_>) -> Result<String, ValueError> {
    let path = filled(value)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    if path.starts_with('/') && path.bytes().all(plain) {
        return Ok(path);
    }
    let message = format!(
        "must be a path such as \"/dns-query\", of letters, digits and /-._~, got {path:?}"
    );
    Err(ValueError::new(message))
}
