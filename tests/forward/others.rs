//! Upstream servers (20 in docs/dns-behaviour.md): which are asked, and what becomes of those that fail.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use rollcall::dns::forward::stats::{Outcome, UpstreamError};
use rollcall::dns::forward::{self, Domain, DomainName, Forwarder};
use rollcall::dns::{Policy, Source, Transport};
use rollcall::zone::Published;

use crate::served::Server;
use crate::support::until;
use crate::upstream::{Upstream, a, cname, dname};
use crate::world::{PATIENCE, answers, ask, forwarding, query, snapshot, to};

/// An address that swallows what is sent to it, for as long as the socket lives.
async fn silence() -> (tokio::net::UdpSocket, SocketAddr) {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn extended_error(message: &Message) -> Option<u16> {
    match message.edns.as_ref()?.option(EdnsCode::Unknown(15))? {
        EdnsOption::Unknown(_, octets) => Some(u16::from_be_bytes(*octets.first_chunk()?)),
        _ => None,
    }
}

fn errors(server: &Server, error: UpstreamError) -> u64 {
    server.forwarded.totals().upstream_errors[error as usize]
}

#[tokio::test]
async fn a_server_that_has_nothing_but_an_error_is_passed_over() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::FormErr] {
        let broken = Upstream::start(move |asked| vec![asked.code(code)]).await;
        let good = Upstream::with_one_address().await;
        let server = forwarding(to(&[broken.address, good.address]));
        let reply = ask(&server, "www.example", "A", &[]).await;
        assert_eq!(answers(&reply), ["www.example. 60 A 192.0.2.1"], "{code}");
        assert_eq!(errors(&server, UpstreamError::Rcode), 1);
    }
}

#[tokio::test]
async fn a_server_that_is_silent_gets_a_rival() {
    let (_socket, dead) = silence().await;
    let good = Upstream::with_one_address().await;
    let server = forwarding(to(&[dead, good.address]));
    let reply = ask(&server, "www.example", "A", &[]).await;
    assert_eq!(answers(&reply), ["www.example. 60 A 192.0.2.1"]);
}

#[tokio::test]
async fn a_server_without_edns_is_asked_once_more_without_it() {
    let upstream = Upstream::start(|asked| {
        vec![match asked.message.edns {
            Some(_) => asked.code(ResponseCode::FormErr),
            None if asked.name() == "bad.example." => asked.code(ResponseCode::FormErr),
            None => asked.with([a(&asked.name(), 60, 1)]),
        }]
    })
    .await;
    let server = forwarding(to(&[upstream.address]));
    let reply = ask(&server, "www.example", "A", &[]).await;
    assert_eq!(answers(&reply), ["www.example. 60 A 192.0.2.1"]);
    assert_eq!(errors(&server, UpstreamError::Rcode), 0);
    // One that finds fault with the question itself is not asked for ever.
    let reply = ask(&server, "bad.example", "A", &[]).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(errors(&server, UpstreamError::Rcode), 1);
}

#[tokio::test]
async fn servers_that_all_fail_are_told_of_as_servfail() {
    let broken = Upstream::start(|asked| vec![asked.code(ResponseCode::ServFail)]).await;
    let server = forwarding(to(&[broken.address]));
    let reply = ask(&server, "www.example", "A", &[]).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    let refused = Upstream::start(|asked| vec![asked.code(ResponseCode::NotImp)]).await;
    let server = forwarding(to(&[refused.address]));
    let reply = ask(&server, "www.example", "ANY", &[]).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NotImp, "nobody else would do it");
}

