//! Prometheus, which finds its targets by SRV and drops them all when it is told that there are none.

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::program::{example, program};
use crate::space::Space;
use crate::support::etcd::Etcd;
use crate::support::http::Http;
use crate::support::running::Running;
use crate::support::server::Home;
use crate::support::until;
use crate::world::{counted, lasting, tell};

/// Where it listens.
const PROMETHEUS: &str = "127.0.0.1:9090";

/// The example as it stands.
fn start(files: &TempDir) -> Running {
    let mut command = program("prometheus");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/prometheus.yml");
    command.args([format!("--config.file={path}"), format!("--web.listen-address={PROMETHEUS}")]);
    command.arg(format!("--storage.tsdb.path={}", files.path().display()));
    Running::start(command)
}

/// The addresses that it scrapes.
async fn targets() -> Vec<String> {
    let Ok(mut http) = Http::connect(PROMETHEUS.parse().unwrap()).await else { return Vec::new() };
    let Ok(reply) = http.send("GET", "/api/v1/targets?state=active", None).await else {
        return Vec::new();
    };
    let targets = reply.body["data"]["activeTargets"].as_array().cloned().unwrap_or_default();
    let address =
        |target: &Value| target["discoveredLabels"]["__address__"].as_str().map(str::to_owned);
    let mut addresses: Vec<_> = targets.iter().filter_map(address).collect();
    addresses.sort();
    addresses
}

#[tokio::test]
async fn with_prometheus_targets_come_and_go_and_stay_while_etcd_is_away() {
    let space = Space::enter();
    space.resolv_conf(&example("resolv.conf.direct"));
    let mut etcd = Etcd::start().await;
    let server = Home::new().start(&["--dns", "127.0.0.1:53", "--etcd", &etcd.url()]).await;
    for (id, address, port) in [("i-1", "10.9.0.1", 8001), ("i-2", "10.9.0.2", 8002)] {
        server.register("app", id, lasting(address, port)).await;
    }
    let files = TempDir::new().unwrap();
    let _prometheus = start(&files);
    let both = ["i-1.app.svc:8001", "i-2.app.svc:8002"];
    until("two targets", async || targets().await == both).await;

    etcd.stop().await;
    let asked =
        async || counted(&server, "rollcall_dns_requests_total{proto=\"udp\",type=\"SRV\"}").await;
    let from = asked().await;
    // Each 5 s: until answers are known to be stale, which they are after 15 s.
    until("it has asked on", async || asked().await >= from + 5).await;
    assert_eq!(targets().await, both);
    etcd.restart().await;

    let path = "/v1/apps/app/instances/i-2";
    let mut departed = Instant::now();
    until("the registry takes writes", async || {
        departed = Instant::now();
        server.delete(path).await.status == 200
    })
    .await;
    until("one target", async || targets().await == both[..1]).await;
    tell("Prometheus: a departed instance is scraped for another", departed.elapsed());
}
