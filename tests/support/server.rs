//! The real binary as a process: a server on free ports with a folder of its own, and the client commands.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use hickory_proto::rr::RecordType;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::ask::{Answer, ask};
use super::http::{Http, Reply};
use super::{soon, until};

/// A folder in which a server is started, and started again. Lives as long as the home or one of its servers.
pub(crate) struct Home {
    directory: Arc<TempDir>,
}

impl Home {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { directory: Arc::new(TempDir::new().unwrap()) }
    }

    /// One with a configuration.
    pub(crate) fn with_config(text: &str) -> Self {
        let home = Self::new();
        home.write("rollcall.toml", &format!("version = 1\n{text}"));
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file, and makes the folder it is in.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Starts a server with these flags and waits until it is ready.
    pub(crate) async fn start(&self, flags: &[&str]) -> Server {
        let server = self.spawn(flags).await;
        until("the server is ready", async || server.get("/readyz").await.status == 200).await;
        server
    }

    /// Starts a server with these flags and waits until it listens.
    pub(crate) async fn spawn(&self, flags: &[&str]) -> Server {
        self.run(self.serve(flags)).await
    }

    /// Starts a server under that limit (of `ulimit`) on descriptors, and waits until it listens.
    pub(crate) async fn spawn_limited(&self, limit: &str) -> Server {
        let serve = self.serve(&[]);
        let mut limited = Command::new("sh");
        let script = format!("ulimit {limit} && exec \"$0\" \"$@\"");
        limited.args(["-c", &script]).arg(serve.get_program()).args(serve.get_args());
        limited.current_dir(self.directory.path());
        self.run(limited).await
    }

    async fn run(&self, mut serve: Command) -> Server {
        let log = self.path("log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let process = serve.spawn().unwrap();
        let listening = self.path("data/listening.json");
        let mut server = Server {
            process,
            log,
            _directory: self.directory.clone(),
            dns: Vec::new(),
            http: ([0, 0, 0, 0], 0).into(),
            listening: Value::Null,
        };
        until("the server listens", async || server.read_listening(&listening)).await;
        server
    }

    /// Starts a server that is expected not to start, and gives its exit code and what it said.
    pub(crate) async fn refuse(&self, flags: &[&str]) -> Refused {
        let serve = self.serve(flags);
        let mut serve = tokio::process::Command::from(serve);
        let output = serve.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = soon("a refusal to start", output).await.unwrap();
        let code = output.status.code().expect("an exit code");
        Refused { code, said: String::from_utf8(output.stderr).unwrap() }
    }

    fn serve(&self, flags: &[&str]) -> Command {
        let mut command = rollcall();
        command.arg("serve").args(flags).current_dir(self.directory.path());
        let unsaid = |flag: &str| !flags.contains(&flag);
        for flag in ["--dns", "--http"].into_iter().filter(|flag| unsaid(flag)) {
            command.args([flag, "127.0.0.1:0"]);
        }
        if unsaid("--data") {
            command.args(["--data", "data"]);
        }
        if unsaid("--config") && self.path("rollcall.toml").exists() {
            command.args(["--config", "rollcall.toml"]);
        }
        command
    }
}

/// A server that did not start.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: i32,
    pub(crate) said: String,
}

/// A running server; killed with its value.
pub(crate) struct Server {
    process: Child,
    log: PathBuf,
    _directory: Arc<TempDir>,
    pub(crate) dns: Vec<SocketAddr>,
    pub(crate) http: SocketAddr,
    listening: Value,
}

impl Server {
    /// Ends it in order and gives its exit code; what was asked of it is finished first.
    pub(crate) async fn stop(mut self) -> i32 {
        self.terminate();
        self.ended().await.code().expect("an exit code, not a signal")
    }

    /// Tells it to end (SIGTERM).
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Has it read its files again (SIGHUP).
    pub(crate) fn hang_up(&self) {
        self.signal(Signal::SIGHUP);
    }

