//! What does not fit, octet by octet: glue goes first and says nothing, records go whole and set TC, pointers reach no
//! farther than they can, and a set beyond any message is a steady sample (docs/dns-behaviour.md 11 and 12).

#[path = "support/case.rs"]
#[allow(dead_code, reason = "this test uses a part of it")]
mod case;
#[path = "support/compile.rs"]
mod compile;
#[path = "support/wire.rs"]
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use case::Case;
use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use rollcall::dns::{Ask, Out, Policy, Transport, Verdict, answer};
use rollcall::zone::Snapshot;
use wire::Query;

/// Octets of a header, and of an OPT record without options.
const HEADER: usize = 12;
const OPT: usize = 11;
/// A record whose owner is a pointer, without its data.
const RECORD: usize = 12;
/// Pointers have 14 bits (RFC 1035 section 4.1.4).
const POINTER_MAX: usize = 0x3fff;

/// What the case language says is registered.
fn world(lines: &str) -> Arc<Snapshot> {
    compile::compile(&Case::world(Path::new("truncation"), lines))
}

/// One reply; a limit for a datagram, none over TCP.
fn reply(
    snapshot: &Snapshot,
    (name, rtype): (&str, &str),
    limit: Option<u16>,
    (client, draw): (IpAddr, u64),
) -> Vec<u8> {
    let mut query = Query::default();
    query.bufsize = limit.unwrap_or(1232);
    let query = query.octets(name, rtype, "IN").unwrap();
    let transport = if limit.is_some() { Transport::Udp } else { Transport::Tcp };
    let mut out = Out::new();
    let policy = Policy { udp_octets_max: 8_192, ..Policy::default() };
    let ask =
        Ask { client, transport, now_secs: 0, draw, stale: false, slip: false, policy: &policy };
    match answer(snapshot, &ask, &query, &mut out) {
        Verdict::Reply(len) => out.octets(len).to_vec(),
        Verdict::Drop | Verdict::Forward => panic!("no reply"),
    }
}

fn truncated(reply: &[u8]) -> bool {
    reply[2] & 2 != 0
}

fn anyone() -> IpAddr {
    [192, 0, 2, 1].into()
}

/// Every limit that a client may name, around all places where one more record fits: as many whole records as
/// there is room for, TC if and only if one is missing, and glue by whole sets with what is left.
#[test]
fn a_datagram_holds_as_much_as_fits_whatever_its_size() {
    const INSTANCES: usize = 20;
    let snapshot = world(
        r#"instance app/i-{10..29} {"addresses":["10.0.0.{}","10.0.1.{}","fd00::{}"],"port":9000}"#,
    );
    let question = "_nova._tcp.app.svc";
    let before = HEADER + (question.len() + 2) + 4 + OPT;
    let srv = RECORD + 6 + "i-10.app.svc".len() + 2;
    // Two A records are one set, the AAAA record is another.
    let (a, aaaa) = (2 * (RECORD + 4), RECORD + 16);
    let complete = before + INSTANCES * (srv + a + aaaa);
    assert!(before + INSTANCES * srv > 512, "some must be left out");
    for limit in 500..complete + 20 {
        let room = limit.max(512);
        let asked = u16::try_from(limit).unwrap();
        let reply = reply(&snapshot, (question, "SRV"), Some(asked), (anyone(), limit as u64));
        let message = Message::from_vec(&reply).unwrap();
        let fit = ((room - before) / srv).min(INSTANCES);
        assert_eq!(message.answers.len(), fit, "answers in {limit} octets");
        assert_eq!(truncated(&reply), fit < INSTANCES, "TC in {limit} octets");
        let mut left = room - before - fit * srv;
        let mut glue = 0;
        if fit == INSTANCES {
            for (octets, records) in [(a, 2), (aaaa, 1)].into_iter().cycle().take(2 * INSTANCES) {
                if octets > left {
                    break;
                }
                left -= octets;
                glue += records;
            }
        }
        assert_eq!(message.additionals.len(), glue, "glue in {limit} octets");
        assert!(reply.len() <= room);
    }
}

/// Where a record's owner stands, and its data.
struct Place {
    owner: usize,
    data: Range<usize>,
}

/// All records of a message, by section, wherever their names end.
fn places(message: &[u8]) -> [Vec<Place>; 3] {
    let pair = |at: usize| usize::from(u16::from_be_bytes([message[at], message[at + 1]]));
    let name_end = |mut at: usize| loop {
        match message[at] {
            0 => return at + 1,
            192.. => return at + 2,
            length => at += 1 + usize::from(length),
        }
    };
    let mut at = name_end(HEADER) + 4;
    [6, 8, 10].map(|count| {
        let each = (0..pair(count)).map(|_| {
            let owner = at;
            let start = name_end(at) + 10;
            at = start + pair(start - 2);
            Place { owner, data: start..at }
        });
        each.collect()
    })
}

