//! `rollcall serve`: the server itself, from flags to a configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::error::{DONE, Error, Outcome};
use super::{output, values};
use crate::config::{Config, ForwardChoice, Loaded, Overrides, Problem};

/// Start the server
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Start the server: DNS on 127.0.0.1:1053, HTTP on 127.0.0.1:8053, unless told otherwise.\n\n\
Without --etcd, registrations live in the embedded registry on this server's disk. With it they live in etcd, where \
any number of servers share them. Everything else is set in a file: `rollcall config` prints one with \
every setting explained. Flags beat the environment, which beats the file.\n\n\
Zone files are read again when they change, and on SIGHUP. SIGTERM and Ctrl-C end the server in order.",
    after_help = "\
Examples:
  rollcall serve
  rollcall serve --dns 127.0.0.1:1053,[::1]:1053
  rollcall serve --dns 127.0.0.1:53 --forward system
  rollcall serve --etcd http://127.0.0.1:2379 --dns 127.0.0.1:2053 \\
      --http 127.0.0.1:9053 --data ./data-2
  rollcall config > rollcall.toml; rollcall serve --config rollcall.toml"
)]
pub(super) struct Args {
    /// The configuration file; none is read unless named
    #[arg(long, env = "ROLLCALL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// URLs of etcd's members, with commas between them [default: the embedded registry]
    #[arg(long, env = "ROLLCALL_ETCD", value_name = "URL", value_delimiter = ',')]
    etcd: Option<Vec<String>>,
    /// Addresses to answer on, UDP and TCP alike, with commas between them [default: 127.0.0.1:1053]
    #[arg(long, env = "ROLLCALL_DNS", value_name = "IP:PORT", value_delimiter = ',', value_parser = values::dns_address)]
    dns: Option<Vec<SocketAddr>>,
    /// DNS servers that look up names of others, with commas between them, or "system": those of /etc/resolv.conf
    /// [default: none, such names are refused]
    #[arg(long, env = "ROLLCALL_FORWARD", value_name = "IP[:PORT]|system", value_parser = values::forward)]
    forward: Option<ForwardChoice>,
    /// Address of the HTTP API [default: 127.0.0.1:8053]
    #[arg(long, env = "ROLLCALL_HTTP", value_name = "IP:PORT", value_parser = values::http_address)]
    http: Option<SocketAddr>,
    /// Where this server keeps what must survive it [default: ./rollcall-data]
    #[arg(long, env = "ROLLCALL_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// What is logged, such as info or warn,rollcall::dns=debug [default: info]
    #[arg(long, env = "ROLLCALL_LOG", value_name = "FILTER")]
    log: Option<String>,
}

impl Args {
    fn overrides(&self) -> Overrides {
        Overrides {
            etcd: self.etcd.clone(),
            dns: self.dns.clone(),
            forward: self.forward.clone(),
            http: self.http,
            data_dir: self.data.clone(),
            log: self.log.clone(),
        }
    }
}

pub(super) fn serve(args: &Args) -> Outcome {
    let Loaded { config, warnings } = Config::load(args.config.as_deref(), &args.overrides())
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
    fn flags_become_overrides() {
        let line = "serve --etcd http://a:2379,http://b:2379 --dns 127.0.0.1:1,[::1]:2 --http 127.0.0.1:3 \
                    --data d --log debug --forward 192.0.2.1,[::1]:5353";
        let overrides = Line::parse_from(line.split_whitespace()).args.overrides();
        assert_eq!(overrides.etcd.unwrap(), ["http://a:2379", "http://b:2379"]);
        let dns = ["127.0.0.1:1", "[::1]:2"].map(|address| address.parse().unwrap());
        assert_eq!(overrides.dns.unwrap(), dns);
        let forward = ["192.0.2.1:53", "[::1]:5353"].map(|address| address.parse().unwrap());
        assert_eq!(overrides.forward.unwrap(), ForwardChoice::Listed(forward.into()));
        assert_eq!(overrides.http.unwrap(), "127.0.0.1:3".parse().unwrap());
        assert_eq!(overrides.data_dir.unwrap(), PathBuf::from("d"));
        assert_eq!(overrides.log.unwrap(), "debug");
    }
}
