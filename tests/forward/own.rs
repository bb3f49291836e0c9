//! Our own names beside those of others (20 in docs/dns-behaviour.md): they never leave, are never learnt from
//! outside, and aliases lead from one to the other.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use rollcall::dns::Settings;
use rollcall::dns::forward;
use rollcall::dns::forward::stats::Outcome;
use rollcall::model::{Nets, net};

use crate::served;
use crate::upstream::{Upstream, a, cname, dname, octets, soa};
use crate::world::{Connection, answers, ask, ask_tcp, forwarding, query, to, with};

#[tokio::test]
async fn our_names_and_those_of_the_host_never_leave() {
    let upstream = Upstream::with_one_address().await;
    let server = forwarding(to(&[upstream.address]));
    for (name, rtype, code, count) in [
        ("ns1.svc", "A", ResponseCode::NoError, 1),
        ("ns1.svc", "AAAA", ResponseCode::NoError, 0),
        ("no.svc", "A", ResponseCode::NXDomain, 0),
        ("localhost", "A", ResponseCode::NoError, 1),
        ("a.localhost", "MX", ResponseCode::NoError, 0),
        ("1.0.0.127.in-addr.arpa", "PTR", ResponseCode::NoError, 1),
        ("a.invalid", "A", ResponseCode::NXDomain, 0),
        ("b.onion", "A", ResponseCode::NXDomain, 0),
    ] {
        let reply = ask(&server, name, rtype, &[]).await;
        assert_eq!(reply.metadata.response_code, code, "{name} {rtype}");
        assert_eq!(reply.answers.len(), count, "{name} {rtype}");
        assert_eq!(reply.authorities.len(), usize::from(count == 0), "{name}: one SOA");
        assert!(reply.metadata.recursion_available, "{name}");
        assert_eq!(reply.metadata.authoritative, name.ends_with(".svc"), "{name}");
    }
    assert!(upstream.seen().is_empty(), "{:?}", upstream.names());
    // These have a meaning upstream.
    ask(&server, "a.test", "A", &[]).await;
    ask(&server, "1.0.0.10.in-addr.arpa", "PTR", &[]).await;
    assert_eq!(upstream.names(), ["1.0.0.10.in-addr.arpa.", "a.test."]);
}

#[tokio::test]
async fn an_alias_of_ours_leads_out() {
    let upstream = Upstream::start(|asked| {
        vec![match asked.query().query_type {
            RecordType::A => asked.with([a(&asked.name(), 60, 1)]),
            _ => asked.negative(ResponseCode::NoError, 5),
        }]
    })
    .await;
    let server = forwarding(to(&[upstream.address]));
    let target = ["out.svc. 60 CNAME www.example.", "www.example. 60 A 192.0.2.1"];
    assert_eq!(answers(&ask(&server, "out.svc", "A", &[]).await), target);
    assert_eq!(answers(&ask_tcp(&server, "out.svc", "A", &[]).await), target);
    let reply = ask(&server, "Twice.svc", "A", &[]).await;
    assert_eq!(reply.answers[0].name.to_ascii(), "Twice.svc.");
    assert_eq!(answers(&reply)[1..], target);
    assert!(!reply.metadata.authoritative && reply.metadata.recursion_available);
    let nothing = ask(&server, "out.svc", "AAAA", &[]).await;
    assert_eq!(answers(&nothing), target[..1], "the alias is told also where it leads to nothing");
    assert_eq!(nothing.authorities.len(), 1, "and the SOA says whose word that is");
    assert_eq!(upstream.names(), ["www.example."]);
}

