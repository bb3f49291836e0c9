//! `rollcall serve`: the server itself, from flags to a configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::error::{DONE, Error, Outcome};
use super::output;
use crate::config::{Config, Loaded, Overrides, Problem};

/// Start the server
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Start the server: DNS on 127.0.0.1:1053, HTTP on 127.0.0.1:8053, unless told otherwise.\n\n\
Without --etcd, registrations live in the embedded registry on this server's disk. With it they live in etcd, where \
any number of servers share them. Everything else is set in a file: `rollcall config` prints one with \
every setting explained. Flags beat the environment, which beats the file.",
    after_help = "\
Examples:
  rollcall serve
  rollcall serve --etcd http://127.0.0.1:2379 --dns 127.0.0.1:2053 --http 127.0.0.1:9053 --data ./data-2
  rollcall config > rollcall.toml; rollcall serve --config rollcall.toml"
)]
pub(super) struct Args {
    /// The configuration file; none is read unless named
    #[arg(long, env = "ROLLCALL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// URLs of etcd's members [default: the embedded registry]
    #[arg(long, env = "ROLLCALL_ETCD", value_name = "URL", value_delimiter = ',')]
    etcd: Option<Vec<String>>,
    /// Addresses to answer on, UDP and TCP alike [default: 127.0.0.1:1053]
    #[arg(long, env = "ROLLCALL_DNS", value_name = "ADDR", value_delimiter = ',')]
    dns: Option<Vec<SocketAddr>>,
    /// Address of the HTTP API [default: 127.0.0.1:8053]
    #[arg(long, env = "ROLLCALL_HTTP", value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Where this server keeps what must survive it [default: ./rollcall-data]
    #[arg(long, env = "ROLLCALL_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// What is logged, such as info or warn,rollcall::dns=debug [default: info]
    #[arg(long, env = "ROLLCALL_LOG", value_name = "FILTER")]
    log: Option<String>,
}

pub(super) fn serve(args: &Args) -> Outcome {
    let overrides = Overrides {
        etcd: args.etcd.clone(),
        dns: args.dns.clone(),
        http: args.http,
        data_dir: args.data.clone(),
        log: args.log.clone(),
    };
    let Loaded { config, warnings } = Config::load(args.config.as_deref(), &overrides)
        .map_err(|problems| Error::Refused(problems.to_string()))?;
    for warning in warnings {
        let message = format!("warning: {}", warning.message);
        output::note(&Problem { message, ..warning }.to_string());
    }
    start(config)?;
    Ok(DONE)
}

/// Runs the server until it is told to stop.
fn start(config: Config) -> Result<(), Error> {
    crate::serve::run(config).map_err(|error| Error::Refused(error.to_string()))
}
