//! Whatever an upstream server says, the client gets a well-formed reply: its own id and question, never longer than
//! allowed, decodable to its last octet by a decoder that is not ours, and nothing of our own zones but what we say.
//!
//! An input is one octet of choices, the length of the query, the query, and what upstream says: whole, or behind a
//! header and the question.

#![cfg_attr(not(test), no_main)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::Name;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use rollcall::dns::forward::{Forwarder, Settings, Upstreams};
use rollcall::dns::{Ask, Out, Policy, Source, Transport, Verdict, answer};
use rollcall::model::Nets;
use rollcall::registry::Origin;
use rollcall::registry::mirror::Delta;
use rollcall::zone::zonefile::ZoneFile;
use rollcall::zone::{Catalogue, Published, Snapshot, ZoneName, ZoneSettings};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Size of a UDP reply to those who do not say what they take (RFC 1035 section 4.2.1).
const PLAIN_OCTETS: u16 = 512;

static SNAPSHOT: LazyLock<Arc<Snapshot>> = LazyLock::new(snapshot);
static POLICY: LazyLock<Policy> =
    LazyLock::new(|| Policy { forward_for: Some(Nets::near()), ..Policy::default() });
static FORWARDER: LazyLock<Forwarder> = LazyLock::new(|| {
    let published = Arc::new(Published::new(SNAPSHOT.clone()));
    let own = Source::new(published, Policy::default(), || 0);
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let settings = Settings { upstreams: Upstreams::Listed(vec![nobody]), ..Settings::default() };
    Forwarder::new(settings, own, Vec::new(), Arc::default()).expect("we do not listen")
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [choices, length, rest @ ..] = input else { return };
    let Some((query, said)) = rest.split_at_checked((*length).into()) else { return };
    let transport = if choices & 1 == 0 { Transport::Udp } else { Transport::Tcp };
    let ask = Ask {
        client: CLIENT,
        transport,
        now_secs: 0,
        draw: 0,
        stale: false,
        slip: false,
        policy: &POLICY,
    };
    // What else there is to say of a query has a target of its own.
    if answer(&SNAPSHOT, &ask, query, &mut Out::new()) != Verdict::Forward {
        return;
    }
    let asked = Message::from_vec(query).ok();
    let said = if choices & 2 == 0 { said.to_vec() } else { with_question(query, said) };
    let octets = FORWARDER.reply_to(query, (CLIENT, transport), &said);

    let mut decoder = BinDecoder::new(&octets);
    let reply = Message::read(&mut decoder).expect("a reply is well-formed");
    assert!(decoder.is_empty(), "octets behind the reply's last record");
    assert_eq!(octets[..2], query[..2], "another id");
    assert_eq!(reply.metadata.message_type, MessageType::Response);
    let question = question_of(query);
    assert_eq!(octets.get(12..12 + question.len()), Some(question), "another question");
    assert!(reply.metadata.recursion_available);
    let own = Name::from_ascii("svc.").expect("a name");
    let all_own = reply.answers.iter().all(|record| own.zone_of(&record.name));
    assert!(!reply.metadata.authoritative || all_own, "authority over what others said");
    for record in reply.answers.iter().filter(|record| own.zone_of(&record.name)) {
        let data = record.data.to_string();
        assert!(["192.0.2.53", "www.example.org."].contains(&data.as_str()), "learnt: {record}");
    }
    let limit = match (transport, &asked) {
        (transport, _) if !transport.is_datagram() => u16::MAX,
        // What the other decoder can't read, ours may have read an EDNS size from.
        (_, None) => POLICY.udp_octets_max,
        (_, Some(asked)) => {
            let theirs = asked.edns.as_ref().map_or(0, |edns| edns.max_payload());
            theirs.clamp(PLAIN_OCTETS, POLICY.udp_octets_max)
        }
    };
    assert!(octets.len() <= limit.into(), "{} octets, {limit} are allowed", octets.len());
});

/// A response to the question of that query, the counts of its header and what follows being the input's.
fn with_question(query: &[u8], said: &[u8]) -> Vec<u8> {
    let (head, rest) = said.split_at(said.len().min(7));
    let mut octets = vec![0; 12];
    octets[6..6 + head.len().min(6)].copy_from_slice(&head[..head.len().min(6)]);
    octets[2] = 0x80;
    octets[3] = head.get(6).copied().unwrap_or(0);
    octets[5] = 1;
    octets.extend_from_slice(question_of(query));
    octets.extend_from_slice(rest);
    octets
}

/// The octets of a query's question, which `answer()` has read.
fn question_of(query: &[u8]) -> &[u8] {
    let mut end = 12;
    while query[end] != 0 {
        end += 1 + usize::from(query[end]);
    }
    &query[12..end + 5]
}

/// A zone with an alias out of it.
fn snapshot() -> Arc<Snapshot> {
    let name = ZoneName::default();
    let text = "@ 3600 IN SOA ns1 hostmaster 1 3600 600 604800 1\n\
                @ 3600 IN NS ns1\n\
                ns1 3600 IN A 192.0.2.53\n\
                out 60 IN CNAME www.example.org.\n";
    let file = ZoneFile::parse(Path::new("svc.zone"), text, &name).expect("a zone file to serve");
    let zone = ZoneSettings { name, file: Some(Arc::new(file)), ..Default::default() };
    let mut catalogue = Catalogue::new(&[zone], &[], &[]);
    catalogue
        .apply(Origin::NATIVE, &Delta { revision: 1, epoch: 0, whole: true, news: Vec::new() });
    catalogue.compile(&|| Duration::ZERO).snapshot
}
