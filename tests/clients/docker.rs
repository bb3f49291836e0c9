//! Docker's own engine, in the test's network, with an image of one program: what `rollcall docker` makes of it.
//!
//! It needs root with CAP_SYS_ADMIN and CAP_NET_ADMIN (namespaces, bridges, mounts, control groups), and libc.a for the
//! program in the image.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::program::program;
use crate::space::Space;
use crate::support::server::{Home, run};
use crate::support::until;

/// Waits for the signal that `docker stop` sends; or ends with the exit code that it is told.
const WAIT_C: &str = r#"
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static void end(int signal) { (void)signal; _exit(0); }
int main(int argc, char **argv) {
    signal(SIGTERM, end);
    if (argc > 1) return atoi(argv[1]);
    for (;;) pause();
}
"#;

/// A running program; told to end with its value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // By a signal that it can take: the engine ends its containers and its own helpers.
        self.terminate();
        let _ = self.0.wait();
    }
}

impl Running {
    fn terminate(&mut self) {
        if self.0.try_wait().unwrap().is_none() {
            kill(Pid::from_raw(self.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        }
    }
}

/// The engine, with its files.
struct Dockerd {
    _process: Running,
    files: TempDir,
}

impl Dockerd {
    async fn start() -> Self {
        let files = TempDir::new().unwrap();
        let path = |name: &str| files.path().join(name);
        let mut dockerd = program("dockerd");
        for (flag, value) in [
            ("--data-root", path("data")),
            ("--exec-root", path("exec")),
            ("--pidfile", path("pid")),
            ("--storage-driver", "vfs".into()),
        ] {
            dockerd.arg(flag).arg(value);
        }
        dockerd.arg(format!("--host=unix://{}", path("docker.sock").display()));
        // The network is the test's own: nobody's packets are to be filtered or translated.
        dockerd.args([
            "--iptables=false",
            "--ip6tables=false",
            "--ip-masq=false",
            "--ip-forward=false",
        ]);
        let log = std::fs::File::create(path("log")).unwrap();
        dockerd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut process = Running(dockerd.spawn().unwrap());
        let socket = path("docker.sock");
        until("Docker's engine listens", async || {
            let log = || std::fs::read_to_string(path("log")).unwrap();
            assert!(
                process.0.try_wait().unwrap().is_none(),
                "Docker's engine does not start: {}",
                log()
            );
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        })
        .await;
        let engine = Self { _process: process, files };
        engine.import().await;
        engine
    }

    /// Makes the image, from nothing but a program.
    async fn import(&self) {
        let [source, root, tar] = ["wait.c", "root", "image.tar"].map(|name| self.path(name));
        std::fs::create_dir(&root).unwrap();
        std::fs::write(&source, WAIT_C).unwrap();
        let mut cc = Command::new("cc");
        cc.arg("-static").arg(&source).arg("-o").arg(root.join("wait"));
        run(cc).await.done();
        let mut archive = Command::new("tar");
        archive.arg("-C").arg(&root).arg("-cf").arg(&tar).arg("wait");
        run(archive).await.done();
        self.docker(&["import", tar.to_str().unwrap(), "team/shop:7"]).await;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn url(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    async fn docker(&self, arguments: &[&str]) -> String {
        let mut docker = program("docker");
        docker.args(arguments).env("DOCKER_HOST", self.url());
        run(docker).await.done()
    }
}

#[tokio::test]
async fn with_dockerd_containers_are_found_while_they_run() {
    let space = Space::enter();
    space.link();
    let (home, engine) = (Home::new(), Dockerd::start().await);
    let server = home.start(&[]).await;
    let url = engine.url();
    engine
        .docker(&[
            "run",
            "-d",
            "--name",
            "web_1",
            "-p",
            "8080:80",
            "-p",
            "127.0.0.1:5353:53/udp",
            "--expose",
            "81",
            "-e",
            "SERVICE_80_NAME=web",
            "-l",
            "SERVICE_TAGS=blue",
            "team/shop:7",
            "/wait",
        ])
        .await;
    let mut agent =
        server.command(&["docker", "--docker", &url, "--ip", "192.0.2.1", "--host", "node1"]);
    agent.args(["--ttl", "1h", "--deregister", "on-success"]).stdin(Stdio::null());
    let mut agent = Running(agent.spawn().unwrap());
    let there = async |name: &str| {
        until(&format!("{name} is there"), async || !server.services(name).await.is_empty()).await;
    };
    let gone = async |name: &str| {
        until(&format!("{name} is gone"), async || server.services(name).await.is_empty()).await;
    };

    there("web.svc").await;
    there("shop-53.svc").await;
    assert_eq!(
        server.services("_web._tcp.web.svc").await,
        ["_web._tcp.web.svc. SRV 10 100 8080 node1-web-1-80.web.svc."]
    );
    assert_eq!(
        server.services("_shop-53._udp.shop-53.svc").await,
        ["_shop-53._udp.shop-53.svc. SRV 10 100 5353 node1-web-1-53-udp.shop-53.svc."]
    );
    assert_eq!(server.addresses("blue.web.svc").await, ["blue.web.svc. A 192.0.2.1"]);
    assert!(server.services("shop-81.svc").await.is_empty(), "it is not published");

    engine
        .docker(&[
            "run",
            "-d",
            "--name",
            "own",
            "--net",
            "host",
            "--expose",
            "9000",
            "-e",
            "SERVICE_NAME=own",
            "team/shop:7",
            "/wait",
        ])
        .await;
    there("_own._tcp.own.svc").await;
    engine.docker(&["stop", "web_1"]).await;
    gone("web.svc").await;
    gone("shop-53.svc").await;
    engine.docker(&["start", "web_1"]).await;
    there("web.svc").await;
    engine.docker(&["kill", "web_1"]).await;
    gone("web.svc").await;

    agent.terminate();
    until("the agent's end", async || agent.0.try_wait().unwrap().is_some()).await;
    assert!(server.services("own.svc").await.is_empty(), "it was not deregistered");
}
