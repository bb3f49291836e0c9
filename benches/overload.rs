//! Twice the load that a server can carry: how much of its peak it keeps up, and how soon it answers when the
//! load is over. `./dev bench overload`; docs/performance.md says how to read it.

mod support;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use support::figures::median;
use support::load::{Load, Pace};
use support::machine::{Activity, monotonic};
use support::options::Options;
use support::questions::{self, Mix};
use support::report::{Cell, Report, Table};
use support::servers::{self, Server};
use support::tally::Check;

/// Turns in which the peak is found.
const PEAK_TURNS: usize = 8;
const PEAK_TURN: Duration = Duration::from_millis(250);
/// How much more is asked than could be answered at the peak.
const TIMES: f64 = 2.0;
/// The overload, second by second.
const SECONDS: usize = 30;
const SECOND: Duration = Duration::from_secs(1);
/// How long a question may wait for its answer before it is asked again.
const REPEAT_AFTER: Duration = Duration::from_millis(2);
/// Queries one after the other when it is over.
const PROBES: usize = 100;

fn main() -> io::Result<()> {
    let Some(options) = Options::of_this_run() else { return Ok(()) };
    let mut report = Report::new("overload", options.given());
    let cores = options.begin(&mut report);
    let mixes = Mix::all();
    let mix = mixes.iter().find(|mix| mix.key == "srv").expect("the first of all mixes");
    let before = Activity::now();
    let mut servers = vec![servers::rollcall(cores.server)?];
    servers.extend(servers::peers(&options, cores.server, &mut report));
    let mut table = Table::new(&[
        "server",
        "peak per s",
        "asked per s",
        "answered per s",
        "of peak %",
        "worst second %",
        "lost %",
        "wrong",
        "first answer µs",
        "worst of next 99 µs",
        "MB",
    ]);
    for server in &servers {
        table.row(overload(server, mix, if options.quick() { 5 } else { SECONDS })?);
    }
    report.table("overload", "Twice the load, second by second, then silence", &table);
    report.line(&Activity::now().since(before));
    report.finish();
    Ok(())
}

fn overload(server: &Server, mix: &Mix, seconds: usize) -> io::Result<Vec<Cell>> {
    let mut peaks = Vec::new();
    for _ in 0..PEAK_TURNS {
        let mut load = Load::udp(server.address, Check::Answer, Pace::Closed)?;
        let tally = load.run(mix, PEAK_TURN)?;
        peaks.push(tally.in_time as f64 / PEAK_TURN.as_secs_f64());
    }
    let peak = median(&peaks);

    let mut load = Load::udp(server.address, Check::Answer, Pace::Open(peak * TIMES))?;
    let (mut asked, mut answered, mut wrong) = (Vec::new(), Vec::new(), 0);
    for _ in 0..seconds {
        let tally = load.ask(mix, SECOND)?;
        asked.push(tally.sent as f64);
        // A late one was answered too, only after we had stopped to wait for it.
        answered.push((tally.answered + tally.late) as f64);
        wrong += tally.wrong;
    }
    let probes = probe(server.address)?;
    let of_peak = |rate: f64| Cell::number(rate / peak * 100.0, 0);
    let (all_asked, all_answered): (f64, f64) = (asked.iter().sum(), answered.iter().sum());
    Ok(vec![
        Cell::text(server.name),
        Cell::number(peak, 0),
        Cell::number(median(&asked), 0),
        Cell::number(median(&answered), 0),
        of_peak(median(&answered)),
        of_peak(answered.iter().copied().fold(f64::INFINITY, f64::min)),
        Cell::number((1.0 - all_answered / all_asked) * 100.0, 0),
        Cell::number(wrong as f64, 0),
        Cell::number(probes[0].as_secs_f64() * 1e6, 0),
        Cell::number(probes[1..].iter().max().map_or(0.0, |most| most.as_secs_f64() * 1e6), 0),
        Cell::number(server.memory() as f64 / 1e6, 1),
    ])
}

/// How long a client waits that asks as soon as the load is over, and then again and again. The first question
/// may still find a full queue and is repeated until it is answered.
fn probe(server: SocketAddr) -> io::Result<Vec<Duration>> {
    let question = questions::soa();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(REPEAT_AFTER))?;
    let mut reply = [0; 2_048];
    let mut ask = |_| {
        let begin = monotonic();
        loop {
            socket.send(question.octets())?;
            let answered = socket.recv(&mut reply).is_ok();
            let waited = monotonic() - begin;
            // None within a second is told as a second.
            if answered || waited > SECOND {
                return Ok(waited);
            }
        }
    };
    (0..PROBES).map(&mut ask).collect()
}
