//! What a client hears (20 in docs/dns-behaviour.md): its own question, the usual flags, what fits, and nothing of
//! what strangers say.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::{NULL, TXT};
use hickory_proto::rr::{RData, Record, RecordType};

use rollcall::dns::Settings;
use rollcall::dns::answer::cookie::Secrets;

use crate::served::Server;
use crate::support::until;
use crate::upstream::{Upstream, a, cname, name, octets};
use crate::world::{answers, ask, ask_octets, ask_tcp, forwarding, query, to, with};

async fn one_upstream() -> (Upstream, Server) {
    let upstream = Upstream::with_one_address().await;
    let server = forwarding(to(&[upstream.address]));
    (upstream, server)
}

#[tokio::test]
async fn a_reply_has_the_client_s_own_header_and_question() {
    let (_upstream, server) = one_upstream().await;
    for flags in [&["cd", "ad", "aa", "z"][..], &["noedns"]] {
        let query = query("wWw.ExAmPlE", "A", flags);
        let reply = ask_octets(server.address(), &query).await;
        let question = 12..12 + 13 + 4;
        assert_eq!(reply[..2], query[..2], "the id");
        assert_eq!(reply[question.clone()], query[question], "the question, octet for octet");
        // QR, RD, RA, and CD where the query had it; neither AA nor AD nor Z.
        let checking_disabled = u16::from(flags.contains(&"cd")) << 4;
        assert_eq!(u16::from_be_bytes([reply[2], reply[3]]), 0x8180 | checking_disabled);
        let message = Message::from_vec(&reply).unwrap();
        assert_eq!(message.edns.is_some(), !flags.contains(&"noedns"), "OPT if the query had one");
        assert_eq!(message.answers.len(), 1);
    }
}

#[tokio::test]
async fn a_cookie_is_answered_with_ours() {
    let upstream = Upstream::with_one_address().await;
    let secrets = Some(Secrets::new([7; 16], None));
    let forward = Some(to(&[upstream.address]));
    let server = with(Settings {
        cookies: true,
        cookie_secrets: secrets,
        forward,
        ..crate::served::settings()
    });
    let flags = ["ednsopt=10:2464c4abcf10c957"];
    let reply = ask(&server, "www.example", "A", &flags).await;
    let edns = reply.edns.expect("OPT");
    let Some(EdnsOption::Unknown(_, cookie)) = edns.option(EdnsCode::Cookie) else {
        panic!("no cookie: {edns:?}")
    };
    assert_eq!((cookie.len(), &cookie[..2]), (24, &[0x24, 0x64][..]));
}

#[tokio::test]
async fn any_type_passes_known_or_not() {
    let upstream = Upstream::start(|asked| {
        let owner = asked.name();
        let records = match u16::from(asked.query().query_type) {
            65_280 => {
                let data = NULL::with(b"\x03any\xc0\x0coctets".to_vec());
                let code = RecordType::Unknown(65_280);
                vec![Record::from_rdata(name(&owner), 60, RData::Unknown { code, rdata: data })]
            }
            255 => {
                let text = RData::TXT(TXT::new(vec!["any".into()]));
                vec![a(&owner, 60, 1), Record::from_rdata(name(&owner), 60, text)]
            }
            _ => vec![],
        };
        vec![asked.with(records)]
    })
    .await;
    let server = forwarding(to(&[upstream.address]));
    let reply = ask(&server, "x.example", "TYPE65280", &[]).await;
    let RData::Unknown { rdata, .. } = &reply.answers[0].data else { panic!("{reply:?}") };
    assert_eq!(rdata.anything, b"\x03any\xc0\x0coctets");
    assert_eq!(ask(&server, "x.example", "ANY", &[]).await.answers.len(), 2);
}

