//! Forwarding can never slow or starve our own names (21 in docs/dns-behaviour.md), and is bounded itself.

use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use rollcall::dns::forward::stats::Outcome;
use rollcall::dns::forward::{self, Forwarder};
use rollcall::dns::limit::{Limits, Mode};
use rollcall::dns::stats::kinds::Limited;
use rollcall::dns::{Policy, Settings, Source, Transport, UdpCalls};
use rollcall::model::Nets;
use rollcall::zone::Published;
use tokio::io::AsyncWriteExt;
use tokio::net::UdpSocket;

use crate::served::{self, Server};
use crate::support::{soon, until};
use crate::upstream::Upstream;
use crate::world::{
    Connection, answers, ask, ask_octets, ask_tcp, forwarding, query, snapshot, to, with,
};

/// Clients that ask for names of others.
const HANGING: usize = 300;

fn code(reply: &[u8]) -> ResponseCode {
    Message::from_vec(reply).unwrap().metadata.response_code
}

fn overloaded(server: &Server) -> u64 {
    server.forwarded.totals().requests[Outcome::Overloaded as usize]
}

/// Own names, over UDP and TCP: each must be answered, once asked.
async fn own_names_answer(server: &Server, times: usize) {
    let mut connection = Connection::open(server).await;
    for _ in 0..times {
        let reply = ask(server, "ns1.svc", "A", &[]).await;
        assert_eq!(answers(&reply), ["ns1.svc. 3600 A 198.51.100.53"]);
        connection.send(&query("no.svc", "A", &[])).await;
        assert_eq!(code(&connection.hear().await), ResponseCode::NXDomain);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstream_dies_under_load_and_every_own_name_is_answered() {
    let upstream = Upstream::with_one_address().await;
    let server =
        forwarding(forward::Settings { in_flight_max: HANGING, ..to(&[upstream.address]) });
    // It works, and then it does not.
    assert_eq!(ask(&server, "www.example", "A", &[]).await.answers.len(), 1);
    upstream.hold();
    let clients = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    clients.connect(server.address()).await.unwrap();
    for i in 0..HANGING {
        clients.send(&query(&format!("n{i}.example"), "A", &[])).await.unwrap();
        if i % 32 == 0 {
            own_names_answer(&server, 1).await;
        }
    }
    let hanging = async || server.forwarded.totals().in_flight == HANGING as u64;
    until("hundreds hang", hanging).await;
    own_names_answer(&server, 200).await;
    // No more find a place, which each is told at once.
    for i in 0..20 {
        let one_more = query(&format!("m{i}.example"), "A", &[]);
        assert_eq!(code(&ask_octets(server.address(), &one_more).await), ResponseCode::ServFail);
        let over_tcp = ask_tcp(&server, &format!("t{i}.example"), "A", &[]).await;
        assert_eq!(over_tcp.metadata.response_code, ResponseCode::ServFail);
    }
    assert!(hanging().await, "all of them still hang");
    assert_eq!(overloaded(&server), 40);
    let totals = server.stats.totals();
    assert_eq!(totals.of(Transport::Udp).dropped + totals.of(Transport::Udp).failed, 0);
}

#[tokio::test]
async fn what_hangs_is_answered_when_it_can_be() {
    let upstream = Upstream::with_one_address().await;
    upstream.hold();
    let server = forwarding(forward::Settings { in_flight_max: 3, ..to(&[upstream.address]) });
    let mut clients = tokio::task::JoinSet::new();
    for i in 0..3 {
        let (address, query) = (server.address(), query(&format!("n{i}.example"), "A", &[]));
        clients.spawn(async move { ask_octets(address, &query).await });
    }
    upstream.was_asked_for(3).await;
    let reply = ask(&server, "fourth.example", "A", &[]).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    upstream.release();
    for reply in clients.join_all().await {
        assert_eq!(code(&reply), ResponseCode::NoError);
    }
    assert_eq!(ask(&server, "fourth.example", "A", &[]).await.answers.len(), 1, "room again");
}

#[tokio::test]
async fn replies_of_others_come_out_of_order_and_hold_nobody_up() {
    let upstream = Upstream::with_one_address().await;
    upstream.hold();
    let server = forwarding(forward::Settings { in_flight_max: 2, ..to(&[upstream.address]) });
    let mut connection = Connection::open(&server).await;
    let numbered = |id: u8, name: &str| {
        let mut query = query(name, "A", &[]);
        query[1] = id;
        query
    };
    for (id, name) in [(1, "a.example"), (2, "ns1.svc"), (3, "b.example"), (4, "no.svc")] {
        connection.send(&numbered(id, name)).await;
    }
    // Own names in the order in which they were asked; a third of others is one too many.
    for (id, expected) in [(2, ResponseCode::NoError), (4, ResponseCode::NXDomain)] {
        let reply = connection.hear().await;
        assert_eq!((reply[1], code(&reply)), (id, expected));
    }
    upstream.was_asked_for(2).await;
    connection.send(&numbered(5, "c.example")).await;
    let reply = connection.hear().await;
    assert_eq!((reply[1], code(&reply)), (5, ResponseCode::ServFail));
    upstream.release();
    let mut late = [connection.hear().await[1], connection.hear().await[1]];
    late.sort_unstable();
    assert_eq!(late, [1, 3]);
    connection.send(&numbered(6, "c.example")).await;
    assert_eq!(code(&connection.hear().await), ResponseCode::NoError, "room again");
    assert_eq!(overloaded(&server), 1);
}

#[tokio::test]
async fn a_connection_that_waits_for_others_is_not_idle() {
    let upstream = Upstream::with_one_address().await;
    upstream.hold();
    let forward = Some(to(&[upstream.address]));
    let tcp_idle = Duration::from_millis(100);
    let server = with(Settings { forward, tcp_idle, ..served::settings() });
    let mut waits = Connection::open(&server).await;
    waits.send(&query("www.example", "A", &[])).await;
    upstream.was_asked_for(1).await;
    // One that has nothing to wait for came later and is cut before.
    let mut idles = Connection::open(&server).await;
    idles.closed().await;
    let mut idles = Connection::open(&server).await;
    idles.closed().await;
    upstream.release();
    assert_eq!(code(&waits.hear().await), ResponseCode::NoError);
    waits.closed().await;
}

#[tokio::test]
async fn who_sends_no_more_still_hears_what_others_say() {
    let upstream = Upstream::with_one_address().await;
    upstream.hold();
    let server = forwarding(to(&[upstream.address]));
    let mut connection = Connection::open(&server).await;
    connection.send(&query("www.example", "A", &[])).await;
    connection.send(&query("other.example", "A", &[])).await;
    connection.0.shutdown().await.unwrap();
    upstream.was_asked_for(2).await;
    upstream.release();
    for _ in 0..2 {
        assert_eq!(code(&connection.hear().await), ResponseCode::NoError);
    }
    connection.closed().await;
}

#[tokio::test]
async fn a_server_that_stops_answers_what_it_was_asked() {
    let upstream = Upstream::with_one_address().await;
    upstream.hold();
    let server = forwarding(to(&[upstream.address]));
    let address = server.address();
    let udp = query("www.example", "A", &[]);
    let asks = async { code(&ask_octets(address, &udp).await) };
    let mut connection = Connection::open(&server).await;
    connection.send(&query("other.example", "A", &[])).await;
    let stops = async {
        upstream.was_asked_for(2).await;
        let release = async { upstream.release() };
        let (stopped, ()) = tokio::join!(server.stop(), release);
        stopped.unwrap();
    };
    let (over_udp, ()) = tokio::join!(asks, stops);
    assert_eq!(over_udp, ResponseCode::NoError);
    assert_eq!(code(&connection.hear().await), ResponseCode::NoError);
}

#[tokio::test]
async fn a_late_reply_leaves_from_the_address_that_was_asked() {
    let upstream = Upstream::with_one_address().await;
    for udp_calls in [UdpCalls::Batched, UdpCalls::Single] {
        for listen in ["0.0.0.0:0", "[::]:0"] {
            let listen = vec![listen.parse().unwrap()];
            let forward = Some(to(&[upstream.address]));
            let server = with(Settings { listen, forward, udp_calls, ..served::settings() });
            let port = server.address().port();
            let asked = if server.address().is_ipv4() { "127.0.0.7" } else { "::1" };
            let client = UdpSocket::bind((asked, 0)).await.unwrap();
            // Connected: it hears nothing from another address than the one it asked.
            client.connect((asked, port)).await.unwrap();
            client.send(&query("www.example", "A", &[])).await.unwrap();
            let mut reply = [0; 512];
            let len = soon("a reply", client.recv(&mut reply)).await.unwrap();
            assert_eq!(code(&reply[..len]), ResponseCode::NoError, "{udp_calls:?} {asked}");
        }
    }
}

#[tokio::test]
async fn replies_are_limited_as_all_others_are() {
    let upstream = Upstream::with_one_address().await;
    let limits = Limits {
        mode: Mode::On,
        replies_per_second: 1,
        slip: 1,
        exempt: Nets::default(),
        ..Limits::default()
    };
    let forward = Some(to(&[upstream.address]));
    let server = with(Settings { forward, limits, ..served::settings() });
    let mut slipped = 0;
    for _ in 0..20 {
        let reply = ask(&server, "www.example", "A", &[]).await;
        assert_eq!(reply.metadata.truncation, reply.answers.is_empty(), "one or the other");
        assert!(reply.metadata.recursion_available && reply.edns.is_some());
        slipped += u64::from(reply.metadata.truncation);
    }
    assert!(slipped > 0, "20 at once, and one a second is allowed");
    let totals = server.stats.totals();
    assert_eq!(totals.of(Transport::Udp).limited[Limited::Slipped as usize], slipped);
    assert_eq!(ask_tcp(&server, "www.example", "A", &[]).await.answers.len(), 1);
}

/// A forwarder without a server, for clients anywhere.
fn forwarder(settings: forward::Settings) -> (Forwarder, Arc<forward::stats::Stats>) {
    let own = Source::new(Arc::new(Published::new(snapshot())), Policy::default(), || 0);
    let stats = Arc::<forward::stats::Stats>::default();
    (Forwarder::new(settings, own, Vec::new(), stats.clone()).unwrap(), stats)
}

#[tokio::test]
async fn one_client_that_asks_without_end_leaves_others_their_places() {
    let upstream = Upstream::with_one_address().await;
    let settings = forward::Settings { in_flight_max: 8, ..to(&[upstream.address]) };
    let (forwarder, stats) = forwarder(settings);
    let ask_from = async |client: &str, name: &str, transport| {
        let query = query(name, "A", &[]);
        code(&forwarder.forward(&query, client.parse().unwrap(), transport).await)
    };
    assert_eq!(ask_from("10.0.0.9", "known.example", Transport::Udp).await, ResponseCode::NoError);
    upstream.hold();
    let greedy = async {
        tokio::join!(
            ask_from("10.0.0.1", "a.example", Transport::Udp),
            ask_from("10.0.0.1", "b.example", Transport::Tcp),
        )
    };
    let others = async {
        until("the greedy wait", async || stats.totals().waiting == 2).await;
        // Whatever the transport, and whether it is asked for already or not.
        for (transport, name) in [
            (Transport::Udp, "c.example"),
            (Transport::Https, "c.example"),
            (Transport::Quic, "a.example"),
        ] {
            assert_eq!(ask_from("10.0.0.1", name, transport).await, ResponseCode::ServFail);
        }
        assert_eq!(stats.totals().in_flight, 2);
        // What is known, the host's own names, and our own, need no place.
        for name in ["known.example", "localhost", "alias.svc"] {
            assert_eq!(ask_from("10.0.0.1", name, Transport::Udp).await, ResponseCode::NoError);
        }
        let other = ask_from("10.0.1.1", "d.example", Transport::Udp);
        let same = ask_from("10.0.1.2", "a.example", Transport::Udp);
        // Programs of this host are all one client, and have no share.
        let local = futures_util::future::join_all(
            ["e.example", "f.example", "g.example", "h.example", "i.example"]
                .map(|name| ask_from("127.0.0.1", name, Transport::Udp)),
        );
        let release = async {
            until("they wait", async || stats.totals().waiting == 9).await;
            assert_eq!(stats.totals().in_flight, 8, "who asks the same has one exchange");
            let full = ask_from("10.0.2.1", "j.example", Transport::Udp).await;
            assert_eq!(full, ResponseCode::ServFail);
            upstream.release();
        };
        let (other, same, local, ()) = tokio::join!(other, same, local, release);
        assert_eq!((other, same), (ResponseCode::NoError, ResponseCode::NoError));
        assert!(local.iter().all(|code| *code == ResponseCode::NoError));
    };
    let (greedy, ()) = tokio::join!(greedy, others);
    assert_eq!(greedy, (ResponseCode::NoError, ResponseCode::NoError));
    assert_eq!((stats.totals().waiting, stats.totals().in_flight), (0, 0));
    assert_eq!(stats.totals().requests[Outcome::Overloaded as usize], 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_is_answered_when_there_is_no_place() {
    let upstream = Upstream::with_one_address().await;
    let server = forwarding(forward::Settings { in_flight_max: 1, ..to(&[upstream.address]) });
    assert_eq!(ask(&server, "known.example", "A", &[]).await.answers.len(), 1);
    upstream.hold();
    let mut hangs = Connection::open(&server).await;
    hangs.send(&query("hangs.example", "A", &[])).await;
    upstream.was_asked_for(2).await;
    let full = ask(&server, "other.example", "A", &[]).await;
    assert_eq!(full.metadata.response_code, ResponseCode::ServFail);
    for name in ["known.example", "localhost"] {
        assert_eq!(ask(&server, name, "A", &[]).await.answers.len(), 1, "{name}");
        assert_eq!(ask_tcp(&server, name, "A", &[]).await.answers.len(), 1, "{name} over TCP");
    }
}

#[tokio::test]
async fn a_reply_keeps_no_more_memory_than_it_has_octets() {
    let upstream = Upstream::with_one_address().await;
    let (forwarder, _) = forwarder(to(&[upstream.address]));
    let query = query("www.example", "A", &[]);
    let local = "127.0.0.1".parse().unwrap();
    let reply = forwarder.forward(&query, local, Transport::Tcp).await;
    assert!(reply.len() > query.len() && reply.capacity() < 2 * reply.len());
}
