//! `rollcall offline` and `rollcall online`: operators' marks.

use hyper::Method;
use serde_json::{Value, json};

use super::client::{ServerArgs, Target};
use super::error::{DONE, Error, Outcome};
use super::here::{find, here};
use super::ls::read;
use super::output;
use super::replies::{Instance, Written};

/// Take an instance, this host's instances, or a whole app out of answers
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "rollcall offline [OPTIONS] <APP> (<ID> | --here | --all) [--force]",
    long_about = "\
Take an instance, all instances of this host, or a whole app out of answers, without touching registrations.\n\n\
The mark survives restarts and new registrations until `rollcall online`. Where nothing of the app would be left \
online, --force is needed.",
    after_help = "\
Examples:
  rollcall offline greeter 10-0-0-7-9000 --reason 'disk is full'
  rollcall offline greeter --here          before maintenance of this host
  rollcall offline greeter --all --force   the app as a whole"
)]
pub(super) struct OfflineArgs {
    #[command(flatten)]
    mark: MarkArgs,
    /// Also where nothing of the app is left online
    #[arg(long)]
    force: bool,
}

/// Bring back what `offline` took out of answers
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "rollcall online [OPTIONS] <APP> (<ID> | --here | --all)",
    long_about = "\
Bring back into answers what `rollcall offline` took out.\n\n\
Each mark is taken away by itself: an instance stays out while its app is offline as a whole.",
    after_help = "\
Examples:
  rollcall online greeter 10-0-0-7-9000
  rollcall online greeter --here
  rollcall online greeter --all"
)]
pub(super) struct OnlineArgs {
    #[command(flatten)]
    mark: MarkArgs,
    // Accepted, so that a script may go through both commands with the same flags.
    #[arg(long, hide = true)]
    force: bool,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["id", "here", "all"]))]
struct MarkArgs {
    /// The app
    app: String,
    /// The instance's id, as `rollcall ls APP` shows it; what stands in brackets there, if anything does
    id: Option<String>,
    /// The instances that have an address of this host
    #[arg(long)]
    here: bool,
    /// The app as a whole, instances that are yet to come included
    #[arg(long)]
    all: bool,
    /// Why, for those who will wonder
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Offline,
    Online,
}

impl Mark {
    fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Online => "online",
        }
    }
}

pub(super) async fn offline(args: OfflineArgs) -> Outcome {
    mark(args.mark, Mark::Offline, args.force).await
}

pub(super) async fn online(args: OnlineArgs) -> Outcome {
    mark(args.mark, Mark::Online, true).await
}

async fn mark(args: MarkArgs, mark: Mark, force: bool) -> Outcome {
    let client = args.server.client()?;
    let app = if args.here || !force {
        find(&client, &args.app).await?
    } else if mark == Mark::Online && args.id.is_some() {
        // Only to tell what it does not bring about: it can be done without, and without leave to read.
        find(&client, &args.app).await.unwrap_or_default()
    } else {
        None
    };
    let instances = app.as_ref().map_or(&[][..], |app| &app.instances);

    // None stands for the app as a whole.
    let targets: Vec<Option<String>> = if args.here {
        here(&client, &args.app, instances).await?.into_iter().map(Some).collect()
    } else {
        vec![args.id]
    };
    if !force {
        refuse_the_last(&args.app, instances, &targets)?;
    }
    let body = args.reason.map(|reason| json!({ "reason": reason }));
    let mut done = Vec::with_capacity(targets.len());
    for target in targets {
        let path = match &target {
            Some(id) => Target::new(&["apps", &args.app, "instances", id, mark.as_str()]),
            None => Target::new(&["apps", &args.app, mark.as_str()]),
        };
        match client.send(Method::PUT, path, body.as_ref()).await {
            Ok(reply) => done.push((target, read::<Written>(reply)?)),
            Err(error) => {
                // What was done before stays done, so it is shown.
                if !done.is_empty() {
                    print(&args.app, mark, &done, args.json)?;
                }
                return Err(error.into());
            }
        }
    }
    print(&args.app, mark, &done, args.json)?;
    let whole = app.as_ref().and_then(|app| app.offline.as_ref());
    if let (Mark::Online, Some(whole), false) = (mark, whole, args.all) {
        let app = &args.app;
        let why = Some(whole.to_string()).filter(|why| !why.is_empty());
        let why = why.map_or_else(String::new, |why| format!(" ({why})"));
        output::note(&format!(
            "{app} is offline as a whole{why}: it stays out until 'rollcall online {app} --all'"
        ));
    }
    Ok(DONE)
}

fn refuse_the_last(
    app: &str,
    instances: &[Instance],
    targets: &[Option<String>],
) -> Result<(), Error> {
    let online = || instances.iter().filter(|instance| instance.state == "online");
    let hit = |instance: &&Instance| {
        targets.iter().any(|target| target.as_ref().is_none_or(|id| *id == instance.name()))
    };
    let lost = online().filter(hit).count();
    if lost == 0 || lost < online().count() {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "nothing of {app} would be left online ({lost} of {lost} would go): repeat with --force to do it all the same"
    )))
}

fn print(
    app: &str,
    mark: Mark,
    done: &[(Option<String>, Written)],
    as_json: bool,
) -> Result<(), Error> {
    if as_json {
        let marks: Vec<Value> = done
            .iter()
            .map(|(id, reply)| {
                let mut mark =
                    json!({ "id": id, "revision": reply.revision, "visible": reply.visible });
                if let Some(changed) = reply.changed {
                    mark["changed"] = changed.into();
                }
                mark
            })
            .collect();
        return output::json(&json!({
            "app": app,
            "revision": done.iter().map(|(_, reply)| reply.revision).max(),
            "visible": done.iter().all(|(_, reply)| reply.visible),
            "marks": marks,
        }));
    }
    let rows: Vec<_> = done
        .iter()
        .map(|(id, reply)| {
            let seen = match (reply.changed, reply.visible) {
                (Some(false), _) => ", had no mark",
                (_, true) => "",
                (_, false) => ", answers will follow",
            };
            let id = id.clone().unwrap_or_else(|| "(all)".into());
            vec![app.to_owned(), id, format!("{}{seen}", mark.as_str()), reply.revision.to_string()]
        })
        .collect();
    output::table(&["APP", "ID", "MARKED", "REVISION"], &rows)
}
