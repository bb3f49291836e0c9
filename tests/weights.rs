//! The order of records is fair, and so is what is left out: chi-square over the orders that `answer()` makes of
//! random numbers from a fixed seed, drawn as the workers draw theirs.
//!
//! What is right fails each verdict with one seed in a thousand. After a change of the order, look at another seed
//! (`ROLLCALL_SEED=7 cargo test --test weights`) before believing in chance, and then at a third.

#[path = "support/case.rs"]
#[allow(dead_code, reason = "this test uses a part of it")]
mod case;
#[path = "support/compile.rs"]
mod compile;
#[path = "support/seed.rs"]
mod seed;
#[path = "support/verdicts.rs"]
mod verdicts;
#[path = "support/wire.rs"]
mod wire;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use case::Case;
use rollcall::dns::{Ask, Out, Policy, Transport, Verdict, answer};
use rollcall::zone::Snapshot;
use verdicts::Verdicts;
use wire::Query;

/// Orders that are drawn of each set.
const DRAWS: usize = 10_000;
/// Sizes of sets, those around the place where drawing may go another way among them.
const SIZES: [usize; 8] = [2, 3, 5, 10, 40, 64, 65, 100];

// ---- the tests -----------------------------------------------------------------------------------

#[test]
fn the_first_address_is_drawn_by_weight() {
    let mut verdict = Verdicts::default();
    for (shape, weights) in shapes() {
        let app = App::new(&weights);
        for rtype in ["A", "AAAA"] {
            let orders = app.orders("app.svc", rtype);
            verdict.first(&format!("{rtype} of {shape}"), &orders, &weights);
        }
    }
    verdict.end();
}

#[test]
fn services_are_drawn_by_weight_without_replacement() {
    let mut verdict = Verdicts::default();
    for (shape, weights) in shapes() {
        let app = App::new(&weights);
        let orders = app.orders("_nova._tcp.app.svc", "SRV");
        let what = format!("SRV of {shape}");
        verdict.first(&what, &orders, &weights);
        verdict.second(&what, &orders, &weights);
    }
    verdict.end();
}

#[test]
fn what_a_tag_narrows_is_drawn_by_weight() {
    let mut verdict = Verdicts::default();
    for weights in [vec![255, 1, 1], vec![1, 255, 255, 7, 1], vec![100; 10], heavy_and_light(100)] {
        let app = App::new(&weights);
        // Every second one has the tag, the first among them.
        let tagged: Vec<u16> =
            weights.iter().enumerate().map(|(i, w)| if i % 2 == 0 { *w } else { 0 }).collect();
        let what = format!("of a tag, {} instances", weights.len().div_ceil(2));
        for (name, rtype) in
            [("odd.app.svc", "A"), ("odd.app.svc", "AAAA"), ("_nova._tcp.odd.app.svc", "SRV")]
        {
            let orders = app.orders(name, rtype);
            verdict.first(&format!("{rtype} {what}"), &orders, &tagged);
            verdict.second(&format!("{rtype} {what}"), &orders, &tagged);
        }
    }
    verdict.end();
}

