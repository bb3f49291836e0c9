//! A hundred thousand questions, real, mixed in case, odd and malformed, over real UDP and TCP sockets: both ways
//! say the same, and what a list of all records says (`world.rs`). hickory's decoder, which shares no code with
//! ours, reads the replies.
//!
//! A failure names its question and seed: `ROLLCALL_SEED=7 cargo test --test differential` asks those of seed 7.

/// Ends a check with words, unless that holds.
macro_rules! hold {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(format!($($words)+));
        }
    };
}

#[path = "../support/case.rs"]
#[allow(dead_code, reason = "this test uses a part of it")]
mod case;
mod compare;
#[path = "../support/compile.rs"]
mod compile;
#[path = "../support/dns.rs"]
mod dns;
mod exchange;
mod questions;
mod registered;
mod reply;
#[path = "../support/seed.rs"]
mod seed;
#[path = "../support/wire.rs"]
mod wire;
mod world;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use compare::View;
use dns::{Server, settings};
use exchange::{Datagrams, ask_tcp};
use questions::{Question, question};
use rollcall::dns::Transport;
use tokio::task::JoinSet;
use world::World;

/// Questions in all.
const QUESTIONS: u64 = 100_000;
/// Those that are asked together, of one server.
const BATCH: u64 = 64;
/// Batches on their way at once.
const LANES: u64 = 4;

/// How often something was seen, by what it is.
type Counts = BTreeMap<String, usize>;

/// A server, and what is known of it.
struct Subject {
    address: SocketAddr,
    ready: bool,
    udp_octets_max: u16,
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_and_tcp_say_the_same_and_the_truth() {
    let seed = seed::seed();
    let world = Arc::new(World::new());
    let snapshot = compile::compile(&world.case);
    let mut unread = case::Case::world("unread".as_ref(), &registered::text());
    unread.ready = false;
    unread.registrations.clear();
    unread.marks.clear();
    let unready = compile::compile(&unread);
    let loopback_v6: SocketAddr = "[::1]:0".parse().unwrap();
    let servers = [
        (settings(), snapshot.clone(), true),
        (
            rollcall::dns::Settings {
                udp_octets_max: 4_096,
                listen: vec![loopback_v6],
                ..settings()
            },
            snapshot,
            true,
        ),
        (settings(), unready, false),
    ];
    let (mut running, mut subjects) = (Vec::new(), Vec::new());
    for (settings, snapshot, ready) in servers {
        let udp_octets_max = settings.udp_octets_max;
        let server = Server::start(settings, snapshot);
        subjects.push(Subject { address: server.address(), ready, udp_octets_max });
        running.push(server);
    }
    let subjects = Arc::new(subjects);
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let (world, subjects) = (world.clone(), subjects.clone());
        lanes.spawn(async move { self::lane(lane, seed, &world, &subjects).await });
    }
    let (mut counts, mut wrong) = (Counts::new(), Vec::new());
    while let Some(lane) = lanes.join_next().await {
        let (seen, faults) = lane.unwrap();
        for (what, count) in seen {
            *counts.entry(what).or_default() += count;
        }
        wrong.extend(faults);
    }
    for server in running {
        let totals = server.stats.totals();
        assert_eq!((totals.of(Transport::Udp).failed, totals.of(Transport::Tcp).failed), (0, 0));
        server.stop().await.unwrap();
    }
    let many = wrong.len();
    wrong.truncate(10);
    assert!(many == 0, "{many} of {QUESTIONS} are wrong, seed {seed}\n\n{}", wrong.join("\n\n"));
    everything_was_asked(&counts, seed);
}

