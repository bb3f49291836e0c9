//! A real etcd: started on free ports with a throw-away data directory, killed with its value.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rollcall::registry::etcd::EtcdRegistry;
use rollcall::registry::{EtcdSettings, Tls};
use tempfile::TempDir;

use super::{certificates, until};

/// The only name in the server's certificate, so that a client has to be told it.
pub(crate) const SERVER_NAME: &str = "etcd.example.org";

/// The user that [`Etcd::enable_auth`] makes an administrator.
pub(crate) const ROOT: (&str, &str) = ("root", "root-secret");

/// One member; a cluster by itself unless started with others.
pub(crate) struct Etcd {
    directory: TempDir,
    process: Option<Child>,
    name: String,
    /// The peers it starts with, as etcd writes them; none: only itself.
    peers: Option<String>,
    client_port: u16,
    peer_port: u16,
    /// Part of the cluster's id.
    token: String,
    tls: bool,
    auth: bool,
    /// Whether it has the v2 API, too.
    v2: bool,
}

impl Etcd {
    /// A fresh one, ready to answer.
    pub(crate) async fn start() -> Self {
        Self::start_with(false).await
    }

    /// A fresh one that speaks TLS only and wants a client certificate.
    pub(crate) async fn start_with_tls() -> Self {
        Self::start_with(true).await
    }

    /// A fresh one with the v2 API, which etcd had up to 3.5.
    pub(crate) async fn start_with_v2() -> Self {
        let mut etcd = Self::new("default", false);
        etcd.v2 = true;
        etcd.come_up().await;
        etcd
    }

    /// Three members of one cluster, with a leader.
    pub(crate) async fn start_three() -> [Self; 3] {
        for _ in 0..5 {
            let mut members = ["one", "two", "three"].map(|name| Self::new(name, false));
            let mut peers = Vec::new();
            for (member, ports) in members.iter_mut().zip(free_ports::<3>()) {
                (member.client_port, member.peer_port) = ports;
                peers.push(format!("{}={}", member.name, member.peer_url()));
            }
            for member in &mut members {
                member.peers = Some(peers.join(","));
                member.spawn();
            }
            let mut ready = true;
            for member in &mut members {
                ready = ready && member.became_ready().await;
            }
            if ready {
                return members;
            }
        }
        panic!("three members of etcd do not start");
    }

    /// A fresh one that keeps its data in that folder; for benchmarks, which don't want to measure a disk.
    pub(crate) async fn start_in(directory: TempDir) -> Self {
        let mut etcd = Self::new("default", false);
        etcd.directory = directory;
        etcd.come_up().await;
        etcd
    }

    fn new(name: &str, tls: bool) -> Self {
        Self {
            directory: TempDir::new().unwrap(),
            process: None,
            name: name.to_owned(),
            peers: None,
            client_port: 0,
            peer_port: 0,
            token: "first".to_owned(),
            tls,
            auth: false,
            v2: false,
        }
    }

    async fn start_with(tls: bool) -> Self {
        let mut etcd = Self::new("default", tls);
        if tls {
            certificates::make(etcd.directory.path(), SERVER_NAME);
        }
        etcd.come_up().await;
        etcd
    }

    /// Starts on ports that nobody else has.
    async fn come_up(&mut self) {
        // Another program may take a port between our finding it free and etcd's binding it.
        for _ in 0..5 {
            [(self.client_port, self.peer_port)] = free_ports();
            self.spawn();
            if self.became_ready().await {
                return;
            }
        }
        panic!("etcd does not start: {}", self.log());
    }

