//! `rollcall register`: one registration, kept alive until a signal.

use tokio_util::sync::CancellationToken;

use super::client::ServerArgs;
use super::error::{DONE, Error, Outcome};
use super::instance::InstanceArgs;
use super::output;
use super::registration::{Lost, OnRefusal, Registration};
use super::signals::Signals;

/// Register an instance and keep it alive until Ctrl-C
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Register an instance and keep it alive until Ctrl-C, then deregister it.\n\n\
For programs that something else starts; `rollcall run` starts one itself. The registration is renewed at a \
third of the lease; while the server is away, it is tried again and again. If another registration takes \
the id, this one ends with exit code 1; told to stop before any server has taken it, with 3.",
    after_help = "\
Examples:
  rollcall register greeter --port 9000
  rollcall register greeter --port 9000 --address 10.0.0.7 --id blue --tag v2 \\
      --meta version=1.4.2
  rollcall register greeter --port 9000 --protocol grpc --endpoint http:8080"
)]
pub(super) struct Args {
    #[command(flatten)]
    instance: InstanceArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// Print the server's reply to each registration as JSON
    #[arg(long, help_heading = None::<&str>)]
    json: bool,
}

pub(super) async fn register(args: Args) -> Outcome {
    let described = args.instance.describe()?;
    let client = args.server.client()?;
    let mut registration = Registration::new(client, args.instance.app.clone(), described);
    let mut signals = Signals::listen()?;
    let stop = CancellationToken::new();

    let mut printed = Ok(());
    let mut ever_registered = false;
    let mut abandoned = false;
    let kept = {
        let keep = registration.keep(&stop, OnRefusal::GiveUp, |registration, reply| {
            ever_registered = true;
            printed = match args.json {
                true => output::json(reply),
                false => output::line(&format!("registered {}", registration.name())),
            };
            if printed.is_err() {
                stop.cancel();
            }
        });
        tokio::pin!(keep);
        tokio::select! {
            kept = &mut keep => kept,
            _ = signals.next() => {
                stop.cancel();
                // What is under way is finished; a second signal means that nobody wants to wait for it.
                tokio::select! {
                    kept = &mut keep => kept,
                    _ = signals.next() => {
                        abandoned = true;
                        Ok(())
                    }
                }
            }
        }
    };
    match kept {
        Ok(()) if ever_registered => {}
        Ok(()) => {
            let how = if abandoned {
                "may be registered: nobody waited for the answer, it goes with its lease"
            } else {
                "was never registered: told to stop before a server took it"
            };
            return Err(Error::Unreachable(format!("{} {how}", registration.name())));
        }
        Err(Lost::Refused(why)) => return Err(Error::Refused(why)),
        Err(Lost::Taken(why)) => {
            let name = registration.name();
            return Err(Error::Refused(format!("{name} is another one's now: {why}")));
        }
    }
    if registration.is_held() {
        tokio::select! {
            left = registration.leave() => left?,
            _ = signals.next() => return Ok(DONE),
        }
        if printed.is_ok() && !args.json {
            output::line(&format!("deregistered {}", registration.name()))?;
        }
    }
    printed.map(|()| DONE)
}