#[tokio::test]
async fn dead_servers_mean_servfail_before_a_client_gives_up() {
    assert!(forward::Settings::default().timeout < Duration::from_secs(4), "clients wait 5 s");
    let (_socket, dead) = silence().await;
    let server = forwarding(forward::Settings { timeout: PATIENCE, ..to(&[dead]) });
    let reply = ask(&server, "www.example", "A", &[]).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert!(reply.metadata.recursion_available && !reply.metadata.authoritative);
    assert_eq!(extended_error(&reply), Some(22));
    // Who asks again at once hears what is known, and adds nothing to it.
    let again = ask(&server, "www.example", "A", &[]).await;
    assert_eq!(again.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(extended_error(&again), Some(13));
    assert_eq!(server.forwarded.totals().upstream_queries, 1);
    // The same for who wants records of DNSSEC, whose answers are not kept.
    for said in [22, 13] {
        assert_eq!(extended_error(&ask(&server, "www.example", "A", &["do"]).await), Some(said));
    }
    assert_eq!(server.forwarded.totals().upstream_queries, 2);
    let plain = ask(&server, "other.example", "A", &["noedns"]).await;
    assert_eq!(plain.metadata.response_code, ResponseCode::ServFail);
    assert!(plain.edns.is_none(), "no OPT, no extended error");
    assert_eq!(errors(&server, UpstreamError::Timeout), 3);
    assert_eq!(server.forwarded.totals().requests[Outcome::Failed as usize], 5);
}

#[tokio::test]
async fn an_answer_that_nobody_can_read_is_asked_for_over_tcp_and_then_given_up() {
    let garbled = |asked: &crate::upstream::Asked| {
        let mut octets = asked.with([a(&asked.name(), 60, 1)]);
        octets.truncate(octets.len() - 1);
        octets
    };
    let upstream = Upstream::start(move |asked| match asked.name().as_str() {
        "long.example." if asked.over_tcp => vec![asked.with([a(&asked.name(), 60, 1)])],
        _ => vec![garbled(asked)],
    })
    .await;
    let server = forwarding(to(&[upstream.address]));
    assert_eq!(ask(&server, "long.example", "A", &[]).await.answers.len(), 1);
    let server = forwarding(forward::Settings { timeout: PATIENCE, ..to(&[upstream.address]) });
    let reply = ask(&server, "www.example", "A", &[]).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert!(reply.answers.is_empty());
}

#[tokio::test]
async fn a_server_that_nobody_listens_at_is_unreachable_over_tcp() {
    let upstream = Upstream::start(|asked| {
        let mut short = asked.response();
        short.metadata.truncation = true;
        vec![crate::upstream::octets(&short)]
    })
    .await;
    // Over UDP it says that TCP has more, and TCP goes elsewhere: a server without TCP.
    let udp_only = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = udp_only.local_addr().unwrap();
    let serve = async {
        let mut query = [0; 512];
        let (len, from) = udp_only.recv_from(&mut query).await.unwrap();
        let message = Message::from_vec(&query[..len]).unwrap();
        let asked = crate::upstream::Asked { message, from, over_tcp: false };
        let mut short = asked.response();
        short.metadata.truncation = true;
        udp_only.send_to(&crate::upstream::octets(&short), from).await.unwrap();
    };
    drop(upstream);
    let server = forwarding(to(&[address]));
    let (reply, ()) = tokio::join!(ask(&server, "www.example", "A", &[]), serve);
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(extended_error(&reply), Some(23));
    assert_eq!(errors(&server, UpstreamError::Network), 1);
}

#[tokio::test]
async fn a_domain_has_servers_of_its_own_and_what_others_say_of_it_is_left_out() {
    let all = Upstream::start(|asked| {
        vec![asked.with([
            cname(&asked.name(), 60, "host.corp.example."),
            a("host.corp.example.", 60, 66),
        ])]
    })
    .await;
    let corp = Upstream::with_one_address().await;
    let domain =
        Domain { name: DomainName::new("corp.example").unwrap(), upstreams: vec![corp.address] };
    let server = forwarding(forward::Settings { domains: vec![domain], ..to(&[all.address]) });
    let reply = ask(&server, "a.corp.example", "A", &[]).await;
    assert_eq!(answers(&reply), ["a.corp.example. 60 A 192.0.2.1"]);
    let reply = ask(&server, "www.example", "A", &[]).await;
    let expected =
        ["www.example. 60 CNAME host.corp.example.", "host.corp.example. 60 A 192.0.2.1"];
    assert_eq!(answers(&reply), expected);
    assert_eq!(all.names(), ["www.example."]);
    assert_eq!(corp.names(), ["a.corp.example.", "host.corp.example."]);
}

#[tokio::test]
async fn a_dname_is_believed_above_the_names_that_it_leads_from_alone() {
    let upstream = Upstream::start(|asked| {
        let mut response = asked.response();
        let elsewhere = ["www.old.example.", "bank.example.", "d.example.", "new.example."];
        response.add_answers(elsewhere.map(dname));
        response.add_answers([
            dname("old.example."),
            cname("www.old.example.", 60, "www.new.example."),
            a("www.new.example.", 60, 1),
        ]);
        vec![crate::upstream::octets(&response)]
    })
    .await;
    let corp = Upstream::with_one_address().await;
    let domain =
        Domain { name: DomainName::new("new.example").unwrap(), upstreams: vec![corp.address] };
    for (domains, also) in [(vec![], Some("new.example.")), (vec![domain], None)] {
        let server = forwarding(forward::Settings { domains, ..to(&[upstream.address]) });
        // From upstream, and from the cache.
        for _ in 0..2 {
            let reply = ask(&server, "www.old.example", "A", &[]).await;
            let owners =
                reply.answers.iter().filter(|record| u16::from(record.record_type()) == 39);
            let mut owners: Vec<_> = owners.map(|record| record.name.to_ascii()).collect();
            owners.sort();
            let expected: Vec<_> = also.into_iter().chain(["old.example."]).collect();
            assert_eq!(owners, expected);
            assert!(answers(&reply).iter().any(|said| said == "www.new.example. 60 A 192.0.2.1"));
        }
    }
}

#[tokio::test]
async fn an_alias_that_a_server_does_not_follow_is_followed() {
    let upstream = Upstream::start(|asked| {
        vec![match asked.name().as_str() {
            "www.example." => asked.with([cname("www.example.", 60, "host.example.")]),
            "host.example." => asked.with([a("host.example.", 60, 1)]),
            other => asked.with([cname(other, 60, &format!("x{other}"))]),
        }]
    })
    .await;
    let server = forwarding(to(&[upstream.address]));
    let reply = ask(&server, "www.example", "A", &[]).await;
    let expected = ["www.example. 60 CNAME host.example.", "host.example. 60 A 192.0.2.1"];
    assert_eq!(answers(&reply), expected);
    // One that never ends is given up.
    let reply = ask(&server, "y.example", "A", &[]).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert!(reply.answers.is_empty() && upstream.names().len() < 32);
}

#[tokio::test]
async fn a_question_that_goes_round_in_a_loop_waits_for_itself() {
    // A server that asks us whatever it is asked.
    let other = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let timeout = 4 * PATIENCE;
    let forward = forward::Settings { timeout, ..to(&[other.local_addr().unwrap()]) };
    let server = forwarding(forward);
    let asks_back = async {
        let mut message = [0; 512];
        loop {
            let (len, from) = other.recv_from(&mut message).await.unwrap();
            if from != server.address() {
                other.send_to(&message[..len], server.address()).await.unwrap();
            }
        }
    };
    let goes_round = until("it comes round", async || server.forwarded.totals().waiting > 1);
    let asks = ask(&server, "www.example", "A", &[]);
    let (reply, ()) = tokio::select! {
        both = async { tokio::join!(asks, goes_round) } => both,
        () = asks_back => unreachable!("it goes on asking"),
    };
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(server.forwarded.totals().upstream_queries, 1);
}

#[tokio::test]
async fn a_question_that_comes_back_from_whom_it_was_asked_of_is_told_at_once() {
    let upstream = Upstream::with_one_address().await;
    upstream.hold();
    let elsewhere = SocketAddr::from(([192, 0, 2, 77], 53));
    let published = std::sync::Arc::new(Published::new(snapshot()));
    let own = Source::new(published, Policy::default(), || 0);
    let stats = std::sync::Arc::<forward::stats::Stats>::default();
    let settings = to(&[upstream.address, elsewhere]);
    let forwarder = Forwarder::new(settings, own, Vec::new(), stats.clone()).unwrap();
    let query = query("www.example", "A", &[]);
    let local = SocketAddr::from(([127, 0, 0, 1], 1)).ip();
    let code = |reply: Vec<u8>| Message::from_vec(&reply).unwrap().metadata.response_code;
    let asks = forwarder.forward(&query, local, Transport::Udp);
    let comes_back = async {
        upstream.was_asked_for(1).await;
        let back = forwarder.forward(&query, elsewhere.ip(), Transport::Udp).await;
        assert_eq!(code(back), ResponseCode::ServFail);
        // Another client that asks the same just waits with the first.
        let too = forwarder.forward(&query, local, Transport::Tcp);
        let release = async { upstream.release() };
        assert_eq!(code(tokio::join!(too, release).0), ResponseCode::NoError);
    };
    let (answer, ()) = tokio::join!(asks, comes_back);
    assert_eq!(code(answer), ResponseCode::NoError);
    assert_eq!(stats.totals().requests[Outcome::Loop as usize], 1);
}
