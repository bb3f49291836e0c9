//! Servers as benchmarks see them: rollcall, its peers on the same zone, and the echo; each in a process of its
//! own on a free port of 127.0.0.1, until its value is dropped.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::options::Options;
use super::process::{self, Program};
use super::programs::http::Http;
use super::questions::{self, Question};
use super::report::{self, Report};
use super::zone;

/// How long a server may take until it answers.
const READY_MAX: Duration = Duration::from_secs(60);
/// Connections that register at once.
const REGISTRARS: usize = 16;

/// A server that answers.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// All its processes: what it forks, it forks before it answers.
    processes: Vec<u32>,
    program: Program,
}

impl Server {
    /// CPU time that it has used.
    pub(crate) fn cpu(&self) -> Duration {
        self.processes.iter().map(|id| process::cpu_of_process(*id)).sum()
    }

    /// Its resident memory, in octets.
    pub(crate) fn memory(&self) -> u64 {
        process::memory(self.program.id())
    }
}

/// A folder for a server's files, empty; the last run's stay to be looked at.
fn folder(name: &str) -> PathBuf {
    let folder = report::folder().join("work").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("target/ can be written to");
    folder
}

// ---- rollcall ------------------------------------------------------------------------------------

/// The real binary on its embedded registry, the common world registered through its API.
pub(crate) fn rollcall(core: usize) -> io::Result<Server> {
    let folder = folder("rollcall");
    let config = folder.join("rollcall.toml");
    std::fs::write(&config, "version = 1\n[dns]\nudp_workers = 1\n")?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.current_dir(&folder).args(["serve", "--config", "rollcall.toml", "--data", "data"]);
    command.args(["--dns", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROLLCALL_") {
            command.env_remove(name);
        }
    }
    let mut program = Program::start(&command, Some(core), &folder.join("log"))?;
    let listening = folder.join("data/listening.json");
    let (mut dns, mut http) = (None, None);
    let listens = process::wait(READY_MAX, || {
        let listening = std::fs::read(&listening).ok();
        let said: Option<Value> = listening.and_then(|text| serde_json::from_slice(&text).ok());
        let said = said.filter(|said| said["pid"] == program.id());
        let first = |of: &str| said.as_ref()?[of].as_array()?.first()?.as_str()?.parse().ok();
        (dns, http) = (first("dns"), said.as_ref().and_then(|s| s["http"].as_str()?.parse().ok()));
        dns.is_some() && http.is_some() || program.has_ended()
    });
    let (true, Some(address), Some(http)) = (listens, dns, http) else {
        return Err(does_not_start("rollcall", &folder));
    };
    register_all(http)?;
    ready("rollcall", program, address, &folder, |_| true)
}

/// Registers the common world; each call comes back when its instance is in the answers.
fn register_all(http: SocketAddr) -> io::Result<()> {
    let mut calls: Vec<Vec<(String, Value)>> = vec![Vec::new(); REGISTRARS];
    let all = zone::apps().into_iter().flat_map(|app| {
        let path = format!("/v1/apps/{}/instances/", app.name);
        app.instances.into_iter().map(move |i| (format!("{path}{}", i.id), i.body()))
    });
    for (i, call) in all.enumerate() {
        calls[i % REGISTRARS].push(call);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut registrars = tokio::task::JoinSet::new();
        for calls in calls {
            registrars.spawn(async move {
                let mut http = Http::connect(http).await?;
                for (path, body) in calls {
                    let reply = http.send("PUT", &path, Some(&body)).await;
                    let reply = reply.map_err(io::Error::other)?;
                    if reply.status != 201 || reply.body["visible"] != true {
                        return Err(io::Error::other(format!("PUT {path}: {reply:?}")));
                    }
                }
                Ok(())
            });
        }
        while let Some(done) = registrars.join_next().await {
            done.map_err(io::Error::other)??;
        }
        Ok(())
    })
}

// ---- this program in another role ----------------------------------------------------------------