    pub(crate) fn client_port(&self) -> u16 {
        self.client_port
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.client_port)
    }

    /// Settings for it, with times short enough for tests of failure.
    pub(crate) fn settings(&self) -> EtcdSettings {
        settings([self.url()])
    }

    /// What a client of a TLS etcd must be told.
    pub(crate) fn client_tls(&self) -> Tls {
        Tls {
            ca_file: Some(self.file("ca.pem")),
            cert_file: Some(self.file("cert.pem")),
            key_file: Some(self.file("key.pem")),
            server_name: Some(SERVER_NAME.to_owned()),
        }
    }

    /// A client of ours.
    pub(crate) async fn registry(&self) -> Arc<EtcdRegistry> {
        Arc::new(EtcdRegistry::connect(self.settings()).await.unwrap())
    }

    /// Ends it in order (SIGTERM).
    pub(crate) async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        self.reap().await;
    }

    /// Ends it at once (SIGKILL).
    pub(crate) async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.reap().await;
    }

    /// Starts it again, on the same ports and data.
    pub(crate) async fn restart(&mut self) {
        self.spawn();
        assert!(self.became_ready().await, "etcd does not start again: {}", self.log());
    }

    /// Stops the process in its tracks; its connections stay open.
    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Throws its data away; it must not run. Under another token it comes back as another cluster.
    pub(crate) fn wipe(&mut self, token: &str) {
        assert!(self.process.is_none(), "stop etcd before its data is taken away");
        std::fs::remove_dir_all(self.file("data")).unwrap();
        token.clone_into(&mut self.token);
    }

    /// Saves a backup.
    pub(crate) async fn save(&self, name: &str) {
        self.ctl(&["snapshot", "save", self.file(name).to_str().unwrap()]).await;
    }

    /// Puts a backup in the place of its data; it must not run.
    pub(crate) async fn restore(&mut self, name: &str) {
        let token = self.token.clone();
        self.wipe(&token);
        let (peers, data) = (self.peer_url(), self.file("data"));
        self.ctl(&[
            "snapshot",
            "restore",
            self.file(name).to_str().unwrap(),
            "--data-dir",
            data.to_str().unwrap(),
            "--initial-cluster",
            &format!("default={peers}"),
            "--initial-advertise-peer-urls",
            &peers,
            "--initial-cluster-token",
            &token,
        ])
        .await;
    }

    /// Forgets the history before a revision.
    pub(crate) async fn compact(&self, revision: u64) {
        self.ctl(&["compact", &revision.to_string()]).await;
    }

    /// Switches authentication on, with [`ROOT`] as administrator.
    pub(crate) async fn enable_auth(&mut self) {
        self.ctl(&["user", "add", &format!("{}:{}", ROOT.0, ROOT.1)]).await;
        self.ctl(&["user", "grant-role", "root", "root"]).await;
        self.ctl(&["auth", "enable"]).await;
        self.auth = true;
    }

    /// Writes a key.
    pub(crate) async fn put(&self, key: &str, value: &str) {
        self.ctl(&["put", key, value]).await;
    }

    /// Deletes a key.
    pub(crate) async fn delete(&self, key: &str) {
        assert_eq!(self.ctl(&["del", key]).await.trim(), "1", "nothing to delete at {key}");
    }

    /// Its revision.
    pub(crate) async fn revision(&self) -> u64 {
        let answer = self.ctl(&["get", "x", "-w", "json"]).await;
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        answer["header"]["revision"].as_u64().unwrap()
    }

    /// How many entries its log has had.
    pub(crate) async fn log_entries(&self) -> u64 {
        let status = self.ctl(&["endpoint", "status", "-w", "json"]).await;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status[0]["Status"]["raftIndex"].as_u64().unwrap()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().expect("etcd runs").id()
    }

    /// All keys under a prefix with their values.
    pub(crate) async fn keys(&self, prefix: &str) -> BTreeMap<String, String> {
        let answer = self.ctl(&["get", "--prefix", prefix, "-w", "json"]).await;
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let text = |kv: &serde_json::Value, field: &str| {
            let octets = BASE64.decode(kv[field].as_str().unwrap_or("").as_bytes()).unwrap();
            String::from_utf8(octets).unwrap()
        };
        let kvs = answer["kvs"].as_array().cloned().unwrap_or_default();
        kvs.iter().map(|kv| (text(kv, "key"), text(kv, "value"))).collect()
    }

    /// Whether it leads its cluster.
    pub(crate) async fn leads(&self) -> bool {
        let status = self.ctl(&["endpoint", "status", "-w", "json"]).await;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let status = &status[0]["Status"];
        status["leader"] == status["header"]["member_id"]
    }

    /// Runs etcdctl on it: a client that is not ours.
    pub(crate) async fn ctl(&self, arguments: &[&str]) -> String {
        match self.try_ctl(arguments).await {
            Ok(said) => said,
            Err(said) => panic!("etcdctl {arguments:?}: {said}"),
        }
    }

    /// The same, where failing is an answer too.
    pub(crate) async fn try_ctl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = tokio::process::Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").arg("--endpoints").arg(self.url()).args(arguments);
        if self.auth {
            command.arg("--user").arg(format!("{}:{}", ROOT.0, ROOT.1));
        }
        if self.tls {
            command.arg("--insecure-skip-tls-verify");
            command.arg("--cert").arg(self.file("cert.pem"));
            command.arg("--key").arg(self.file("key.pem"));
        }
        let output = command
            .kill_on_drop(true)
            .output()
            .await
            .unwrap_or_else(|why| missing("etcdctl", &why));
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    fn spawn(&mut self) {
        assert!(self.process.is_none(), "etcd runs already");
        let log = File::options().create(true).append(true).open(self.file("log")).unwrap();
        let (clients, peers) = (self.url(), self.peer_url());
        let alone = format!("{}={peers}", self.name);
        let mut command = Command::new("etcd");
        command.arg(format!("--name={}", self.name));
        command.arg(format!("--data-dir={}", self.file("data").display()));
        command.arg(format!("--listen-client-urls={clients}"));
        command.arg(format!("--advertise-client-urls={clients}"));
        command.arg(format!("--listen-peer-urls={peers}"));
        command.arg(format!("--initial-advertise-peer-urls={peers}"));
        command.arg(format!("--initial-cluster={}", self.peers.as_ref().unwrap_or(&alone)));
        command.arg(format!("--initial-cluster-token={}", self.token));
        // Tests of hanging servers ping more often than etcd likes.
        command.arg("--grpc-keepalive-min-time=50ms");
        if self.v2 {
            command.arg("--enable-v2");
        }
        if self.tls {
            command.arg("--client-cert-auth");
            command.arg(format!("--cert-file={}", self.file("cert.pem").display()));
            command.arg(format!("--key-file={}", self.file("key.pem").display()));
            command.arg(format!("--trusted-ca-file={}", self.file("ca.pem").display()));
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(command.spawn().unwrap_or_else(|why| missing("etcd", &why)));
    }

    /// Waits until it answers; false if it ended instead.
    async fn became_ready(&mut self) -> bool {
        let mut process = self.process.take().expect("spawned before");
        let mut ended = false;
        let health = ["endpoint", "health", "--command-timeout=1s"];
        until("etcd answers", async || {
            ended = process.try_wait().unwrap().is_some();
            ended || self.try_ctl(&health).await.is_ok()
        })
        .await;
        self.process = (!ended).then_some(process);
        !ended
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("etcd runs");
        let id = i32::try_from(process.id()).unwrap();
        kill(Pid::from_raw(id), signal).unwrap();
    }

    async fn reap(&mut self) {
        let mut process = self.process.take().expect("etcd runs");
        until("etcd ends", async || process.try_wait().unwrap().is_some()).await;
    }

    fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer_port)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap_or_default()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // SIGKILL ends a paused process too.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Settings with times short enough for tests of failure.
