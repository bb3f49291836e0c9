//! The command line: one file a command.
//!
//! `output` is the only place that prints, `client` the only one that speaks HTTP to servers, on a `link`, `registration`
//! keeps one alive for `register`, `run` and `docker`. Exit codes are in `error`.
//!
//! Knows nothing of zones, and of layouts and registries only what `import` hands on: client commands see what the API
//! shows, as anybody's would.

mod check;
mod client;
mod completions;
mod config;
mod deregister;
mod docker;
mod error;
mod export;
mod heartbeat;
mod here;
mod import;
mod instance;
mod link;
mod ls;
mod mark;
mod output;
mod probe;
mod program;
mod query;
mod register;
mod registration;
mod replies;
mod run;
mod serve;
mod signals;
mod sse;
mod values;
mod watch;
mod zoneform;

use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::{Error, Outcome};

/// A DNS server that knows which instances of a service are alive.
#[derive(Debug, Parser)]
#[command(
    name = "rollcall",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 refused or not found, 2 usage, 3 cannot reach the server.",
    after_long_help = "\
Five minutes with it:
  rollcall serve                                  DNS on port 1053, HTTP on 8053
  rollcall run greeter --port 8080 -- ./greeter   registered while it lives
  rollcall ls                                     what is registered
  rollcall query greeter.svc                      its addresses, as dig would
  rollcall query _nova._tcp.greeter.svc SRV       with ports and weights

Client commands talk to the server at --http or ROLLCALL_HTTP, and take a token
from --token-file or ROLLCALL_TOKEN_FILE.

Exit codes: 0 done, 1 refused or not found, 2 usage, 3 cannot reach the server."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Run(run::Args),
    Register(register::Args),
    Heartbeat(heartbeat::Args),
    Docker(docker::Args),
    Deregister(deregister::Args),
    Ls(ls::Args),
    Watch(watch::Args),
    Offline(mark::OfflineArgs),
    Online(mark::OnlineArgs),
    Query(query::Args),
    Import(import::Args),
    Export(export::Args),
    Check(check::Args),
    Config(config::Args),
    Completions(completions::Args),
}

/// Reads the command line, does what it says, and tells how that went.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match Cli::try_parse() {
        Ok(cli) => act(cli.command),
        // Help and the version come as "errors" too; clap knows where each is printed.
        Err(error) => output::usage(&error),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let code = error.exit_code();
            output::failure(&error);
            ExitCode::from(code)
        }
    }
}

fn act(command: Command) -> Outcome {
    match command {
        Command::Serve(args) => serve::serve(&args),
        Command::Run(args) => wait_for(run::run(args)),
        Command::Register(args) => wait_for(register::register(args)),
        Command::Heartbeat(args) => wait_for(heartbeat::heartbeat(args)),
        Command::Docker(args) => wait_for(docker::docker(args)),
        Command::Deregister(args) => wait_for(deregister::deregister(args)),
        Command::Ls(args) => wait_for(ls::ls(args)),
        Command::Watch(args) => wait_for(watch::watch(args)),
        Command::Offline(args) => wait_for(mark::offline(args)),
        Command::Online(args) => wait_for(mark::online(args)),
        Command::Query(args) => wait_for(query::query(args)),
        Command::Import(args) => wait_for(import::import(args)),
        Command::Export(args) => wait_for(export::export(args)),
        Command::Check(args) => check::check(&args),
        Command::Config(args) => config::config(&args),
        Command::Completions(args) => completions::completions(&args),
    }
}

/// Runs a client command: it does one thing at a time, so one thread is enough.
fn wait_for(command: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Refused(format!("cannot start: {error}")))?
        .block_on(command)
}

/// The definitions of all commands, for completions.
fn definitions() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definitions_are_consistent() {
        super::definitions().debug_assert();
    }

    /// Clap breaks longer lines, and a broken command line is none to copy.
    #[test]
    fn examples_fit_a_terminal_of_80_columns() {
        let definitions = super::definitions();
        for command in std::iter::once(&definitions).chain(definitions.get_subcommands()) {
            for help in [command.get_after_help(), command.get_after_long_help()] {
                let help = help.map(ToString::to_string).unwrap_or_default();
                for line in help.lines() {
                    assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
                }
            }
        }
    }
}
