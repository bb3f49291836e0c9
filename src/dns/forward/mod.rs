//! Questions for names of others: asked of upstream servers, so that `nameserver 127.0.0.1` is all a host needs.
//!
//! ```text
//! UDP worker --queue--+                                     +-- own answers (chain)
//!                     +--> forward() --chain, cache, under way--+
//! TCP, TLS, HTTPS, QUIC                                     +-- upstream servers, by routes
//! ```
//!
//! Nothing here can hold up our own names (21 in docs/dns-behaviour.md): it runs on tasks of its own. Whoever has to
//! wait needs a place, of which there are so many, and a part for each network of clients; who finds none is told at
//! once. What is known already needs none. Questions for names in our zones do not come here, save as the targets of
//! others' aliases, and never leave.
//!
//! A loop of servers can't run away: a question that is being asked is not asked again, but waited for, so that one
//! that comes round to us waits for itself and ends with its time-out. Where the server that it comes from is one
//! that we ask, on another host, that is told at once.
//!
//! Knows nothing of registries, nor of how our own answers are made.

mod cache;
mod chain;
mod compose;
mod heard;
mod look_up;
mod name;
pub mod own;
mod places;
mod queue;
mod routes;
pub mod settings;
mod special;
pub mod stats;
mod system;
mod under_way;
mod upstream;

use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use hickory_resolver::proto::op::{Message, Query};

use self::cache::Cache;
use self::chain::{Ask, DeadEnd};
use self::compose::Asked;
use self::heard::Heard;
use self::look_up::walk;
use self::places::Places;
pub(super) use self::queue::{Back, Outlet, Queue, answer_connection, serve};
use self::routes::Routes;
pub use self::settings::{Domain, DomainName, Settings, Upstreams};
use self::stats::{Outcome, Stats};
pub use self::system::follow;
use self::under_way::UnderWay;
use self::upstream::Failure;
use super::source::Source;
use super::transport::Transport;
use crate::dns::answer::codes::{NOTIMP, SERVFAIL};
use crate::dns::answer::reply::ExtendedError;
use crate::model::Nets;

/// Looks up names of others. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Forwarder {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    /// Our own answers; forwards nothing.
    own: Source,
    /// Our own addresses.
    listeners: Vec<SocketAddr>,
    routes: Routes,
    cache: Cache,
    under_way: UnderWay,
    places: Places,
    stats: Arc<Stats>,
}

/// Forwarding can't be done as configured.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot forward to {upstream}: it is an address of this server, which would ask itself: name another server in \
     forward.upstreams, or listen elsewhere"
)]
pub struct ForwardError {
    /// The address.
    pub upstream: SocketAddr,
}

/// Why a question can't be answered.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    Failure(Failure),
    /// As it was a moment ago.
    Known,
    DeadEnd(DeadEnd),
    Overloaded,
    Loop,
}

impl Forwarder {
    /// Forwards to these upstream servers; `own` are our own answers, `listeners` our own addresses.
    ///
    /// # Errors
    /// An upstream server that is ourselves.
    pub fn new(
        settings: Settings,
        own: Source,
        listeners: Vec<SocketAddr>,
        stats: Arc<Stats>,
    ) -> Result<Self, ForwardError> {
        let others = match &settings.upstreams {
            Upstreams::Listed(addresses) => addresses.as_slice(),
            Upstreams::System(_) => &[],
        };
        let named = settings.domains.iter().flat_map(|domain| &domain.upstreams);
        if let Some(upstream) =
            others.iter().chain(named).find(|address| own::is_own(&listeners, **address))
        {
            return Err(ForwardError { upstream: *upstream });
        }
        let inner = Inner {
            own,
            listeners,
            routes: Routes::new(&settings),
            cache: Cache::new(settings.cache_octets_max),
            under_way: UnderWay::default(),
            places: Places::new(settings.in_flight_max, stats.clone()),
            stats,
            settings,
        };
        let forwarder = Self { inner: Arc::new(inner) };
        if let Some(file) = forwarder.file() {
            system::begin(&forwarder, &file);
        }
        Ok(forwarder)
    }

    /// Who may have names looked up.
    #[must_use]
    pub fn allow(&self) -> &Nets {
        &self.inner.settings.allow
    }

