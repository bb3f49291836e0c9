//! What one change costs, and what an instance takes in memory, by size. `./dev bench change` prints them.

#[path = "../tests/support/world.rs"]
#[allow(dead_code, reason = "each bench uses a part of it")]
mod world;

use std::alloc::System;
use std::time::Duration;

use criterion::{BatchSize, Criterion};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use world::World;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Apps and instances of each.
const SIZES: [(usize, usize); 3] = [(200, 5), (20_000, 5), (200_000, 5)];
const ONE_APP: [usize; 4] = [10, 100, 1_000, 10_000];

fn main() {
    let mut criterion = Criterion::default()
        .configure_from_args()
        .sample_size(20)
        .measurement_time(Duration::from_secs(2));
    memory();
    for (apps, instances) in SIZES {
        change(
            &mut criterion,
            &format!("one of {} instances in apps of 5", apps * instances),
            apps,
            instances,
        );
    }
    for instances in ONE_APP {
        change(&mut criterion, &format!("one of {instances} instances of one app"), 1, instances);
    }
    criterion.final_summary();
}

/// Octets held for each instance: catalogue, directory and answers together. What the mirror keeps is beside
/// that: key, revision, lease and a pointer.
fn memory() {
    for (apps, instances) in SIZES {
        let region = Region::new(ALLOCATOR);
        let mut world = World::new(apps, instances);
        let snapshot = world.snapshot();
        let held = region.change();
        let octets = held.bytes_allocated - held.bytes_deallocated;
        let all = apps * instances;
        report(&format!(
            "memory: {all} instances in apps of {instances}: {} octets an instance",
            octets / all
        ));
        drop((snapshot, world));
    }
}

fn change(criterion: &mut Criterion, name: &str, apps: usize, instances: usize) {
    let mut world = World::new(apps, instances);
    let mut shown = world.snapshot();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut port = 0;
    criterion.bench_function(&format!("change/{name}"), |bencher| {
        bencher.iter_batched(
            || (rng.usize(0..apps), rng.usize(0..instances)),
            |(app, instance)| {
                port = port % 60_000 + 1;
                world.change(app, instance, port);
                // The old snapshot is dropped here, as the compiler's thread does it.
                shown = world.snapshot();
            },
            BatchSize::SmallInput,
        );
    });
    drop(shown);
}

#[allow(clippy::print_stdout, reason = "a benchmark's report")]
fn report(line: &str) {
    println!("{line}");
}
