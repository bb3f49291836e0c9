//! Answers as text: every case in `tests/cases/` on every transport.
//!
//! Each question goes straight to `answer()`, and over real sockets; hickory's decoder, which shares no code
//! with ours, reads what comes back. `support/case.rs` describes the language.

#[path = "support/case.rs"]
mod case;
#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/compile.rs"]
mod compile;
#[path = "support/dns.rs"]
mod dns;
#[path = "support/encrypted.rs"]
mod encrypted;
#[path = "support/wire.rs"]
mod wire;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use case::{Ask, Case, Expected, SECTIONS, Section};
use dns::{DEADLINE, Server};
use encrypted::World;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use rollcall::dns::{Out, Source, Transport, Verdict, answer};
use rollcall::zone::{Published, Snapshot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Random orders that a question is asked in straight: what holds for one draw must hold for all.
const DRAWS: u64 = 20;
/// The time by which cookies are made: that of RFC 9018 appendix A.1.
const NOW_SECS: u32 = 1_559_731_985;
/// A question that always gets a reply, with an id that no other has: it follows one that gets none.
const SENTINEL: &[u8] =
    b"\xff\xff\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05final\x04test\x00\x00\x01\x00\x01";

#[tokio::test]
async fn answers_are_as_the_cases_say() {
    let mut wrong = Vec::new();
    let mut stopping = JoinSet::new();
    let mut asked = 0;
    let world = World::new();
    for path in files() {
        let case = Case::parse(&path, &std::fs::read_to_string(&path).unwrap());
        let snapshot = compile::compile(&case);
        let settings = rollcall::dns::Settings { udp_workers: 1, ..dns::settings() };
        let source = Published::new(snapshot.clone());
        source.set_stale(case.stale);
        let source = Source::new(Arc::new(source), case.policy.clone(), || NOW_SECS);
        let settings = world.settings(settings);
        let server = Server::answering(settings, &source);
        for ask in &case.asks {
            asked += 1;
            let replies = replies(&case, ask, &snapshot, &server, &world).await;
            let each = replies.iter().find_map(|(transport, reply)| {
                let why = check(ask, *transport, reply.as_deref()).err()?;
                Some(format!("over {transport:?}: {why}"))
            });
            let why = match each.or_else(|| steady(ask, &replies)) {
                Some(_) if ask.expected.ahead => None,
                None if ask.expected.ahead => Some("holds by now: take its 'ahead' away".into()),
                why => why,
            };
            if let Some(why) = why {
                wrong.push(format!("{}\n  {}\n  {why}", case.title, ask.text));
            }
        }
        let totals = server.stats.totals();
        for transport in Transport::ALL {
            assert_eq!(totals.of(transport).failed, 0, "{}: {transport:?}", case.title);
        }
        stopping.spawn(server.stop());
    }
    for stopped in stopping.join_all().await {
        stopped.unwrap();
    }
    assert!(wrong.is_empty(), "{} of {asked} are wrong\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn the_checks_see_what_differs() {
    let records = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let two = records(&["a. 5 IN A 192.0.2.1", "a. 5 IN A 192.0.2.2"]);
    let all = Section {
        records: records(&["a. 5 IN A 192.0.2.2", "A. * IN A 192.0.2.1"]),
        ..Section::default()
    };
    assert!(matches(&all, &two));
    assert!(!matches(&all, &two[..1]));
    assert!(!matches(&all, &records(&["a. 5 IN A 192.0.2.1", "a. 5 IN A 192.0.2.1"])));
    assert!(!matches(
        &Section { ordered: true, records: all.records.clone(), ..Section::default() },
        &two
    ));
    let sample = Section { records: all.records, count: Some(1..=1), ..Section::default() };
    assert!(matches(&sample, &two[..1]) && !matches(&sample, &two) && !matches(&sample, &[]));
    assert!(!matches(&sample, &records(&["a. 5 IN A 192.0.2.3"])));
}

/// All case files, in name order.
fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "case"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// The replies that come each way; none for silence.
async fn replies(
    case: &Case,
    ask: &Ask,
    snapshot: &Arc<Snapshot>,
    server: &Server,
    world: &World,
) -> Vec<(Transport, Option<Vec<u8>>)> {
    let mut replies = Vec::new();
    for (transport, wanted) in [(Transport::Udp, ask.udp), (Transport::Tcp, ask.tcp)] {
        if !wanted {
            continue;
        }
        replies.extend(
            (0..DRAWS).map(|draw| (transport, straight(case, ask, snapshot, transport, draw))),
        );
        match transport {
            Transport::Udp => replies.push((transport, over_udp(ask, server).await)),
            _ => {
                replies.push((transport, over_tcp(ask, server).await));
                let encrypted = encrypted_replies(ask, server, world);
                replies.extend(timeout(DEADLINE, encrypted).await.expect("all replies"));
            }
        }
    }
    replies
}

/// What holds for TCP holds for all that is not a datagram.
async fn encrypted_replies(
    ask: &Ask,
    server: &Server,
    world: &World,
) -> Vec<(Transport, Option<Vec<u8>>)> {
    let at = server.address_of(Transport::Tls);
    let reply = world.over_tls(at, &[&ask.query, SENTINEL]).await;
    let tls = Some(reply).filter(|reply| reply[..2] != SENTINEL[..2]);
    let at = server.address_of(Transport::Https);
    vec![
        (Transport::Tls, tls),
        (Transport::Https, world.get(at, &ask.query).await),
        (Transport::Https, world.post(at, &ask.query).await),
        (Transport::Quic, world.over_quic(server.address_of(Transport::Quic), &ask.query).await),
        (Transport::H3, world.over_h3(server.address_of(Transport::H3), &ask.query).await),
    ]
}

fn straight(
    case: &Case,
    ask: &Ask,
    snapshot: &Snapshot,
    transport: Transport,
    draw: u64,
) -> Option<Vec<u8>> {
    let about = rollcall::dns::Ask {
        client: [192, 0, 2, 1].into(),
        transport,
        now_secs: NOW_SECS,
        stale: case.stale,
        slip: false,
        policy: &case.policy,
        // Spread over all 64 bits, as a random number would be (the multiplier is that of splitmix64).
        draw: draw.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    };
    let mut out = Out::new();
    match answer(snapshot, &about, &ask.query, &mut out) {
        Verdict::Reply(len) => Some(out.octets(len).to_vec()),
        Verdict::Drop | Verdict::Forward => None,
    }
}

async fn over_udp(ask: &Ask, server: &Server) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server.address()).await.unwrap();
    socket.send(&ask.query).await.unwrap();
    if !ask.expected.reply {
        socket.send(SENTINEL).await.unwrap();
    }
    let mut reply = vec![0; 65_535];
    let len = timeout(DEADLINE, socket.recv(&mut reply)).await.expect("a reply over udp").unwrap();
    reply.truncate(len);
    Some(reply).filter(|reply| reply[..2] != SENTINEL[..2])
}

