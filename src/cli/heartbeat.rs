//! `rollcall heartbeat`: renew a registration once, from cron or a framework's timer.

use hyper::{Method, StatusCode};
use serde_json::json;

use super::client::{Client, ClientError, ServerArgs, Target};
use super::error::{DONE, Error, Outcome};
use super::here::{find, here};
use super::ls::read;
use super::output;
use super::replies::Registered;

/// Renew a registration once, from cron or a timer
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Renew a registration once; without ID, those of this host's instances of the app.\n\n\
For cron, a framework's timer, a health check: whatever says at least three times a lease that the program lives. It \
does not register: exit code 1 says that the registration is gone, and that it is time to do that again.",
    after_help = "\
Examples:
  rollcall heartbeat greeter i-1
  rollcall heartbeat greeter              this host's instances of greeter
  * * * * *  check-greeter && rollcall heartbeat greeter
                                          in a crontab, for a lease of 180 s"
)]
pub(super) struct Args {
    /// The app
    app: String,
    /// The instance's id, as `rollcall ls APP` shows it
    id: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn heartbeat(args: Args) -> Outcome {
    let client = args.server.client()?;
    let ids = match args.id {
        Some(id) => vec![id],
        None => {
            let app = find(&client, &args.app).await?;
            let app = app.ok_or_else(|| gone(&args.app, None))?;
            // Those that other systems registered are theirs to renew.
            let (own, others): (Vec<_>, Vec<_>) =
                app.instances.into_iter().partition(|instance| instance.layout.is_none());
            if own.is_empty() && !others.is_empty() {
                return Err(Error::Refused(format!(
                    "{} was registered by another system, which alone can renew it",
                    args.app
                )));
            }
            here(&client, &args.app, &own).await?
        }
    };
    let mut renewed = Vec::with_capacity(ids.len());
    let mut failed = None;
    // All are tried: one that is gone does not let the others expire.
    for id in ids {
        match renew(&client, &args.app, &id).await {
            Ok(reply) => renewed.push((id, reply)),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    if args.json {
        let rows: Vec<_> = renewed
            .iter()
            .map(|(id, reply)| json!({ "id": id, "ttl": reply.ttl, "incarnation": reply.incarnation }))
            .collect();
        output::json(&json!({ "app": args.app, "renewed": rows }))?;
    } else {
        for (id, reply) in &renewed {
            output::line(&format!("renewed {} {id}, for {} s", args.app, reply.ttl))?;
        }
    }
    failed.map_or(Ok(DONE), Err)
}

async fn renew(client: &Client, app: &str, id: &str) -> Result<Registered, Error> {
    let target = Target::new(&["apps", app, "instances", id, "heartbeat"]);
    match client.send(Method::PUT, target, None).await {
        Ok(reply) => read(reply),
        Err(ClientError::Refused { status: StatusCode::NOT_FOUND, .. }) => Err(gone(app, Some(id))),
        Err(error) => Err(error.into()),
    }
}

fn gone(app: &str, id: Option<&str>) -> Error {
    let what = id.map_or_else(|| app.to_owned(), |id| format!("{app} {id}"));
    Error::Refused(format!("{what} is not registered, or no longer: register it again"))
}