#[tokio::test]
async fn negative_answers_bring_their_soa_and_are_kept_as_long_as_it_says() {
    let upstream = Upstream::start(|asked| {
        let nothing = asked.name().starts_with("no.");
        let code = if nothing { ResponseCode::NXDomain } else { ResponseCode::NoError };
        let ttl = if asked.name().starts_with("brief") { 0 } else { 60 };
        vec![asked.negative(code, ttl)]
    })
    .await;
    let server = forwarding(to(&[upstream.address]));
    for (name, code, exchanges) in [
        ("no.example", ResponseCode::NXDomain, 1),
        ("there.example", ResponseCode::NoError, 2),
        // Without a time to live they are asked for each time.
        ("brief.example", ResponseCode::NoError, 4),
    ] {
        for _ in 0..2 {
            let reply = ask(&server, name, "AAAA", &[]).await;
            assert_eq!(reply.metadata.response_code, code, "{name}");
            let soa: Vec<_> = reply.authorities.iter().map(Record::record_type).collect();
            assert_eq!((reply.answers.len(), soa), (0, vec![RecordType::SOA]), "{name}");
        }
        assert_eq!(server.forwarded.totals().upstream_queries, exchanges, "{name}");
    }
    assert_eq!(server.forwarded.totals().cache_hits, 2);
}

#[tokio::test]
async fn answers_are_kept_as_long_as_they_say_and_given_in_the_asker_s_case() {
    let upstream = Upstream::start(|asked| {
        let ttl = if asked.name().starts_with("brief") { 0 } else { 60 };
        vec![asked.with([a(&asked.name(), ttl, 1)])]
    })
    .await;
    let server = forwarding(to(&[upstream.address]));
    for (name, exchanges) in [("www.example", 1), ("WWW.example", 1), ("brief.example", 2)] {
        let reply = ask(&server, name, "A", &[]).await;
        assert_eq!(reply.queries[0].name.to_ascii(), format!("{name}."));
        assert_eq!(reply.answers[0].name.to_ascii(), format!("{name}."));
        assert_eq!(server.forwarded.totals().upstream_queries, exchanges, "{name}");
    }
    ask(&server, "brief.example", "A", &[]).await;
    assert_eq!(server.forwarded.totals().upstream_queries, 3);
    // Who validates has a cache already, and wants to hear what upstream says now: with its own wishes.
    ask(&server, "www.example", "A", &["do", "cd"]).await;
    assert_eq!(server.forwarded.totals().upstream_queries, 4);
    let last = upstream.seen().pop().unwrap().message;
    assert!(last.metadata.checking_disabled && last.metadata.recursion_desired);
    assert!(last.edns.unwrap().flags().dnssec_ok);
}

#[tokio::test]
async fn any_address_comes_first_also_of_those_that_are_kept() {
    let upstream = Upstream::start(|asked| {
        vec![asked.with([a(&asked.name(), 60, 1), a(&asked.name(), 60, 2)])]
    })
    .await;
    let server = forwarding(to(&[upstream.address]));
    let mut first = std::collections::BTreeSet::new();
    for _ in 0..64 {
        let reply = ask(&server, "www.example", "A", &[]).await;
        assert_eq!(reply.answers.len(), 2);
        first.insert(reply.answers[0].data.to_string());
    }
    assert_eq!(first.len(), 2);
    assert_eq!(server.forwarded.totals().upstream_queries, 1);
}

#[tokio::test]
async fn what_does_not_fit_sets_tc_and_tcp_has_it_all() {
    let upstream = Upstream::start(|asked| {
        if !asked.over_tcp {
            let mut short = asked.response();
            short.metadata.truncation = true;
            return vec![octets(&short)];
        }
        vec![asked.with((0..200).map(|last| a(&asked.name(), 60, last)))]
    })
    .await;
    let server = forwarding(to(&[upstream.address]));
    for (flags, limit) in
        [(&["noedns"][..], 512), (&["bufsize=700"], 700), (&["bufsize=9000"], 1_232), (&[], 1_232)]
    {
        let reply = ask_octets(server.address(), &query("many.example", "A", flags)).await;
        let message = Message::from_vec(&reply).unwrap();
        assert!(message.metadata.truncation && reply.len() <= limit, "{flags:?}: {}", reply.len());
        // As many as fit: 16 octets each, behind a pointer to the question.
        assert!(reply.len() + 16 > limit, "{flags:?}: {}", reply.len());
        assert_eq!(message.edns.is_some(), flags != ["noedns"], "OPT is never what does not fit");
    }
    let whole = ask_tcp(&server, "many.example", "A", &[]).await;
    assert!(!whole.metadata.truncation && whole.answers.len() == 200);
    let seen = upstream.seen();
    assert!(!seen[0].over_tcp && seen.iter().any(|asked| asked.over_tcp), "TCP on TC");
    assert_eq!(server.forwarded.totals().upstream_queries, 1, "kept, whatever the client takes");
}

