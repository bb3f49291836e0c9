//! The suite over a real etcd.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use rollcall::registry::Registry;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::suite::{Backend, Fixture};
use crate::support::etcd::Etcd;

/// The etcd that all cases share, one after another: some count revisions, some compact. Started by the
/// first case, and by a later one if in between none was left to hold it.
static SHARED: Mutex<Weak<Mutex<Etcd>>> = Mutex::const_new(Weak::new());

struct Turn {
    etcd: OwnedMutexGuard<Etcd>,
    registry: Arc<dyn Registry>,
}

#[async_trait]
impl Backend for Turn {
    fn registry(&self) -> Arc<dyn Registry> {
        Arc::clone(&self.registry)
    }

    async fn compact(&self) {
        self.etcd.compact(self.etcd.revision().await).await;
    }
}

async fn etcd() -> Fixture {
    let shared = {
        let mut shared = SHARED.lock().await;
        match shared.upgrade() {
            Some(etcd) => etcd,
            None => {
                let etcd = Arc::new(Mutex::new(Etcd::start().await));
                *shared = Arc::downgrade(&etcd);
                etcd
            }
        }
    };
    let etcd = shared.lock_owned().await;
    let registry = etcd.registry().await;
    Fixture::new(Turn { etcd, registry })
}

battery!(real, super::etcd);
