//! `rollcall ls`: what is registered.

use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::client::{Client, ServerArgs, Target};
use super::error::{DONE, Error, Outcome};
use super::output;
use super::replies::{App, AppRow, RejectedRow};

/// Most rows of one page: the API's own limit.
const PAGE_ROWS: &str = "1000";
/// Most pages that are asked for, so that a server that never ends its list can't keep us for ever.
const PAGES_MAX: usize = 10_000;

/// List apps, the instances of one, or what is not served
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
List the apps, the instances of one app, or the registrations that are not served and why.\n\n\
States of an instance: online (in answers), offline (taken out by `rollcall offline`), pinned (replaced by this \
server's configuration), rejected (it lost its name to another claim).\n\n\
LEASE is how long an instance stays without a sign of life: `leased` where only the registry knows, `permanent` \
where it stays until it is deregistered.",
    after_help = "\
Examples:
  rollcall ls
  rollcall ls greeter
  rollcall ls greeter --json | jq -r '.instances[].id'
  rollcall ls --rejected"
)]
pub(super) struct Args {
    /// The app whose instances to list
    app: Option<String>,
    /// List the keys that are not served, with the reason
    #[arg(long, conflicts_with = "app")]
    rejected: bool,
    #[command(flatten)]
    server: ServerArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn ls(args: Args) -> Outcome {
    let client = args.server.client()?;
    if args.rejected {
        rejected(&client, args.json).await?;
    } else if let Some(app) = &args.app {
        one(&client, app, args.json).await?;
    } else {
        all(&client, args.json).await?;
    }
    Ok(DONE)
}

async fn all(client: &Client, as_json: bool) -> Result<(), Error> {
    let whole = pages(client, "apps").await?;
    if as_json {
        return output::json(&whole);
    }
    let apps: Vec<AppRow> = field(&whole, "apps")?;
    if apps.is_empty() {
        output::note("nothing is registered");
        return Ok(());
    }
    let rows: Vec<_> = apps
        .into_iter()
        .map(|row| {
            let state = match (row.pinned, row.offline, row.online) {
                (true, ..) => "pinned",
                (_, true, _) => "offline",
                (_, _, 0) => "none online",
                _ => "online",
            };
            vec![row.app, row.instances.to_string(), row.online.to_string(), state.to_owned()]
        })
        .collect();
    output::table(&["APP", "INSTANCES", "ONLINE", "STATE"], &rows)
}

async fn one(client: &Client, name: &str, as_json: bool) -> Result<(), Error> {
    let reply = client.send(Method::GET, Target::new(&["apps", name]), None).await?;
    if as_json {
        return output::json(&reply);
    }
    let app: App = read(reply)?;
    let mut rows: Vec<_> = app
        .instances
        .into_iter()
        .map(|instance| {
            vec![
                instance.id_text(),
                instance.state.clone(),
                instance.endpoints_text(),
                instance.weight.to_string(),
                instance.tags.join(", "),
                instance.lease_text(),
                instance.reason,
            ]
        })
        .collect();
    rows.extend(app.absent_marks.into_iter().map(|mark| {
        let [none, why] = [String::new(), mark.offline.to_string()];
        let state = "offline, not registered".to_owned();
        vec![mark.id, state, none.clone(), none.clone(), none.clone(), none, why]
    }));
    output::table(&["ID", "STATE", "ENDPOINTS", "WEIGHT", "TAGS", "LEASE", "REASON"], &rows)?;
    if app.pinned {
        output::line(&format!("{name} is pinned by this server's configuration"))?;
    }
    if let Some(note) = app.offline {
        output::line(&format!("{name} is offline as a whole: {note}"))?;
    }
    Ok(())
}

async fn rejected(client: &Client, as_json: bool) -> Result<(), Error> {
    let whole = pages(client, "rejected").await?;
    if as_json {
        return output::json(&whole);
    }
    let rejected: Vec<RejectedRow> = field(&whole, "rejected")?;
    if rejected.is_empty() {
        output::note("nothing is rejected");
        return Ok(());
    }
    let rows: Vec<_> = rejected.into_iter().map(|row| vec![row.key, row.reason]).collect();
    output::table(&["KEY", "REASON"], &rows)
}

/// All pages of a list as one reply. `list` is both the path and the field.
pub(super) async fn pages(client: &Client, list: &str) -> Result<Value, Error> {
    let mut rows = Vec::new();
    let mut target = Target::new(&[list]).with("limit", PAGE_ROWS);
    for _ in 0..PAGES_MAX {
        let mut page = client.send(Method::GET, target, None).await?;
        if let Some(Value::Array(more)) = page.get_mut(list).map(Value::take) {
            rows.extend(more);
        }
        let Some(next) = page.get("continue").and_then(Value::as_str) else {
            return Ok(json!({ "revision": page.get("revision"), list: rows }));
        };
        target = Target::new(&[list]).with("limit", PAGE_ROWS).with("continue", next);
    }
    Err(Error::Unreachable(format!(
        "the server's list has no end: gave up after {PAGES_MAX} pages"
    )))
}

/// One field of a reply.
pub(super) fn field<T: DeserializeOwned>(whole: &Value, name: &str) -> Result<T, Error> {
    read(whole.get(name).cloned().unwrap_or_default())
}

/// A reply as far as we know its form.
pub(super) fn read<T: DeserializeOwned>(reply: Value) -> Result<T, Error> {
    serde_json::from_value(reply).map_err(|error| {
        Error::Unreachable(format!(
            "the server's reply can't be read: {error}: is it a newer rollcall?"
        ))
    })
}
