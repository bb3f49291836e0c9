//! `rollcall serve` as a process: what keeps it from starting, how it stops, and what its configuration does.

use std::collections::BTreeMap;
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, PTR, SOA, SRV, TXT};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::ask::{Vigil, ask, ask_tcp, try_ask};
use crate::support::http::{Begun, Http};
use crate::support::server::{Home, Refused};
use crate::support::{soon, until};

const GREETER: &str = "greeter.svc";

// ---- what keeps it from starting -----------------------------------------------------------------

impl Refused {
    /// One line, in which all of these stand: what, where, why, what to do.
    #[track_caller]
    fn says(&self, parts: &[&str]) {
        assert_eq!(self.code, 1, "{self:?}");
        assert_eq!(self.said.lines().count(), 1, "{self:?}");
        assert!(self.said.starts_with("rollcall: "), "{self:?}");
        for part in parts {
            assert!(self.said.contains(part), "{part:?} is not in {:?}", self.said);
        }
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let home = Home::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = tcp.local_addr().unwrap().to_string();
    home.refuse(&["--dns", &taken]).await.says(&[
        "cannot bind dns listener",
        &taken,
        "address in use",
        "stop the program that listens there or choose another port",
    ]);
    home.refuse(&["--http", &taken]).await.says(&[
        "cannot bind http listener",
        &taken,
        "address in use",
        "stop the program that listens there or choose another port",
    ]);
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = udp.local_addr().unwrap().to_string();
    home.refuse(&["--dns", &taken]).await.says(&[
        "cannot bind dns listener",
        &taken,
        "address in use",
    ]);
}

#[tokio::test]
async fn a_broken_zone_file_is_named_with_its_line() {
    let home = Home::new();
    home.write("zones/svc.zone", "$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nns A 192.0.2.300\n");
    home.refuse(&[]).await.says(&["zones/svc.zone:4:6: "]);
}

#[tokio::test]
async fn a_data_directory_belongs_to_one_server() {
    let home = Home::new();
    let first = home.start(&[]).await;
    home.refuse(&[]).await.says(&[
        "data directory data is in use",
        "another rollcall holds its lock",
        "stop that one, or give this one a directory of its own with --data",
    ]);
    assert_eq!(first.get("/readyz").await.status, 200, "the first goes on");
}

#[tokio::test]
async fn a_data_directory_that_can_not_be_written_is_named() {
    let home = Home::new();
    home.write("taken", "a file in its place");
    for data in ["taken", "taken/below"] {
        let line =
            format!("--data / ROLLCALL_DATA: {data} is no directory, nor can it be made one: ");
        home.refuse(&["--data", data]).await.says(&[&line, "give another path"]);
    }
    home.write("odd/lock/x", "a directory in the place of the lock");
    home.refuse(&["--data", "odd"]).await.says(&[
        "cannot use data directory odd: is a directory: ",
        "make it a directory that this user may write to, or choose another with --data",
    ]);
}

#[tokio::test]
async fn a_registry_file_that_is_none_is_named() {
    let home = Home::new();
    home.write("data/registry.redb", &"x".repeat(10_000));
    home.refuse(&[]).await.says(&[
        "cannot open registry in data: registry.redb is damaged",
        "restore it from a backup, or move it away to begin with an empty registry",
    ]);
    assert_eq!(std::fs::read(home.path("data/registry.redb")).unwrap().len(), 10_000, "untouched");
}

#[tokio::test]
async fn a_bad_token_file_is_named() {
    let config = "[[token]]\nfile = \"deploy.token\"\nmay = [\"register\"]\n";
    let home = Home::with_config(config);
    home.refuse(&[]).await.says(&[
        "rollcall.toml:3: token[0].file: deploy.token: no such file or directory",
        "give a file that holds the secret and nothing else",
    ]);
    home.write("deploy.token", "\n");
    home.refuse(&[]).await.says(&["deploy.token: is empty", "put a secret into it"]);
    home.write("deploy.token", "two words\n");
    home.refuse(&[]).await.says(&["deploy.token: has a space", "without spaces"]);
}

#[tokio::test]
async fn an_open_api_beyond_loopback_is_refused() {
    let beyond = ["--http", "0.0.0.0:0"];
    Home::new().refuse(&beyond).await.says(&[
        "http.listen: 0.0.0.0:0 is beyond loopback and there is no token",
        "add a [[token]], ask for client certificates in [http.tls], or set http.insecure = true",
    ]);
    let insecure = Home::with_config("[http]\ninsecure = true\n").start(&beyond).await;
    assert_eq!(insecure.stop().await, 0);
    let home = Home::with_config("[[token]]\nfile = \"a.token\"\nmay = [\"read\"]\n");
    home.write("a.token", "sesame");
    let guarded = home.start(&beyond).await;
    assert_eq!(guarded.get("/v1/apps").await.status, 401);
    assert_eq!(guarded.stop().await, 0);
}

#[tokio::test]
async fn mistakes_in_settings_are_named() {
    let config =
        Home::with_config("[http]\nlisten = \"127.0.0.1:0\"\nhealth_lisen = \"127.0.0.1:0\"\n");
    config
        .refuse(&[])
        .await
        .says(&["rollcall.toml:4: http.health_lisen: ", "did you mean 'health_listen'?"]);
    Home::new().refuse(&["--config", "none.toml"]).await.says(&[
        "none.toml: cannot read this config: no such file or directory",
        "begin one with 'rollcall config'",
    ]);
    let etcd = Home::new().refuse(&["--etcd", "127.0.0.1:2379"]).await;
    etcd.says(&["--etcd / ROLLCALL_ETCD: must be a URL such as \"http://127.0.0.1:2379\""]);
}

// ---- how it stops --------------------------------------------------------------------------------

#[tokio::test]
async fn a_lame_duck_answers_on_and_says_that_it_goes() {
    let lameduck = Duration::from_secs(3);
    let home = Home::with_config("lameduck = \"3s\"\n");
    let mut server = home.start(&[]).await;
    server.register("greeter", "i-1", json!({"address": "10.0.0.7", "port": 9000})).await;
    let expected = vec![format!("{GREETER}. A 10.0.0.7")];

    let began = Instant::now();
    server.terminate();
    until("readiness goes", async || server.get("/readyz").await.status == 503).await;
    let readiness = server.get("/readyz").await.body;
    assert_eq!(readiness["draining"], true, "{readiness}");
    assert_eq!(server.get("/livez").await.status, 200);
    let mut asked = 0;
    while began.elapsed() < lameduck * 2 / 3 {
        assert_eq!(server.addresses(GREETER).await, expected);
        asked += 1;
    }
    assert!(asked > 10, "asked {asked} times");
    server.register("greeter", "i-2", json!({"address": "10.0.0.8", "port": 9000})).await;
    assert_eq!(server.get("/readyz").await.status, 503);
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(began.elapsed() >= lameduck, "{:?}", began.elapsed());
    assert!(try_ask(server.dns[0], GREETER, A).await.is_none());
    assert!(!home.path("data/listening.json").exists());
    assert!(server.log().contains("lameduck=3s"), "{}", server.log());
}

#[tokio::test]
async fn a_second_signal_ends_the_lame_duck() {
    let home = Home::with_config("lameduck = \"10m\"\n");
    let mut server = home.start(&[]).await;
    server.terminate();
    until("readiness goes", async || server.get("/readyz").await.status == 503).await;
    assert!(server.runs());
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_request_under_way_is_finished_before_the_end() {
    let home = Home::new();
    let mut server = home.start(&[]).await;
    let body = json!({"address": "10.0.0.7", "port": 9000, "ttl": 3600});
    let write = Begun::put(server.http, "/v1/apps/greeter/instances/i-1", &body).await;
    server.terminate();
    until("nothing new is accepted", async || TcpStream::connect(server.http).await.is_err()).await;
    let reply = write.finish().await;
    assert!(reply.starts_with("HTTP/1.1 201 "), "{reply}");
    assert_eq!(server.ended().await.code(), Some(0));

    let server = home.start(&[]).await;
    assert_eq!(server.addresses(GREETER).await, [format!("{GREETER}. A 10.0.0.7")]);
}

/// Registers without a pause until the server goes; gives the ids of what was acknowledged.
async fn traffic(http: std::net::SocketAddr, client: usize) -> Vec<String> {
    let mut done = Vec::new();
    let Ok(mut connection) = Http::connect(http).await else { return done };
    for number in 0.. {
        let id = format!("i-{client}-{number}");
        let path = format!("/v1/apps/greeter/instances/{id}");
        let body = json!({"address": "10.0.0.7", "port": 9000, "ttl": 3600});
        // The end of a connection between requests is no loss; half an answer is none either, and fails in `send`.
        let Ok(reply) = connection.send("PUT", &path, Some(&body)).await else { break };
        assert_eq!(reply.status, 201, "{reply:?}");
        done.push(id);
    }
    done
}

#[tokio::test]
async fn stopping_under_traffic_loses_nothing() {
    let home = Home::new();
    let mut server = home.start(&[]).await;
    let mut clients = JoinSet::new();
    for client in 0..6 {
        clients.spawn(traffic(server.http, client));
    }
    let count = async || {
        let reply = server.get("/v1/apps/greeter").await;
        reply.body["instances"].as_array().map_or(0, Vec::len)
    };
    until("traffic flows", async || count().await >= 60).await;
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
    let mut done: Vec<_> =
        soon("the clients' end", clients.join_all()).await.into_iter().flatten().collect();

    let server = home.start(&[]).await;
    let mut there: Vec<String> = server.get("/v1/apps/greeter").await.body["instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect();
    done.sort();
    there.sort();
    // Whoever was not answered was not heard: a stop in order leaves nobody in doubt.
    assert_eq!(there, done);
}

// ---- what its configuration does -----------------------------------------------------------------

#[tokio::test]
async fn static_records_stand_over_apps() {
    let home = Home::new();
    home.write(
        "zones/svc.zone",
        "$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nns A 192.0.2.53\n\
         greeter A 192.0.2.1\nb.other TXT \"mine\"\n",
    );
    let server = home.start(&[]).await;
    let body = || json!({"address": "10.0.0.7", "port": 9000});
    for (app, id, line) in [("greeter", "i-1", 5), ("other", "b", 6)] {
        let refused = server.put(&format!("/v1/apps/{app}/instances/{id}"), body()).await;
        assert_eq!(refused.status, 409, "{refused:?}");
        let message = refused.body["error"]["message"].as_str().unwrap();
        assert!(message.contains(&format!("zones/svc.zone:{line}")), "{message}");
        assert_eq!(server.get(&format!("/v1/apps/{app}")).await.status, 404, "nothing is written");
    }
    server.register("other", "i-1", body()).await;
    assert_eq!(server.addresses("greeter.svc").await, ["greeter.svc. A 192.0.2.1"]);
    assert_eq!(server.ask("b.other.svc", TXT).await.records(), ["b.other.svc. TXT mine"]);
    assert_eq!(server.addresses("other.svc").await, ["other.svc. A 10.0.0.7"]);
}

#[tokio::test]
async fn pins_replace_what_is_registered() {
    let home = Home::with_config(
        "[[pin]]\napp = \"greeter\"\nprotocol = \"http\"\nendpoints = [\"127.0.0.1:8080\", \"[::1]:8081\"]\n",
    );
    let server = home.start(&[]).await;
    server.register("greeter", "i-1", json!({"address": "10.0.0.7", "port": 9000})).await;
    assert_eq!(server.addresses(GREETER).await, ["greeter.svc. A 127.0.0.1"]);
    let service = server.ask("_http._tcp.greeter.svc", SRV).await;
    assert_eq!(
        service.records(),
        [
            "_http._tcp.greeter.svc. SRV 10 100 8080 pin-1.greeter.svc.",
            "_http._tcp.greeter.svc. SRV 10 100 8081 pin-2.greeter.svc.",
        ]
    );
    assert_eq!(server.ask("i-1.greeter.svc", A).await.status(), ResponseCode::NXDomain);
    server.put("/v1/apps/greeter/offline", json!({})).await;
    assert_eq!(server.addresses(GREETER).await, ["greeter.svc. A 127.0.0.1"], "pins stay");
    let listed = server.cli(&["ls"]).await.done();
    assert!(listed.contains("greeter") && listed.contains("pinned"), "{listed}");
}

#[tokio::test]
async fn zones_share_a_namespace_or_have_their_own() {
    let home = Home::with_config(
        "[[zone]]\nname = \"svc.\"\n\
         [[zone]]\nname = \"lb.example.\"\nnamespace = \"default\"\nsrv_weight_scale = 256\nttl = \"1m\"\n\
         [[zone]]\nname = \"staging.\"\nnamespace = \"staging\"\n",
    );
    let server = home.start(&[]).await;
    server.register("greeter", "a", json!({"address": "10.0.0.7", "port": 1, "weight": 10})).await;
    server.register("greeter", "b", json!({"address": "10.0.0.8", "port": 1, "weight": 300})).await;
    let body = json!({"address": "10.0.0.9", "port": 1});
    let path = "/v1/apps/greeter/instances/a?namespace=";
    assert_eq!(server.put(&format!("{path}staging"), body.clone()).await.status, 201);
    let nowhere = server.put(&format!("{path}nowhere"), body).await;
    assert_eq!((nowhere.status, &nowhere.body["error"]["field"]), (422, &"namespace".into()));
    assert!(nowhere.body["error"]["message"].as_str().unwrap().contains("nowhere"), "{nowhere:?}");

    let weights = async |zone: &str| {
        let name = format!("_nova._tcp.greeter.{zone}");
        let answer = server.ask(&name, SRV).await;
        let prefix = format!("{name} SRV 10 ");
        let short = |text: &String| text.strip_prefix(&prefix).expect("such a record").to_owned();
        answer.records().iter().map(short).collect::<Vec<_>>()
    };
    assert_eq!(weights("svc.").await, ["10 1 a.greeter.svc.", "300 1 b.greeter.svc."]);
    // Cut where the field ends.
    assert_eq!(
        weights("lb.example.").await,
        ["2560 1 a.greeter.lb.example.", "65535 1 b.greeter.lb.example."]
    );
    assert_eq!(weights("staging.").await, ["100 1 a.greeter.staging."]);
    assert_eq!(server.addresses("greeter.staging").await, ["greeter.staging. A 10.0.0.9"]);
    let ttl = async |name: &str| server.ask(name, A).await.0.answers[0].ttl;
    assert_eq!((ttl("greeter.svc").await, ttl("greeter.lb.example").await), (5, 60));
    let outside = server.ask("greeter.example", A).await;
    assert_eq!((outside.status(), outside.extended_error()), (ResponseCode::Refused, Some(20)));
}

#[tokio::test]
async fn addresses_of_instances_point_to_them() {
    let home = Home::with_config(
        "[[zone]]\nname = \"svc.\"\n[[zone]]\nname = \"longer.example.\"\n[[reverse]]\nnetwork = \"10.9.0.0/16\"\n",
    );
    let server = home.start(&[]).await;
    let points = async |name: &str| server.ask(name, PTR).await.records();
    let (name, path) = ("5.1.9.10.in-addr.arpa", "/v1/apps/greeter/instances/i-1");
    assert_eq!(server.ask(name, PTR).await.status(), ResponseCode::NXDomain);
    server.register("greeter", "i-1", json!({"address": "10.9.1.5", "port": 9000})).await;
    // In the zone that is configured first, whichever has the longer name.
    let record = "5.1.9.10.in-addr.arpa. PTR i-1.greeter.svc.";
    assert_eq!(points(name).await, [record]);
    assert_eq!(server.put(&format!("{path}/offline"), json!({})).await.status, 200);
    assert_eq!(points(name).await, [""; 0]);
    assert_eq!(server.put(&format!("{path}/online"), json!({})).await.status, 200);
    assert_eq!(points(name).await, [record]);
    assert_eq!(server.delete(path).await.status, 200);
    assert_eq!(server.ask(name, PTR).await.status(), ResponseCode::NXDomain);
}

#[tokio::test]
async fn every_listen_address_answers_over_udp_and_tcp() {
    let v6 = TcpListener::bind("[::1]:0").is_ok();
    // Where IPv6 is switched off, a second address of the other family does as well.
    let listen = format!("127.0.0.1:0,{}:0", if v6 { "[::1]" } else { "127.0.0.2" });
    let server = Home::new().start(&["--dns", &listen]).await;
    server.register("greeter", "i-1", json!({"address": "10.0.0.7", "port": 9000})).await;
    assert_eq!(server.dns.len(), 2);
    assert_eq!(server.dns[1].is_ipv6(), v6, "{:?}", server.dns);
    for address in &server.dns {
        assert_ne!(address.port(), 0);
        let expected = [format!("{GREETER}. A 10.0.0.7")];
        assert_eq!(ask(*address, GREETER, A).await.records(), expected, "{address} over UDP");
        assert_eq!(ask_tcp(*address, GREETER, A).await.records(), expected, "{address} over TCP");
    }
}

#[tokio::test]
async fn health_may_have_a_listener_of_its_own() {
    let home = Home::with_config("[http]\nhealth_listen = \"127.0.0.1:0\"\n");
    let server = home.start(&[]).await;
    let listening: Value =
        serde_json::from_slice(&std::fs::read(home.path("data/listening.json")).unwrap()).unwrap();
    let health = listening["http_health"].as_str().unwrap().parse().unwrap();
    let mut health = Http::connect(health).await.unwrap();
    let mut statuses = BTreeMap::new();
    for path in ["/livez", "/readyz", "/metrics", "/v1/apps"] {
        statuses.insert(path, health.send("GET", path, None).await.unwrap().status);
    }
    let expected = [("/livez", 200), ("/readyz", 200), ("/metrics", 200), ("/v1/apps", 404)];
    assert_eq!(statuses, expected.into());
    assert_eq!(server.get("/v1/apps").await.status, 200);
}

#[tokio::test]
async fn the_way_of_a_change_into_answers_is_timed() {
    let server = Home::new().start(&[]).await;
    let begun = Instant::now();
    // One after the other, since what comes together is built together.
    for id in ["i-1", "i-2", "i-3"] {
        server.register("greeter", id, json!({"address": "10.0.0.7", "port": 9000})).await;
    }
    let measured = async |what: &str| {
        let metrics = server.get("/metrics").await.body;
        let name = format!("rollcall_dns_programming_duration_seconds_{what} ");
        let mut lines = metrics.as_str().unwrap().lines();
        lines.find_map(|line| line.strip_prefix(&name)?.parse::<f64>().ok()).unwrap()
    };
    // Counted right after the swap, which is what the registration waited for.
    until("three are counted", async || measured("count").await >= 3.0).await;
    assert_eq!(measured("count").await, 3.0);
    let (sum, most) = (measured("sum").await, begun.elapsed().as_secs_f64());
    assert!(sum > 0.0 && sum <= most, "{sum} s of {most} s");
}

#[tokio::test]
async fn what_dns_clients_send_is_counted() {
    let server = Home::new().start(&[]).await;
    let vigil =
        Vigil::over(server.dns[0], vec![("svc", SOA, server.ask("svc", SOA).await.records())]);
    let counted = async || {
        let metrics = server.get("/metrics").await.body;
        let metrics = metrics.as_str().unwrap().to_owned();
        let lines = metrics.lines().filter(|line| line.starts_with("rollcall_dns_requests_total"));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum::<u64>()
    };
    until("the counter grows", async || counted().await > 20).await;
    assert_eq!(vigil.end().await.bad, [""; 0]);
}
