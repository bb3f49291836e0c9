//! `rollcall docker`: the containers of this host, registered while they run.
//!
//! `container` is what the engine says of one, `labels` what it says of itself, `services` what is registered of it by
//! registrator's rules, all pure; `engine` speaks to Docker, `table` keeps what is registered. The rest is here: who runs,
//! who has gone.
//!
//! Knows nothing of how a registration is kept alive.

mod container;
mod engine;
mod labels;
mod services;
mod table;

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use self::container::Container;
use self::engine::{Engine, Event, Events};
use self::services::Rules;
use self::table::{Farewell, Table, short};
use super::client::ServerArgs;
use super::error::{DONE, Error, Outcome};
use super::signals::Signals;
use super::{output, values};
use crate::host;

/// First pause before the engine is tried again.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Of the exit code of a container that a signal ended: 128 + the signal's number.
const SIGNALLED: i64 = 128;

/// Register the containers of this host, as registrator does
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Register the containers of this host while they run, by the variables and labels that registrator reads.\n\n\
Every published port of a container is registered: app SERVICE_NAME or SERVICE_80_NAME, else the image's name (with \
the port behind it where there are several), under the id HOST:CONTAINER:PORT, mapped to a legal name. SERVICE_TAGS, \
SERVICE_ID and SERVICE_IGNORE mean what they do for registrator; the protocol is SERVICE_PROTOCOL, else the app's name; \
all other SERVICE_X are meta data.\n\n\
Registrations are renewed at a third of their lease, so that nothing is left of a host that died. They are taken away \
when a container ends, and all of them when this command is told to stop. While the engine or the server is away it \
goes on with what it knows, and looks again when they are back.",
    after_help = "\
Examples:
  rollcall docker --http 10.0.0.2:8053
  rollcall docker --ip 10.0.0.7 --ttl 30s --resync 1m
  rollcall docker --internal --tag eu-1 --deregister on-success
  docker run -d -p 8080:80 -e SERVICE_80_NAME=shop -e SERVICE_TAGS=v2 nginx"
)]
pub(super) struct Args {
    /// The engine's socket
    #[arg(long, env = "DOCKER_HOST", value_name = "URL", default_value = engine::SOCKET_DEFAULT)]
    docker: Engine,
    /// The address of published ports [default: the source address of the default route]
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    /// Register containers' own addresses and ports instead of published ones
    #[arg(long)]
    internal: bool,
    /// Register the address that this label of a container holds, where it has it
    #[arg(long, value_name = "LABEL")]
    ip_from_label: Option<String>,
    /// Register only containers that have a SERVICE_NAME
    #[arg(long)]
    explicit: bool,
    /// A tag for all registrations; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// The host's name, which ids begin with [default: this host's]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// How long a registration stays without a sign of life; a bare number is seconds; 2s to 1h [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = values::whole_secs)]
    ttl: Option<u32>,
    /// How often all containers are looked at anew, besides at the engine's events; 0 for never
    #[arg(long, value_name = "TIME", value_parser = values::length, default_value = "1m")]
    resync: Duration,
    /// What becomes of a container's registrations when it ends: deregistered, or, where it failed, left to
    /// their lease
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Deregister::Always)]
    deregister: Deregister,
    #[command(flatten)]
    server: ServerArgs,
}

/// When a container that has ended is deregistered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Deregister {
    /// Whatever its exit code
    Always,
    /// With exit code 0 or ended by a signal; else its registrations end with their leases
    OnSuccess,
}

/// Registers what runs on one engine.
struct Agent {
    engine: Engine,
    rules: Rules,
    deregister: Deregister,
    resync: Duration,
    table: Table,
}

pub(super) async fn docker(args: Args) -> Outcome {
    let client = args.server.client()?;
    let mut signals = Signals::listen()?;
    let mut agent = Agent {
        rules: args.rules(),
        engine: args.docker,
        deregister: args.deregister,
        resync: args.resync,
        table: Table::new(client),
    };
    tokio::select! {
        never = agent.run() => match never {},
        _ = signals.next() => {}
    }
    tokio::select! {
        () = agent.table.leave() => Ok(DONE),
        _ = signals.next() => Err(Error::Unreachable(
            "told to stop twice: what is still registered goes with its lease".into(),
        )),
    }
}

