//! What several test programs need: the real programs that rollcall talks to.
#![allow(dead_code, reason = "each test program uses a part of this")]

pub(crate) mod ask;
pub(crate) mod certificates;
pub(crate) mod etcd;
pub(crate) mod http;
pub(crate) mod library;
pub(crate) mod proxy;
pub(crate) mod running;
pub(crate) mod server;

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How long anything may take that is waited for; reached only by a failing test.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Asks again until the answer is yes.
pub(crate) async fn until(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !ask().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, asking)
        .await
        .unwrap_or_else(|_| panic!("still not after {DEADLINE:?}: {what}"));
}

/// The future's result within the deadline.
pub(crate) async fn soon<F: Future>(what: impl Debug, future: F) -> F::Output {
    timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("still not after {DEADLINE:?}: {what:?}"))
}