/// Pointers save octets as far as they reach; behind that owners are written out, and they are the right ones.
#[test]
fn glue_beyond_the_reach_of_pointers_has_its_owner_written_out() {
    let label = "x".repeat(40);
    let mut lines = String::new();
    for n in 0..400_u16 {
        let v4 = Ipv4Addr::from_bits(0x0a00_0000 + u32::from(n));
        let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n);
        let port = n + 1;
        writeln!(
            lines,
            "instance app/{label}-{n} {{\"addresses\":[\"{v4}\",\"{v6}\"],\"port\":{port}}}"
        )
        .unwrap();
    }
    let snapshot = world(&lines);
    for draw in 0..20 {
        let reply = reply(&snapshot, ("_nova._tcp.app.svc", "SRV"), None, (anyone(), draw));
        assert!(!truncated(&reply));
        let [answers, _, mut additionals] = places(&reply);
        // The last one is OPT.
        additionals.pop();
        assert_eq!((answers.len(), additionals.len()), (400, 800));
        // Targets stand behind priority, weight and port, uncompressed (RFC 2782).
        let targets: BTreeSet<usize> = answers.iter().map(|record| record.data.start + 6).collect();
        let (mut near, mut far) = (0, 0);
        for record in &additionals {
            let pair = u16::from_be_bytes([reply[record.owner], reply[record.owner + 1]]);
            if pair >= 0xc000 {
                let to = usize::from(pair & 0x3fff);
                assert!(targets.contains(&to), "a pointer to {to}, where no target stands");
                near += 1;
            } else {
                far += 1;
            }
        }
        let reached = targets.iter().filter(|place| **place <= POINTER_MAX).count();
        assert_eq!((near, far), (2 * reached, 2 * (400 - reached)));
        assert!((100..300).contains(&reached));
        // Each target has the addresses of its own number, pointer or not.
        let message = Message::from_vec(&reply).unwrap();
        let mut glue: BTreeMap<_, Vec<IpAddr>> = BTreeMap::new();
        for record in &message.additionals {
            glue.entry(record.name.to_string()).or_default().extend(record.data.ip_addr());
        }
        for record in &message.answers {
            let RData::SRV(srv) = &record.data else { panic!("{record}") };
            let n = srv.port - 1;
            assert_eq!(srv.target.to_string(), format!("{label}-{n}.app.svc."));
            let own = [
                IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + u32::from(n))),
                IpAddr::from(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n)),
            ];
            assert_eq!(glue[&srv.target.to_string()], own);
        }
    }
}

/// Pointers reach exactly so far, wherever records begin: a tag moves them all, one octet at a time.
#[test]
fn the_last_pointer_is_at_its_limit() {
    let mut seen = BTreeSet::new();
    for length in 1..=40 {
        let tag = "t".repeat(length);
        let snapshot = world(&format!(
            "instance app/i-{{100..600}} {{\"address\":\"10.0.0.1\",\"port\":{{}},\"tags\":[\"{tag}\"]}}"
        ));
        let name = format!("_nova._tcp.{tag}.app.svc");
        let reply = reply(&snapshot, (&name, "SRV"), None, (anyone(), 7));
        let message = Message::from_vec(&reply).unwrap();
        let order: Vec<String> = message
            .answers
            .iter()
            .map(|record| match &record.data {
                RData::SRV(srv) => srv.target.to_string(),
                other => panic!("{other}"),
            })
            .collect();
        let glue: Vec<String> =
            message.additionals.iter().map(|one| one.name.to_string()).collect();
        assert_eq!(order, glue, "each target's address, in answer order");
        let [answers, _, additionals] = places(&reply);
        for (answer, glue) in answers.iter().zip(&additionals) {
            let target = answer.data.start + 6;
            let pointer = reply[glue.owner] >= 0xc0;
            assert_eq!(pointer, target <= POINTER_MAX, "a target at {target}");
            seen.extend((POINTER_MAX - 1..=POINTER_MAX + 2).contains(&target).then_some(target));
        }
    }
    let around: Vec<usize> = seen.into_iter().collect();
    assert!(around.contains(&POINTER_MAX) && around.contains(&(POINTER_MAX + 1)), "{around:?}");
}

/// What not even TCP holds: as much as fits, TC clear, always the same for one client, another for others.
#[test]
fn each_client_has_a_steady_sample_of_a_set_beyond_any_message() {
    let snapshot = world(
        "instance app/i-{1..4500} {\"addresses\":[\"fd00::{}\"],\"port\":9000,\"tags\":[\"t\"]}",
    );
    // Octets of the smallest and the largest record.
    for (name, rtype, least, most) in [
        ("app.svc", "AAAA", 28, 28),
        ("t.app.svc", "AAAA", 28, 28),
        ("_nova._tcp.app.svc", "SRV", 31, 34),
        ("_nova._tcp.t.app.svc", "SRV", 31, 34),
    ] {
        let mut samples = BTreeSet::new();
        let mut everyone = BTreeSet::new();
        let clients = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "fd00::1", "fd00::2", "fd00:1::1"];
        for client in clients {
            let client: IpAddr = client.parse().unwrap();
            let sample = |draw: u64| -> BTreeSet<Vec<u8>> {
                let reply = reply(&snapshot, (name, rtype), None, (client, draw));
                assert!(!truncated(&reply), "TC for {name} over TCP");
                assert!(usize::from(u16::MAX) - reply.len() < most, "{} octets", reply.len());
                let [answers, authorities, _] = places(&reply);
                assert!(authorities.is_empty());
                assert!(answers.len() >= (usize::from(u16::MAX) - 100) / most);
                assert!(answers.len() <= usize::from(u16::MAX) / least);
                answers.into_iter().map(|record| reply[record.data].to_vec()).collect()
            };
            let first = sample(1);
            for draw in [2, 3, u64::MAX] {
                assert_eq!(sample(draw), first, "{name} for {client}");
            }
            everyone.extend(first.iter().cloned());
            samples.insert(first);
        }
        assert_eq!(samples.len(), clients.len(), "samples of {name}");
        // Half of them are missing in each, so that six clients together miss about one in sixty.
        assert!(everyone.len() > 4_300, "{} of {name} are given to anybody", everyone.len());
    }
}
