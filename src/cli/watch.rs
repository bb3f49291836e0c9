//! `rollcall watch`: changes as they happen.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::client::{ClientError, ServerArgs, Stream, Target};
use super::error::{Error, Outcome};
use super::ls::read;
use super::output;
use super::replies::Change;
use super::sse::{Event, Parser};

/// Silence after which the connection counts as dead: three times the server's own sign of life.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Pause before connecting again.
const PAUSE: Duration = Duration::from_secs(1);

/// Print changes as they happen
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Print changes of one app, or of all apps of the namespace, as they happen, until Ctrl-C.\n\n\
Causes: registered, changed, departed, expired, offline, online. A broken connection is opened again where it \
was left. `reset` says that changes may have been missed: list again.",
    after_help = "\
Examples:
  rollcall watch
  rollcall watch greeter --json | jq -c '[.cause, .id]'"
)]
pub(super) struct Args {
    /// The app [default: all]
    app: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn watch(args: Args) -> Outcome {
    let client = args.server.client()?;
    let mut target = Target::new(&["watch"]);
    if let Some(app) = &args.app {
        target = target.with("app", app);
    }
    let mut last_id: Option<String> = None;
    let mut ever_connected = false;
    let mut complained = false;
    loop {
        let headers: Vec<_> = last_id.iter().map(|id| ("last-event-id", id.clone())).collect();
        let broken = match client.stream(target.clone(), &headers).await {
            Ok(stream) => {
                if !ever_connected {
                    // There may be nothing else to see for long.
                    let what = args.app.as_deref().unwrap_or("all apps");
                    let server = client.server();
                    output::note(&format!("watching {what} at {server}, until Ctrl-C"));
                }
                ever_connected = true;
                // The end of a good connection is news; that the next tries fail too is not.
                complained = false;
                follow(stream, &mut last_id, args.json).await?
            }
            Err(error) => error,
        };
        match broken {
            // Never connected so far: more likely a wrong address than a server that is just starting.
            away @ (ClientError::Unreachable(_) | ClientError::NotNow { .. })
                if !ever_connected =>
            {
                return Err(away.into());
            }
            ClientError::Unreachable(why) | ClientError::NotNow { message: why, .. } => {
                if !complained {
                    output::note(&format!("{why} (trying again)"));
                }
                complained = true;
            }
            refused @ ClientError::Refused { .. } => return Err(refused.into()),
        }
        sleep(PAUSE).await;
    }
}

/// Prints what one connection brings, until it breaks.
async fn follow(
    mut stream: Stream,
    last_id: &mut Option<String>,
    as_json: bool,
) -> Result<ClientError, Error> {
    let mut parser = Parser::default();
    loop {
        let octets = match timeout(SILENCE_MAX, stream.next()).await {
            Ok(Some(octets)) => octets,
            Ok(None) => {
                return Ok(ClientError::Unreachable("the server ended the connection".into()));
            }
            Err(_) => return Ok(ClientError::Unreachable("the server fell silent".into())),
        };
        let Ok(events) = parser.feed(&octets) else {
            return Ok(ClientError::Unreachable("the server sends what is no event".into()));
        };
        for event in events {
            if !event.data.is_empty() {
                print(&event, as_json)?;
            }
            if event.id.is_some() {
                *last_id = event.id;
            } else if event.kind == "reset" {
                // What came before the reset can't be resumed from.
                *last_id = None;
            }
        }
    }
}

fn print(event: &Event, as_json: bool) -> Result<(), Error> {
    let Ok(data) = serde_json::from_str::<Value>(&event.data) else {
        output::note(&format!("an event that can't be read: {}", event.data));
        return Ok(());
    };
    if event.kind == "reset" {
        let revision = data.get("revision").cloned().unwrap_or_default();
        return match as_json {
            true => output::json(&json!({ "cause": "reset", "revision": revision })),
            false => {
                output::line(&format!("{revision} reset: changes may have been missed, list again"))
            }
        };
    }
    if as_json {
        return output::json(&data);
    }
    let change: Change = read(data)?;
    let id = change.id.unwrap_or_else(|| "(all)".into());
    let mut line = format!("{} {} {} {id}", change.revision, change.cause, change.app);
    if let Some(instance) = change.instance {
        line = format!("{line} {}", instance.endpoints_text());
    }
    if let Some(note) = change.note {
        line = format!("{line} ({note})");
    }
    output::line(&line)
}