#[tokio::test]
async fn an_alias_of_ours_is_told_whatever_becomes_of_its_target() {
    let upstream = Upstream::start(|asked| vec![asked.code(ResponseCode::ServFail)]).await;
    let server = forwarding(forward::Settings { in_flight_max: 1, ..to(&[upstream.address]) });
    let alone = async |rtype, outcome: Outcome| {
        for name in ["out.svc", "twice.svc"] {
            let reply = ask(&server, name, rtype, &[]).await;
            assert_eq!(reply.metadata.response_code, ResponseCode::NoError, "{outcome:?}: {name}");
            assert!(reply.metadata.authoritative && reply.metadata.recursion_available);
            assert_eq!(answers(&reply).last().unwrap(), "out.svc. 60 CNAME www.example.");
            let over_tcp = ask_tcp(&server, name, rtype, &[]).await;
            assert_eq!(answers(&over_tcp), answers(&reply));
        }
        assert_eq!(server.forwarded.totals().requests[outcome as usize], 4);
    };
    alone("A", Outcome::Failed).await;
    upstream.hold();
    let mut hangs = Connection::open(&server).await;
    hangs.send(&query("hangs.example", "A", &[])).await;
    upstream.was_asked_for(2).await;
    alone("AAAA", Outcome::Overloaded).await;
    let others = ask(&server, "other.example", "A", &[]).await;
    assert_eq!(others.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn an_alias_of_others_into_our_zones_ends_with_what_we_say() {
    let upstream = Upstream::start(|asked| {
        let name = asked.name();
        // What it says of our names is wrong, each time.
        let lie = |owner| vec![cname(&name, 60, owner), a(owner, 60, 66)];
        let mut response = asked.response();
        match name.as_str() {
            "good.example." => response.add_answers(lie("ns1.svc.")),
            "bad.example." => response.add_answers(lie("no.svc.")),
            "round.example." => response.add_answers(lie("out.svc.")),
            // As resolvers have it who have never heard of our zone.
            "denied.example." => {
                response.metadata.response_code = ResponseCode::NXDomain;
                response.add_authorities([soa(".")]);
                response.add_answers([cname(&name, 60, "ns1.svc.")])
            }
            "void.example." => response.add_authorities([soa("svc.")]),
            _ => response.add_answers([a(&name, 60, 1), a("ns1.svc.", 60, 66), dname("svc.")]),
        };
        vec![octets(&response)]
    })
    .await;
    let server = forwarding(to(&[upstream.address]));
    let reply = ask(&server, "good.example", "A", &[]).await;
    let expected = ["good.example. 60 CNAME ns1.svc.", "ns1.svc. 3600 A 198.51.100.53"];
    assert_eq!(answers(&reply), expected);
    let reply = ask(&server, "denied.example", "A", &[]).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
    assert_eq!(answers(&reply)[1..], expected[1..]);
    assert!(ask(&server, "void.example", "A", &[]).await.authorities.is_empty());
    let reply = ask(&server, "www.example", "A", &[]).await;
    assert_eq!(answers(&reply), ["www.example. 60 A 192.0.2.1"]);
    let reply = ask(&server, "bad.example", "A", &[]).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(answers(&reply), ["bad.example. 60 CNAME no.svc."]);
    assert_eq!(reply.authorities[0].name.to_ascii(), "svc.");
    let reply = ask(&server, "round.example", "A", &[]).await;
    let round = [
        "round.example. 60 CNAME out.svc.",
        "out.svc. 60 CNAME www.example.",
        "www.example. 60 A 192.0.2.1",
    ];
    assert_eq!(answers(&reply), round);
    // And none of it has stuck.
    let own = ask(&server, "ns1.svc", "A", &[]).await;
    assert_eq!(answers(&own), ["ns1.svc. 3600 A 198.51.100.53"]);
}

#[tokio::test]
async fn only_who_may_and_who_asks_for_it_has_names_looked_up() {
    let upstream = Upstream::with_one_address().await;
    let elsewhere = Nets::new(vec![net("10.0.0.0/8").unwrap()]);
    let stranger = forwarding(forward::Settings { allow: elsewhere, ..to(&[upstream.address]) });
    let off = with(Settings { forward: None, ..served::settings() });
    let friend = forwarding(to(&[upstream.address]));
    for (server, flags, available) in
        [(&stranger, &[][..], false), (&off, &[], false), (&friend, &["norec"], true)]
    {
        let reply = ask(server, "www.example", "A", flags).await;
        assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
        assert_eq!(reply.metadata.recursion_available, available);
        let alias = ask(server, "out.svc", "A", flags).await;
        assert_eq!(answers(&alias), ["out.svc. 60 CNAME www.example."]);
    }
    assert!(upstream.seen().is_empty());
}