#[tokio::test]
async fn what_is_no_answer_to_the_question_is_not_believed() {
    let upstream = Upstream::start(|asked| {
        let right = asked.with([a(&asked.name(), 60, 1)]);
        let mut wrong_id = right.clone();
        wrong_id[1] ^= 1;
        let mut other = asked.clone();
        other.message.queries[0].name = name("bank.example.");
        let wrong_question = other.with([a("bank.example.", 60, 66)]);
        if asked.name() == "bank.example." {
            return vec![right];
        }
        vec![wrong_id, vec![1], wrong_question, right]
    })
    .await;
    let server = forwarding(to(&[upstream.address]));
    let reply = ask(&server, "www.example", "A", &[]).await;
    assert_eq!(answers(&reply), ["www.example. 60 A 192.0.2.1"]);
    let reply = ask(&server, "bank.example", "A", &[]).await;
    assert_eq!(answers(&reply), ["bank.example. 60 A 192.0.2.1"], "not what was slipped in");
}

#[tokio::test]
async fn records_that_nobody_asked_for_are_left_out() {
    let upstream = Upstream::start(|asked| {
        let mut response = asked.response();
        response.add_answers([
            cname("www.example.", 60, "host.example."),
            a("bank.example.", 60, 66),
            a("host.example.", 60, 1),
        ]);
        response.add_additionals([a("bank.example.", 60, 66)]);
        vec![octets(&response)]
    })
    .await;
    let server = forwarding(to(&[upstream.address]));
    let reply = ask(&server, "www.example", "A", &[]).await;
    let expected = ["www.example. 60 CNAME host.example.", "host.example. 60 A 192.0.2.1"];
    assert_eq!(answers(&reply), expected);
    assert!(reply.additionals.is_empty() && reply.authorities.is_empty());
}

#[tokio::test]
async fn each_question_has_a_port_and_an_id_of_its_own() {
    let (upstream, server) = one_upstream().await;
    for i in 0..32 {
        ask(&server, &format!("n{i}.example"), "A", &[]).await;
    }
    let distinct = |mut all: Vec<u16>| {
        all.sort_unstable();
        all.dedup();
        all.len()
    };
    let seen = upstream.seen();
    // By chance two of 32 may be equal, but not many.
    assert!(distinct(seen.iter().map(|asked| asked.from.port()).collect()) >= 28);
    assert!(distinct(seen.iter().map(|asked| asked.message.metadata.id).collect()) >= 28);
    let step = |pair: &[crate::upstream::Asked]| {
        pair[1].message.metadata.id.wrapping_sub(pair[0].message.metadata.id)
    };
    assert!(distinct(seen.windows(2).map(step).collect()) >= 28, "not counted up");
}

#[tokio::test]
async fn who_asks_the_same_at_once_is_answered_by_one_exchange() {
    let (upstream, server) = one_upstream().await;
    upstream.hold();
    let mut clients = tokio::task::JoinSet::new();
    let address = server.address();
    for i in 0..50 {
        let name = if i % 2 == 0 { "www.example" } else { "WWW.Example" };
        clients.spawn(async move { ask_octets(address, &query(name, "A", &[])).await });
    }
    until("all wait", async || server.forwarded.totals().waiting == 50).await;
    assert_eq!(server.forwarded.totals().in_flight, 1);
    upstream.release();
    for reply in clients.join_all().await {
        assert_eq!(Message::from_vec(&reply).unwrap().answers.len(), 1);
    }
    let totals = server.forwarded.totals();
    assert_eq!((totals.upstream_queries, totals.waiting, totals.in_flight), (1, 0, 0));
}
