//! HAProxy, which finds instances by SRV, never asks again over TCP and has its own idea of what an error means.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::program::{example, program};
use crate::space::Space;
use crate::support::etcd::Etcd;
use crate::support::running::Running;
use crate::support::server::{Home, Server};
use crate::support::until;
use crate::web::{Traffic, Web, get};
use crate::world::{PORT_1053, counted, tell};

/// Where the example listens.
const GATEWAY: &str = "127.0.0.1:8000";
const SECOND: &str = "/v1/apps/service-1/instances/i-2";

/// An HTTP endpoint.
fn http(address: &str) -> Value {
    json!({"address": address, "protocol": "http", "port": 8080, "ttl": 3600})
}

/// The example as it stands, or changed, and a socket to ask what it thinks.
struct HaProxy {
    files: TempDir,
    _process: Running,
}

/// A server of a backend: its address and what of it HAProxy shows in numbers.
type Row = BTreeMap<String, String>;

impl HaProxy {
    fn start(config: &str) -> Self {
        let files = TempDir::new().unwrap();
        let path = |name: &str| files.path().join(name);
        std::fs::write(path("haproxy.cfg"), config).unwrap();
        let socket = format!("global\n    stats socket {}\n", path("socket").display());
        std::fs::write(path("socket.cfg"), socket).unwrap();
        let mut command: Command = program("haproxy");
        command.arg("-db").arg("-f").arg(path("haproxy.cfg")).arg("-f").arg(path("socket.cfg"));
        Self { _process: Running::start(command), files }
    }

    /// The servers of a backend that have an address.
    async fn servers(&self, backend: &str) -> Vec<Row> {
        let Ok(mut stream) = UnixStream::connect(self.files.path().join("socket")).await else {
            return Vec::new();
        };
        let question = format!("show servers state {backend}\n");
        stream.write_all(question.as_bytes()).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        let mut lines = said.lines().skip(1);
        let columns: Vec<_> = lines.next().unwrap_or_default().split(' ').skip(1).collect();
        let rows = lines.filter(|line| !line.is_empty()).map(|line| {
            let fields = columns.iter().zip(line.split(' '));
            fields.map(|(name, field)| ((*name).to_owned(), field.to_owned())).collect::<Row>()
        });
        rows.filter(|row| row["srv_addr"] != "-").collect()
    }

    /// The addresses of those that get requests.
    async fn used(&self, backend: &str) -> Vec<String> {
        const RUNNING: &str = "2";
        let rows = self.servers(backend).await;
        let used = rows.iter().filter(|row| row["srv_op_state"] == RUNNING);
        let mut used: Vec<_> = used.map(|row| row["srv_addr"].clone()).collect();
        used.sort();
        used
    }
}

/// Two instances of a service that run, registered with this server.
async fn two(server: &Server) -> [Web; 2] {
    server.register("service-1", "i-1", http("10.9.0.1")).await;
    server.register("service-1", "i-2", http("10.9.0.2")).await;
    [Web::start("i-1", "10.9.0.1:8080").await, Web::start("i-2", "10.9.0.2:8080").await]
}

#[tokio::test]
async fn with_haproxy_a_departed_instance_is_left_and_no_request_is_lost() {
    let space = Space::enter();
    space.addresses(&["10.9.0.1", "10.9.0.2"]);
    let server = Home::new().start(&PORT_1053).await;
    let webs = two(&server).await;
    let gateway = HaProxy::start(&example("haproxy.cfg"));
    until("both are used", async || gateway.used("service_1").await.len() == 2).await;

    let mut turns = [0, 0];
    for _ in 0..12 {
        turns[usize::from(get(GATEWAY, "service_1").await == "i-2")] += 1;
    }
    assert_eq!(turns, [6, 6], "in turns");
    assert_eq!(get(GATEWAY, "service_3").await, "404");

    let traffic = Traffic::start(GATEWAY, "service_1");
    traffic.more(20).await;
    let departed = Instant::now();
    assert_eq!(server.delete(SECOND).await.status, 200);
    until("one is used", async || gateway.used("service_1").await == ["10.9.0.1"]).await;
    tell(
        "HAProxy: the last request to a departed instance",
        traffic.last(departed, |by| by == "i-2"),
    );
    // What was under way when HAProxy decided has come in with the first of these.
    traffic.more(5).await;
    let before = webs[1].requests();
    traffic.more(50).await;
    assert_eq!(webs[1].requests(), before, "no request to it any more");

    let back = Instant::now();
    server.register("service-1", "i-2", http("10.9.0.2")).await;
    traffic.settles(1, "it is used again", |by| by == "i-2").await;
    tell("HAProxy: the first request to a new instance", traffic.first(back, |by| by == "i-2"));

    let [first, _second] = webs;
    drop(first);
    until("the crash is seen", async || gateway.used("service_1").await == ["10.9.0.2"]).await;
    traffic.more(20).await;
    let replies = traffic.replies();
    let failed: Vec<_> =
        replies.iter().filter(|by| !["i-1", "i-2"].contains(&by.as_str())).collect();
    assert!(failed.is_empty(), "of {} requests: {failed:?}", replies.len());
}

