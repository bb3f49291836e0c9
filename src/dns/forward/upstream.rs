//! Asks upstream servers: each question from a fresh port with a fresh id, the answer checked against the question
//! (RFC 5452 section 9), TCP where it is cut short.
//!
//! The first server is asked; the next one too when it fails, or is silent for [`PATIENCE`]. The first answer that
//! is one ends it. Whoever was silent for so long comes last for a while, until it answers again: so a dead server costs
//! time once in that while, and not with each question.
//!
//! Knows nothing of clients, nor of what is asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::tcp::TcpClientStream;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::{DnsRequestSender, FirstAnswer as _};
use hickory_resolver::net::{DnsHandle as _, NetError};
use hickory_resolver::proto::op::{
    DnsRequest, DnsRequestOptions, DnsResponse, Edns, Message, Query,
};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::stats::{Stats, UpstreamError};
use crate::dns::answer::codes::{FORMERR, NOERROR, NXDOMAIN};

/// A server that is silent for so long gets a rival; half the time there is, where that is less.
const PATIENCE: Duration = Duration::from_millis(500);
/// It comes last for so long, unless it answers meanwhile.
const SHUNNED: Duration = Duration::from_secs(10);
/// Octets that an answer in a datagram may have (DNS Flag Day 2020).
const UDP_OCTETS: u16 = 1_232;
/// Questions at once on one TCP connection, which is made for one.
const TCP_REQUESTS_MAX: usize = 1;

/// Servers that are as good as each other.
#[derive(Debug)]
pub(super) struct Group {
    servers: Vec<Server>,
    start: Instant,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    /// Until when it comes last, in milliseconds since the group's start.
    shunned: AtomicU64,
}

/// What is asked beside the question itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Wishes {
    /// With the records of DNSSEC (RFC 3225).
    pub(super) dnssec_ok: bool,
    /// Without checking those (RFC 4035 section 3.2.2).
    pub(super) checking_disabled: bool,
}

impl Wishes {
    /// All that there are.
    pub(super) const ALL: [Self; 4] = [
        Self::new(false, false),
        Self::new(false, true),
        Self::new(true, false),
        Self::new(true, true),
    ];

    pub(super) const fn new(dnssec_ok: bool, checking_disabled: bool) -> Self {
        Self { dnssec_ok, checking_disabled }
    }

    /// Whether it is what nearly everybody asks for.
    pub(super) fn are_usual(self) -> bool {
        !self.dnssec_ok && !self.checking_disabled
    }
}

/// A question to a server, and how long there is for the answer.
#[derive(Debug, Clone, Copy)]
struct Inquiry<'q> {
    query: &'q Query,
    wishes: Wishes,
    /// A server that is silent for so long is slow.
    patience: Duration,
    /// Nobody waits for an answer any longer.
    deadline: Instant,
}

/// Nobody could say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No server answered in time, or there is none.
    Silence,
    /// No server could be reached.
    Unreachable,
    /// The servers had nothing to give but an error, the last of them this.
    Rcode(u16),
}

impl Group {
    pub(super) fn new(addresses: &[SocketAddr]) -> Arc<Self> {
        let server =
            |address: &SocketAddr| Server { address: *address, shunned: AtomicU64::new(0) };
        Arc::new(Self { servers: addresses.iter().map(server).collect(), start: Instant::now() })
    }

