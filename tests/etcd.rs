//! What only the etcd registry has: members that fail, TLS, users, and limits of the server.

mod support;

use std::time::Duration;

use bytes::Bytes;
use rollcall::registry::etcd::EtcdRegistry;
use rollcall::registry::{
    Change, Committed, Error, EtcdSettings, LeaseId, Precondition, Registry, Revision, Txn, Watch,
    Watched, Write,
};
use support::etcd::{Etcd, ROOT, dead_port, settings};
use support::soon;
use tokio::time::Instant;

fn put(key: impl Into<Bytes>, value: impl Into<Bytes>, lease: Option<LeaseId>) -> Txn {
    let writes = vec![Write::Put { key: key.into(), value: value.into(), lease }];
    Txn { preconditions: vec![], writes }
}

/// Writes one key and gives the revision.
async fn write(registry: &EtcdRegistry, key: &'static str, value: &'static str) -> Revision {
    match registry.commit(put(key, value, None)).await.unwrap() {
        Committed::Done(stamp) => stamp.revision,
        Committed::Refused(_) => unreachable!("there was no precondition"),
    }
}

async fn value(registry: &EtcdRegistry, key: &str) -> Option<Bytes> {
    registry.get(key.as_bytes()).await.unwrap().1.map(|entry| entry.value)
}

async fn next(watch: &mut Box<dyn Watch>) -> Result<Watched, Error> {
    soon("the watch tells", watch.next()).await
}

async fn connect(settings: EtcdSettings) -> EtcdRegistry {
    EtcdRegistry::connect(settings).await.unwrap()
}

