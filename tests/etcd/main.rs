//! What only the etcd registry has: members that fail, TLS, users, and limits of the server.

mod access;
mod data;
mod members;
#[path = "../support/mod.rs"]
mod support;

use bytes::Bytes;
use rollcall::registry::etcd::EtcdRegistry;
use rollcall::registry::{
    Committed, Error, EtcdSettings, LeaseId, Registry, Revision, Txn, Watch, Watched, Write,
};
use support::soon;

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