    /// Ends it at once (SIGKILL).
    pub(crate) async fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.ended().await;
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the server's end", async || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.expect("waited for")
    }

    /// The first address of a transport, by its name in `listening.json`.
    pub(crate) fn address_of(&self, transport: &str) -> SocketAddr {
        serde_json::from_value(self.listening(transport)[0].clone()).unwrap()
    }

    /// What `listening.json` says of a transport.
    pub(crate) fn listening(&self, transport: &str) -> &Value {
        &self.listening[transport]
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.send("PUT", path, Some(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None).await
    }

    /// A request on a connection of its own.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let mut http = Http::connect(self.http).await.expect("the server accepts");
        http.send(method, path, body).await.expect("the server replies")
    }

    /// Registers and asserts that the answers show it.
    pub(crate) async fn register(&self, app: &str, id: &str, body: Value) -> Value {
        let reply = self.put(&format!("/v1/apps/{app}/instances/{id}"), body).await;
        assert_eq!((reply.status, &reply.body["visible"]), (201, &true.into()), "{reply:?}");
        reply.body
    }

    /// Asks its first address.
    pub(crate) async fn ask(&self, name: &str, rtype: RecordType) -> Answer {
        ask(self.dns[0], name, rtype).await
    }

    /// Asks for an address record and gives the answer section.
    pub(crate) async fn addresses(&self, name: &str) -> Vec<String> {
        self.ask(name, RecordType::A).await.records()
    }

    /// Asks for SRV records and gives the answer section.
    pub(crate) async fn services(&self, name: &str) -> Vec<String> {
        self.ask(name, RecordType::SRV).await.records()
    }

    /// Asks for the zone's SOA record and gives its serial.
    pub(crate) async fn serial(&self, zone: &str) -> u32 {
        self.ask(zone, RecordType::SOA).await.serial().expect("an SOA record")
    }

    /// A client command that talks to this server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = rollcall();
        command.env("ROLLCALL_HTTP", self.http.to_string());
        command.env("ROLLCALL_DNS", self.dns[0].to_string());
        command.args(arguments);
        command
    }

    /// A shell with `rollcall` on its path, and etcdctl on that etcd.
    pub(crate) fn shell(&self, script: &str, etcd: Option<&str>) -> Command {
        let client = self.command(&[]);
        let mut shell = Command::new("sh");
        shell.args(["-ec", script]).env("ETCDCTL_API", "3");
        for (name, value) in client.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        if let Some(etcd) = etcd {
            shell.env("ETCDCTL_ENDPOINTS", etcd);
        }
        let home = Path::new(env!("CARGO_BIN_EXE_rollcall")).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        shell.env("PATH", format!("{}:{path}", home.display()));
        shell
    }

    /// Runs a client command to its end.
    pub(crate) async fn cli(&self, arguments: &[&str]) -> Ran {
        run(self.command(arguments)).await
    }

    /// Whether `listening.json` is this very process's; a killed one leaves its own behind.
    fn read_listening(&mut self, file: &Path) -> bool {
        if let Some(status) = self.process.try_wait().unwrap() {
            panic!("the server ended with {status}: {}", self.log());
        }
        let Ok(text) = std::fs::read(file) else { return false };
        let listening: Value = serde_json::from_slice(&text).unwrap();
        if listening["pid"] != self.process.id() {
            return false;
        }
        self.dns = serde_json::from_value(listening["dns"].clone()).unwrap();
        self.http = serde_json::from_value(listening["http"].clone()).unwrap();
        self.listening = listening;
        true
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            say(&format!("the server said:\n{}", self.log()));
        }
    }
}

#[expect(clippy::print_stderr, reason = "the test harness shows it with the failure")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Its output, if it went well.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }
}

/// Runs a program to its end.
pub(crate) async fn run(mut command: Command) -> Ran {
    command.stdin(Stdio::null());
    let what = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    let output = soon(&what, command.kill_on_drop(true).output()).await;
    let output = output.unwrap_or_else(|why| panic!("cannot run {what}: {why}"));
    let text = |octets| String::from_utf8(octets).unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// The binary, deaf to what the environment of the tests says to it.
fn rollcall() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROLLCALL_") {
            command.env_remove(name);
        }
    }
    command
}
