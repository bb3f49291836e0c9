//! Zan's servers, which register with the agent of their host once and then are silent.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::SRV;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use crate::listeners::address;
use crate::support::etcd::Etcd;
use crate::support::http::{Begun, Http, Reply, raw};
use crate::support::server::{Home, Server, run};
use crate::support::until;

const HAUNT: &str = "[compat.haunt]\nlisten = \"127.0.0.1:0\"\n";
const APP: &str = "scrm-customer-base";
const SERVICE: &str = "_nova._tcp.scrm-customer-base.svc";

/// One element of `SrvList`.
fn group(app: &str, at: SocketAddr, protocol: &str) -> Value {
    let service = json!([{"language": "php", "version": "1.0.0", "timestamp": 1_498_032_000,
        "service": "com.youzan.scrm.customer.service.CustomerService", "methods": ["getById", "search"]}]);
    json!({"Namespace": "com.youzan.service", "SrvName": app, "IP": at.ip(), "Port": at.port(),
        "Protocol": protocol, "Status": 1, "Weight": 100, "ExtData": service.to_string()})
}

fn body(groups: &[Value]) -> Value {
    json!({ "SrvList": groups })
}

async fn post(server: &Server, path: &str, body: &Value) -> Reply {
    let mut http = Http::connect(address(server, "haunt")).await.unwrap();
    http.send("POST", path, Some(body)).await.unwrap()
}

async fn answered(server: &Server) -> Vec<String> {
    server.services(SERVICE).await
}

fn record(at: SocketAddr) -> String {
    let ip = at.ip().to_string().replace('.', "-");
    format!("{SERVICE}. SRV 10 100 {} {ip}-{}.{APP}.svc.", at.port(), at.port())
}

async fn shows(server: &Server, expected: &[String]) {
    until("answers show it", async || answered(server).await == expected).await;
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn what_registers_answers_and_leaves_when_it_says_so() {
    let server = Home::with_config(HAUNT).start(&[]).await;
    let here = at("10.9.42.107:8100");
    let call = body(&[group(APP, here, "nova")]);
    let reply = post(&server, "/register", &call).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.body, json!({"code": 200, "msg": "ok", "registered": 1}));
    shows(&server, &[record(here)]).await;
    let instance = server.get(&format!("/v1/apps/{APP}")).await.body;
    let meta = &instance["instances"][0]["meta"];
    assert_eq!(meta["language"], "php", "{instance}");
    assert_eq!(meta["services"], "com.youzan.scrm.customer.service.CustomerService");
    // The same again, as after a lost answer, changes nothing.
    let serial = server.serial("svc").await;
    assert_eq!(post(&server, "/register", &call).await.status, 200);
    assert_eq!(server.serial("svc").await, serial);
    // The body says Status 1 here too: the path alone decides.
    assert_eq!(post(&server, "/unregister", &call).await.status, 200);
    until("it is gone", async || server.ask(SERVICE, SRV).await.status() == ResponseCode::NXDomain)
        .await;
    assert_eq!(post(&server, "/unregister", &call).await.status, 200);
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn calls_are_read_however_their_clients_send_them() {
    let server = Home::with_config(HAUNT).start(&[]).await;
    let requests = [
        // The package client: a slash too many, and a header line without a colon, which curl leaves out.
        ("//register", "content-type: application/x-www-form-urlencoded\r\n"),
        ("/register/", ""),
        ("/register?x=1", "content-type: application/json\r\n"),
        ("/register", "content-type: nonsense\r\ncontent-encoding: identity\r\n"),
    ];
    let mut expected = Vec::new();
    for (i, (path, headers)) in requests.into_iter().enumerate() {
        let here = SocketAddr::from(([10, 9, 42, 107], 8_100 + i as u16));
        let body = body(&[group(APP, here, "nova")]).to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let reply = raw(address(&server, "haunt"), &request).await;
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {reply}");
        expected.push(record(here));
    }
    shows(&server, &expected).await;
    // curl announces a body that is not small, and waits a second for leave to send it.
    let here = at("10.9.42.107:8200");
    let body = body(&[group(APP, here, "nova")]).to_string();
    let head = "POST //register HTTP/1.1\r\nHost: localhost:8687\r\nAccept: */*\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nConnection: close";
    let begun = Begun::begin(address(&server, "haunt"), head, body).await;
    let reply = begun.finish().await;
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    expected.push(record(here));
    shows(&server, &expected).await;
}

#[tokio::test]
async fn a_body_is_taken_whole_or_not_at_all() {
    let server = Home::with_config(HAUNT).start(&[]).await;
    let here = at("10.9.42.107:8100");
    let mut broken = group("other", here, "nova");
    broken["IP"] = json!("");
    let reply = post(&server, "/register", &body(&[group(APP, here, "nova"), broken])).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.body, json!({"code": 400, "msg": "SrvList[1]: IP: no host is given"}));
    assert_eq!(server.get("/v1/apps").await.body["apps"], json!([]));
    // Several groups: another app, and another protocol of the same.
    let all = [group(APP, here, "nova"), group("pay", here, "nova"), group(APP, here, "http")];
    let reply = post(&server, "/register", &body(&all)).await;
    assert_eq!((reply.status, &reply.body["registered"]), (200, &json!(3)), "{reply:?}");
    shows(&server, &[record(here)]).await;
    for service in ["_http._tcp.scrm-customer-base.svc", "_nova._tcp.pay.svc"] {
        until("all groups answer", async || server.ask(service, SRV).await.records().len() == 1)
            .await;
    }
    // One goes, the other stays.
    post(&server, "/unregister", &body(&[group(APP, here, "nova")])).await;
    until("one protocol is gone", async || {
        server.ask(SERVICE, SRV).await.status() == ResponseCode::NXDomain
    })
    .await;
    let rest = server.ask("_http._tcp.scrm-customer-base.svc", SRV).await.records();
    assert_eq!(rest.len(), 1);
}