    /// The addresses of its servers.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.servers.iter().map(|server| server.address)
    }

    /// Asks until the deadline, which is a whole time-out away: so nobody is called silent for want of time.
    pub(super) async fn ask(
        &self,
        query: &Query,
        wishes: Wishes,
        deadline: Instant,
        stats: &Stats,
    ) -> Result<DnsResponse, Failure> {
        let patience = PATIENCE.min(deadline.saturating_duration_since(Instant::now()) / 2);
        let inquiry = Inquiry { query, wishes, patience, deadline };
        let ask_one = |server| self.ask_one(server, inquiry, stats);
        let mut waiting = self.in_order().into_iter();
        let mut asked = FuturesUnordered::new();
        // Who was asked last.
        let mut last = None;
        let mut failure = Failure::Silence;
        loop {
            if asked.is_empty() {
                last = waiting.next();
                let Some(server) = last else { return Err(failure) };
                asked.push(ask_one(server));
            }
            let rival = Instant::now() + patience;
            tokio::select! {
                Some(answer) = asked.next() => match answer {
                    Ok(response) => return Ok(response),
                    Err(why) => {
                        failure = why;
                        // One that was asked as a rival may still answer; another is asked beside it.
                        last = waiting.next();
                        asked.extend(last.map(ask_one));
                    }
                },
                () = sleep_until(rival), if waiting.len() > 0 => {
                    // Now, and not in the end: once the rival has answered, nobody waits for this one any more.
                    last.iter().for_each(|late| self.shun(late));
                    last = waiting.next();
                    asked.extend(last.map(ask_one));
                }
            }
        }
    }

    /// As configured, but those that were silent of late at the end.
    fn in_order(&self) -> Vec<&Server> {
        let now = self.now();
        let mut order: Vec<&Server> = self.servers.iter().collect();
        order.sort_by_key(|server| server.shunned.load(Relaxed) > now);
        order
    }

    async fn ask_one(
        &self,
        server: &Server,
        inquiry: Inquiry<'_>,
        stats: &Stats,
    ) -> Result<DnsResponse, Failure> {
        stats.upstream_queries.fetch_add(1, Relaxed);
        let query = inquiry.query;
        let begun = Instant::now();
        let answer = timeout_at(inquiry.deadline, exchange(server.address, inquiry)).await;
        let answer = answer.unwrap_or(Err(NetError::Timeout));
        if answer.is_ok() {
            server.shunned.store(0, Relaxed);
        }
        let (error, failure) = match answer {
            Ok(response) if !is_answer_to(&response, query) => {
                (UpstreamError::Malformed, Failure::Unreachable)
            }
            Ok(response) => match u16::from(response.metadata.response_code) {
                NOERROR | NXDOMAIN => return Ok(response),
                rcode => (UpstreamError::Rcode, Failure::Rcode(rcode)),
            },
            Err(NetError::Timeout) => (UpstreamError::Timeout, Failure::Silence),
            Err(NetError::Proto(_)) => (UpstreamError::Malformed, Failure::Unreachable),
            Err(_) => (UpstreamError::Network, Failure::Unreachable),
        };
        tracing::debug!(upstream = %server.address, ?error, %query, "upstream is of no use");
        stats.upstream_error(error);
        // A rival may have been asked so late that it had no time.
        let had_time = begun.elapsed() >= inquiry.patience;
        match error {
            UpstreamError::Network => self.shun(server),
            UpstreamError::Timeout if had_time => self.shun(server),
            UpstreamError::Timeout | UpstreamError::Malformed | UpstreamError::Rcode => {}
        }
        Err(failure)
    }

    fn shun(&self, server: &Server) {
        server.shunned.store(self.now() + SHUNNED.as_millis() as u64, Relaxed);
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }
}

/// One question to one server; once more without EDNS if the server knows none, which it says by FORMERR without OPT
/// (RFC 6891 sections 6.2.2 and 7).
async fn exchange(server: SocketAddr, inquiry: Inquiry<'_>) -> Result<DnsResponse, NetError> {
    let response = send(server, inquiry, true).await?;
    let knows_no_edns = response.edns.is_none()
        && u16::from(response.metadata.response_code) == FORMERR
        && is_answer_to(&response, inquiry.query);
    if knows_no_edns { send(server, inquiry, false).await } else { Ok(response) }
}

