//! `rollcall docker` between a scripted engine and a real server.

use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::engine::Engine;
use crate::support::server::{Home, Server};
use crate::support::{soon, until};

/// A lease that no test waits for.
const LONG: &str = "1h";

/// A running `rollcall docker`; killed with its value.
struct Agent(Child);

impl Agent {
    fn start(server: &Server, engine: &Engine, flags: &[&str]) -> Self {
        let url = engine.url();
        let arguments =
            ["docker", "--docker", &url, "--ip", "10.0.0.7", "--host", "node1", "--resync", "0"];
        let command = server.command(&[&arguments, flags].concat());
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        Self(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Tells it to end and gives its exit code.
    async fn stop(&mut self) -> i32 {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        let mut code = None;
        until("the agent's end", async || {
            code = self.0.try_wait().unwrap().map(|status| status.code().unwrap());
            code.is_some()
        })
        .await;
        code.unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn is_there(server: &Server, app: &str) {
    let name = format!("{app}.svc");
    until(&format!("{app} is there"), async || server.services(&name).await.len() == 1).await;
}

async fn is_gone(server: &Server, app: &str) {
    let name = format!("{app}.svc");
    until(&format!("{app} is gone"), async || server.services(&name).await.is_empty()).await;
}

#[tokio::test]
async fn containers_are_registered_while_they_run() {
    let (home, engine) = (Home::new(), Engine::start());
    let server = home.start(&[]).await;
    engine.put("before", 8080, &["SERVICE_NAME=web", "SERVICE_TAGS=blue", "SERVICE_REGION=eu"]);
    engine.put("hidden", 8081, &["SERVICE_IGNORE=true"]);
    let mut agent = Agent::start(&server, &engine, &["--ttl", LONG, "--tag", "here"]);
    is_there(&server, "web").await;
    assert_eq!(
        server.services("_web._tcp.web.svc").await,
        ["_web._tcp.web.svc. SRV 10 100 8080 node1-before-80.web.svc."]
    );
    for name in ["node1-before-80.web.svc", "blue.web.svc", "here.web.svc"] {
        assert_eq!(server.addresses(name).await, [format!("{name}. A 10.0.0.7")]);
    }
    let app = server.get("/v1/apps/web").await.body;
    assert_eq!(app["instances"][0]["meta"]["region"], "eu");
    assert_eq!(app["instances"][0]["ttl"], 3_600);

    engine.run("later_1", 8082, &["SERVICE_80_NAME=api", "SERVICE_PROTOCOL=http"]);
    is_there(&server, "_http._tcp.api").await;
    // At once, not when the lease ends.
    engine.die("before", 1);
    is_gone(&server, "web").await;
    assert!(server.services("shop.svc").await.is_empty(), "it is to be ignored");

    assert_eq!(agent.stop().await, 0);
    // The goodbye was waited for.
    assert!(server.services("api.svc").await.is_empty());
    drop(agent);
}

#[tokio::test]
async fn ids_that_only_mapping_makes_alike_are_told_apart() {
    let (home, engine) = (Home::new(), Engine::start());
    let server = home.start(&[]).await;
    engine.put("web_1", 8080, &[]);
    engine.put("web.1", 8081, &[]);
    engine.put("same-a", 8082, &["SERVICE_ID=one", "SERVICE_NAME=other"]);
    engine.put("same-b", 8083, &["SERVICE_ID=one", "SERVICE_NAME=other"]);
    let _agent = Agent::start(&server, &engine, &["--ttl", LONG]);
    until("both are there", async || server.services("shop.svc").await.len() == 2).await;
    is_there(&server, "other").await;
}

#[tokio::test]
async fn a_container_that_failed_may_be_left_to_its_lease() {
    let (home, engine) = (Home::new(), Engine::start());
    let server = home.start(&[]).await;
    let flags = ["--deregister", "on-success", "--ttl", LONG];
    let _agent = Agent::start(&server, &engine, &flags);
    for (name, env) in [
        ("failed", "SERVICE_NAME=failed"),
        ("killed", "SERVICE_NAME=killed"),
        ("done", "SERVICE_NAME=done"),
    ] {
        engine.run(name, 8080, &[env]);
        is_there(&server, name).await;
    }
    engine.die("failed", 1);
    engine.die("killed", 143);
    engine.die("done", 0);
    // Events are taken in order: what these two do, the first has done.
    is_gone(&server, "killed").await;
    is_gone(&server, "done").await;
    assert_eq!(server.services("failed.svc").await.len(), 1);
}

#[tokio::test]
async fn nothing_is_left_of_an_agent_that_was_killed() {
    let (home, engine) = (Home::new(), Engine::start());
    let server = home.start(&[]).await;
    engine.put("web", 8080, &[]);
    let agent = Agent::start(&server, &engine, &["--ttl", "2s"]);
    is_there(&server, "shop").await;
    drop(agent);
    is_gone(&server, "shop").await;
}

#[tokio::test]
async fn an_engine_that_comes_back_is_looked_at_anew() {
    let (home, mut engine) = (Home::new(), Engine::start());
    let server = home.start(&[]).await;
    let names = ["stays", "goes", "comes"];
    let env = names.map(|name| format!("SERVICE_NAME={name}"));
    engine.put("stays", 8080, &[&env[0]]);
    engine.put("goes", 8081, &[&env[1]]);
    let mut agent = Agent::start(&server, &engine, &["--ttl", LONG]);
    is_there(&server, "stays").await;
    is_there(&server, "goes").await;
    let revision = server.get("/v1/apps/stays").await.body["instances"][0]["revision"].clone();

    engine.stop().await;
    engine.take("goes");
    engine.put("comes", 8082, &[&env[2]]);
    engine.resume();
    is_gone(&server, "goes").await;
    is_there(&server, "comes").await;
    // What went on running was left alone.
    let app = server.get("/v1/apps/stays").await.body;
    assert_eq!(app["instances"][0]["revision"], revision);

    // While the engine is away, what is registered stays so, until the agent ends.
    engine.stop().await;
    assert_eq!(agent.stop().await, 0);
    is_gone(&server, "stays").await;
}

#[tokio::test]
async fn what_no_event_told_is_found_by_the_next_look() {
    let (home, engine) = (Home::new(), Engine::start());
    let server = home.start(&[]).await;
    engine.put("goes", 8080, &["SERVICE_NAME=goes"]);
    let mut command = server.command(&["docker", "--docker", &engine.url(), "--ip", "10.0.0.7"]);
    command.args(["--resync", "100ms", "--ttl", LONG]);
    let _agent = Agent::spawn(command);
    is_there(&server, "goes").await;
    engine.take("goes");
    engine.put("comes", 8081, &["SERVICE_NAME=comes"]);
    is_gone(&server, "goes").await;
    is_there(&server, "comes").await;
    // What is said of a container may change while it runs.
    engine.put("comes", 8081, &["SERVICE_NAME=changed"]);
    is_there(&server, "changed").await;
    is_gone(&server, "comes").await;
}

#[tokio::test]
async fn an_engine_elsewhere_than_at_a_socket_is_refused() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let mut command = server.command(&["docker"]);
    command.env("DOCKER_HOST", "tcp://127.0.0.1:2375");
    let ran = soon("a refusal", crate::support::server::run(command)).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("must be a socket such as unix:///var/run/docker.sock"), "{ran:?}");
}