#[tokio::test]
async fn a_name_that_a_zone_file_has_is_not_taken() {
    let home = Home::with_config(HAUNT);
    let file = "$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nns A 192.0.2.54\npay A 192.0.2.80\n";
    home.write("zones/svc.zone", file);
    let server = home.start(&[]).await;
    let here = at("10.9.42.107:8100");
    let both = body(&[group(APP, here, "nova"), group("pay", here, "nova")]);
    let reply = post(&server, "/register", &both).await;
    assert_eq!(reply.status, 409, "{reply:?}");
    assert!(reply.body["msg"].as_str().unwrap().contains("has static records on pay"));
    assert_eq!(server.get("/v1/apps").await.body["apps"], json!([]));
}

#[tokio::test]
async fn who_takes_no_calls_is_in_no_answer() {
    let server = Home::with_config(HAUNT).start(&[]).await;
    let here = at("10.9.42.107:8100");
    for (field, value) in [("Status", json!(3)), ("Status", json!("1")), ("Weight", json!(0))] {
        let call = body(&[group(APP, here, "nova")]);
        assert_eq!(post(&server, "/register", &call).await.status, 200);
        shows(&server, &[record(here)]).await;
        let mut out = call.clone();
        out["SrvList"][0][field] = value;
        let reply = post(&server, "/register", &out).await;
        assert_eq!(reply.body, json!({"code": 200, "msg": "ok", "registered": 0}));
        until("it is out", async || {
            server.ask(SERVICE, SRV).await.status() == ResponseCode::NXDomain
        })
        .await;
    }
}

