//! `rollcall run`: a program, registered while it lives.
//!
//! ```text
//! start -> port accepts -> registered, renewed -> signal -> deregister -> drain -> signal passed on -> end
//!                                              '-> ends by itself -> deregister -> end
//! ```

use std::ffi::OsString;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::client::ServerArgs;
use super::error::{Error, Outcome};
use super::instance::InstanceArgs;
use super::program::{Program, exit_code};
use super::registration::{Lost, OnRefusal, Registration};
use super::signals::Signals;
use super::{output, probe, values};

/// How long the end may wait for the goodbye once nothing else is left to do.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(4);

/// Run a program and keep it registered while it lives
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Run a program and keep it registered while it lives.\n\n\
The program is registered once its port accepts connections, and renewed at a third of the lease. If the \
server is away, the program runs on and registration is tried again and again.\n\n\
On a signal (Ctrl-C, TERM, HUP, QUIT) the program is deregistered first; then clients get --drain to forget \
its address while it goes on serving; then the signal is passed on. A second signal skips the wait. When \
the program ends by itself it is deregistered, and rollcall ends at once.\n\n\
The exit code is the program's own, 128+n if signal n ended it, 127 if there is no such program. Its standard \
input and output are not touched; messages of rollcall go to standard error. The program runs in a process \
group of its own, so that Ctrl-C reaches it only after the wait; it can't read from the terminal.",
    after_help = "\
Examples:
  rollcall run greeter --port 8080 -- python3 -m http.server 8080
  rollcall run greeter --port 9000 --tag canary --weight 10 -- ./greeter :9000
  rollcall run greeter --port 9000 --endpoint http:8080 --drain 0s -- ./greeter"
)]
pub(super) struct Args {
    #[command(flatten)]
    instance: InstanceArgs,
    /// How long the program goes on between deregistration and the signal: the records' time to live, 5s
    /// unless the zone says otherwise, and a second; a bare number is seconds
    #[arg(long, value_name = "TIME", default_value = "6s", value_parser = values::length, help_heading = None::<&str>)]
    drain: Duration,
    #[command(flatten)]
    server: ServerArgs,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM", help_heading = None::<&str>)]
    program: Vec<OsString>,
}

/// What happened to the program, or to us.
enum Happened {
    Ended(ExitStatus),
    Signalled(Signal),
}

/// Whether the server may still have told clients of the program when it was deregistered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WasKnown {
    Yes,
    No,
}

pub(super) async fn run(args: Args) -> Outcome {
    let described = args.instance.describe()?;
    let client = args.server.client()?;
    let doors = probe::doors(&described.instance);
    let registration = Registration::new(client, args.instance.app.clone(), described);

    let mut signals = Signals::listen()?;
    let mut program = Program::start(&args.program)?;
    let stop = CancellationToken::new();
    let mut keeping = JoinSet::new();
    keeping.spawn(keep(registration, doors, stop.clone()));

    let status = match next(&mut program, &mut signals).await? {
        Happened::Ended(status) => status,
        Happened::Signalled(signal) => {
            stop.cancel();
            let quiet = async {
                if let Some(Ok(WasKnown::Yes)) = keeping.join_next().await {
                    sleep(args.drain).await;
                }
            };
            wind_down(&mut program, &mut signals, signal, quiet).await?
        }
    };
    stop.cancel();
    // Empty, unless the program or a second signal was faster than the goodbye.
    let _ = timeout(GOODBYE_TIMEOUT, keeping.join_next()).await;
    Ok(exit_code(status))
}

/// From the first signal to the program's end: quiet first, unless a second signal or the program itself
/// says that there is nothing left to wait for.
async fn wind_down(
    program: &mut Program,
    signals: &mut Signals,
    mut signal: Signal,
    quiet: impl Future<Output = ()>,
) -> Result<ExitStatus, Error> {
    tokio::select! {
        () = quiet => {}
        happened = next(program, signals) => match happened? {
            Happened::Ended(status) => return Ok(status),
            Happened::Signalled(second) => signal = second,
        },
    }
    loop {
        program.signal(signal);
        match next(program, signals).await? {
            Happened::Ended(status) => return Ok(status),
            Happened::Signalled(further) => signal = further,
        }
    }
}

async fn next(program: &mut Program, signals: &mut Signals) -> Result<Happened, Error> {
    tokio::select! {
        status = program.ended() => status.map(Happened::Ended),
        signal = signals.next() => Ok(Happened::Signalled(signal)),
    }
}

/// The registration's whole life beside the program's.
async fn keep(
    mut registration: Registration,
    doors: Vec<std::net::SocketAddr>,
    stop: CancellationToken,
) -> WasKnown {
    tokio::select! {
        () = stop.cancelled() => return WasKnown::No,
        () = probe::wait_for(&doors) => {}
    }
    let kept = registration
        .keep(&stop, OnRefusal::TryLater, |registration, _| {
            output::note(&format!("registered {}", registration.name()));
        })
        .await;
    if let Err(Lost::Taken(why) | Lost::Refused(why)) = kept {
        output::note(&format!(
            "{} is another one's now: {why}: the program runs on, unregistered",
            registration.name()
        ));
    }
    if !registration.is_held() {
        return WasKnown::No;
    }
    let name = registration.name();
    let secs = registration.ttl().unwrap_or_default().as_secs();
    match registration.leave().await {
        Ok(()) => output::note(&format!("deregistered {name}")),
        Err(error) => output::note(&format!(
            "cannot deregister {name}: {}: it goes with its lease, in {secs} s at most",
            Error::from(error)
        )),
    }
    WasKnown::Yes
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn the_drain_outlives_a_record_by_a_second() {
        let args = Line::parse_from("run a --port 1 -- true".split(' ')).args;
        let ttl_secs: u64 = crate::config::Config::default().zones[0].ttl_secs.into();
        assert_eq!(args.drain, Duration::from_secs(ttl_secs + 1));
    }
}