/// One message to one server; over TCP if the answer is cut short, or can't be read: it may have been longer than
/// we take, or a stranger's.
async fn send(
    server: SocketAddr,
    inquiry: Inquiry<'_>,
    with_edns: bool,
) -> Result<DnsResponse, NetError> {
    let Inquiry { query, wishes, deadline, .. } = inquiry;
    let provider = TokioRuntimeProvider::default();
    let left = || deadline.saturating_duration_since(Instant::now());
    let request = || request(query, wishes, with_edns);
    let mut udp =
        UdpClientStream::builder(server, provider.clone()).with_timeout(Some(left())).build();
    match udp.send_message(request()).first_answer().await {
        Ok(response) if !response.truncation => return Ok(response),
        Ok(_) | Err(NetError::Proto(_)) => {}
        Err(error) => return Err(error),
    }
    let most = Some(TCP_REQUESTS_MAX);
    let tcp = TcpClientStream::exchange(server, None, left(), most, provider).await?;
    tcp.send(request()).first_answer().await
}

/// The message; its id is a random number.
fn request(query: &Query, wishes: Wishes, with_edns: bool) -> DnsRequest {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.metadata.checking_disabled = wishes.checking_disabled;
    message.queries.push(query.clone());
    message.edns = with_edns.then(|| {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_OCTETS).set_dnssec_ok(wishes.dnssec_ok);
        edns
    });
    DnsRequest::new(message, DnsRequestOptions::default())
}

/// Whether it answers that question. Who sent it and its id have been looked at.
pub(super) fn is_answer_to(response: &Message, query: &Query) -> bool {
    response.queries.len() == 1 && response.queries.first() == Some(query)
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::{Name, RecordType};
    use tokio::net::UdpSocket;
    use tokio::sync::Notify;

    use super::*;

    /// Longer than any test takes.
    const LONG: Duration = Duration::from_secs(60);

    fn question(text: &str) -> Query {
        Query::query(Name::from_ascii(text).unwrap(), RecordType::A)
    }

    async fn socket() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    /// Says, once it may, to whatever it is asked that there is nothing.
    async fn serve(socket: UdpSocket, may: &Notify) {
        let mut message = [0; 512];
        let (mut len, mut from) = socket.recv_from(&mut message).await.unwrap();
        may.notified().await;
        loop {
            message[2] |= 0x80;
            socket.send_to(&message[..len], from).await.unwrap();
            (len, from) = socket.recv_from(&mut message).await.unwrap();
        }
    }

    async fn ask(group: &Group, name: &str) -> Result<DnsResponse, Failure> {
        let wishes = Wishes::new(false, false);
        let stats = Stats::default();
        group.ask(&question(name), wishes, Instant::now() + LONG, &stats).await
    }

    fn first(group: &Group) -> SocketAddr {
        group.in_order()[0].address
    }

    #[tokio::test]
    async fn a_server_that_is_silent_comes_last_once_a_rival_has_answered() {
        let ((dead, silent), (good, answers)) = (socket().await, socket().await);
        let may = Notify::new();
        may.notify_one();
        let group = Group::new(&[silent, answers]);
        let asks = async {
            for name in ["one.example.", "two.example."] {
                assert_eq!(ask(&group, name).await.unwrap().queries, [question(name)]);
                assert_eq!(first(&group), answers, "after {name}");
            }
        };
        tokio::select! {
            () = asks => {}
            () = serve(good, &may) => {}
        }
        drop(dead);
    }

    #[tokio::test]
    async fn a_server_that_answers_late_comes_first_again() {
        let ((late, one), (never, two)) = (socket().await, socket().await);
        let may = Notify::new();
        let group = Group::new(&[one, two]);
        let answers_late = async {
            // Asked for as a rival: the first is late by now.
            never.recv_from(&mut [0; 512]).await.unwrap();
            assert_eq!(first(&group), two);
            may.notify_one();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = ask(&group, "one.example.") => assert!(answer.is_ok()),
            () = serve(late, &may) => {}
            () = answers_late => {}
        }
        assert_eq!(first(&group), one);
    }
}
