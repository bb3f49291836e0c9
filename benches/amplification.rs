//! How many octets a stranger can have sent to a victim for each octet of a question in its name, over all 65,536 types.
//! `./dev bench amplification` prints the table of docs/security.md. It counts, and times nothing.

#[path = "../tests/support/world.rs"]
#[allow(dead_code, reason = "each bench uses a part of it")]
mod world;

use std::net::{IpAddr, Ipv4Addr};

use rollcall::dns::{Ask, Out, Policy, Transport, Verdict, answer};
use rollcall::zone::Snapshot;
use world::{World, query};

/// What is asked about: names of an app of forty instances with one address each, and beside it.
const NAMES: [(&str, &str); 8] = [
    ("the zone", "svc"),
    ("an app", "app-0.svc"),
    ("a service", "_nova._tcp.app-0.svc"),
    ("an instance", "i-7.app-0.svc"),
    ("an instance as listed", "i-7._nova._tcp.app-0.svc"),
    ("the list of services", "_services._dns-sd._udp.app-0.svc"),
    ("a name that does not exist", "nope.svc"),
    ("another's name", "www.example"),
];

/// The octets that headers of IPv4 and UDP add to each datagram.
const HEADERS: usize = 28;

#[allow(clippy::print_stdout, reason = "it prints a table")]
fn main() {
    let snapshot = World::new(1, 40).snapshot();
    println!(
        "octets of DNS, and in brackets how many times the question's, headers of IPv4 and UDP counted on both sides\n"
    );
    println!(
        "| about | without EDNS: most | type | EDNS 1232: most | type | EDNS 4096, our limit 4096: most | type |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (what, name) in NAMES {
        let cells = [(None, 1232), (Some(1232), 1232), (Some(4096), 4096)].map(|(edns, limit)| {
            let (octets, asked, rtype) = most(&snapshot, name, edns, limit);
            let times = (octets + HEADERS) as f64 / (asked + HEADERS) as f64;
            format!("{octets} ({times:.1}) | {rtype}")
        });
        println!("| {what} | {} |", cells.join(" | "));
    }
}

/// The largest reply that any type gets, the question's octets, and the type.
fn most(snapshot: &Snapshot, name: &str, edns: Option<u16>, limit: u16) -> (usize, usize, u16) {
    let policy = Policy { udp_octets_max: limit, ..Policy::default() };
    let mut out = Out::new();
    let of_type = |rtype: u16| {
        let mut octets = query(name, rtype);
        let opt = octets.len() - 11;
        match edns {
            Some(size) => octets[opt + 3..opt + 5].copy_from_slice(&size.to_be_bytes()),
            None => {
                octets.truncate(opt);
                octets[11] = 0;
            }
        }
        let ask = Ask {
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            transport: Transport::Udp,
            now_secs: 0,
            draw: 7,
            stale: false,
            slip: false,
            policy: &policy,
        };
        match answer(snapshot, &ask, &octets, &mut out) {
            Verdict::Reply(len) => (len, octets.len(), rtype),
            Verdict::Drop | Verdict::Forward => (0, octets.len(), rtype),
        }
    };
    (0..=u16::MAX).map(of_type).max_by_key(|(len, ..)| *len).unwrap_or_default()
}
