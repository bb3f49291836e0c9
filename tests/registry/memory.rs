//! The suite over the memory registry, and what only it has.

use std::sync::Arc;

use async_trait::async_trait;
use rollcall::registry::memory::MemoryRegistry;
use rollcall::registry::{Error, Registry};

use crate::suite::{Backend, Fixture, put};

struct Memory(Arc<MemoryRegistry>);

#[async_trait]
impl Backend for Memory {
    fn registry(&self) -> Arc<dyn Registry> {
        Arc::clone(&self.0) as Arc<dyn Registry>
    }

    async fn compact(&self) {
        self.0.forget_history();
    }
}

async fn memory() -> Fixture {
    Fixture::new(Memory(Arc::new(MemoryRegistry::new())))
}

battery!(paused, super::memory);
local_battery!(super::memory);

#[tokio::test(start_paused = true)]
async fn an_outage_fails_calls_and_ends_watches_and_loses_nothing() {
    let registry = MemoryRegistry::new();
    let lease = registry.grant(10).await.unwrap().lease;
    registry.commit(put("k", "v")).await.unwrap();
    let mut waiting = registry.watch(b"", 3).await.unwrap();
    let mut asleep = registry.watch(b"", 3).await.unwrap();

    registry.set_available(false);
    let is_cut_off = |error: Error| {
        assert_eq!(error.to_string(), "registry unavailable: it was cut off");
    };
    is_cut_off(registry.get(b"k").await.unwrap_err());
    is_cut_off(registry.list(b"", false, None).await.unwrap_err());
    is_cut_off(registry.watch(b"", 3).await.map(drop).unwrap_err());
    is_cut_off(registry.commit(put("k", "w")).await.unwrap_err());
    is_cut_off(registry.grant(10).await.unwrap_err());
    is_cut_off(registry.renew(lease).await.unwrap_err());
    is_cut_off(registry.time_left(lease).await.unwrap_err());
    is_cut_off(registry.revoke(lease).await.unwrap_err());
    is_cut_off(waiting.next().await.unwrap_err());

    registry.set_available(true);
    is_cut_off(asleep.next().await.unwrap_err());
    is_cut_off(waiting.next().await.unwrap_err());
    is_cut_off(waiting.request_progress().await.unwrap_err());
    assert_eq!(registry.get(b"k").await.unwrap().1.unwrap().value, "v");
    registry.renew(lease).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_registry_ends_its_watches() {
    let registry = MemoryRegistry::new();
    let mut watch = registry.watch(b"", 2).await.unwrap();
    drop(registry);
    let error = watch.next().await.unwrap_err();
    assert_eq!(error.to_string(), "registry unavailable: it was closed");
}

#[tokio::test]
async fn two_registries_are_two_clusters() {
    let (one, two) = (MemoryRegistry::new(), MemoryRegistry::new());
    let one = one.get(b"k").await.unwrap().0.cluster;
    assert_ne!(one, two.get(b"k").await.unwrap().0.cluster);
}