async fn over_tcp(ask: &Ask, server: &Server) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    for message in [&ask.query[..], SENTINEL] {
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length[..], message].concat()).await.unwrap();
    }
    let read = async {
        let length = stream.read_u16().await.expect("a reply over tcp");
        let mut reply = vec![0; length.into()];
        stream.read_exact(&mut reply).await.unwrap();
        reply
    };
    let reply = timeout(DEADLINE, read).await.expect("a reply over tcp");
    Some(reply).filter(|reply| reply[..2] != SENTINEL[..2])
}

/// Compares a reply with what is expected, section by section.
fn check(ask: &Ask, transport: Transport, reply: Option<&[u8]>) -> Result<(), String> {
    let expected = &ask.expected;
    let Some(reply) = reply else {
        return if expected.reply { Err("no reply".into()) } else { Ok(()) };
    };
    if !expected.reply {
        return Err("a reply where silence is expected".into());
    }
    let message = Message::from_vec(reply).map_err(|error| format!("not decodable: {error}"))?;
    same("id", &reply[..2], &ask.query[..2])?;
    same("opcode", &(reply[2] & 0x78), &(ask.query[2] & 0x78))?;
    if is_exception(transport, reply, expected) {
        return Ok(());
    }
    status(&message, reply, expected)?;
    question(reply, &ask.query, expected)?;
    octets(ask, transport, reply)?;
    edns(ask, transport, &message)?;
    let sections = [&message.answers, &message.authorities, &message.additionals];
    for ((name, records), section) in SECTIONS.iter().zip(sections).zip(&expected.sections) {
        let got: Vec<String> = records.iter().map(Record::to_string).collect();
        if !matches(section, &got) {
            return Err(format!(
                "{name} is\n    {}\n  not\n    {}",
                got.join("\n    "),
                section.records.join("\n    ")
            ));
        }
    }
    Ok(())
}

