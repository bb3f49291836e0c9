//! What answers on every transport come from: the snapshot that is published, the server's rules, and the time.
//!
//! Knows nothing of sockets, nor of what an answer holds.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::Guard;

use super::answer::out::Out;
use super::answer::policy::Policy;
use super::answer::query::Question;
use super::answer::{Ask, Verdict, answer, answer_read};
use super::forward::Forwarder;
use super::transport::Transport;
use crate::zone::{Published, Snapshot};

/// Where answers come from. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Source {
    published: Arc<Published>,
    policy: Arc<Policy>,
    clock: Clock,
    forwarder: Option<Forwarder>,
}

/// Tells the time in seconds since 1970.
pub type Clock = fn() -> u32;

/// All that one batch of queries is answered from.
#[derive(Debug)]
pub(super) struct View<'a> {
    snapshot: Guard<Arc<Snapshot>>,
    policy: &'a Policy,
    now_secs: u32,
    stale: bool,
}

impl Source {
    /// Answers from there, by those rules.
    #[must_use]
    pub fn new(published: Arc<Published>, policy: Policy, clock: Clock) -> Self {
        Self { published, policy: Arc::new(policy), clock, forwarder: None }
    }

    /// The same, but names of others are looked up there, for those who may.
    #[must_use]
    pub fn with_forwarder(self, forwarder: Forwarder) -> Self {
        let forward_for = Some(forwarder.allow().clone());
        let policy = Arc::new(Policy { forward_for, ..Policy::clone(&self.policy) });
        Self { policy, forwarder: Some(forwarder), ..self }
    }

    /// Who looks up names of others.
    #[must_use]
    pub fn forwarder(&self) -> Option<&Forwarder> {
        self.forwarder.as_ref()
    }

    /// The time in seconds since 1970; 0 where nobody needs it.
    #[inline]
    pub(super) fn now_secs(&self) -> u32 {
        // Nothing but cookies asks for it.
        if self.policy.cookies.is_some() { (self.clock)() } else { 0 }
    }

    /// The rules.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What holds now. To be dropped before anything is waited for: a snapshot that is held is not freed.
    #[inline]
    pub(super) fn view(&self) -> View<'_> {
        View {
            snapshot: self.published.load(),
            policy: &self.policy,
            now_secs: self.now_secs(),
            stale: self.published.is_stale(),
        }
    }
}

impl View<'_> {
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Answers one query; `draw` is a random number.
    #[inline]
    pub(super) fn answer(
        &self,
        client: IpAddr,
        transport: Transport,
        draw: u64,
        query: &[u8],
        out: &mut Out,
    ) -> Verdict {
        answer(&self.snapshot, &self.ask(client, transport, draw), query, out)
    }

    /// Answers one query that came in a datagram, and whose question has been read.
    #[inline]
    pub(super) fn answer_datagram(
        &self,
        client: IpAddr,
        draw: u64,
        query: (&[u8], &Question),
        out: &mut Out,
    ) -> Verdict {
        answer_read(&self.snapshot, &self.ask(client, Transport::Udp, draw), query, out)
    }

    #[inline]
    fn ask(&self, client: IpAddr, transport: Transport, draw: u64) -> Ask<'_> {
        let (now_secs, stale, policy) = (self.now_secs, self.stale, self.policy);
        Ask { client, transport, now_secs, draw, stale, slip: false, policy }
    }

    /// Answers nothing but that TCP knows more.
    #[cold]
    pub(super) fn slip(&self, client: IpAddr, query: &[u8], out: &mut Out) -> Verdict {
        let ask = Ask { stale: false, slip: true, ..self.ask(client, Transport::Udp, 0) };
        answer(&self.snapshot, &ask, query, out)
    }
}