    /// The longest that [`Self::forward`] takes.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.inner.patience()
    }

    /// The reply to a query of which `answer()` says that it is to be forwarded. Never longer than that transport
    /// and the client allow; empty where the octets are no query.
    pub async fn forward(&self, query: &[u8], client: IpAddr, transport: Transport) -> Vec<u8> {
        let inner = &self.inner;
        let Some(asked) = inner.read(query, client, transport) else { return Vec::new() };
        let looked_up = if inner.has_come_round(&asked, client) {
            Err(Refusal::Loop)
        } else {
            inner.look_up(&asked, client).await
        };
        inner.reply(&asked, client, looked_up)
    }

    /// The reply to such a query that finds no place, at once.
    pub(super) fn refuse(&self, query: &[u8], client: IpAddr, transport: Transport) -> Vec<u8> {
        let asked = self.inner.read(query, client, transport);
        let refuse = |asked| self.inner.reply(&asked, client, Err(Refusal::Overloaded));
        asked.map_or_else(Vec::new, refuse)
    }

    /// The reply to such a query that says nothing but that TCP knows more.
    fn slip(&self, query: &[u8], client: IpAddr) -> Vec<u8> {
        let asked = self.inner.read(query, client, Transport::Udp);
        asked.map_or_else(Vec::new, |asked| asked.slip())
    }

    /// What [`Self::forward`] replies where upstream servers say these octets to whatever they are asked.
    #[doc(hidden)]
    #[must_use]
    pub fn reply_to(
        &self,
        query: &[u8],
        (client, transport): (IpAddr, Transport),
        said: &[u8],
    ) -> Vec<u8> {
        let inner = &self.inner;
        let Some(asked) = inner.read(query, client, transport) else { return Vec::new() };
        let hear = |ask: Ask| {
            let query = Query::query(ask.name, ask.rtype);
            let answer = Message::from_vec(said).ok();
            let answer = answer.filter(|answer| upstream::is_answer_to(answer, &query));
            ready(answer.map(Heard::from).ok_or(Refusal::Failure(Failure::Unreachable)))
        };
        let looked_up = inner.chain(&asked, client).map(|chain| walk(chain, hear).now_or_never());
        let looked_up = looked_up.flatten().unwrap_or(Err(Refusal::Failure(Failure::Silence)));
        inner.reply(&asked, client, looked_up)
    }

    /// Whose file to follow, if upstream servers are those of a file.
    fn file(&self) -> Option<Arc<std::path::Path>> {
        match &self.inner.settings.upstreams {
            Upstreams::Listed(_) => None,
            Upstreams::System(file) => Some(file.as_path().into()),
        }
    }

    fn listeners(&self) -> &[SocketAddr] {
        &self.inner.listeners
    }

    fn has_others(&self) -> bool {
        self.inner.routes.has_others()
    }

    fn replace_upstreams(&self, addresses: &[SocketAddr]) -> bool {
        self.inner.routes.replace_others(addresses)
    }
}

impl Inner {
    /// A query, if it is one that can be looked up.
    fn read<'q>(&self, query: &'q [u8], client: IpAddr, transport: Transport) -> Option<Asked<'q>> {
        Asked::read(query, client, transport, (self.own.policy(), self.own.now_secs()))
    }

    /// The reply to a question that was looked up. An alias of ours that can't be followed is still ours: the client gets
    /// the alias alone, as one does for whom nobody is asked.
    fn reply(
        &self,
        asked: &Asked<'_>,
        client: IpAddr,
        looked_up: Result<Heard, Refusal>,
    ) -> Vec<u8> {
        self.stats.request(match &looked_up {
            Ok(_) => Outcome::Answered,
            Err(Refusal::Failure(_) | Refusal::Known | Refusal::DeadEnd(_)) => Outcome::Failed,
            Err(Refusal::Overloaded) => Outcome::Overloaded,
            Err(Refusal::Loop) => Outcome::Loop,
        });
        let refusal = match looked_up {
            Ok(heard) => return asked.reply(&heard, None),
            Err(refusal) => refusal,
        };
        let (rcode, error) = refusal.words();
        let own = match refusal {
            // Law 1: what we may come to know is not said to be missing.
            Refusal::DeadEnd(DeadEnd::NotReady) => None,
            _ => self.chain(asked, client).and_then(|chain| chain.own_words()),
        };
        match own {
            Some(own) => asked.reply_with_own(&own, error),
            None => asked.reply(&Heard::bare(rcode), error),
        }
    }

    /// Whether a question is one that we are asking, and comes from a server that we ask. Another program on the host of
    /// such a server may well ask the same at the same time; on our own host, where clients and servers share an
    /// address, that is nothing unusual at all.
    fn has_come_round(&self, asked: &Asked<'_>, client: IpAddr) -> bool {
        self.routes.is_upstream(client)
            && self.under_way.contains(asked.question.name(), asked.question.rtype)
            && !own::is_of_host(client)
    }
}

impl Refusal {
    /// The response code, and the extended error (RFC 8914 sections 4.14, 4.15, 4.23 and 4.24).
    fn words(self) -> (u16, Option<ExtendedError>) {
        match self {
            // Passed on: no other server would do what this one says nobody does.
            Self::Failure(Failure::Rcode(NOTIMP)) => (NOTIMP, None),
            Self::Failure(Failure::Rcode(_)) => (SERVFAIL, None),
            Self::Failure(Failure::Silence) => {
                (SERVFAIL, Some(ExtendedError::NoReachableAuthority))
            }
            Self::Failure(Failure::Unreachable) => (SERVFAIL, Some(ExtendedError::NetworkError)),
            Self::Known => (SERVFAIL, Some(ExtendedError::CachedError)),
            Self::DeadEnd(DeadEnd::NotReady) => (SERVFAIL, Some(ExtendedError::NotReady)),
            Self::DeadEnd(DeadEnd::Aliases) | Self::Overloaded | Self::Loop => (SERVFAIL, None),
        }
    }
}
