//! TLS, users, and settings that can't work.

use rollcall::registry::etcd::EtcdRegistry;
use rollcall::registry::{Error, EtcdSettings, Registry, Tls, Watched};

use crate::support::etcd::{Etcd, ROOT, settings};
use crate::{connect, next, put, refused, value, write};

#[tokio::test]
async fn tls_needs_the_authority_the_certificate_and_the_name() {
    let etcd = Etcd::start_with_tls().await;
    let with = |tls| EtcdSettings { tls: Some(tls), ..etcd.settings() };
    let registry = connect(with(etcd.client_tls())).await;
    write(&registry, "k", "v").await;
    assert_eq!(value(&registry, "k").await.unwrap(), "v");

    let unnamed = Tls { server_name: None, ..etcd.client_tls() };
    let Err(Error::Unavailable(why)) = connect(with(unnamed)).await.get(b"k").await else {
        panic!("the certificate is for another name")
    };
    assert!(why.contains("certificate"), "{why}");
    let nobody = Tls { cert_file: None, key_file: None, ..etcd.client_tls() };
    let error = connect(with(nobody)).await.get(b"k").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_once() {
    async fn why(settings: EtcdSettings) -> String {
        refused(EtcdRegistry::connect(settings).await.map(drop))
    }
    assert!(why(settings([])).await.contains("no etcd endpoint"));
    let url = why(settings(["http://not a host".to_owned()])).await;
    assert!(url.contains("http://not a host"), "{url}");

    let tls = |tls| EtcdSettings { tls: Some(tls), ..settings(["https://127.0.0.1:1".to_owned()]) };
    let missing = Tls { ca_file: Some("/nowhere/ca.pem".into()), ..<_>::default() };
    let text = why(tls(missing)).await;
    assert!(text.contains("/nowhere/ca.pem: No such file"), "{text}");
    let half = Tls { cert_file: Some("/nowhere/c.pem".into()), ..<_>::default() };
    assert!(why(tls(half)).await.contains("give both or neither"));
}

#[tokio::test]
async fn users_log_in_when_needed_and_again_when_their_token_is_gone() {
    let mut etcd = Etcd::start().await;
    let credentials = |user: &str, password: &str| EtcdSettings {
        credentials: Some((user.to_owned(), password.to_owned())),
        ..etcd.settings()
    };
    let root = credentials(ROOT.0, ROOT.1);
    let wrong = credentials(ROOT.0, "guessed");
    let guest = credentials("guest", "guest-secret");
    let nobody = etcd.settings();

    // Credentials before authentication is on are no error, nor is an etcd that is down.
    etcd.stop().await;
    let early = connect(root.clone()).await;
    etcd.restart().await;
    write(&early, "k", "1").await;
    etcd.ctl(&["user", "add", "guest:guest-secret"]).await;
    etcd.ctl(&["role", "add", "guests"]).await;
    etcd.ctl(&["role", "grant-permission", "--prefix=true", "guests", "readwrite", "/mine/"]).await;
    etcd.ctl(&["user", "grant-role", "guest", "guests"]).await;
    etcd.enable_auth().await;
    write(&early, "k", "2").await;

    let why = refused(connect(nobody).await.get(b"k").await);
    assert!(why.contains("wants a user and password"), "{why}");
    let why = refused(connect(wrong).await.get(b"k").await);
    assert!(why.contains("invalid user ID or password"), "{why}");

    let guest = connect(guest).await;
    write(&guest, "/mine/k", "v").await;
    assert!(refused(guest.get(b"k").await).contains("permission denied"));
    assert!(refused(guest.commit(put("k", "v", None)).await).contains("permission denied"));
    assert!(refused(guest.watch(b"k", 1).await.map(drop)).contains("permission denied"));

    // Tokens live in the server's memory: a restart takes them away, as time does.
    etcd.kill().await;
    etcd.restart().await;
    let mut watch = guest.watch(b"/mine/", 1).await.unwrap();
    assert!(matches!(next(&mut watch).await, Ok(Watched::Batch { .. })));
    etcd.kill().await;
    etcd.restart().await;
    write(&early, "k", "3").await;
    assert_eq!(value(&guest, "/mine/k").await.unwrap(), "v");
}
