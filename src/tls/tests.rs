//! Files that come and go, and the handshakes that follow.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::identity::Looked;
use super::*;

/// How long anything may take that happens at once on an idle machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// A certificate as `openssl x509 -req` makes it when it is told of no extension.
const VERSION_1: &str = r"-----BEGIN CERTIFICATE-----
MIIBJTCBywIUXodGLf1RbD3XgSK5Y1jtAtHhrPYwCgYIKoZIzj0EAwIwFDESMBAG
A1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMDE5NTg1OVoYDzIxMjYxMDI3MTk1ODU5
WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAShAeNdVVqETVW2WXhZqIjALZ6Bzf/oZLasC4a4/5RnVk4Uzm0JrHuKczYCGI6M
V0jR/smppHIuIaiZqCy2a5+oMAoGCCqGSM49BAMCA0kAMEYCIQD7gEBF5EJh83M1
mmqy76P4ZCl7oHsbFcoqW92V0VhVbwIhAMO6eKqut+hkBpiNzncbpiLdEh2jhsSA
Gyd17MsO+JTN
-----END CERTIFICATE-----
";

/// Writes an authority to `{name}.ca` and a certificate of it for localhost to `{name}.pem` and `{name}.key`.
fn make(directory: &Path, name: &str) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let own = own.signed_by(&key, &issuer).unwrap();
    std::fs::write(directory.join(format!("{name}.ca")), ca_pem).unwrap();
    std::fs::write(directory.join(format!("{name}.pem")), own.pem()).unwrap();
    std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

fn files(directory: &Path, name: &str) -> Files {
    let file = |ending| directory.join(format!("{name}.{ending}"));
    Files { cert: file("pem"), key: file("key"), client_ca: None }
}

/// Takes the place of files as an operator would: each under its final name at once.
fn replace(directory: &Path, from: &str, to: &str) {
    for ending in ["pem", "key"] {
        let (from, to) = (format!("{from}.{ending}"), format!("{to}.{ending}"));
        std::fs::copy(directory.join(from), directory.join("new")).unwrap();
        std::fs::rename(directory.join("new"), directory.join(to)).unwrap();
    }
}

/// Says hello and hears it back.
async fn exchange(acceptor: &Acceptor, connector: &Connector) -> Result<(), ConnectError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(stream).await else { return };
        let mut hello = [0; 5];
        if stream.read_exact(&mut hello).await.is_ok() {
            stream.write_all(&hello).await.unwrap();
            stream.flush().await.unwrap();
        }
    };
    let ask = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = connector.connect("localhost", stream).await?;
        let mut hello = *b"hello";
        let failed = |error: std::io::Error| ConnectError::Failed(error.to_string());
        stream.write_all(&hello).await.map_err(failed)?;
        // With TLS 1.3 a client hears only now that its certificate is not wanted.
        stream.read_exact(&mut hello).await.map_err(failed)?;
        Ok(())
    };
    let both = async { tokio::join!(serve, ask) };
    timeout(DEADLINE, both).await.unwrap().1
}

#[test]
fn what_is_wrong_with_a_file_is_said_of_that_file() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    make(folder.path(), "one");
    make(folder.path(), "two");
    std::fs::write(path("empty"), "").unwrap();
    std::fs::write(path("version 1"), VERSION_1).unwrap();
    // Encrypted by OpenSSL in its own way, and as PKCS#8.
    for (name, label, head) in [
        ("old", "EC PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,CB9A\n\n"),
        ("new", "ENCRYPTED PRIVATE KEY", ""),
    ] {
        let text = format!("-----BEGIN {label}-----\n{head}AAAA\n-----END {label}-----\n");
        std::fs::write(path(name), text).unwrap();
    }
    std::fs::write(path("cut"), "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    std::fs::write(path("junk"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    let load = |cert: &str, key: &str| {
        let files = Files { cert: path(cert), key: path(key), client_ca: None };
        Identity::load(files).map(drop).unwrap_err()
    };
    for (cert, key, file, why) in [
        ("none", "one.key", "none", "cannot be read: no such file or directory: give a PEM file"),
        ("empty", "one.key", "empty", "holds no certificate"),
        ("cut", "one.key", "cut", "is not PEM: a section has no end"),
        ("junk", "one.key", "junk", "is no certificate that can be used: it is cut or broken"),
        ("version 1", "one.key", "version 1", "is X.509 version 1: make it with a subjectAltName"),
        ("one.pem", "old", "old", "holds no private key that is not encrypted"),
        ("one.pem", "new", "new", "holds no private key that is not encrypted"),
        ("one.pem", ".", ".", "cannot be read: it is no regular file: give a PEM file"),
        ("one.pem", "one.pem", "one.pem", "holds no private key"),
        ("one.pem", "two.key", "two.key", "is not the key of the certificate in"),
    ] {
        let error = load(cert, key);
        assert_eq!(error.file, path(file), "{error}");
        assert!(error.why.starts_with(why), "{error}");
    }
    for (authority, why) in [
        ("empty", "holds no certificate"),
        ("junk", "holds an authority that can't be used: it is cut or broken"),
    ] {
        let own = files(folder.path(), "one");
        let error = Identity::load(Files { client_ca: Some(path(authority)), ..own }).unwrap_err();
        assert_eq!(error.file, path(authority));
        assert!(error.why.starts_with(why), "{error}");
    }
}

