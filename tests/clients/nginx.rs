//! nginx, which finds instances by their addresses, keeps nothing, and says 502 as soon as DNS does not answer.

use tempfile::TempDir;
use tokio::time::Instant;

use crate::program::{example, program};
use crate::space::Space;
use crate::support::etcd::Etcd;
use crate::support::running::Running;
use crate::support::server::{Home, Server};
use crate::support::until;
use crate::web::{Traffic, Web, get};
use crate::world::{PORT_1053, counted, lasting, tell};

/// Where the example listens.
const GATEWAY: &str = "127.0.0.1:8081";

/// The example as it stands.
struct Nginx {
    _files: TempDir,
    _process: Running,
}

impl Nginx {
    async fn start(space: &Space) -> Self {
        let files = TempDir::new().unwrap();
        let config = files.path().join("nginx.conf");
        std::fs::write(&config, example("nginx.conf")).unwrap();
        // Where the package keeps bodies that are under way; an unpacked one has no such folder.
        space.hide("/var/lib");
        std::fs::create_dir_all("/var/lib/nginx").unwrap();
        let mut command = program("nginx");
        let pid = files.path().join("pid");
        let settings = format!("daemon off; user root; pid {};", pid.display());
        command.arg("-c").arg(config).args(["-e", "stderr", "-g", &settings]);
        let mut process = Running::start(command);
        until("nginx listens", async || {
            assert!(process.runs(), "{}", process.err());
            get(GATEWAY, "service_3").await == "404"
        })
        .await;
        Self { _files: files, _process: process }
    }
}

/// Two instances of a service that run, registered with this server.
async fn two(server: &Server) -> [Web; 2] {
    server.register("service-1", "i-1", lasting("10.9.0.1", 8080)).await;
    server.register("service-1", "i-2", lasting("10.9.0.2", 8080)).await;
    [Web::start("i-1", "10.9.0.1:8080").await, Web::start("i-2", "10.9.0.2:8080").await]
}

#[tokio::test]
async fn with_nginx_a_departed_instance_is_left_and_no_request_is_lost() {
    let space = Space::enter();
    space.addresses(&["10.9.0.1", "10.9.0.2"]);
    let server = Home::new().start(&PORT_1053).await;
    let webs = two(&server).await;
    let _gateway = Nginx::start(&space).await;
    let traffic = Traffic::start(GATEWAY, "service_1");
    until("both are used", async || webs.iter().all(|web| web.requests() > 0)).await;

    let departed = Instant::now();
    assert_eq!(server.delete("/v1/apps/service-1/instances/i-2").await.status, 200);
    // Far more in a row than chance gives one of two.
    traffic.settles(100, "one is used", |by| by == "i-1").await;
    tell(
        "nginx: the last request to a departed instance",
        traffic.last(departed, |by| by == "i-2"),
    );
    let before = webs[1].requests();
    traffic.more(50).await;
    assert_eq!(webs[1].requests(), before, "no request to it any more");

    let back = Instant::now();
    server.register("service-1", "i-2", lasting("10.9.0.2", 8080)).await;
    traffic.settles(1, "it is used again", |by| by == "i-2").await;
    tell("nginx: the first request to a new instance", traffic.first(back, |by| by == "i-2"));

    let [first, _second] = webs;
    drop(first);
    traffic.settles(20, "the other is used", |by| by == "i-2").await;
    let replies = traffic.replies();
    let failed: Vec<_> =
        replies.iter().filter(|by| !["i-1", "i-2"].contains(&by.as_str())).collect();
    assert!(failed.is_empty(), "of {} requests: {failed:?}", replies.len());
}

#[tokio::test]
async fn with_nginx_no_request_is_lost_while_etcd_is_away() {
    let space = Space::enter();
    space.addresses(&["10.9.0.1", "10.9.0.2"]);
    let mut etcd = Etcd::start().await;
    let server = Home::new().start(&["--dns", "127.0.0.1:1053", "--etcd", &etcd.url()]).await;
    let webs = two(&server).await;
    let _gateway = Nginx::start(&space).await;
    let traffic = Traffic::start(GATEWAY, "service_1");
    until("both are used", async || webs.iter().all(|web| web.requests() > 0)).await;
    etcd.stop().await;
    let asked =
        async || counted(&server, "rollcall_dns_requests_total{proto=\"udp\",type=\"A\"}").await;
    // Every other second: until answers are known to be stale, which they are after 15 s.
    let from = asked().await;
    until("nginx has asked on", async || asked().await >= from + 10).await;
    traffic.more(20).await;
    let replies = traffic.replies();
    let failed: Vec<_> =
        replies.iter().filter(|by| !["i-1", "i-2"].contains(&by.as_str())).collect();
    assert!(failed.is_empty(), "of {} requests: {failed:?}", replies.len());
}

#[tokio::test]
async fn with_nginx_a_service_ends_with_its_last_instance_and_comes_back() {
    let space = Space::enter();
    space.addresses(&["10.9.0.3"]);
    let server = Home::new().start(&PORT_1053).await;
    server.register("service-2", "i-3", lasting("10.9.0.3", 8080)).await;
    let _web = Web::start("i-3", "10.9.0.3:8080").await;
    let _gateway = Nginx::start(&space).await;
    let traffic = Traffic::start(GATEWAY, "service_2");
    traffic.settles(10, "it is used", |by| by == "i-3").await;
    let gone = Instant::now();
    assert_eq!(server.delete("/v1/apps/service-2/instances/i-3").await.status, 200);
    traffic.settles(20, "502", |by| by == "502").await;
    tell("nginx: 502 after the last instance left", traffic.first(gone, |by| by == "502"));
    let back = Instant::now();
    server.register("service-2", "i-3", lasting("10.9.0.3", 8080)).await;
    traffic.settles(20, "it is used again", |by| by == "i-3").await;
    tell("nginx: a request to the first instance", traffic.first(back, |by| by == "i-3"));
    let mut kinds = traffic.replies();
    kinds.dedup();
    assert_eq!(kinds, ["i-3", "502", "i-3"]);
}
