//! From a client's question to what is known of it: the cache, then whoever asks the same already, then upstream.
//!
//! Knows nothing of messages.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::FutureExt as _;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::proto::serialize::binary::{BinDecodable as _, BinDecoder};
use tokio::time::{Instant, timeout_at};

use super::cache::Failed;
use super::chain::{Ask, Chain};
use super::compose::Asked;
use super::heard::Heard;
use super::routes::Route;
use super::under_way::{Answer, Key};
use super::upstream::{Failure, Wishes};
use super::{Inner, Refusal};
use crate::dns::answer::codes::CD;

/// A client waits for so much longer than an exchange takes at most: one that was begun for it ends first, and how it
/// ended is remembered.
const MARGIN: Duration = Duration::from_millis(20);

/// A client, as far as it matters to what it asks.
#[derive(Debug, Clone, Copy)]
struct Client {
    address: IpAddr,
    wishes: Wishes,
    /// It waits no longer.
    deadline: Instant,
}

/// Goes a client's way to its end; `hear` asks others.
pub(super) async fn walk<H: Future<Output = Result<Heard, Refusal>>>(
    mut chain: Chain<'_>,
    mut hear: impl FnMut(Ask) -> H,
) -> Result<Heard, Refusal> {
    while let Some(ask) = chain.next() {
        chain.take(hear(ask).await?);
    }
    chain.into_heard().map_err(Refusal::DeadEnd)
}

impl Inner {
    /// The way from a client's question to its answer.
    pub(super) fn chain(&self, asked: &Asked<'_>, client: IpAddr) -> Option<Chain<'_>> {
        // As the client wrote it: owners of answers are in its case too.
        let name = Name::read(&mut BinDecoder::new(asked.written)).ok()?;
        let question = (name, RecordType::from(asked.question.rtype));
        Some(Chain::new((&self.own, &self.routes), client, question, asked.dnssec_ok))
    }

    /// How long a client waits at most.
    pub(super) fn patience(&self) -> Duration {
        self.settings.timeout + MARGIN
    }

    /// The whole answer to a client's question.
    pub(super) async fn look_up(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        client: IpAddr,
    ) -> Result<Heard, Refusal> {
        let deadline = Instant::now() + self.patience();
        let wishes = Wishes::new(asked.dnssec_ok, asked.header.flags & CD != 0);
        let unreadable = Refusal::Failure(Failure::Unreachable);
        let chain = self.chain(asked, client).ok_or(unreadable)?;
        let client = Client { address: client, wishes, deadline };
        walk(chain, |ask| self.ask(ask, client)).await
    }

    /// One question, from the cache or from an upstream server. Who validates has a cache already, and gets what
    /// upstream says now.
    ///
    /// The client needs a place only where it has to wait. The deadline is this client's alone: others may wait for the
    /// same exchange, who came later, and it goes on for them.
    async fn ask(self: &Arc<Self>, ask: Ask, client: Client) -> Result<Heard, Refusal> {
        let query = Query::query(ask.name.to_lowercase(), ask.rtype);
        let key: Key = (ask.lower.into(), ask.rtype.into(), client.wishes);
        if let Some(known) = self.cache.get(&key, Instant::now()) {
            self.stats.cache_hits.fetch_add(1, Relaxed);
            return known.map_err(|Failed| Refusal::Known);
        }
        // Of others only failures are kept.
        if client.wishes.are_usual() {
            self.stats.cache_misses.fetch_add(1, Relaxed);
        }
        let _waits = self.places.wait(client.address).ok_or(Refusal::Overloaded)?;
        let exchange = || {
            let (place, inner) = (self.places.exchange()?, self.clone());
            let key = key.clone();
            let exchange = async move {
                let _place = place;
                inner.exchange(key, query, ask.route).await
            };
            Some(exchange.boxed())
        };
        let answer = timeout_at(client.deadline, self.under_way.join(&key, exchange)).await;
        match answer.unwrap_or(Some(Err(Failure::Silence))).ok_or(Refusal::Overloaded)? {
            Ok(heard) => Ok(Heard::clone(&heard)),
            Err(failure) => Err(Refusal::Failure(failure)),
        }
    }

    /// Asks for as long as any client may wait, and keeps what was said before anybody hears of it: so nobody asks in
    /// between. Where the last client leaves before the end, nothing is known, and nothing kept.
    async fn exchange(&self, key: Key, query: Query, route: Route) -> Answer {
        let deadline = Instant::now() + self.settings.timeout;
        let (_, _, wishes) = key;
        let answer = self.routes.group(route).ask(&query, wishes, deadline, &self.stats).await;
        let now = Instant::now();
        match answer {
            Ok(response) => {
                let (message, octets) = response.into_parts();
                let heard = Heard::from(message);
                if wishes.are_usual() {
                    self.cache.put(key, &heard, &octets, now);
                }
                Ok(Arc::new(heard))
            }
            Err(failure) => {
                self.cache.put_failure(key, now);
                Err(failure)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::UdpSocket;

    use super::super::Forwarder;
    use super::super::name::lower;
    use super::super::settings::{Settings, Upstreams};
    use super::*;
    use crate::dns::answer::policy::Policy;
    use crate::dns::source::Source;
    use crate::zone::Published;

    /// Somebody who waits for so long asks; what is said, and when.
    async fn ask(
        inner: &Arc<Inner>,
        name: &str,
        left: Duration,
    ) -> (Result<Heard, Refusal>, Instant) {
        let (name, rtype) = (Name::from_ascii(name).unwrap(), RecordType::A);
        let lower = lower(&name);
        let route = inner.routes.of(&lower);
        let client = Client {
            address: Ipv4Addr::LOCALHOST.into(),
            wishes: Wishes::new(false, false),
            deadline: Instant::now() + left,
        };
        let said = inner.ask(Ask { name, rtype, lower, route }, client).await;
        (said, Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn each_client_has_its_own_time_and_the_exchange_has_all_of_it() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let upstreams = Upstreams::Listed(vec![silent.local_addr().unwrap()]);
        let settings = Settings { upstreams, ..Settings::default() };
        let whole = settings.timeout;
        let own = Source::new(Arc::new(Published::new(Arc::default())), Policy::default(), || 0);
        let forwarder = Forwarder::new(settings, own, Vec::new(), Arc::default()).unwrap();
        let inner = &forwarder.inner;
        let start = Instant::now();
        let little = Duration::from_millis(100);
        let silence =
            |said: &Result<Heard, Refusal>| matches!(said, Err(Refusal::Failure(Failure::Silence)));
        // One who has waited for other names already begins it, and one who has just come joins.
        let (near, far) = tokio::join!(
            ask(inner, "www.example.", little),
            ask(inner, "www.example.", inner.patience())
        );
        assert!(silence(&near.0) && near.1 - start < whole);
        assert!(silence(&far.0) && far.1 - start >= whole);
        assert_eq!(inner.stats.totals().upstream_queries, 1);
        // That nobody could say is known now, but not where nobody has waited long enough.
        let (known, _) = ask(inner, "www.example.", whole).await;
        assert!(matches!(known, Err(Refusal::Known)));
        for _ in 0..2 {
            assert!(silence(&ask(inner, "other.example.", little).await.0));
        }
        assert_eq!(inner.stats.totals().upstream_queries, 3);
    }
}