/// Looks until what has changed has settled.
fn look(identity: &Identity) -> Looked {
    assert_eq!(identity.look(false), Looked::Same, "it may change again");
    identity.look(false)
}

#[tokio::test]
async fn a_new_pair_is_taken_and_a_broken_one_leaves_the_old() {
    let folder = TempDir::new().unwrap();
    for name in ["one", "two", "live"] {
        make(folder.path(), name);
    }
    replace(folder.path(), "one", "live");
    let trusting =
        |name: &str| Connector::new(Some(&folder.path().join(format!("{name}.ca"))), None).unwrap();
    let (one, two) = (trusting("one"), trusting("two"));
    let identity = Arc::new(Identity::load(files(folder.path(), "live")).unwrap());
    let acceptor = Acceptor::new(identity.clone(), &["dot"]);
    assert_eq!(identity.look(false), Looked::Same);
    exchange(&acceptor, &one).await.unwrap();

    std::fs::copy(folder.path().join("two.pem"), folder.path().join("live.pem")).unwrap();
    let Looked::Kept(error) = look(&identity) else { panic!("a pair that does not match") };
    assert!(!identity.is_as_its_files());
    assert_eq!(error.file, folder.path().join("live.key"));
    assert_eq!(identity.look(false), Looked::Same, "told of once");
    exchange(&acceptor, &one).await.unwrap();

    replace(folder.path(), "two", "live");
    assert_eq!(look(&identity), Looked::Taken);
    assert!(identity.is_as_its_files());
    exchange(&acceptor, &two).await.unwrap();
    let error = exchange(&acceptor, &one).await.unwrap_err();
    assert!(matches!(error, ConnectError::Untrusted(_)), "{error}");

    std::fs::remove_file(folder.path().join("live.key")).unwrap();
    assert!(matches!(look(&identity), Looked::Kept(_)));
    exchange(&acceptor, &two).await.unwrap();
    assert_eq!(identity.look(false), Looked::Same);
    assert!(
        matches!(identity.look(true), Looked::Kept(_)),
        "asked for, files are read in any case"
    );
}

#[tokio::test]
async fn clients_without_a_certificate_are_kept_out_where_one_is_asked_for() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["server", "friend", "stranger"] {
        make(folder.path(), name);
    }
    let files = Files { client_ca: Some(path("friend.ca")), ..files(folder.path(), "server") };
    let acceptor = Acceptor::new(Arc::new(Identity::load(files).unwrap()), &[]);
    let connector = |name: &str| {
        let (cert, key) = (path(&format!("{name}.pem")), path(&format!("{name}.key")));
        Connector::new(Some(&path("server.ca")), Some((&cert, &key))).unwrap()
    };
    exchange(&acceptor, &connector("friend")).await.unwrap();
    exchange(&acceptor, &connector("stranger")).await.unwrap_err();
    let nobody = Connector::new(Some(&path("server.ca")), None).unwrap();
    exchange(&acceptor, &nobody).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn files_are_looked_at_again_and_again() {
    let folder = TempDir::new().unwrap();
    for name in ["live", "two"] {
        make(folder.path(), name);
    }
    let identity = Arc::new(Identity::load(files(folder.path(), "live")).unwrap());
    let before = identity.current();
    let stop = tokio_util::sync::CancellationToken::new();
    let changed = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(Arc::ptr_eq(&before, &identity.current()), "nothing has changed");
        replace(folder.path(), "two", "live");
        while Arc::ptr_eq(&before, &identity.current()) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        stop.cancel();
    };
    let (_hangup, hangups) = watch::channel(());
    let kept = keep(vec![identity.clone()], || SystemTime::UNIX_EPOCH, hangups, stop.clone());
    let (kept, ()) = tokio::join!(kept, changed);
    kept.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hangup_has_files_read_that_look_as_before() {
    let folder = TempDir::new().unwrap();
    make(folder.path(), "live");
    let identity = Arc::new(Identity::load(files(folder.path(), "live")).unwrap());
    let before = identity.current();
    let stop = tokio_util::sync::CancellationToken::new();
    let (hangup, hangups) = watch::channel(());
    let changed = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(Arc::ptr_eq(&before, &identity.current()), "nothing has changed");
        hangup.send_replace(());
        while Arc::ptr_eq(&before, &identity.current()) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        stop.cancel();
    };
    let kept = keep(vec![identity.clone()], || SystemTime::UNIX_EPOCH, hangups, stop.clone());
    let kept = timeout(DEADLINE * 10, kept);
    let (kept, ()) = tokio::join!(kept, changed);
    kept.unwrap().unwrap();
}
