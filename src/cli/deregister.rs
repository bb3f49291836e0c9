//! `rollcall deregister`: take a registration away, whoever made it.

use hyper::Method;

use super::client::{ServerArgs, Target};
use super::error::{DONE, Outcome};
use super::output;

/// Take a registration away
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Take a registration away, whoever made it: it is gone from answers at once.\n\n\
A program that is alive and renews will register again; to take a living instance out of answers use \
`rollcall offline`. Exit code 1 when there is no such registration.",
    after_help = "\
Example:
  rollcall deregister greeter 10-0-0-7-9000"
)]
pub(super) struct Args {
    /// The app
    app: String,
    /// The instance's id, as `rollcall ls APP` shows it
    id: String,
    #[command(flatten)]
    server: ServerArgs,
    /// Print the server's reply as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn deregister(args: Args) -> Outcome {
    let client = args.server.client()?;
    let target = Target::new(&["apps", &args.app, "instances", &args.id]);
    let reply = client.send(Method::DELETE, target, None).await?;
    if args.json {
        output::json(&reply)?;
    } else {
        output::line(&format!("deregistered {} {}", args.app, args.id))?;
    }
    Ok(DONE)
}