impl Args {
    fn rules(&self) -> Rules {
        Rules {
            host: self.host.clone().or_else(host::name).unwrap_or_else(|| "localhost".to_owned()),
            address: self.ip.or_else(host::default_source),
            is_given: self.ip.is_some(),
            internal: self.internal,
            explicit: self.explicit,
            address_label: self.ip_from_label.clone(),
            tags: self.tags.clone(),
            ttl: self.ttl,
        }
    }
}

impl Agent {
    /// Follows the engine for ever. While it is away what is registered stays so: its containers may well run on.
    async fn run(&mut self) -> std::convert::Infallible {
        let mut pause = PAUSE_MIN;
        let mut complaint = None;
        loop {
            let why = match self.engine.events().await {
                // First the events, then the list: so nothing is missed between the two.
                Ok(events) => match self.look().await {
                    Ok(()) => {
                        output::note(&format!("following Docker at {}", self.engine));
                        (pause, complaint) = (PAUSE_MIN, None);
                        self.follow(events).await
                    }
                    Err(why) => why,
                },
                Err(why) => why,
            };
            if complaint.as_ref() != Some(&why) {
                output::note(&format!(
                    "cannot follow Docker at {}: {why} (trying again)",
                    self.engine
                ));
                complaint = Some(why);
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Does what events say, until they break off; says why they did.
    async fn follow(&mut self, mut events: Events) -> String {
        let mut last = Instant::now();
        loop {
            let look = async {
                match self.resync {
                    Duration::ZERO => std::future::pending().await,
                    every => sleep_until(last + every).await,
                }
            };
            let done = tokio::select! {
                event = events.next() => match event {
                    Ok(Event::Started(id)) => self.register(&id).await,
                    Ok(Event::Died(id, code)) => {
                        self.table.end(&id, self.farewell(code));
                        Ok(())
                    }
                    Err(why) => Err(why),
                },
                () = look => {
                    last = Instant::now();
                    self.look().await
                }
            };
            if let Err(why) = done {
                return why;
            }
        }
    }

    /// Looks at all containers: registers those that run, and ends what has gone unseen.
    async fn look(&mut self) -> Result<(), String> {
        let running = self.engine.running().await?;
        for id in self.table.containers() {
            if !running.contains(&id) {
                self.table.end(&id, Farewell::Deregister);
            }
        }
        for id in running {
            self.register(&id).await?;
        }
        Ok(())
    }

    /// Registers what one container offers.
    async fn register(&mut self, id: &str) -> Result<(), String> {
        let Some(container) = self.engine.inspect(id).await?.filter(|one| one.state.running) else {
            // It has ended meanwhile; if it was known, the event that says so is on its way.
            return Ok(());
        };
        let network = match container.shares_network_of() {
            Some(other) => self.engine.inspect(other).await?,
            None => None,
        };
        let (services, skipped) = self.rules.services(&container, network.as_ref());
        if !self.table.knows(id) {
            for skipped in &skipped {
                output::note(&left_out(&container, skipped));
            }
        }
        self.table.set(id, services);
        Ok(())
    }

    fn farewell(&self, code: Option<i64>) -> Farewell {
        match (self.deregister, code) {
            (Deregister::Always, _) | (_, None | Some(0)) => Farewell::Deregister,
            (Deregister::OnSuccess, Some(code)) if code & SIGNALLED != 0 => Farewell::Deregister,
            (Deregister::OnSuccess, Some(_)) => Farewell::LeaveToLease,
        }
    }
}

fn left_out(container: &Container, skipped: &services::Skipped) -> String {
    format!("left out: container {} ({}): {skipped}", container.name(), short(&container.id))
}