/// This very program as a server, in a process of its own; `role` is its first argument, the file to which it
/// writes its address the second.
pub(crate) fn own(
    name: &'static str,
    role: &str,
    arguments: &[String],
    core: usize,
) -> io::Result<Server> {
    let folder = folder(name);
    let file = folder.join("address");
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(role).arg(&file).args(arguments);
    let mut program = Program::start(&command, Some(core), &folder.join("log"))?;
    let mut address = None;
    let listens = process::wait(READY_MAX, || {
        address = std::fs::read_to_string(&file).ok().and_then(|text| text.parse().ok());
        address.is_some() || program.has_ended()
    });
    match address.filter(|_| listens) {
        Some(address) => {
            Ok(Server { name, address, processes: process::tree(program.id()), program })
        }
        None => Err(does_not_start(name, &folder)),
    }
}

/// Writes the address for the process that waits for it: whole or not at all.
pub(crate) fn announce(file: &Path, address: SocketAddr) -> io::Result<()> {
    let draft = file.with_extension("draft");
    std::fs::write(&draft, address.to_string())?;
    std::fs::rename(draft, file)
}

// ---- peers ---------------------------------------------------------------------------------------

/// Another authoritative server, with one worker and nothing else to do.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Its program, and the package that has it.
    program: &'static str,
    version: &'static str,
    /// Writes its configuration for the folder and the port, and gives the arguments.
    configure: fn(&Path, u16) -> (String, Vec<&'static str>),
}

/// All that rollcall is held against.
pub(crate) const PEERS: [Peer; 3] = [
    Peer { name: "knot", program: "knotd", version: "--version", configure: knot },
    Peer { name: "nsd", program: "nsd", version: "-v", configure: nsd },
    Peer { name: "bind", program: "named", version: "-v", configure: bind },
];

fn knot(folder: &Path, port: u16) -> (String, Vec<&'static str>) {
    let folder = folder.display();
    let config = format!(
        "server:\n    rundir: {folder}\n    listen: 127.0.0.1@{port}\n    udp-workers: 1\n    tcp-workers: 1\n    \
         background-workers: 1\n    tcp-idle-timeout: 60\nlog:\n  - target: stderr\n    any: warning\n\
         database:\n    storage: {folder}\nzone:\n  - domain: svc.\n    storage: {folder}\n    \
         file: svc.zone\n    journal-content: none\n    zonefile-sync: -1\n"
    );
    (config, vec!["-c", "config"])
}

fn nsd(folder: &Path, port: u16) -> (String, Vec<&'static str>) {
    let folder = folder.display();
    let config = format!(
        "server:\n    ip-address: 127.0.0.1@{port}\n    server-count: 1\n    reuseport: yes\n    username: \"\"\n    \
         zonesdir: \"{folder}\"\n    pidfile: \"{folder}/pid\"\n    database: \"\"\n    \
         xfrdfile: \"{folder}/xfrd\"\n    xfrdir: \"{folder}\"\n    zonelistfile: \"{folder}/zones\"\n    \
         minimal-responses: no\n    rrl-ratelimit: 0\n    tcp-timeout: 60\n    tcp-query-count: 0\n\
         remote-control:\n    control-enable: no\nzone:\n    name: svc\n    zonefile: svc.zone\n"
    );
    (config, vec!["-d", "-c", "config"])
}

fn bind(folder: &Path, port: u16) -> (String, Vec<&'static str>) {
    let config = format!(
        "options {{\n    directory \"{}\";\n    listen-on port {port} {{ 127.0.0.1; }};\n    listen-on-v6 {{ none; }};\n    \
         pid-file none;\n    recursion no;\n    minimal-responses no-auth;\n    querylog no;\n    notify no;\n    \
         dnssec-validation no;\n    empty-zones-enable no;\n    tcp-idle-timeout 600;\n}};\ncontrols {{ }};\n\
         zone \"svc\" {{ type primary; file \"svc.zone\"; }};\n",
        folder.display()
    );
    (config, vec!["-g", "-4", "-n", "1", "-c", "config"])
}