/// Every fourth batch, on sockets of its own.
async fn lane(lane: u64, seed: u64, world: &World, subjects: &[Subject]) -> (Counts, Vec<String>) {
    let (mut counts, mut wrong) = (Counts::new(), Vec::new());
    let mut sockets = Vec::new();
    for subject in subjects {
        sockets.push(Datagrams::new(subject.address).await);
    }
    for batch in (lane..QUESTIONS.div_ceil(BATCH)).step_by(LANES as usize) {
        // Most of them of the plain one.
        let which = [0, 0, 0, 1, 0, 0, 0, 2, 0, 1][(batch / LANES) as usize % 10];
        let Subject { address, ready, udp_octets_max } = subjects[which];
        let numbers = batch * BATCH..QUESTIONS.min((batch + 1) * BATCH);
        let asked: Vec<Question> =
            numbers.clone().map(|number| question(world, seed, number)).collect();
        let udp = sockets[which].ask(&asked).await;
        let tcp = ask_tcp(address, &asked).await;
        let view = View { world, ready, udp_octets_max };
        for (((number, question), udp), tcp) in numbers.zip(&asked).zip(udp).zip(tcp) {
            let mut count = |what: String| *counts.entry(what).or_default() += 1;
            question.classes().into_iter().for_each(&mut count);
            match view.check(question, udp.as_deref(), tcp.as_deref()) {
                Ok(seen) => {
                    match seen.rcode {
                        Some(rcode) => count(format!("rcode {rcode}")),
                        None => count("silence".to_owned()),
                    }
                    let met = [
                        ("truncated", seen.truncated),
                        ("with glue", seen.glue),
                        ("with less glue", seen.less_glue),
                        ("negative", seen.negative),
                        ("many records", seen.records > 100),
                    ];
                    for (what, _) in met.into_iter().filter(|(_, met)| *met) {
                        count(what.to_owned());
                    }
                }
                Err(why) => wrong.push(format!(
                    "question {number} ({}, {}): {why}\n  asked {}\n  UDP   {}\n  TCP   {}",
                    question.kind,
                    question.form,
                    hex(&question.octets),
                    hex(&udp.unwrap_or_default()),
                    hex(&tcp.unwrap_or_default()),
                )),
            }
        }
    }
    for socket in sockets {
        socket.end(lane as u16).await;
    }
    (counts, wrong)
}

fn hex(octets: &[u8]) -> String {
    let all = data_encoding::HEXLOWER.encode(octets);
    if all.len() > 2_000 { format!("{}… ({} octets)", &all[..2_000], octets.len()) } else { all }
}

/// The questions have not become dull without anybody's notice: of each kind there were some, and each answer
/// was given.
fn everything_was_asked(counts: &Counts, seed: u64) {
    let expected = [
        ("apex names", 3_000),
        ("static names", 4_000),
        ("alias names", 1_500),
        ("app names", 9_000),
        ("service names", 9_000),
        ("listed names", 4_000),
        ("instance names", 7_000),
        ("service of an instance names", 7_000),
        ("tag names", 4_000),
        ("service of a tag names", 5_000),
        ("derived target names", 4_000),
        ("between names", 5_000),
        ("crowd names", 800),
        ("outside names", 2_500),
        ("long or odd names", 7_000),
        ("near names", 10_000),
        ("whole messages", 65_000),
        ("other records messages", 2_500),
        ("opcode messages", 2_500),
        ("class messages", 1_500),
        ("version messages", 1_500),
        ("bad OPT messages", 4_000),
        ("bad count messages", 1_500),
        ("bad name messages", 2_500),
        ("cut messages", 1_500),
        ("changed messages", 2_500),
        ("trailing messages", 1_500),
        ("response messages", 800),
        ("short messages", 800),
        ("noise messages", 800),
        ("mixed case", 20_000),
        ("with EDNS", 50_000),
        ("type 1", 15_000),
        ("type 28", 10_000),
        ("type 33", 15_000),
        ("type 255", 3_000),
        ("type 252", 1_000),
        ("type 41", 300),
        ("silence", 2_000),
        ("rcode 0", 40_000),
        ("rcode 1", 10_000),
        ("rcode 2", 3_000),
        ("rcode 3", 6_000),
        ("rcode 4", 2_500),
        ("rcode 5", 7_000),
        ("rcode 9", 1_000),
        ("rcode 16", 1_500),
        ("negative", 25_000),
        ("truncated", 1_000),
        ("with glue", 10_000),
        ("with less glue", 500),
        ("many records", 250),
    ];
    let few: Vec<String> = expected
        .iter()
        .map(|(what, least)| (what, least, counts.get(*what).copied().unwrap_or_default()))
        .filter(|(_, least, count)| count < least)
        .map(|(what, least, count)| format!("{what}: {count}, not {least}"))
        .collect();
    assert!(few.is_empty(), "seed {seed}: too few of\n{}\nin {counts:#?}", few.join("\n"));
}
