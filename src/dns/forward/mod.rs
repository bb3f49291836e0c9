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
mod own;
mod places;
mod queue;
mod routes;
pub mod settings;
mod special;
pub mod stats;
mod system;
mod under_way;
mod upstream;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, Query};
use hickory_resolver::proto::rr::RecordType;

use self::cache::Cache;
use self::compose::Asked;
use self::heard::{Heard, SERVFAIL};
pub(super) use self::queue::{Back, Outlet, Queue, answer_connection, serve};
use self::places::Places;
use self::routes::Routes;
pub use self::settings::{Domain, DomainName, Settings, Upstreams};
use self::stats::{Outcome, Stats};
pub(super) use self::system::follow;
use self::under_way::UnderWay;
use self::upstream::Failure;
use super::source::Source;
use super::transport::Transport;
use crate::dns::answer::reply::ExtendedError;
use crate::model::Nets;

/// NOTIMP is passed on: no other server would do what this one says nobody does.
const NOTIMP: u16 = 4;

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

/// Why a client gets SERVFAIL.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    Failure(Failure),
    /// As it was a moment ago.
    Known,
    /// Aliases lead nowhere, or to a zone of ours that is not ready.
    LeadsNowhere,
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
            cache: Cache::new(settings.cache_entries_max),
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
        let rules = (inner.own.policy(), inner.own.now_secs());
        let Some(asked) = Asked::read(query, client, transport, rules) else { return Vec::new() };
        let looked_up = if inner.has_come_round(&asked, client) {
            Err(Refusal::Loop)
        } else {
            inner.look_up(&asked, client).await
        };
        inner.stats.request(match &looked_up {
            Ok(_) => Outcome::Answered,
            Err(Refusal::Failure(_) | Refusal::Known | Refusal::LeadsNowhere) => Outcome::Failed,
            Err(Refusal::Overloaded) => Outcome::Overloaded,
            Err(Refusal::Loop) => Outcome::Loop,
        });
        match looked_up {
            Ok(heard) => asked.reply(&heard, None),
            Err(refusal) => {
                let (rcode, error) = refusal.words();
                asked.reply(&Heard::bare(rcode), error)
            }
        }
    }

    /// The reply to such a query that finds no place: SERVFAIL, at once.
    pub(super) fn refuse(&self, query: &[u8], client: IpAddr, transport: Transport) -> Vec<u8> {
        let rules = (self.inner.own.policy(), self.inner.own.now_secs());
        let Some(asked) = Asked::read(query, client, transport, rules) else { return Vec::new() };
        self.inner.stats.request(Outcome::Overloaded);
        let (rcode, error) = Refusal::Overloaded.words();
        asked.reply(&Heard::bare(rcode), error)
    }

    /// The reply to such a query that says nothing but that TCP knows more.
    fn slip(&self, query: &[u8], client: IpAddr) -> Vec<u8> {
        let rules = (self.inner.own.policy(), self.inner.own.now_secs());
        let asked = Asked::read(query, client, Transport::Udp, rules);
        asked.map_or_else(Vec::new, |asked| asked.slip())
    }

    /// The reply where upstream servers say these octets to whatever they are asked: for tests that say anything.
    #[must_use]
    pub fn reply_to(
        &self,
        query: &[u8],
        (client, transport): (IpAddr, Transport),
        said: &[u8],
    ) -> Vec<u8> {
        let rules = (self.inner.own.policy(), self.inner.own.now_secs());
        let Some(asked) = Asked::read(query, client, transport, rules) else { return Vec::new() };
        let nothing = || asked.reply(&Heard::bare(SERVFAIL), None);
        let Some(mut chain) = self.inner.chain(&asked, client) else { return nothing() };
        while let Some(ask) = chain.next() {
            let query = Query::query(ask.name, RecordType::from(asked.question.rtype));
            let answer = Message::from_vec(said).ok();
            match answer.filter(|answer| upstream::is_answer_to(answer, &query)) {
                Some(answer) => chain.take(answer.into()),
                None => return nothing(),
            }
        }
        asked.reply(&chain.into_heard(), None)
    }

    /// Whose file to follow, if upstream servers are those of a file.
    pub(super) fn file(&self) -> Option<Arc<std::path::Path>> {
        match &self.inner.settings.upstreams {
            Upstreams::Listed(_) => None,
            Upstreams::System(file) => Some(file.as_path().into()),
        }
    }

    fn listeners(&self) -> &[SocketAddr] {
        &self.inner.listeners
    }

    fn replace_upstreams(&self, addresses: &[SocketAddr]) -> bool {
        self.inner.routes.replace_others(addresses)
    }
}

impl Inner {
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
    /// The response code, and the extended error (RFC 8914 sections 4.14, 4.23 and 4.24).
    fn words(self) -> (u16, Option<ExtendedError>) {
        match self {
            Self::Failure(Failure::Rcode(NOTIMP)) => (NOTIMP, None),
            Self::Failure(Failure::Rcode(_)) => (SERVFAIL, None),
            Self::Failure(Failure::Silence) => {
                (SERVFAIL, Some(ExtendedError::NoReachableAuthority))
            }
            Self::Failure(Failure::Unreachable) => (SERVFAIL, Some(ExtendedError::NetworkError)),
            Self::Known => (SERVFAIL, Some(ExtendedError::CachedError)),
            Self::LeadsNowhere | Self::Overloaded | Self::Loop => (SERVFAIL, None),
        }
    }
}
