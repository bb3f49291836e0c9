//! What one answer costs in `answer()`, by kind of question. `./dev bench answer` prints the figures.

#[path = "../tests/support/world.rs"]
#[allow(dead_code, reason = "each bench uses a part of it")]
mod world;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, criterion_group, criterion_main};
use rollcall::dns::{Ask, Out, Policy, Transport, Verdict, answer};
use world::{World, query};

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

fn ask(policy: &Policy, draw: u64) -> Ask<'_> {
    Ask {
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        transport: Transport::Udp,
        now_secs: 0,
        draw,
        stale: false,
        slip: false,
        policy,
    }
}

fn answers(criterion: &mut Criterion) {
    let five = World::new(1_000, 5).snapshot();
    let forty = World::new(1, 40).snapshot();
    let hundred = World::new(1, 1_000).snapshot();
    let policy = Policy::default();
    let mut out = Out::new();
    let mut group = criterion.benchmark_group("answer");
    let kinds = [
        ("srv 5 with glue", &five, "_nova._tcp.app-7.svc", SRV),
        ("a 5", &five, "app-7.svc", A),
        ("a of one instance", &five, "i-3.app-7.svc", A),
        ("nodata", &five, "app-7.svc", AAAA),
        ("nxdomain", &five, "_nova._tcp.nope-7.svc", SRV),
        ("mixed case", &five, "_NoVa._tCp.ApP-7.sVc", SRV),
        ("refused", &five, "example.org", A),
        ("srv 40 cut at 1232", &forty, "_nova._tcp.app-0.svc", SRV),
        ("srv 1000 cut at 1232", &hundred, "_nova._tcp.app-0.svc", SRV),
    ];
    for (kind, snapshot, name, rtype) in kinds {
        let question = query(name, rtype);
        let mut draw = 0;
        group.bench_function(kind, |bencher| {
            bencher.iter(|| {
                draw += 1;
                let verdict = answer(snapshot, &ask(&policy, draw), black_box(&question), &mut out);
                assert!(matches!(verdict, Verdict::Reply(_)));
            });
        });
    }
    group.finish();
}

fn random_names(criterion: &mut Criterion) {
    let policy = Policy::default();
    for (apps, instances) in [(200, 5), (20_000, 5), (200_000, 5)] {
        let snapshot = World::new(apps, instances).snapshot();
        let mut rng = fastrand::Rng::with_seed(1);
        let questions: Vec<Vec<u8>> = (0..65_536)
            .map(|_| query(&format!("_nova._tcp.app-{}.svc", rng.usize(0..apps)), SRV))
            .collect();
        let mut out = Out::new();
        let mut next = 0;
        let name = format!("answer/srv 5, random app, {} instances", apps * instances);
        criterion.bench_function(&name, |bencher| {
            bencher.iter(|| {
                next = (next + 1) % questions.len();
                answer(&snapshot, &ask(&policy, next as u64), black_box(&questions[next]), &mut out)
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(std::time::Duration::from_secs(2));
    targets = answers, random_names
}
criterion_main!(benches);