#[test]
fn endpoints_of_one_instance_are_drawn_by_their_own_weights() {
    let weights = [255, 1, 7, 100];
    let endpoints: Vec<String> = (1..)
        .zip(weights)
        .map(|(port, weight)| format!(r#"{{"port":{port},"weight":{weight}}}"#))
        .collect();
    let app = App::of(&format!(
        "instance app/one {{\"address\":\"10.0.0.1\",\"endpoints\":[{}]}}",
        endpoints.join(",")
    ));
    let mut verdict = Verdicts::default();
    for name in ["_nova._tcp.one.app.svc", "_nova._tcp.app.svc", "app.svc"] {
        let orders = app.orders(name, "SRV");
        verdict.first(name, &orders, &weights);
        verdict.second(name, &orders, &weights);
    }
    verdict.end();
}

/// Three instances on one address count as one of their weights' sum; an instance with four addresses has a
/// quarter of its weight at each, and one family's share is not the other's.
#[test]
fn weights_add_up_on_an_address_and_are_split_over_several() {
    let app = App::of(concat!(
        r#"instance app/a {"address":"10.0.0.1","port":1,"weight":100}"#,
        "\n",
        r#"instance app/b {"address":"10.0.0.1","port":2,"weight":200}"#,
        "\n",
        r#"instance app/c {"addresses":["10.0.0.1","10.0.0.2"],"port":3,"weight":40}"#,
        "\n",
        r#"instance app/d {"addresses":["10.0.0.3","10.0.0.4","10.0.0.5","10.0.0.6"],"port":4,"weight":200}"#,
        "\n",
        r#"instance app/e {"addresses":["10.0.0.7","fd00::1","fd00::2"],"port":5,"weight":60}"#,
        "\n",
        r#"instance app/f {"addresses":["fd00::2"],"port":6,"weight":30}"#,
        "\n",
        // Addresses of an endpoint are the instance's too, at the app's name.
        r#"instance app/g {"address":"10.0.0.8","weight":90,"endpoints":[{"port":7,"addresses":["10.0.0.9","fd00::3"]}]}"#,
        "\n",
        // Of another priority, and without weight: not there.
        r#"instance app/h {"addresses":["10.0.0.10","fd00::a"],"port":8,"weight":1000,"priority":20}"#,
        "\n",
        r#"instance app/i {"addresses":["10.0.0.11","fd00::b"],"port":9,"weight":0}"#,
    ));
    let mut verdict = Verdicts::default();
    let orders = app.orders("app.svc", "A");
    verdict.first("A", &orders, &[320, 20, 50, 50, 50, 50, 60, 45, 45]);
    verdict.second("A", &orders, &[320, 20, 50, 50, 50, 50, 60, 45, 45]);
    let orders = app.orders("app.svc", "AAAA");
    verdict.first("AAAA", &orders, &[30, 60, 90]);
    verdict.end();
}

/// Also the places beyond a datagram's: over TCP everything comes.
#[test]
fn every_place_is_open_to_each_of_equals() {
    let mut verdict = Verdicts::default();
    for size in [2, 5, 64, 65, 100] {
        let weights = vec![100; size];
        let app = App::new(&weights);
        for (name, rtype) in [("app.svc", "A"), ("_nova._tcp.app.svc", "SRV")] {
            let orders = app.draw(name, rtype, (Transport::Tcp, None), 4_000);
            verdict.places(&format!("{rtype} of {size}"), &orders, size);
        }
    }
    // A host's own addresses, registered and from a zone file, begin at any of them.
    let own: Vec<String> = (1..=16).map(|i| format!("\"10.0.0.{i}\"")).collect();
    let fixed: String = (1..=16).map(|i| format!("  fixed A 10.0.0.{i}\n")).collect();
    let app = App::of(&format!(
        "file svc.\n  $TTL 60\n  @ SOA ns h 1 2 3 4 5\n  @ NS ns\n  ns A 192.0.2.1\n{fixed}\
         instance app/one {{\"addresses\":[{}],\"port\":1}}",
        own.join(",")
    ));
    for name in ["one.app.svc", "fixed.svc"] {
        verdict.places(name, &app.orders(name, "A"), 16);
    }
    verdict.end();
}

/// What is left out of a datagram is a fair sample (law 5, docs/architecture.md): each of the instances is in the
/// reply equally often, and so it is at whatever place of it one looks.
#[test]
fn each_of_equals_is_as_likely_in_a_truncated_answer() {
    let mut verdict = Verdicts::default();
    for size in [100, 200, 1_000] {
        let app = App::new(&vec![100; size]);
        for (name, rtype) in [("app.svc", "A"), ("app.svc", "AAAA"), ("_nova._tcp.app.svc", "SRV")]
        {
            for limit in [None, Some(1232)] {
                let orders = app.draw(name, rtype, (Transport::Udp, limit), DRAWS);
                let room = orders[0].len();
                assert!((10..size).contains(&room), "{room} of {size}");
                verdict.sample(&format!("{rtype} of {size}, {room} fit"), &orders, size);
            }
        }
    }
    verdict.end();
}

/// By weight, too: of instances with four times the weight of others, four times as many are first; and those in
/// a truncated answer that are drawn second and third still follow the weights that are left.
#[test]
fn a_truncated_answer_is_a_sample_by_weight() {
    let mut verdict = Verdicts::default();
    for size in [100, 200, 1_000] {
        let weights: Vec<u16> = (0..size).map(|i| if i < size / 2 { 4 } else { 1 }).collect();
        let app = App::new(&weights);
        for (name, rtype) in [("app.svc", "A"), ("_nova._tcp.app.svc", "SRV")] {
            let orders = app.orders(name, rtype);
            let what = format!("{rtype} of {size}, 4:1");
            verdict.first(&what, &orders, &weights);
            verdict.second(&what, &orders, &weights);
        }
    }
    verdict.end();
}

/// Priorities one after the other, each in proportion to its weights, its weightless ones behind (RFC 2782).
#[test]
fn each_priority_is_drawn_by_itself_and_weight_0_comes_last() {
    let mut lines = String::new();
    let weights = [5, 0, 10, 0, 85, 0, 30, 70, 0];
    for (n, weight) in (1..).zip(weights) {
        let priority = if n <= 6 { 10 } else { 20 };
        writeln!(
            lines,
            "instance app/i-{n} {{\"address\":\"10.0.0.{n}\",\"port\":{n},\"weight\":{weight},\"priority\":{priority}}}"
        )
        .unwrap();
    }
    let app = App::of(&lines);
    let orders = app.orders("_nova._tcp.app.svc", "SRV");
    let mut verdict = Verdicts::default();
    for order in &orders {
        let mut weightless: Vec<u16> = order[3..6].to_vec();
        weightless.sort_unstable();
        assert_eq!(weightless, [1, 3, 5], "{order:?}");
        assert_eq!(order[8], 8, "{order:?}");
    }
    verdict.first("priority 10", &orders, &weights[..6]);
    verdict.second("priority 10", &orders, &weights[..6]);
    let weightless: Vec<Vec<u16>> =
        orders.iter().map(|order| order[3..6].iter().map(|n| n / 2).collect()).collect();
    verdict.places("weight 0 of priority 10", &weightless, 3);
    let second: Vec<Vec<u16>> = orders.iter().map(|order| order[6..8].to_vec()).collect();
    verdict.first("priority 20", &second, &[0, 0, 0, 0, 0, 0, 30, 70, 0]);
    // In the app's addresses only those of the first priority that have weight.
    let orders = app.orders("app.svc", "A");
    assert!(orders.iter().all(|order| order.len() == 3));
    verdict.first("A", &orders, &[5, 0, 10, 0, 85]);
    verdict.end();
}

/// A set that not even TCP holds: what a client gets is always the same, and over clients it is fair (law 5).
#[test]
fn clients_share_out_a_set_beyond_any_message() {
    const SIZE: usize = 4_000;
    const CLIENTS: u32 = 600;
    let app = App::new(&vec![100; SIZE]);
    let query = Query::default().octets("app.svc", "AAAA", "IN").unwrap();
    let mut out = Out::new();
    // One record of each client's, from another place each time: of those the set is as likely to give each.
    let mut counts = vec![0; 20];
    for client in 0..CLIENTS {
        let ask = Ask {
            client: IpAddr::from(Ipv4Addr::from_bits(0x0a40_0000 + client)),
            transport: Transport::Tcp,
            now_secs: 0,
            draw: client.into(),
            stale: false,
            slip: false,
            policy: &Policy::default(),
        };
        let order = order(&app.snapshot, &ask, &query, &mut out);
        assert!((2_300..SIZE).contains(&order.len()));
        let place = client as usize * 997 % order.len();
        counts[usize::from(order[place]) * 20 / SIZE] += 1;
    }
    let mut verdict = Verdicts::default();
    verdict.note("over clients", &counts, &[f64::from(CLIENTS) / 20.0; 20]);
    verdict.end();
}

#[test]
fn the_verdicts_see_what_is_unfair() {
    // A fifth too many of one of ten, over as many draws as the tests make.
    let biased: Vec<Vec<u16>> =
        (0..DRAWS)
            .map(|n| {
                if n % 50 == 0 { vec![3, 4] } else { vec![(n % 10) as u16, ((n + 1) % 10) as u16] }
            })
            .collect();
    let mut verdict = Verdicts::default();
    verdict.first("", &biased, &[100; 10]);
    verdict.second("", &biased, &[100; 10]);
    verdict.places("", &biased, 10);
    verdict.sample("", &biased, 10);
    assert_eq!(verdict.unlikely.len(), verdict.noted, "{:?}", verdict.unlikely);
    // What is never drawn, but has weight, and the other way round.
    for weights in [[1_u16, 0], [1, 1]] {
        let mut verdict = Verdicts::default();
        verdict.first("", &vec![vec![1_u16]; DRAWS], &weights);
        assert_eq!(verdict.unlikely.len(), 1);
    }
}

// ---- sets and orders -----------------------------------------------------------------------------

/// An app `app` whose instances are known by number, from 1: in their ports and the last octets of their addresses.
struct App {
    snapshot: Arc<Snapshot>,
}

impl App {
    /// One instance for each weight, of both families, names all of one length; the first and every second behind it have the tag `odd`.
    fn new(weights: &[u16]) -> Self {
        let mut lines = String::new();
        for (n, weight) in (1_u16..).zip(weights) {
            let v4 = Ipv4Addr::from_bits(0x0a00_0000 + u32::from(n));
            let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n);
            let tags = if n % 2 == 1 { r#""odd""# } else { "" };
            writeln!(
                lines,
                "instance app/i-{n:04} {{\"addresses\":[\"{v4}\",\"{v6}\"],\"port\":{n},\"weight\":{weight},\
                 \"tags\":[{tags}]}}"
            )
            .unwrap();
        }
        Self::of(&lines)
    }

    /// What the case language says.
    fn of(lines: &str) -> Self {
        Self { snapshot: compile::compile(&Case::world(Path::new("weights"), lines)) }
    }

    /// As many replies as chi-square wants, in datagrams of 512 octets.
    fn orders(&self, name: &str, rtype: &str) -> Vec<Vec<u16>> {
        self.draw(name, rtype, (Transport::Udp, None), DRAWS)
    }

    /// Replies to one question, each as the numbers of its records in their order. The client says how many octets
    /// it takes, or has no EDNS.
    fn draw(
        &self,
        name: &str,
        rtype: &str,
        (transport, limit): (Transport, Option<u16>),
        draws: usize,
    ) -> Vec<Vec<u16>> {
        let mut query = Query::default();
        query.edns = limit.is_some();
        query.bufsize = limit.unwrap_or_default();
        let query = query.octets(name, rtype, "IN").unwrap();
        let mut out = Out::new();
        let mut random = fastrand::Rng::with_seed(seed::seed());
        let each = (0..draws).map(|_| {
            let ask = Ask {
                client: [192, 0, 2, 1].into(),
                transport,
                now_secs: 0,
                draw: random.u64(..),
                stale: false,
                slip: false,
                policy: &Policy::default(),
            };
            order(&self.snapshot, &ask, &query, &mut out)
        });
        each.collect()
    }
}

/// The records in one reply's answer section, by number, counted from 0 as their weights are.
fn order(snapshot: &Snapshot, ask: &Ask<'_>, query: &[u8], out: &mut Out) -> Vec<u16> {
    let Verdict::Reply(len) = answer(snapshot, ask, query, out) else { panic!("no reply") };
    let reply = out.octets(len);
    let pair = |at: usize| u16::from_be_bytes([reply[at], reply[at + 1]]);
    let name_end = |mut at: usize| loop {
        match reply[at] {
            0 => return at + 1,
            192.. => return at + 2,
            length => at += 1 + usize::from(length),
        }
    };
    let mut at = name_end(12) + 4;
    let answers = (0..pair(6)).map(|_| {
        let start = name_end(at) + 10;
        let (rtype, length) = (pair(start - 10), usize::from(pair(start - 2)));
        at = start + length;
        match rtype {
            // The port; there is none of number 0.
            33 => pair(start + 4) - 1,
            1 | 28 => pair(at - 2) - 1,
            other => panic!("type {other}"),
        }
    });
    let order: Vec<u16> = answers.collect();
    assert!(!order.is_empty(), "no records");
    order
}

/// Equal weights, one of 255 among ones, and as many of 255 as of 1, of every size.
fn shapes() -> Vec<(String, Vec<u16>)> {
    let each = SIZES.iter().flat_map(|&size| {
        let mut lone = vec![1; size];
        lone[size / 2] = 255;
        [
            (format!("{size} equals"), vec![100; size]),
            (format!("{size}, one of 255:1"), lone),
            (format!("{size}, half of 255:1"), heavy_and_light(size)),
        ]
    });
    each.collect()
}

fn heavy_and_light(size: usize) -> Vec<u16> {
    (0..size).map(|i| if i % 2 == 0 { 255 } else { 1 }).collect()
}