#[tokio::test]
async fn a_flood_of_nonsense_writes_nothing_and_harms_nobody() {
    let server = Home::with_config(HAUNT).start(&[]).await;
    let good = body(&[group(APP, at("10.9.42.107:8100"), "nova")]).to_string();
    let revision = server.get("/v1/apps").await.body["revision"].clone();
    let mut http = Http::connect(address(&server, "haunt")).await.unwrap();
    for i in 0..1_000_usize {
        let call = match i % 5 {
            0 => Value::String(good[..i % good.len()].to_owned()),
            1 => json!({ "SrvList": i }),
            2 => body(&[json!({"SrvName": APP, "IP": "0.0.0.0", "Port": i})]),
            3 => body(&[json!([[[[i]]]])]),
            _ => body(&[group(APP, at("10.9.42.107:8100"), "-_-")]),
        };
        let path = if i % 2 == 0 { "/register" } else { "/unregister" };
        let reply = http.send("POST", path, Some(&call)).await.unwrap();
        assert_eq!(reply.status, 400, "{call}: {reply:?}");
    }
    // Larger than anything that Zan sends; and what is no HTTP at all.
    let large = json!({ "SrvList": "x".repeat(600 * 1024) });
    assert_eq!(http.send("POST", "/register", Some(&large)).await.unwrap().status, 413);
    raw(address(&server, "haunt"), "\u{16}\u{3}\u{1}\r\n\r\n").await;
    assert_eq!(server.get("/v1/apps").await.body["revision"], revision);
    assert_eq!(server.log().lines().filter(|line| line.contains("WARN")).count(), 0);
    let good: Value = serde_json::from_str(&good).unwrap();
    assert_eq!(post(&server, "/register", &good).await.status, 200);
    shows(&server, &[record(at("10.9.42.107:8100"))]).await;
    for (method, path, status) in
        [("GET", "/register", 405), ("POST", "/", 404), ("POST", "/register/x", 404)]
    {
        assert_eq!(http.send(method, path, None).await.unwrap().status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn a_port_that_falls_silent_is_taken_away_and_comes_back() {
    let server = Home::with_config(HAUNT).start(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    post(&server, "/register", &body(&[group(APP, here, "nova")])).await;
    shows(&server, &[record(here)]).await;
    drop(listener);
    let closed = Instant::now();
    // Three failures, 10 s apart.
    let gone = async {
        while server.ask(SERVICE, SRV).await.status() != ResponseCode::NXDomain {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(45), gone).await.expect("its port is closed");
    let took = closed.elapsed();
    assert!(took >= Duration::from_secs(19), "{took:?} are no three probes");
    let _back = TcpListener::bind(here).await.unwrap();
    shows(&server, &[record(here)]).await;
}

#[tokio::test]
async fn what_was_registered_survives_its_agent_and_nobody_else_does() {
    let etcd = Etcd::start().await;
    let config = format!("{HAUNT}[http]\nallow_loopback = true\n");
    let home = Home::with_config(&config);
    let flags = ["--etcd", &*etcd.url()];
    let other = Home::new().start(&flags).await;
    let agent = home.start(&flags).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (here, dead) = (listener.local_addr().unwrap(), at("127.0.0.1:1"));
    let call = body(&[group(APP, here, "nova"), group(APP, dead, "nova")]);
    assert_eq!(post(&agent, "/register", &call).await.status, 200);
    let mut both = [record(here), record(dead)];
    both.sort();
    until("both answer", async || {
        let mut answered = answered(&other).await;
        answered.sort();
        answered == both
    })
    .await;
    // Gone for good, as far as anybody can tell: the leases end.
    agent.kill().await;
    let gone = async {
        while other.ask(SERVICE, SRV).await.status() != ResponseCode::NXDomain {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(60), gone).await.expect("its leases end");
    // Back again it goes on with those that answer. They have not registered anew.
    let agent = home.start(&flags).await;
    let back = Instant::now();
    shows(&other, &[record(here)]).await;
    // The other one was not there in between, to be found dead by and by.
    assert!(back.elapsed() < Duration::from_secs(15), "{:?}", back.elapsed());
    // Stopped and started within the lease, nobody notices.
    let serial = other.serial("svc").await;
    assert_eq!(agent.stop().await, 0);
    let agent = home.start(&flags).await;
    until("it is held again", async || {
        let metrics = agent.get("/metrics").await.body.to_string();
        metrics.contains("rollcall_compat_held{listener=\\\"haunt\\\"} 1")
    })
    .await;
    assert_eq!(answered(&other).await, [record(here)]);
    assert_eq!(other.serial("svc").await, serial);
    post(&agent, "/unregister", &body(&[group(APP, here, "nova")])).await;
    until("it is gone", async || other.ask(SERVICE, SRV).await.status() == ResponseCode::NXDomain)
        .await;
}

#[tokio::test]
async fn who_unregisters_at_one_server_is_put_back_by_none() {
    let etcd = Etcd::start().await;
    let url = etcd.url();
    let flags = ["--etcd", &*url];
    let (home, other) = (Home::with_config(HAUNT), Home::with_config(HAUNT));
    let (one, two) = (home.start(&flags).await, other.start(&flags).await);
    let here = at("10.9.42.107:8100");
    let call = body(&[group(APP, here, "nova")]);
    for server in [&one, &two] {
        assert_eq!(post(server, "/register", &call).await.status, 200);
    }
    shows(&one, &[record(here)]).await;
    assert_eq!(post(&two, "/unregister", &call).await.status, 200);
    until("it is gone", async || answered(&one).await.is_empty()).await;
    // The first one looks within 10 s, and forgets it for good.
    let saved = home.path("data/compat-haunt.json");
    let wait = async {
        while !std::fs::read_to_string(&saved).unwrap().contains("\"saved\":[]") {
            assert_eq!(answered(&one).await, [""; 0]);
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.expect("it is forgotten");
    assert_eq!(answered(&one).await, [""; 0]);
    assert_eq!(post(&one, "/register", &call).await.status, 200);
    shows(&two, &[record(here)]).await;
}

#[tokio::test]
async fn a_registry_that_is_away_is_said_and_made_up_for() {
    let mut etcd = Etcd::start().await;
    let server = Home::with_config(HAUNT).start(&["--etcd", &etcd.url()]).await;
    etcd.stop().await;
    let here = at("10.9.42.107:8100");
    let reply = post(&server, "/register", &body(&[group(APP, here, "nova")])).await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(reply.body["msg"].as_str().unwrap().contains("not written yet, and tried on"));
    etcd.restart().await;
    shows(&server, &[record(here)]).await;
    // Loopback means nothing to the others of a shared registry.
    let reply = post(&server, "/register", &body(&[group(APP, at("127.0.0.1:1"), "nova")])).await;
    assert_eq!(reply.status, 422, "{reply:?}");
}

#[tokio::test]
async fn one_instance_has_so_many_groups_and_no_more() {
    let server = Home::with_config(HAUNT).start(&[]).await;
    let here = at("10.9.42.107:8100");
    let of = |domain: usize| {
        let mut group = group(APP, here, "nova");
        group["Namespace"] = json!(format!("com.{domain}"));
        group
    };
    let first: Vec<Value> = (0..16).map(of).collect();
    assert_eq!(post(&server, "/register", &body(&first)).await.status, 200);
    let reply = post(&server, "/register", &body(&[of(16), group("pay", here, "nova")])).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    let why = reply.body["msg"].as_str().unwrap();
    assert!(why.contains("would have more than 16 groups"), "{why}");
    assert_eq!(server.get("/v1/apps/pay").await.status, 404, "nothing of the call is done");
    assert_eq!(post(&server, "/register", &body(&first)).await.status, 200);
    assert_eq!(post(&server, "/unregister", &body(&[of(3)])).await.status, 200);
    assert_eq!(post(&server, "/register", &body(&[of(16)])).await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_saved_is_registered_all_the_same_and_saved_later() {
    let home = Home::with_config(HAUNT);
    let server = home.start(&[]).await;
    // In the place of the file: nothing can be written over it.
    let file = home.path("data/compat-haunt.json");
    std::fs::create_dir_all(file.join("in-the-way")).unwrap();
    let here = at("10.9.42.107:8100");
    let call = body(&[group(APP, here, "nova")]);
    for _ in 0..2 {
        let reply = post(&server, "/register", &call).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    shows(&server, &[record(here)]).await;
    let told = server.log().matches("cannot save what haunt clients registered").count();
    assert_eq!(told, 1, "{}", server.log());
    std::fs::remove_dir_all(&file).unwrap();
    until("it is saved", async || file.is_file()).await;
    assert!(std::fs::read_to_string(&file).unwrap().contains("10-9-42-107-8100"));
}

#[tokio::test]
async fn a_saved_file_that_cannot_be_read_is_named_at_the_start() {
    let home = Home::with_config(HAUNT);
    let broken = r#"{"version":1,"saved":[{"app":"A b","id":"i","domain":"","instance":{}}]}"#;
    for content in ["{", broken] {
        home.write("data/compat-haunt.json", content);
        let refused = home.refuse(&[]).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.said.contains("data/compat-haunt.json: "), "{refused:?}");
        assert!(refused.said.contains("restore that file, or take it away"), "{refused:?}");
    }
}

/// PHP with its curl, from this machine or as `./dev test` unpacked that beside it.
fn php_with_curl() -> Command {
    let mut php = Command::new("php");
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/usr/lib/php");
    let versions = std::fs::read_dir(unpacked).into_iter().flatten();
    let mut files = versions.map(|version| version.unwrap().path().join("curl.so"));
    if let Some(file) = files.find(|file: &PathBuf| file.is_file()) {
        php.arg("-d").arg(format!("extension={}", file.display()));
    }
    php
}

/// As zanphp/etcd-registry sends it (src/Utils/Curl.php, src/ServerRegister.php).
const ZAN: &str = r#"
    $groups = json_decode($argv[3], true);
    $body = json_encode(["SrvList" => $groups]);
    $headers = ["Content-Type" => "application/json"];
    $curl = curl_init();
    curl_setopt($curl, CURLOPT_URL, "http://" . $argv[1] . "/" . $argv[2]);
    curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
    curl_setopt($curl, CURLOPT_HTTPHEADER, $headers);
    curl_setopt($curl, CURLOPT_POST, true);
    curl_setopt($curl, CURLOPT_POSTFIELDS, $body);
    curl_setopt($curl, CURLOPT_TIMEOUT_MS, 20000);
    $said = curl_exec($curl);
    echo json_encode([curl_errno($curl), curl_getinfo($curl, CURLINFO_HTTP_CODE), json_decode($said, true)]);
"#;

#[tokio::test]
async fn with_php_curl_zan_registers_and_goes() {
    let server = Home::with_config(HAUNT).start(&[]).await;
    let here = at("10.9.42.107:8100");
    let mut groups = vec![group(APP, here, "nova")];
    // Above 1 KiB older curls ask for leave to send the body.
    let services = json!([{"language": "php", "service": "a.b.C", "methods": vec!["m"; 1_000]}]);
    groups[0]["ExtData"] = json!(services.to_string());
    let call = async |path: &str| {
        let mut php = php_with_curl();
        php.args(["-d", "display_errors=stderr", "-r", ZAN, "--"]);
        php.args([&address(&server, "haunt").to_string(), path, &json!(groups).to_string()]);
        serde_json::from_str::<Value>(&run(php).await.done()).unwrap()
    };
    let expected = json!([0, 200, {"code": 200, "msg": "ok", "registered": 1}]);
    assert_eq!(call("/register").await, expected);
    shows(&server, &[record(here)]).await;
    assert_eq!(call("/unregister").await[1], 200);
    until("it is gone", async || server.ask(SERVICE, SRV).await.status() == ResponseCode::NXDomain)
        .await;
}