/// Where hickory answers in our place, or says it otherwise (docs/dns-behaviour.md, QUIC and HTTP/3).
fn is_exception(transport: Transport, reply: &[u8], expected: &Expected) -> bool {
    if !matches!(transport, Transport::Quic | Transport::H3) {
        return false;
    }
    // Malformed: FORMERR with the header alone, without question and OPT.
    let bare = expected.status == "FORMERR" && reply.len() == 12 && reply[3] & 0x0f == 1;
    // A set beyond 65,535 octets: it fits fewer records, and sets TC.
    let cut = expected.sections[0].count.is_some() && reply.len() > 65_000 && reply[2] & 0x02 != 0;
    bare || cut
}

fn same<T: PartialEq + std::fmt::Debug + ?Sized>(
    what: &str,
    got: &T,
    want: &T,
) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("{what} is {got:?}, not {want:?}")) }
}

fn status(message: &Message, reply: &[u8], expected: &Expected) -> Result<(), String> {
    let code = match message.metadata.response_code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::NotAuth => "NOTAUTH",
        ResponseCode::BADVERS | ResponseCode::BADSIG => "BADVERS",
        _ => "another",
    };
    let bits = u16::from_be_bytes([reply[2], reply[3]]);
    let names = [
        ("qr", 0x8000),
        ("aa", 0x0400),
        ("tc", 0x0200),
        ("rd", 0x0100),
        ("ra", 0x0080),
        ("z", 0x0040),
        ("ad", 0x0020),
        ("cd", 0x0010),
    ];
    let set: Vec<&str> =
        names.iter().filter(|(_, bit)| bits & bit != 0).map(|(name, _)| *name).collect();
    same("status", code, &expected.status)?;
    same("flags", &set.join(" "), &expected.flags.join(" "))
}

/// The question comes back octet for octet, or not at all.
fn question(reply: &[u8], query: &[u8], expected: &Expected) -> Result<(), String> {
    same("questions", &reply[4..6], &[0, u8::from(expected.question)])?;
    if expected.question {
        let end = 12 + query[12..].iter().position(|octet| *octet == 0).unwrap_or(0);
        let mut end = end + 5;
        // A label may hold a NUL: walk them.
        let mut at = 12;
        while let Some(length @ 1..) = query.get(at) {
            at += usize::from(*length) + 1;
            end = at + 5;
        }
        same("question", &reply[12..end.min(reply.len())], &query[12..end.min(query.len())])?;
    }
    Ok(())
}

fn octets(ask: &Ask, transport: Transport, reply: &[u8]) -> Result<(), String> {
    let limit = match transport {
        Transport::Udp => usize::from(ask.bufsize.unwrap_or(512).clamp(512, 1232)),
        _ => 65_535,
    };
    // What carries these compresses names in its own way.
    let ours = !matches!(transport, Transport::Quic | Transport::H3);
    let said = ask.expected.octets.clone().filter(|_| ours);
    let allowed = said.unwrap_or(12..=limit);
    if reply.len() > limit || !allowed.contains(&reply.len()) {
        return Err(format!("has {} octets, not {allowed:?} up to {limit}", reply.len()));
    }
    let padded = ask.expected.padded && transport.is_encrypted() && ours;
    if padded && !reply.len().is_multiple_of(468) {
        return Err(format!("is padded to {} octets, which tells how many it has", reply.len()));
    }
    Ok(())
}