#[tokio::test]
async fn with_haproxy_no_request_is_lost_while_etcd_is_away() {
    let space = Space::enter();
    space.addresses(&["10.9.0.1", "10.9.0.2"]);
    let mut etcd = Etcd::start().await;
    let server = Home::new().start(&["--dns", "127.0.0.1:1053", "--etcd", &etcd.url()]).await;
    let webs = two(&server).await;
    let gateway = HaProxy::start(&example("haproxy.cfg"));
    until("both are used", async || gateway.used("service_1").await.len() == 2).await;
    let traffic = Traffic::start(GATEWAY, "service_1");
    etcd.stop().await;
    let asked =
        async || counted(&server, "rollcall_dns_requests_total{proto=\"udp\",type=\"SRV\"}").await;
    // Two backends, a question a second each: until answers are known to be stale, which they are after 15 s.
    let from = asked().await;
    until("HAProxy has asked on", async || asked().await >= from + 40).await;
    assert_eq!(gateway.used("service_1").await.len(), 2);
    etcd.restart().await;
    until("etcd is seen again", async || {
        server.get("/readyz").await.body["sources"][0]["error"].is_null()
    })
    .await;
    traffic.more(20).await;
    let replies = traffic.replies();
    let failed: Vec<_> =
        replies.iter().filter(|by| !["i-1", "i-2"].contains(&by.as_str())).collect();
    assert!(failed.is_empty(), "of {} requests: {failed:?}", replies.len());
    assert!(webs.iter().all(|web| web.requests() > 0));
}

#[tokio::test]
async fn with_haproxy_a_service_ends_with_its_last_instance_and_comes_back() {
    let space = Space::enter();
    space.addresses(&["10.9.0.3"]);
    let server = Home::new().start(&PORT_1053).await;
    server.register("service-2", "i-3", http("10.9.0.3")).await;
    let _web = Web::start("i-3", "10.9.0.3:8080").await;
    let gateway = HaProxy::start(&example("haproxy.cfg"));
    until("it is used", async || gateway.used("service_2").await.len() == 1).await;
    let traffic = Traffic::start(GATEWAY, "service_2");
    traffic.more(10).await;
    let gone = Instant::now();
    assert_eq!(server.delete("/v1/apps/service-2/instances/i-3").await.status, 200);
    traffic.settles(20, "503", |by| by == "503").await;
    tell("HAProxy: 503 after the last instance left", traffic.first(gone, |by| by == "503"));
    let back = Instant::now();
    server.register("service-2", "i-3", http("10.9.0.3")).await;
    traffic.settles(20, "it is used again", |by| by == "i-3").await;
    tell("HAProxy: a request to the first instance", traffic.first(back, |by| by == "i-3"));
    let mut kinds = traffic.replies();
    kinds.dedup();
    assert_eq!(kinds, ["i-3", "503", "i-3"]);
}

/// The example with room for 50 instances of each service.
fn wide() -> String {
    let narrow = example("haproxy.cfg");
    let wide = narrow.replace("server-template s 10 ", "server-template s 50 ");
    assert_ne!(narrow, wide);
    wide
}

async fn forty(server: &Server) {
    for number in 1..=40 {
        let body = http(&format!("10.8.0.{number}"));
        server.register("service-1", &format!("i-{number}"), body).await;
    }
}

#[tokio::test]
async fn with_haproxy_forty_instances_come_over_udp() {
    let _space = Space::enter();
    let server = Home::with_config("[dns]\nudp_octets_max = 8192\n").start(&PORT_1053).await;
    forty(&server).await;
    let began = Instant::now();
    let gateway = HaProxy::start(&wide());
    until("forty are known", async || gateway.servers("service_1").await.len() == 40).await;
    tell("HAProxy: 40 instances", began.elapsed());
    assert_eq!(counted(&server, "rollcall_dns_truncated_total").await, 0);
}

#[tokio::test]
async fn with_haproxy_cut_answers_add_up() {
    let _space = Space::enter();
    let server = Home::new().start(&PORT_1053).await;
    forty(&server).await;
    let config = wide();
    let patient = config.replace("hold obsolete  2s", "hold obsolete  10s");
    assert_ne!(config, patient);
    let began = Instant::now();
    let gateway = HaProxy::start(&patient);
    until("most are known", async || gateway.servers("service_1").await.len() >= 35).await;
    tell("HAProxy: 35 of 40 instances, of which 1232 octets hold a part", began.elapsed());
    assert!(counted(&server, "rollcall_dns_truncated_total").await > 0);
}

#[tokio::test]
async fn with_haproxy_ipv4_is_used_where_there_are_both_and_weight_0_is_drained() {
    let space = Space::enter();
    space.addresses(&["10.9.0.1", "10.9.0.2", "fd00::9:1"]);
    let server = Home::with_config("[[zone]]\nname = \"svc.\"\nsrv_weight_scale = 256\n")
        .start(&PORT_1053)
        .await;
    let both = json!(["fd00::9:1", "10.9.0.1"]);
    let body =
        json!({"addresses": both, "protocol": "http", "port": 8080, "ttl": 3600, "weight": 3});
    server.register("service-1", "i-1", body).await;
    let mut body = http("10.9.0.2");
    body["weight"] = 0.into();
    server.register("service-1", "i-2", body).await;
    let _first = Web::start("i-1", "10.9.0.1:8080").await;
    let drained = Web::start("i-2", "10.9.0.2:8080").await;
    let gateway = HaProxy::start(&example("haproxy.cfg"));
    until("both are used", async || gateway.used("service_1").await == ["10.9.0.1", "10.9.0.2"])
        .await;
    let weights: BTreeMap<_, _> = gateway
        .servers("service_1")
        .await
        .iter()
        .map(|row| (row["srv_addr"].clone(), row["srv_uweight"].clone()))
        .collect();
    let expected = [("10.9.0.1", "3"), ("10.9.0.2", "0")];
    assert_eq!(weights, expected.map(|(a, w)| (a.to_owned(), w.to_owned())).into());
    for _ in 0..12 {
        assert_eq!(get(GATEWAY, "service_1").await, "i-1");
    }
    assert_eq!(drained.requests(), 0);
}
