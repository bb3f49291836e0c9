//! Any datagram and any TCP message gets no answer, or a well-formed one: the same id, the same question, never longer
//! than allowed, and decodable to its last octet by a decoder that is not ours.
//!
//! An input is one octet of choices, two of the server's own limit, one that picks records, and then the query.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use hickory_proto::op::{Message, MessageType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use libfuzzer_sys::fuzz_target;
use rollcall::dns::{Ask, Out, Transport, Verdict, answer};
use rollcall::zone::Snapshot;

/// Size of a UDP reply to those who do not say what they take (RFC 1035 section 4.2.1).
const PLAIN_OCTETS: u16 = 512;

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(Snapshot::default);

fuzz_target!(|input: &[u8]| {
    let [choices, high, low, draw, query @ ..] = input else { return };
    let ask = Ask {
        client: if choices & 2 == 0 {
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))
        } else {
            IpAddr::V6(Ipv6Addr::LOCALHOST)
        },
        transport: if choices & 1 == 0 { Transport::Udp } else { Transport::Tcp },
        // The range that the configuration takes.
        udp_octets_max: u16::from_be_bytes([*high, *low]).clamp(PLAIN_OCTETS, 8192),
        draw: u64::from_ne_bytes([*draw; 8]),
    };
    let mut out = Out::new();
    let Verdict::Reply(length) = answer(&SNAPSHOT, &ask, query, &mut out) else { return };
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
        (Transport::Tcp, _) => usize::from(u16::MAX),
        // What the other decoder can't read, ours may have read an EDNS size from.
        (Transport::Udp, None) => ask.udp_octets_max.into(),
        (Transport::Udp, Some(asked)) => {
            let theirs = asked.edns.as_ref().map_or(0, |edns| edns.max_payload());
            theirs.clamp(PLAIN_OCTETS, ask.udp_octets_max).into()
        }
    };
    assert!(length <= allowed, "{length} octets, {allowed} are allowed");
});