fn refused(result: Result<impl std::fmt::Debug, Error>) -> String {
    match result {
        Err(Error::Refused(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_dead_member_costs_no_call() {
    let etcd = Etcd::start().await;
    let dead = format!("http://127.0.0.1:{}", dead_port());
    let registry = connect(settings([dead, etcd.url()])).await;
    let started = Instant::now();
    for _ in 0..50 {
        write(&registry, "k", "v").await;
        assert_eq!(value(&registry, "k").await.unwrap(), "v");
    }
    let (stamp, _) = registry.get(b"k").await.unwrap();
    let mut watch = registry.watch(b"k", stamp.revision).await.unwrap();
    assert!(matches!(next(&mut watch).await, Ok(Watched::Batch { .. })));
    // The dead one is left alone once it failed: a pause a call would take longer.
    assert!(started.elapsed() < settings([]).call_timeout, "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_etcd_that_is_not_there_fails_in_time_and_did_nothing() {
    let registry = connect(settings([format!("http://127.0.0.1:{}", dead_port())])).await;
    let lease = LeaseId::new(7).unwrap();
    let started = Instant::now();
    let (get, list, watch, commit, grant, renew, revoke, left) = tokio::join!(
        registry.get(b"k"),
        registry.list(b"k", false, None),
        registry.watch(b"k", 1),
        registry.commit(put("k", "v", None)),
        registry.grant(10),
        registry.renew(lease),
        registry.revoke(lease),
        registry.time_left(lease),
    );
    assert!(started.elapsed() < settings([]).call_timeout + SLACK);
    let errors = [
        get.map(drop),
        list.map(drop),
        watch.map(drop),
        commit.map(drop),
        grant.map(drop),
        renew.map(drop),
        revoke.map(drop),
        left.map(drop),
    ];
    for error in errors {
        let Err(Error::Unavailable(why)) = error else { panic!("{error:?}") };
        assert!(why.contains("Connection refused"), "{why}");
    }
}

#[tokio::test]
async fn an_etcd_that_hangs_fails_in_time_and_may_have_written() {
    let etcd = Etcd::start().await;
    let registry = etcd.registry().await;
    let lease = registry.grant(60).await.unwrap().lease;
    let mut watch = registry.watch(b"k", 1).await.unwrap();
    etcd.pause();
    let started = Instant::now();
    let (get, commit, renew, revoke) = tokio::join!(
        registry.get(b"k"),
        registry.commit(put("k", "v", None)),
        registry.renew(lease),
        registry.revoke(lease),
    );
    assert!(started.elapsed() < settings([]).call_timeout + SLACK);
    assert!(matches!(get, Err(Error::Unavailable(_))), "{get:?}");
    assert!(matches!(renew, Err(Error::Unavailable(_))), "{renew:?}");
    assert!(matches!(commit, Err(Error::Unknown(_))), "{commit:?}");
    assert!(matches!(revoke, Err(Error::Unknown(_))), "{revoke:?}");
    let ended = next(&mut watch).await;
    assert!(matches!(ended, Err(Error::Unavailable(_))), "keep-alive pings end it: {ended:?}");
    assert_eq!(next(&mut watch).await, ended, "and it stays ended");

    etcd.resume();
    support::until("it answers again", async || registry.get(b"k").await.is_ok()).await;
}

#[tokio::test]
async fn a_hanging_member_does_not_hold_up_reads_from_another() {
    // Two clusters of one stand for two members; which of them answers is told by its key.
    let (hanging, healthy) = (Etcd::start().await, Etcd::start().await);
    healthy.put("k", "healthy").await;
    hanging.pause();
    let registry = connect(settings([hanging.url(), healthy.url()])).await;
    for _ in 0..5 {
        assert_eq!(value(&registry, "k").await.unwrap(), "healthy");
    }
}

#[tokio::test]
async fn a_lost_leader_is_bridged_and_a_lost_majority_is_told() {
    let mut members = Etcd::start_three().await;
    let patient = EtcdSettings {
        // An election takes a second or two.
        call_timeout: Duration::from_secs(8),
        ..settings(members.iter().map(Etcd::url))
    };
    let registry = connect(patient).await;
    write(&registry, "k", "1").await;
    let mut leader = 0;
    while !members[leader].leads().await {
        leader += 1;
    }
    members[leader].kill().await;
    // One call, no error: it was repeated until there was a new leader.
    assert_eq!(value(&registry, "k").await.unwrap(), "1");
    write(&registry, "k", "2").await;

    let last = connect(settings([members[(leader + 1) % 3].url()])).await;
    let mut watch = last.watch(b"k", 1).await.unwrap();
    assert!(matches!(next(&mut watch).await, Ok(Watched::Batch { .. })));
    members[(leader + 2) % 3].kill().await;
    // It would go stale in silence, were a leader not required.
    let ended = soon("the watch without a leader ends", async {
        loop {
            if let Err(error) = watch.next().await {
                return error;
            }
        }
    });
    assert!(matches!(ended.await, Error::Unavailable(_)));
    let error = last.get(b"k").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    let error = last.commit(put("k", "3", None)).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("no leader")), "{error:?}");
}

#[tokio::test]
async fn tls_needs_the_authority_the_certificate_and_the_name() {
    let etcd = Etcd::start_with_tls().await;
    let with = |tls| EtcdSettings { tls: Some(tls), ..etcd.settings() };
    let registry = connect(with(etcd.client_tls())).await;
    write(&registry, "k", "v").await;
    assert_eq!(value(&registry, "k").await.unwrap(), "v");

    let unnamed = rollcall::registry::Tls { server_name: None, ..etcd.client_tls() };
    let Err(Error::Unavailable(why)) = connect(with(unnamed)).await.get(b"k").await else {
        panic!("the certificate is for another name")
    };
    assert!(why.contains("certificate"), "{why}");
    let nobody = rollcall::registry::Tls { cert_file: None, key_file: None, ..etcd.client_tls() };
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
    let missing =
        rollcall::registry::Tls { ca_file: Some("/nowhere/ca.pem".into()), ..<_>::default() };
    let text = why(tls(missing)).await;
    assert!(text.contains("/nowhere/ca.pem: No such file"), "{text}");
    let half =
        rollcall::registry::Tls { cert_file: Some("/nowhere/c.pem".into()), ..<_>::default() };
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

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let etcd = Etcd::start().await;
    let registry = etcd.registry().await;
    let first = write(&registry, "a", "1").await;
    let txn = Txn {
        preconditions: vec![Precondition::At("a".into(), first), Precondition::Absent("b".into())],
        writes: vec![
            Write::Put { key: "b".into(), value: "1".into(), lease: None },
            Write::Delete("a".into()),
        ],
    };
    let Committed::Done(stamp) = registry.commit(txn.clone()).await.unwrap() else {
        panic!("both held")
    };
    assert_eq!(stamp.revision, first + 1);
    assert_eq!(
        (value(&registry, "a").await, value(&registry, "b").await),
        (None, Some("1".into()))
    );
    let again = registry.commit(txn).await.unwrap();
    assert_eq!(again, Committed::Refused(stamp), "nothing written, no revision used");

    let mut watch = registry.watch(b"", stamp.revision).await.unwrap();
    let Watched::Batch { revision, changes } = next(&mut watch).await.unwrap() else {
        panic!("no progress was asked for")
    };
    assert_eq!((revision, changes.len()), (stamp.revision, 2));
    assert!(changes.contains(&Change::Delete("a".into())), "{changes:?}");
}

#[tokio::test]
async fn a_lease_that_is_gone_is_not_found() {
    let etcd = Etcd::start().await;
    let registry = etcd.registry().await;
    let granted = registry.grant(60).await.unwrap();
    assert_eq!((granted.ttl_secs, registry.renew(granted.lease).await), (60, Ok(60)));
    registry.commit(put("k", "v", Some(granted.lease))).await.unwrap();
    assert_eq!(registry.get(b"k").await.unwrap().1.unwrap().lease, Some(granted.lease));
    registry.revoke(granted.lease).await.unwrap();
    assert_eq!(value(&registry, "k").await, None);

    assert_eq!(registry.renew(granted.lease).await, Err(Error::LeaseNotFound));
    assert_eq!(registry.time_left(granted.lease).await, Err(Error::LeaseNotFound));
    assert_eq!(registry.revoke(granted.lease).await, Err(Error::LeaseNotFound));
    let put = registry.commit(put("k", "v", Some(granted.lease))).await;
    assert_eq!(put, Err(Error::LeaseNotFound));
    assert_eq!(value(&registry, "k").await, None);
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let etcd = Etcd::start().await;
    let registry = etcd.registry().await;
    // Beyond etcd's own limit of 1.5 MiB, and beyond that of its transport.
    for octets in [1_800_000, 4_000_000] {
        let why = refused(registry.commit(put("k", vec![b'x'; octets], None)).await);
        assert!(why.contains("large"), "{why}");
    }
    let writes = (0..200).map(|n| Write::Delete(n.to_string().into())).collect();
    let why = refused(registry.commit(Txn { preconditions: vec![], writes }).await);
    assert!(why.contains("too many operations"), "{why}");
    write(&registry, "k", "still usable").await;
}

#[tokio::test]
async fn a_long_listing_is_of_one_revision() {
    let etcd = Etcd::start().await;
    let paged = EtcdSettings { page_entries: 100, ..etcd.settings() };
    let registry = connect(paged).await;
    let key = |n: usize| Bytes::from(format!("/p/{n:05}"));
    let mut last = 0;
    for round in ["old", "new"] {
        for start in (0..KEYS).step_by(100) {
            let writes = (start..start + 100)
                .map(|n| Write::Put { key: key(n), value: round.into(), lease: None })
                .collect();
            let done = registry.commit(Txn { preconditions: vec![], writes }).await.unwrap();
            let Committed::Done(stamp) = done else { panic!("{done:?}") };
            if round == "old" {
                last = stamp.revision;
            }
        }
    }
    write(&registry, "/q", "beyond the prefix").await;
    let then = registry.list(b"/p/", false, Some(last)).await.unwrap();
    assert_eq!(then.stamp.revision, last);
    assert!(
        then.entries.iter().map(|entry| &entry.key).eq(&(0..KEYS).map(key).collect::<Vec<_>>())
    );
    assert!(then.entries.iter().all(|entry| entry.value == "old" && entry.revision <= last));

    // Written to all the while, it still shows one moment: all keys of one transaction agree.
    let writing = async {
        for n in 0_u32.. {
            let writes = [0, KEYS - 1].map(|k| Write::Put {
                key: key(k),
                value: n.to_string().into(),
                lease: None,
            });
            registry.commit(Txn { preconditions: vec![], writes: writes.into() }).await.unwrap();
        }
    };
    let listing = async {
        for _ in 0..20 {
            let now = registry.list(b"/p/", false, None).await.unwrap();
            assert_eq!(now.entries.len(), KEYS);
            assert_eq!(now.entries[0].revision, now.entries[KEYS - 1].revision);
            assert!(now.entries.iter().all(|entry| entry.revision <= now.stamp.revision));
        }
    };
    tokio::select! {
        () = writing => unreachable!("it writes for ever"),
        () = soon("listings", listing) => {}
    }
}

#[tokio::test]
async fn pages_too_large_for_a_message_are_cut() {
    let etcd = Etcd::start().await;
    let registry = etcd.registry().await;
    // 30 MB on what would be one page.
    let value = Bytes::from(vec![b'x'; 1_000_000]);
    for n in 0..30 {
        registry.commit(put(format!("/p/{n:02}"), value.clone(), None)).await.unwrap();
    }
    let listing = registry.list(b"/p/", false, None).await.unwrap();
    assert_eq!(listing.entries.len(), 30);
    assert!(listing.entries.iter().all(|entry| entry.value == value));
    // A watch may tell all of it in one message, far above the client's default limit.
    let first = listing.entries[0].revision;
    let mut watch = registry.watch(b"/p/", first).await.unwrap();
    for n in 0..30 {
        let Watched::Batch { revision, .. } = next(&mut watch).await.unwrap() else {
            panic!("no progress was asked for")
        };
        assert_eq!(revision, first + n);
    }
}

#[tokio::test]
async fn compacted_history_says_what_is_left() {
    let etcd = Etcd::start().await;
    let registry = etcd.registry().await;
    let first = write(&registry, "k", "1").await;
    registry
        .commit(Txn { preconditions: vec![], writes: vec![Write::Delete("k".into())] })
        .await
        .unwrap();
    let last = write(&registry, "k", "3").await;
    etcd.compact(last - 1).await;

    let oldest = Error::Compacted { oldest: last };
    assert_eq!(registry.list(b"k", false, Some(first)).await, Err(oldest.clone()));
    // From the deletion itself: etcd would skip it without a word.
    for from in [first, last - 1] {
        let mut watch = registry.watch(b"k", from).await.unwrap();
        assert_eq!(next(&mut watch).await, Err(oldest.clone()));
        assert_eq!(next(&mut watch).await, Err(oldest.clone()), "and it stays ended");
    }
    let mut watch = registry.watch(b"k", last).await.unwrap();
    let Watched::Batch { revision, changes } = next(&mut watch).await.unwrap() else {
        panic!("no progress was asked for")
    };
    assert_eq!((revision, changes.len()), (last, 1));
}

#[tokio::test]
async fn a_watch_from_the_future_is_refused_instead_of_silent() {
    let etcd = Etcd::start().await;
    let registry = etcd.registry().await;
    let now = write(&registry, "k", "1").await;
    let why = refused(registry.watch(b"k", now + 2).await.map(drop));
    assert!(why.contains(&format!("etcd is at {now}")), "{why}");
    let mut watch = registry.watch(b"k", now + 1).await.unwrap();
    watch.request_progress().await.unwrap();
    assert!(
        matches!(next(&mut watch).await, Ok(Watched::Progress(stamp)) if stamp.revision == now)
    );
}

/// What a busy machine may add to a time-out.
const SLACK: Duration = Duration::from_secs(2);

/// More than the thousand that etcd's own tools put on a page.
const KEYS: usize = 1_500;
