//! What is being asked upstream: everybody who asks the same meanwhile waits for the one answer.
//!
//! It has an entry for each exchange, so that it is bounded as those are.
//!
//! A query that goes round in a loop of servers comes back as the same question and waits for itself: it costs one
//! exchange, and ends with that.
//!
//! Knows nothing of how one asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::heard::Heard;
use super::upstream::{Failure, Wishes};

/// What one question ends in.
pub(super) type Answer = Result<Arc<Heard>, Failure>;

type Exchange = BoxFuture<'static, Answer>;

/// A question: the name in wire form and lower case, the type, and the wishes.
pub(super) type Key = (Box<[u8]>, u16, Wishes);

/// All that is being asked.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    exchanges: Mutex<HashMap<Key, WeakShared<Exchange>>>,
}

impl UnderWay {
    /// Waits for the answer to a question; `ask` makes the exchange where there is none, if it can: else there is no
    /// answer. Whoever waits longest carries it on.
    pub(super) async fn join(
        &self,
        key: &Key,
        ask: impl FnOnce() -> Option<Exchange>,
    ) -> Option<Answer> {
        let exchange = self.enter(key, ask)?;
        let mut place = Place { under_way: self, key, exchange: Some(exchange) };
        match &mut place.exchange {
            Some(exchange) => Some(exchange.await),
            None => None,
        }
    }

    /// Whether that question is being asked, whatever the wishes.
    pub(super) fn contains(&self, name: &[u8], rtype: u16) -> bool {
        let exchanges = self.lock();
        let mut key: Key = (name.into(), rtype, Wishes::ALL[0]);
        Wishes::ALL.into_iter().any(|wishes| {
            key.2 = wishes;
            exchanges.contains_key(&key)
        })
    }

    fn enter(&self, key: &Key, ask: impl FnOnce() -> Option<Exchange>) -> Option<Shared<Exchange>> {
        let mut exchanges = self.lock();
        if let Some(exchange) = exchanges.get(key).and_then(WeakShared::upgrade) {
            return Some(exchange);
        }
        let exchange = ask()?.shared();
        // There is none to be had of one that has ended, which this has not begun.
        if let Some(weak) = exchange.downgrade() {
            exchanges.insert(key.clone(), weak);
        }
        Some(exchange)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, WeakShared<Exchange>>> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits. The last to leave takes the entry away.
struct Place<'u> {
    under_way: &'u UnderWay,
    key: &'u Key,
    exchange: Option<Shared<Exchange>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut exchanges = self.under_way.lock();
        self.exchange = None;
        if exchanges.get(self.key).is_some_and(|weak| weak.upgrade().is_none()) {
            exchanges.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use tokio::sync::oneshot;

    use super::*;

    fn key(name: &[u8]) -> Key {
        (name.into(), 1, Wishes::new(false, false))
    }

    #[tokio::test]
    async fn who_asks_the_same_waits_for_one_exchange_even_if_the_first_gives_up() {
        let under_way = UnderWay::default();
        let (answer, hear) = oneshot::channel::<u16>();
        let asked = AtomicUsize::new(0);
        let key_a = key(b"\x01a\x00");
        let mut hear = Some(hear);
        let mut join = || {
            let hear = hear.take();
            under_way.join(&key_a, || {
                asked.fetch_add(1, Relaxed);
                let hear = hear.unwrap();
                Some(async move { Ok(Arc::new(Heard::bare(hear.await.unwrap()))) }.boxed())
            })
        };
        let mut first = Box::pin(join());
        let second = join();
        let mut second = Box::pin(second);
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(under_way.contains(b"\x01a\x00", 1) && !under_way.contains(b"\x01a\x00", 28));
        drop(first);
        answer.send(3).unwrap();
        assert_eq!(second.await.unwrap().unwrap().rcode, 3);
        assert_eq!(asked.load(Relaxed), 1);
        assert_eq!(under_way.join(&key(b"\x01b\x00"), || None).await.map(|_| ()), None);
        assert!(under_way.lock().is_empty(), "nothing is left behind");
    }
}
