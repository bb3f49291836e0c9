//! An authority, and one certificate of it that does for server and client.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

/// Writes `ca.pem`, `cert.pem` (for that name only) and `key.pem`.
pub(crate) fn make(directory: &Path, name: &str) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(ca, ca_key);

    let key = KeyPair::generate().unwrap();
    let mut own = CertificateParams::new(vec![name.to_owned()]).unwrap();
    // Else it has the authority's name, and OpenSSL takes it for one that signed itself.
    own.distinguished_name.push(DnType::CommonName, name);
    own.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = own.signed_by(&key, &issuer).unwrap();

    let write = |file, text: String| std::fs::write(directory.join(file), text).unwrap();
    write("ca.pem", ca_certificate.pem());
    write("cert.pem", certificate.pem());
    write("key.pem", key.serialize_pem());
}
