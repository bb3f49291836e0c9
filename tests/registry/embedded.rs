//! The suite over the embedded registry, and what only it has.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rollcall::registry::embedded::{EmbeddedRegistry, OpenError};
use rollcall::registry::{Error, Registry};
use tempfile::TempDir;

use crate::suite::{Backend, Fixture, put, put_leased, within};

struct Embedded {
    registry: Arc<EmbeddedRegistry>,
    _dir: TempDir,
}

#[async_trait]
impl Backend for Embedded {
    fn registry(&self) -> Arc<dyn Registry> {
        Arc::clone(&self.registry) as Arc<dyn Registry>
    }

    async fn compact(&self) {
        self.registry.forget_history();
    }
}

async fn embedded() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let registry = Arc::new(EmbeddedRegistry::open(dir.path()).unwrap());
    Fixture::new(Embedded { registry, _dir: dir })
}

battery!(paused, super::embedded);
local_battery!(super::embedded);

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_keys_leases_revision_and_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let registry = EmbeddedRegistry::open(dir.path()).unwrap();
    let lease = registry.grant(10).await.unwrap().lease;
    let ended = registry.grant(10).await.unwrap().lease;
    registry.commit(put("permanent", "1")).await.unwrap();
    registry.commit(put("gone", "1")).await.unwrap();
    registry.commit(put_leased(&"leased".into(), "2", lease)).await.unwrap();
    registry.commit(put_leased(&"ended".into(), "2", ended)).await.unwrap();
    registry.revoke(ended).await.unwrap();
    let before = registry.list(b"", false, None).await.unwrap();
    let mut watch = registry.watch(b"", before.stamp.revision + 1).await.unwrap();
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(registry.time_left(lease).await, Ok(1));
    drop(registry);
    let error = watch.next().await.unwrap_err();
    assert_eq!(error.to_string(), "registry unavailable: it was closed");

    let registry = EmbeddedRegistry::open(dir.path()).unwrap();
    assert_eq!(registry.list(b"", false, None).await.unwrap(), before);
    assert_eq!(registry.time_left(lease).await, Ok(10), "its full length again");
    assert_eq!(registry.time_left(ended).await, Err(Error::LeaseNotFound));

    let next = before.stamp.revision + 1;
    for from in [1, next - 1] {
        let error = registry.watch(b"", from).await.map(drop).unwrap_err();
        assert_eq!(error, Error::Compacted { oldest: next });
    }
    let mut watch = registry.watch(b"", next).await.unwrap();
    within(watch.next()).await.unwrap();
    assert_eq!(registry.get(b"leased").await.unwrap().1, None, "its lease ended");
    drop(registry);
    let registry = EmbeddedRegistry::open(dir.path()).unwrap();
    assert_eq!(registry.get(b"leased").await.unwrap().1, None, "and that was saved");
    assert_eq!(registry.renew(lease).await, Err(Error::LeaseNotFound));
}

#[tokio::test]
async fn a_directory_that_is_held_is_refused_and_free_after() {
    let dir = tempfile::tempdir().unwrap();
    let registry = EmbeddedRegistry::open(dir.path()).unwrap();
    registry.commit(put("k", "v")).await.unwrap();
    let error = EmbeddedRegistry::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Held { .. }), "{error:?}");
    let line = format!(
        "cannot open registry in {}: another process holds it: stop that process, or give this one a \
         data directory of its own",
        dir.path().display()
    );
    assert_eq!(error.to_string(), line);
    assert_eq!(registry.get(b"k").await.unwrap().1.unwrap().value, "v", "and not disturbed");
    drop(registry);
    EmbeddedRegistry::open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "").unwrap();
    let error = EmbeddedRegistry::open(&path.join("data")).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
    let line = format!(
        "cannot open registry in {}: not a directory (os error 20): check the path and its disk, or \
         choose another data directory",
        path.join("data").display()
    );
    assert_eq!(error.to_string(), line);
}

#[tokio::test]
async fn a_file_of_something_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("registry.redb");
    let foreign = "certainly no database\n".repeat(1_000);
    std::fs::write(&path, &foreign).unwrap();
    let error = EmbeddedRegistry::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("registry.redb is damaged"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign);
}

#[tokio::test]
async fn a_registry_that_was_only_begun_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("registry.redb.new"), vec![0; 100_000]).unwrap();
    let registry = EmbeddedRegistry::open(dir.path()).unwrap();
    registry.commit(put("k", "v")).await.unwrap();
    assert!(!dir.path().join("registry.redb.new").exists());
}

#[tokio::test(start_paused = true)]
async fn a_thousand_leases_that_end_at_once_end_soon() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Arc::new(EmbeddedRegistry::open(dir.path()).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..1_000 {
        let registry = Arc::clone(&registry);
        tasks.spawn(async move {
            let lease = registry.grant(10).await.unwrap().lease;
            registry.commit(put_leased(&format!("{n}").into(), "v", lease)).await.unwrap();
        });
    }
    tasks.join_all().await;
    assert_eq!(registry.list(b"", true, None).await.unwrap().entries.len(), 1_000);
    let from = registry.get(b"").await.unwrap().0.revision + 1;
    let mut watch = registry.watch(b"", from).await.unwrap();
    for _ in 0..1_000 {
        within(watch.next()).await.unwrap();
    }
    assert!(registry.list(b"", true, None).await.unwrap().entries.is_empty());
}
