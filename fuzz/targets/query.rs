//! Any datagram and any TCP message gets no answer, or a well-formed one: the same id, the same question, never longer
//! than allowed, and decodable to its last octet by a decoder that is not ours.
//!
//! An input is one octet of choices, two of the server's own limit, one that picks records, and then the query.

#![cfg_attr(not(test), no_main)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use rollcall::dns::answer::cookie::Secrets;
use rollcall::dns::{Ask, Out, Policy, Transport, Verdict, answer};
use rollcall::layout::native::{Keys, PREFIX_DEFAULT};
use rollcall::model::Nets;
use rollcall::registry::mirror::{Delta, Kept, News};
use rollcall::registry::{Entry, Origin};
use rollcall::zone::zonefile::ZoneFile;
use rollcall::zone::{Catalogue, Snapshot, ZoneName, ZoneSettings};

/// Size of a UDP reply to those who do not say what they take (RFC 1035 section 4.2.1).
const PLAIN_OCTETS: u16 = 512;

/// What the answers come from once the registry has been read, and before.
static READY: LazyLock<Arc<Snapshot>> = LazyLock::new(|| snapshot(true));
static UNREADY: LazyLock<Arc<Snapshot>> = LazyLock::new(|| snapshot(false));

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [choices, high, low, draw, query @ ..] = input else { return };
    let policy = Policy {
        // The range that the configuration takes.
        udp_octets_max: u16::from_be_bytes([*high, *low]).clamp(PLAIN_OCTETS, 8192),
        cookies: (choices & 16 != 0).then(|| Secrets::new([7; 16], None)),
        forward_for: (choices & 32 != 0).then(Nets::near),
    };
    let ask = Ask {
        client: if choices & 2 == 0 {
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))
        } else {
            IpAddr::V6(Ipv6Addr::LOCALHOST)
        },
        transport: if choices & 1 == 0 { Transport::Udp } else { Transport::Tcp },
        now_secs: 1_800_000_000,
        draw: u64::from_ne_bytes([*draw; 8]),
        stale: choices & 8 != 0,
        slip: false,
        policy: &policy,
    };
    let mut out = Out::new();
    let snapshot = if choices & 4 == 0 { &READY } else { &UNREADY };
    let Verdict::Reply(length) = answer(snapshot, &ask, query, &mut out) else { return };
    let octets = out.octets(length);

    let mut decoder = BinDecoder::new(octets);
    let reply = Message::read(&mut decoder).expect("a reply is well-formed");
    assert!(decoder.is_empty(), "octets behind the reply's last record");
    assert_eq!(octets[..2], query[..2], "another id");
    assert_eq!(reply.metadata.message_type, MessageType::Response);
    assert!(reply.queries.len() <= 1, "more than one question");

    let asked = Message::from_vec(query).ok();
    if let Some(asked) = &asked {
        let same = |ours: &hickory_proto::op::Query| {
            asked.queries.first().is_some_and(|theirs| {
                // Octet for octet: resolvers send mixed case, and compare.
                ours.name.eq_case(&theirs.name)
                    && ours.query_type == theirs.query_type
                    && ours.query_class == theirs.query_class
            })
        };
        assert!(reply.queries.iter().all(same), "another question");
        assert!(asked.metadata.message_type == MessageType::Query, "an answer to an answer");
    }
    if !reply.answers.is_empty() || !reply.authorities.is_empty() {
        assert_eq!(reply.queries.len(), 1, "records without a question");
    }

    let allowed = match (ask.transport, &asked) {
        (transport, _) if !transport.is_datagram() => usize::from(u16::MAX),
        // What the other decoder can't read, ours may have read an EDNS size from.
        (_, None) => ask.policy.udp_octets_max.into(),
        (_, Some(asked)) => {
            let theirs = asked.edns.as_ref().map_or(0, |edns| edns.max_payload());
            theirs.clamp(PLAIN_OCTETS, ask.policy.udp_octets_max).into()
        }
    };
    assert!(length <= allowed, "{length} octets, {allowed} are allowed");
});

/// A zone with static records, apps small and large, names that are claimed twice, and marks.
fn snapshot(read: bool) -> Arc<Snapshot> {
    let name = ZoneName::default();
    let text = "@ 3600 IN SOA ns1 hostmaster 1 3600 600 604800 1\n\
                @ 3600 IN NS ns1\n\
                ns1 3600 IN A 192.0.2.53\n\
                ns1 3600 IN AAAA 2001:db8::53\n\
                www 3600 IN CNAME ns1\n\
                text 3600 IN TXT \"static\"\n";
    let file = ZoneFile::parse(Path::new("svc.zone"), text, &name).expect("a zone file to serve");
    let static_zone = ZoneSettings { name, file: Some(Arc::new(file)), ..Default::default() };
    let built_in = ZoneSettings {
        name: ZoneName::new("example.org").expect("a legal zone"),
        ..Default::default()
    };
    let mut catalogue = Catalogue::new(&[static_zone, built_in], &[], &[]);
    if read {
        let delta = Delta { revision: 7, epoch: 0, whole: true, news: registrations() };
        catalogue.apply(Origin::NATIVE, &delta);
    }
    catalogue.compile(&|| Duration::ZERO).snapshot
}

fn registrations() -> Vec<News<rollcall::layout::Parsed>> {
    let one = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut entries = vec![
        one("instances/greeter/i-1", r#"{"address":"10.0.0.7","port":9000,"tags":["v2"]}"#),
        one(
            "instances/greeter/i-2",
            r#"{"addresses":["10.0.0.8","2001:db8::8"],"weight":0,"tags":["v2","i-1"],"endpoints":[
                {"port":9000},{"protocol":"http","transport":"udp","port":8080,"addresses":["192.0.2.8"]}]}"#,
        ),
        one("instances/greeter/b", r#"{"address":"10.0.0.9","port":9000,"priority":20}"#),
        one("instances/b.greeter/i-1", r#"{"address":"2001:db8::9","port":1}"#),
        one("instances/deep.below.nothing/i-1", r#"{"address":"10.0.0.10","port":1}"#),
        one("instances/www/i-1", r#"{"address":"10.0.0.11","port":1}"#),
        one("instances/marked/i-1", r#"{"address":"10.0.0.12","port":1}"#),
        one("offline/marked/", r#"{"by":"operator"}"#),
        one("instances/newer/i-1", r#"{"v":2}"#),
    ];
    // More than a datagram holds, and more than a TCP message does.
    for (app, instances) in [("crowd", 200), ("throng", 3_000)] {
        entries.extend((0..instances).map(|i| {
            let (high, low) = (i / 250, i % 250 + 1);
            one(
                &format!("instances/{app}/i-{i}"),
                &format!(r#"{{"address":"10.1.{high}.{low}","port":9000,"weight":{low}}}"#),
            )
        }));
    }
    let keys = Keys::new(PREFIX_DEFAULT);
    entries.sort();
    entries
        .into_iter()
        .map(|(key, value)| {
            let key = format!("{PREFIX_DEFAULT}default/{key}").into();
            let entry = Entry { key, value: value.into(), revision: 1, lease: None };
            let now = Some(Kept { revision: 1, lease: None, parsed: keys.parse(&entry) });
            News { key: entry.key, was: None, now }
        })
        .collect()
}
