//! Who reads answers allocates nothing and frees nothing: counted, over every kind of answer, and while snapshots are
//! replaced.

#[path = "support/world.rs"]
#[allow(dead_code, reason = "this test uses a part of it")]
mod world;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use allocation_counter::{AllocationInfo, measure};
use rollcall::dns::answer::cookie::Secrets;
use rollcall::dns::{Ask, Out, Policy, Transport, Verdict, answer};
use rollcall::zone::{ConsulNames, Names, Published, Retired, Snapshot, ZoneSettings};
use world::{World, query};

/// Names of a world: every kind there is, and some that are not there.
const NAMES: [&str; 33] = [
    "_nova._tcp.app-0.svc",
    "app-0.svc",
    "i-1.app-0.svc",
    "v1.app-0.svc",
    "_nova._tcp.v1.app-0.svc",
    "_nova._tcp.i-1.app-0.svc",
    "_tcp.app-0.svc",
    "_services._dns-sd._udp.app-0.svc",
    "i-1._nova._tcp.app-0.svc",
    "nope.svc",
    "x.nope.app-0.svc",
    "svc",
    "example.org",
    "",
    "1.0.0.10.in-addr.arpa",
    "0.10.in-addr.arpa",
    "x.1.0.0.10.in-addr.arpa",
    "9.9.9.10.in-addr.arpa",
    "10.in-addr.arpa",
    "plain.svc",
    "r-1.plain.svc",
    "on.the.way.svc",
    "the.way.svc",
    "alias.svc",
    "9.9.0.10.in-addr.arpa",
    "app-0.service.consul",
    "v1.app-0.service.dc1.consul",
    "_app-0._tcp.service.dc1.dc.consul",
    "_app-0._v1.service.consul",
    "_app-0.service.consul",
    "_nova._tcp.app-0.service.consul",
    "dc1.consul",
    "nope.consul",
];

/// A world of so many apps, with a reverse zone of its addresses, a zone of Consul's names, and as many plain records as
/// there are instances of an app.
fn world(apps: usize, instances: usize) -> World {
    let network = "10.0.0.0/8".parse().expect("a network with a zone");
    let consul = ZoneSettings {
        name: "consul.".parse().expect("a zone's name"),
        names: Names::Consul(ConsulNames::default()),
        ..ZoneSettings::default()
    };
    let zones = [ZoneSettings::default(), ZoneSettings::reverse(network, None), consul];
    let mut world = World::of(&zones, apps, instances);
    let service = r#"{"host":"10.1.1.1","port":80,"mail":true,"text":"t"}"#;
    let services = (0..instances).map(|n| (format!("svc/plain/r-{n}"), service));
    let others = [
        ("svc/way/the/on", r#"{"host":"10.1.1.2","port":80}"#),
        ("svc/alias", r#"{"host":"plain.svc"}"#),
        ("svc/dns/apex/a", service),
        ("arpa/in-addr/10/0/9/9", r#"{"host":"a.example"}"#),
    ];
    world.records(services.chain(others.map(|(path, value)| (path.to_owned(), value))));
    world
}

fn questions() -> Vec<Vec<u8>> {
    let types = [1, 2, 6, 12, 16, 28, 33, 41, 65, 251, 252, 255];
    let each = NAMES.iter().flat_map(|name| types.map(|rtype| query(name, rtype)));
    let mut all: Vec<_> = each.collect();
    // And one with a cookie, which is to be checked and renewed.
    let mut cookie = query("app-0.svc", 1);
    let at = cookie.len() - 1;
    cookie[at] = 28;
    cookie.extend_from_slice(&[0, 10, 0, 24]);
    cookie.extend_from_slice(&[1; 24]);
    all.push(cookie);
    all
}

/// Answers one question, and says whether there was a reply.
fn ask(
    snapshot: &Snapshot,
    transport: Transport,
    draw: u64,
    question: &[u8],
    out: &mut Out,
) -> bool {
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let cookies = Some(Secrets::new([7; 16], None));
    let policy = Policy { cookies, ..Policy::default() };
    let ask =
        Ask { client, transport, draw, now_secs: 0, stale: true, slip: false, policy: &policy };
    answer(snapshot, &ask, question, out) != Verdict::Drop
}

#[test]
fn answers_allocate_nothing() {
    let few = world(20, 5).snapshot();
    let many = world(1, 2_000).snapshot();
    let mut out = Out::new();
    let mut questions = questions();
    for cut in 0..questions[0].len() {
        questions.push(questions[0][..cut].to_vec());
    }
    let mut replies = 0_usize;
    let counted = measure(|| {
        for snapshot in [&few, &many] {
            for transport in [Transport::Udp, Transport::Tcp] {
                for (draw, question) in (0..).zip(&questions) {
                    replies += usize::from(ask(snapshot, transport, draw, question, &mut out));
                }
            }
        }
    });
    assert_eq!(counted, AllocationInfo::default());
    assert!(replies > 4 * 17 * 12, "{replies} replies");
}

/// Ends the readers, also when what they are waited for panics.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Readers that hold a snapshot at the moment it is replaced must not be the ones who free it: of a million
/// instances that would take one of them seconds.
#[test]
fn readers_free_nothing_while_snapshots_are_replaced() {
    const READERS: usize = 2;
    const CHANGES: u16 = 60;
    let mut world = world(20, 5);
    let published = Published::new(world.snapshot());
    let questions = questions();
    let reads: [AtomicU64; READERS] = Default::default();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers = reads.each_ref().map(|reads| {
            let (published, questions, stop) = (&published, &questions, &stop);
            scope.spawn(move || {
                let mut out = Out::new();
                // The first use of a thread's place in the swap registers it.
                drop(published.load());
                measure(|| {
                    // Ends when the publisher has seen enough reads.
                    while !stop.load(Ordering::Relaxed) {
                        let snapshot = published.load();
                        for (draw, question) in (0..).zip(questions) {
                            ask(&snapshot, Transport::Udp, draw, question, &mut out);
                        }
                        drop(snapshot);
                        reads.fetch_add(1, Ordering::Release);
                    }
                })
            })
        });
        let stop = StopOnDrop(&stop);
        let mut retired = Retired::default();
        let mut waited = 0;
        for port in 1..=CHANGES {
            let before = reads.each_ref().map(|reads| reads.load(Ordering::Acquire));
            world.change(usize::from(port) % 20, usize::from(port) % 5, port);
            // The next reads are of the new snapshot; those under way, of the old one.
            retired.push(published.publish(world.snapshot()));
            waited += usize::from(!retired.is_empty());
            for (reads, before) in reads.iter().zip(before) {
                while reads.load(Ordering::Acquire) == before {
                    assert!(
                        !readers.iter().any(|reader| reader.is_finished()),
                        "a reader panicked"
                    );
                    thread::yield_now();
                }
            }
        }
        drop(stop);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), AllocationInfo::default());
        }
        assert!(waited > 0, "no reader ever held a snapshot that was replaced");
        let freed = measure(|| retired.sweep());
        assert!(freed.count_current < 0, "{freed:?}");
        assert!(retired.is_empty());
    });
}