fn edns(ask: &Ask, transport: Transport, message: &Message) -> Result<(), String> {
    let expected = &ask.expected;
    same("OPT there", &message.edns.is_some(), &expected.edns)?;
    let Some(edns) = &message.edns else { return Ok(()) };
    if let Some(dnssec_ok) = ask.dnssec_ok {
        same("DO", &edns.flags().dnssec_ok, &dnssec_ok)?;
        same("other flags", &edns.flags().z, &0)?;
    }
    same("EDNS version", &edns.version(), &0)?;
    same("EDNS size", &edns.max_payload(), &1232)?;
    let (mut ede, mut cookie, mut padded) = (None, None, false);
    for (code, option) in &edns.options().options {
        match (code, option) {
            (EdnsCode::Unknown(15), EdnsOption::Unknown(_, data)) if data.len() >= 2 => {
                ede = Some(u16::from_be_bytes([data[0], data[1]]));
            }
            // The server's part is told apart in unit tests.
            (EdnsCode::Cookie, EdnsOption::Unknown(_, data)) if data.len() == 24 => {
                cookie = Some(data[..8].to_vec());
            }
            (EdnsCode::Padding, EdnsOption::Unknown(_, data))
                if data.iter().all(|zero| *zero == 0) =>
            {
                padded = true;
            }
            other => return Err(format!("option {other:?}")),
        }
    }
    same("padded", &padded, &(expected.padded && transport.is_encrypted()))?;
    same("cookie", &cookie, &expected.cookie)?;
    same("EDE", &ede, &expected.ede)
}

/// Which section does not vary over all replies, though it should: no other record ever comes first, or a
/// sample always has the same records.
fn steady(ask: &Ask, replies: &[(Transport, Option<Vec<u8>>)]) -> Option<String> {
    let varied = ask.expected.sections.iter().position(|section| section.varied)?;
    let all: Vec<Vec<String>> = replies
        .iter()
        .filter_map(|(_, reply)| Message::from_vec(reply.as_deref()?).ok())
        .map(|message| {
            let sections = [&message.answers, &message.authorities, &message.additionals];
            sections[varied].iter().map(Record::to_string).collect()
        })
        .collect();
    let firsts: BTreeSet<_> = all.iter().map(|records| records.first()).collect();
    let seen: BTreeSet<_> = all.iter().flatten().collect();
    let most = all.iter().map(Vec::len).max().unwrap_or(0);
    let sampled = ask.expected.sections[varied].count.is_some();
    let name = SECTIONS[varied];
    if firsts.len() < 2 {
        Some(format!("{name} always begins with the same record"))
    } else if sampled && seen.len() <= most {
        Some(format!("{name} is always the same sample"))
    } else {
        None
    }
}

/// Whether the records are those of the section: each at most once, as many as it says, in its order if it has
/// one.
fn matches(section: &Section, got: &[String]) -> bool {
    let all = section.records.len()..=section.records.len();
    if !section.count.as_ref().unwrap_or(&all).contains(&got.len()) {
        return false;
    }
    if section.ordered {
        return section.records.iter().zip(got).all(|(want, got)| alike(want, got));
    }
    // Most records have no wildcard: a set of 2,000 is not compared each with each.
    let mut plain: HashMap<String, usize> = HashMap::new();
    let (wild, exact): (Vec<&String>, Vec<&String>) =
        section.records.iter().partition(|want| want.contains('*'));
    for want in exact {
        *plain.entry(folded(want)).or_default() += 1;
    }
    let mut wild: Vec<&String> = wild;
    got.iter().all(|got| {
        if let Some(left @ 1..) = plain.get_mut(&folded(got)) {
            *left -= 1;
            return true;
        }
        let at = wild.iter().position(|want| alike(want, got));
        at.map(|at| wild.swap_remove(at)).is_some()
    })
}

fn folded(record: &str) -> String {
    record.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase()
}

/// Word by word, case aside; `*` stands for any word.
fn alike(want: &str, got: &str) -> bool {
    let (want, got) = (want.split_whitespace(), got.split_whitespace());
    want.clone().count() == got.clone().count()
        && want.zip(got).all(|(want, got)| want == "*" || want.eq_ignore_ascii_case(got))
}