pub(crate) fn settings(endpoints: impl IntoIterator<Item = String>) -> EtcdSettings {
    EtcdSettings {
        endpoints: endpoints.into_iter().collect(),
        connect_timeout: Duration::from_millis(1_000),
        call_timeout: Duration::from_millis(2_000),
        keep_alive_interval: Duration::from_millis(300),
        keep_alive_timeout: Duration::from_millis(700),
        ..EtcdSettings::default()
    }
}

/// An address that refuses connections, and that nobody else can take while this lives.
pub(crate) struct DeadEnd {
    _bound: socket2::Socket,
    port: u16,
}

impl DeadEnd {
    pub(crate) fn new() -> Self {
        // Bound, and never made to listen.
        let bound =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        bound.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let port = bound.local_addr().unwrap().as_socket().unwrap().port();
        Self { _bound: bound, port }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// Pairs of free ports, all of them different.
///
/// From below the range that systems use for outgoing connections: those could take the port of a member
/// that is down for a while.
fn free_ports<const N: usize>() -> [(u16, u16); N] {
    let free = || loop {
        if let Ok(bound) = TcpListener::bind(("127.0.0.1", fastrand::u16(10_000..32_768))) {
            return bound;
        }
    };
    // Held until all are known.
    let held = [(); N].map(|()| (free(), free()));
    held.map(|(a, b)| (a.local_addr().unwrap().port(), b.local_addr().unwrap().port()))
}

fn missing(program: &str, why: &std::io::Error) -> ! {
    panic!(
        "cannot start {program}: {why}: install it with `apt-get install etcd-server etcd-client`, \
         or run the tests with `./dev test`, which does"
    )
}
