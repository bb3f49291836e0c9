//! The path from query to answer allocates nothing: counted, over every kind of answer.

#[path = "support/world.rs"]
#[allow(dead_code, reason = "this test uses a part of it")]
mod world;

use std::alloc::System;
use std::net::{IpAddr, Ipv4Addr};

use rollcall::dns::{Ask, Out, Transport, Verdict, answer};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use world::{World, query};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn answers_allocate_nothing() {
    let few = World::new(20, 5).snapshot();
    let many = World::new(1, 2_000).snapshot();
    let mut out = Out::new();
    let names = [
        "_nova._tcp.app-0.svc",
        "app-0.svc",
        "i-1.app-0.svc",
        "v1.app-0.svc",
        "_nova._tcp.v1.app-0.svc",
        "_nova._tcp.i-1.app-0.svc",
        "_tcp.app-0.svc",
        "nope.svc",
        "x.nope.app-0.svc",
        "svc",
        "example.org",
        "",
    ];
    let mut questions: Vec<Vec<u8>> = Vec::new();
    for name in names {
        for rtype in [1, 2, 6, 16, 28, 33, 41, 65, 251, 252, 255] {
            questions.push(query(name, rtype));
        }
    }
    for cut in 0..questions[0].len() {
        questions.push(questions[0][..cut].to_vec());
    }
    let mut replies = 0_usize;
    let region = Region::new(ALLOCATOR);
    for snapshot in [&few, &many] {
        for transport in [Transport::Udp, Transport::Tcp] {
            for (draw, question) in (0..).zip(&questions) {
                let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
                let ask = Ask { client, transport, udp_octets_max: 1232, draw };
                replies += usize::from(answer(snapshot, &ask, question, &mut out) != Verdict::Drop);
            }
        }
    }
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0));
    assert!(replies > 4 * 12 * 11, "{replies} replies");
}
