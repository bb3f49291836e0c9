//! What one UDP answer costs: rollcall beside Knot, NSD and BIND on the same zone, and beside the least that a
//! UDP server can do, an echo. `./dev bench udp`; docs/performance.md says how to read it.

mod support;

use std::io;
use std::time::Duration;

use support::comparison::{Comparison, summary};
use support::load::{Load, Pace};
use support::machine::{Activity, Cores};
use support::options::Options;
use support::questions::Mix;
use support::report::{Report, note};
use support::roles;
use support::servers::{self, Server};
use support::tally::Check;

/// One turn of one server: short, so that what else the machine does falls on all of them alike.
const TURN: Duration = Duration::from_millis(200);
/// What warms caches, and finds out how long rollcall's answers are; not counted.
const WARM_UP: Duration = Duration::from_millis(50);
/// The rate at which latency is measured: one that every server here can carry.
const LATENCY_RATE: f64 = 20_000.0;
const LATENCY_TURN: Duration = Duration::from_millis(250);
/// Turns at that rate, of each server.
const LATENCY_ROUNDS: usize = 3;

/// Worlds of growing size, of apps of five: key, title, apps.
const SIZES: [(&str, &str, usize); 3] = [
    ("1k", "5 SRV with glue, random apps, 1,000 instances", 200),
    ("100k", "5 SRV with glue, random apps, 100,000 instances", 20_000),
    ("1m", "5 SRV with glue, random apps, 1,000,000 instances", 200_000),
];

fn main() -> io::Result<()> {
    roles::take();
    let Some(options) = Options::of_this_run() else { return Ok(()) };
    let mut report = Report::new("udp", options.given());
    let cores = options.begin(&mut report);
    let before = Activity::now();
    let rounds = options.rounds(11, 5);

    let mut all = Vec::new();
    let mixes: Vec<Mix> = Mix::all().into_iter().filter(|mix| options.wants_mix(mix.key)).collect();
    if !mixes.is_empty() {
        let mut servers = vec![servers::rollcall(cores.server)?];
        servers.extend(servers::peers(&options, cores.server, &mut report));
        for mix in &mixes {
            all.push(compare(mix, &servers, cores, rounds)?);
            all[all.len() - 1].tell(&mut report);
        }
    }
    for (key, title, apps) in SIZES.into_iter().filter(|(key, ..)| options.wants_mix(key)) {
        note(&format!("building a world of {apps} apps"));
        let servers = [roles::start_world(apps, cores.server)?];
        let mix = Mix::among(key, title, apps);
        all.push(compare(&mix, &servers, cores, rounds)?);
        all[all.len() - 1].tell(&mut report);
    }
    summary(&all, &mut report);
    report.line(&Activity::now().since(before));
    report.finish();
    Ok(())
}

/// Turns of all servers, and of echoes whose replies are as long as those of the first.
fn compare(mix: &Mix, servers: &[Server], cores: Cores, rounds: usize) -> io::Result<Comparison> {
    note(mix.title);
    let mut first = None;
    for server in servers {
        let tally = Load::udp(server.address, Check::Answer, Pace::Closed)?.run(mix, WARM_UP)?;
        first.get_or_insert(tally);
    }
    let echoes = roles::start_echoes(&first.expect("rollcall at least"), cores.server)?;
    let all: Vec<&Server> = servers.iter().chain(&echoes).collect();
    let mut comparison = Comparison::new(mix.key, mix.title, &all);
    comparison.play(&all, rounds, |server, row| {
        let load = Load::udp(server.address, check(server), Pace::Closed)?;
        row.take_turn(server, load, mix, TURN)
    })?;
    comparison.play(&all, LATENCY_ROUNDS, |server, row| {
        let mut load = Load::udp(server.address, check(server), Pace::Open(LATENCY_RATE))?;
        row.add_paced(load.run(mix, LATENCY_TURN)?);
        Ok(())
    })?;
    Ok(comparison)
}

fn check(server: &Server) -> Check {
    if server.name.starts_with("echo") { Check::Id } else { Check::Answer }
}
