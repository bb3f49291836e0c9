//! What one answer costs over TCP when many queries share a connection: rollcall beside Knot, NSD and BIND on
//! the same zone. `./dev bench tcp`; docs/performance.md says how to read it.

mod support;

use std::io;
use std::time::Duration;

use support::comparison::{Comparison, summary};
use support::load::Load;
use support::machine::Activity;
use support::options::Options;
use support::questions::Mix;
use support::report::{Report, note};
use support::servers::{self, Server};

/// One turn of one server: short, so that what else the machine does falls on all of them alike.
const TURN: Duration = Duration::from_millis(200);
/// What warms caches; not counted.
const WARM_UP: Duration = Duration::from_millis(50);

/// Kinds of load: key, title, the questions' key, connections, queries under way on each.
const LOADS: [(&str, &str, &str, usize, usize); 8] = [
    ("srv-1x100", "5 SRV with glue, one connection, 100 under way", "srv", 1, 100),
    ("srv-8x100", "5 SRV with glue, 8 connections, 100 under way on each", "srv", 8, 100),
    ("a-1x100", "5 A, one connection, 100 under way", "a", 1, 100),
    ("nodata-1x100", "NODATA, one connection, 100 under way", "nodata", 1, 100),
    ("nxdomain-1x100", "NXDOMAIN, one connection, 100 under way", "nxdomain", 1, 100),
    ("random-1x100", "NXDOMAIN, no name asked twice, one connection", "random", 1, 100),
    ("case-1x100", "5 SRV with glue in mixed case, one connection", "case", 1, 100),
    ("forty-1x100", "40 SRV, one connection, 100 under way", "forty", 1, 100),
];

fn main() -> io::Result<()> {
    let Some(options) = Options::of_this_run() else { return Ok(()) };
    let mut report = Report::new("tcp", options.given());
    let cores = options.begin(&mut report);
    let before = Activity::now();

    let mut servers = vec![servers::rollcall(cores.server)?];
    servers.extend(servers::peers(&options, cores.server, &mut report));
    let servers: Vec<&Server> = servers.iter().collect();
    let mixes = Mix::all();
    let mut all = Vec::new();
    for (key, title, questions, connections, window) in LOADS {
        let Some(mix) = mixes.iter().find(|mix| mix.key == questions && options.wants_mix(key))
        else {
            continue;
        };
        note(title);
        let load = |server: &Server| Load::tcp(server.address, connections, window);
        for server in &servers {
            load(server)?.run(mix, WARM_UP)?;
        }
        let mut comparison = Comparison::new(key, title, &servers);
        comparison.play(&servers, options.rounds(11, 5), |server, row| {
            row.take_turn(server, load(server)?, mix, TURN)
        })?;
        comparison.tell(&mut report);
        all.push(comparison);
    }
    summary(&all, &mut report);
    report.line(&Activity::now().since(before));
    report.finish();
    Ok(())
}