/// Starts those that are wanted and can be had; says of the others why they are left out.
pub(crate) fn peers(options: &Options, core: usize, report: &mut Report) -> Vec<Server> {
    let wanted = PEERS.iter().filter(|peer| options.wants_server(peer.name));
    let started = wanted.filter_map(|peer| match peer.start(core) {
        Ok(server) => {
            let version = peer.version();
            report.line(&format!("{}: {}", peer.name, version.as_deref().unwrap_or("?")));
            Some(server)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            report.line(&format!("{}: left out, since it is not installed", peer.name));
            None
        }
        Err(error) => {
            report.line(&format!("{}: left out: {error}", peer.name));
            None
        }
    });
    started.collect()
}

impl Peer {
    /// Starts it on the common zone.
    pub(crate) fn start(&self, core: usize) -> io::Result<Server> {
        let folder = folder(self.name);
        // Whoever answers with this serial on that port is the one that was started.
        let serial = fastrand::u32(1..1 << 31);
        std::fs::write(folder.join("svc.zone"), zone::file(serial))?;
        let port = free_port()?;
        let (config, arguments) = (self.configure)(&folder, port);
        std::fs::write(folder.join("config"), config)?;
        let mut command = self.command()?;
        command.current_dir(&folder).args(arguments);
        let program = Program::start(&command, Some(core), &folder.join("log"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        ready(self.name, program, address, &folder, |reply| {
            reply.windows(4).any(|octets| octets == serial.to_be_bytes())
        })
    }

    /// What it calls itself.
    pub(crate) fn version(&self) -> Option<String> {
        let output = self.command().ok()?.arg(self.version).output().ok()?;
        let said = [output.stdout, output.stderr].concat();
        let line = String::from_utf8_lossy(&said).lines().next()?.trim().to_owned();
        (!line.is_empty()).then_some(line)
    }

    /// The program: the system's, or the one that `./dev bench` unpacked.
    fn command(&self) -> io::Result<Command> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let unpacked = report::folder().join("peers/usr");
        let system =
            std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
        let folders = system.chain([unpacked.join("sbin"), unpacked.join("bin")]);
        let program = folders.map(|folder| folder.join(self.program)).find(|path| path.is_file());
        let program = program.ok_or_else(|| io::Error::new(ErrorKind::NotFound, self.program))?;
        let mut command = Command::new(&program);
        if program.starts_with(&unpacked) {
            // Named after the architecture, beside folders that hold no libraries.
            let folders = std::fs::read_dir(unpacked.join("lib")).into_iter().flatten().flatten();
            let folders = folders.map(|entry| entry.path()).filter(|path| path.is_dir());
            let libraries = std::env::join_paths(folders);
            command.env("LD_LIBRARY_PATH", libraries.map_err(io::Error::other)?);
        }
        Ok(command)
    }
}

/// A port that nobody uses, for servers that must be told one. From below the range that systems use for
/// outgoing sockets: the load's own must not take it before the server does.
fn free_port() -> io::Result<u16> {
    for _ in 0..1_000 {
        let port = fastrand::u16(10_000..32_768);
        let address = (Ipv4Addr::LOCALHOST, port);
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::new(ErrorKind::AddrInUse, "no free port was found"))
}

/// Waits until the server answers for the zone, and in a way that shows who it is.
fn ready(
    name: &'static str,
    mut program: Program,
    address: SocketAddr,
    folder: &Path,
    is_ours: impl Fn(&[u8]) -> bool,
) -> io::Result<Server> {
    let soa = questions::soa();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let answers = process::wait(READY_MAX, || {
        program.has_ended() || asked(&socket, &soa).is_some_and(|reply| is_ours(&reply))
    });
    if !answers || program.has_ended() {
        return Err(does_not_start(name, folder));
    }
    Ok(Server { name, address, processes: process::tree(program.id()), program })
}

fn asked(socket: &UdpSocket, question: &Question) -> Option<Vec<u8>> {
    let mut reply = [0; 2_048];
    socket.send(question.octets()).ok()?;
    let length = socket.recv(&mut reply).ok()?;
    Some(reply[..length].to_vec())
}

fn does_not_start(name: &str, folder: &Path) -> io::Error {
    let log = folder.join("log");
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    let last: Vec<&str> = said.lines().rev().take(5).collect();
    let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
    io::Error::other(format!("{name} does not start ({}):\n{last}", log.display()))
}
