//! What this program is besides the benchmark: it starts itself anew as the echo, or as rollcall's own UDP side
//! over a world too big to be registered call by call.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::exit;

use super::servers::{Server, announce, own};
use super::tally::Tally;
use super::{echo, report};

#[path = "../../tests/support/dns.rs"]
mod dns;
#[path = "../../tests/support/world.rs"]
mod world;

const ECHO: &str = "be-echo";
const ECHO_BY_NIX: &str = "be-echo-by-nix";
const WORLD: &str = "be-world";

/// Takes the role that this process was started for, and then never returns.
pub(crate) fn take() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [role, file, rest @ ..] = given.as_slice() else { return };
    let (file, done) = (Path::new(file), |done: io::Result<()>| {
        if let Err(error) = done {
            report::note(&error.to_string());
        }
        exit(1)
    });
    match role.as_str() {
        ECHO => done(be_echo(file, rest, echo::serve)),
        ECHO_BY_NIX => done(be_echo(file, rest, |s, lengths| echo::serve_by_nix(&s, lengths))),
        WORLD => done(be_world(file, rest)),
        _ => {}
    }
}

/// Two echoes whose replies are as long as those that were counted: one makes the system calls that rollcall
/// makes, the other those of the crate nix.
pub(crate) fn start_echoes(counted: &Tally, core: usize) -> io::Result<[Server; 2]> {
    let lengths = counted.longest.map(|length| length.to_string());
    let start = |name, role| own(name, role, &lengths, core);
    Ok([start("echo", ECHO)?, start("echo by nix", ECHO_BY_NIX)?])
}

fn be_echo(
    file: &Path,
    lengths: &[String],
    serve: impl FnOnce(UdpSocket, &echo::Lengths) -> io::Result<()>,
) -> io::Result<()> {
    let lengths = lengths.iter().map(|length| length.parse().unwrap_or(0)).collect();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    announce(file, socket.local_addr()?)?;
    serve(socket, &lengths)
}

/// rollcall's UDP side alone, over so many apps of five instances.
pub(crate) fn start_world(apps: usize, core: usize) -> io::Result<Server> {
    own("rollcall", WORLD, &[apps.to_string()], core)
}

fn be_world(file: &Path, arguments: &[String]) -> io::Result<()> {
    let apps = arguments.first().and_then(|apps| apps.parse().ok()).unwrap_or(1);
    let snapshot = world::World::new(apps, 5).snapshot();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let settings = rollcall::dns::Settings {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            udp_workers: 1,
            ..rollcall::dns::Settings::default()
        };
        let server = dns::Server::start(settings, snapshot);
        announce(file, server.address())?;
        std::future::pending::<io::Result<()>>().await
    })
}
