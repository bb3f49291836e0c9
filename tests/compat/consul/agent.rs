//! Services and checks, from registration to DNS and out of it.

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use hickory_proto::rr::RecordType::SRV;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{CONFIG, World};
use crate::support::etcd::Etcd;
use crate::support::http::Http;
use crate::support::server::Home;
use crate::support::{certificates, until};

/// formats 4.3, with tags as go-micro's Go makes them.
fn greeter(ttl: &str) -> Value {
    json!({"ID": "greeter-6f1a0c6e", "Name": "greeter",
        "Tags": ["t-789caa562a28ca2fc94fcecf51b2524a2f2a4856aa05040000ffff468306d9",
            "v-789c32d433d13302040000ffff02dc00f4"],
        "Port": 41233, "Address": "10.0.0.12",
        "Check": {"TTL": ttl, "DeregisterCriticalServiceAfter": "1m5s"}, "Checks": null})
}

#[tokio::test]
async fn a_server_of_go_micro_lives_as_long_as_it_says_so() {
    let world = World::new().await;
    assert!(world.get("/v1/agent/host").await.is_object());
    world.register(greeter("1m0s")).await;
    assert_eq!(world.srv("_grpc._tcp.greeter.svc").await, [""; 0], "it has not passed yet");
    let listed = world.get("/v1/health/service/greeter?stale=").await;
    assert_eq!(listed[0]["Checks"][1]["Status"], "critical", "{listed}");

    world.put("/v1/agent/check/pass/service:greeter-6f1a0c6e?note=", Value::Null).await;
    let expected = ["_grpc._tcp.greeter.svc. SRV 10 100 41233 greeter-6f1a0c6e.greeter.svc."];
    assert_eq!(world.srv("_grpc._tcp.greeter.svc").await, expected, "shown before it is answered");
    assert_eq!(world.a("greeter.svc").await, ["greeter.svc. A 10.0.0.12"]);
    let txt = world.txt("greeter-6f1a0c6e._grpc._tcp.greeter.svc").await.join(" ");
    assert!(txt.contains("version=1.4.2") && txt.contains("protocol=grpc"), "{txt}");

    // What its client reads of it, without a word of which are passing.
    let listed = world.get("/v1/health/service/greeter?stale=").await;
    let service = &listed[0]["Service"];
    assert_eq!((&service["ID"], &service["Port"]), (&json!("greeter-6f1a0c6e"), &json!(41233)));
    assert_eq!(service["Tags"], greeter("")["Tags"], "as they were sent");
    let checks = world.get("/v1/health/checks/greeter").await;
    assert_eq!(checks[0]["CheckID"], "service:greeter-6f1a0c6e", "{checks}");
    assert_eq!(checks[0]["Status"], "passing", "{checks}");
    assert!(world.get("/v1/catalog/services").await["greeter"].is_array());

    world.put("/v1/agent/service/deregister/greeter-6f1a0c6e", Value::Null).await;
    world.has("greeter.svc", 0).await;
    assert_eq!(world.get("/v1/health/service/greeter").await, json!([]));
    let said = world.call("PUT", "/v1/agent/check/pass/service:greeter-6f1a0c6e", None).await;
    assert_eq!(said.0, 404, "its client registers again then: {said:?}");
    // Once more is no error.
    world.put("/v1/agent/service/deregister/greeter-6f1a0c6e", Value::Null).await;
}

#[tokio::test]
async fn one_that_falls_silent_is_taken_out_and_comes_back() {
    let world = World::new().await;
    world.register(greeter("1s")).await;
    for _ in 0..2 {
        world.put("/v1/agent/check/pass/service%3Agreeter-6f1a0c6e", Value::Null).await;
        assert_eq!(world.a("greeter.svc").await, ["greeter.svc. A 10.0.0.12"]);
        world.has("greeter.svc", 0).await;
        let checks = world.get("/v1/agent/checks").await;
        let check = &checks["service:greeter-6f1a0c6e"];
        assert_eq!(
            (&check["Status"], &check["Output"]),
            (&json!("critical"), &json!("TTL expired"))
        );
        assert!(world.get("/v1/agent/services").await["greeter-6f1a0c6e"].is_object());
    }
}

#[tokio::test]
async fn what_kratos_registers_is_an_instance_with_all_its_endpoints() {
    let world = World::new().await;
    world
        .register(json!({"ID": "h1", "Name": "helloworld", "Tags": ["version=v1.2"], "Meta": {"region": "a"},
            "TaggedAddresses": {
                "grpc": {"Address": "grpc://10.0.0.8:9000?isSecure=false", "Port": 9000},
                "http": {"Address": "http://10.0.0.8:8000?isSecure=false", "Port": 8000}},
            "Address": "10.0.0.8", "Port": 8000,
            "Checks": [{"CheckID": "service:h1", "TTL": "20s", "Status": "passing",
                "DeregisterCriticalServiceAfter": "600s"}]}))
        .await;
    for (protocol, port) in [("grpc", 9000), ("http", 8000)] {
        let name = format!("_{protocol}._tcp.helloworld.svc");
        assert_eq!(
            world.srv(&name).await,
            [format!("{name}. SRV 10 100 {port} h1.helloworld.svc.")]
        );
    }
    let update = |status: &str| json!({"Status": status, "Output": status});
    world.put("/v1/agent/check/update/service:h1", update("critical")).await;
    world.has("helloworld.svc", 0).await;
    world.put("/v1/agent/check/update/service:h1", update("passing")).await;
    assert_eq!(world.a("helloworld.svc").await, ["helloworld.svc. A 10.0.0.8"]);
    // Its reader takes the endpoints from where it wrote them.
    let listed = world.get("/v1/health/service/helloworld?passing=1").await;
    let tagged = &listed[0]["Service"]["TaggedAddresses"];
    assert_eq!(tagged["grpc"]["Address"], "grpc://10.0.0.8:9000?isSecure=false", "{listed}");
}

#[tokio::test]
async fn what_registrator_registers_is_checked_by_us() {
    let world = World::new().await;
    assert!(world.get("/v1/status/leader").await.as_str().unwrap().ends_with(":8300"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let body = json!({"ID": "node1:redis.0:6379", "Name": "redis", "Port": 6379,
        "Tags": ["master", "not a label"], "Address": "192.168.1.102", "Meta": {"region": "us2"},
        "Check": {"TCP": address.to_string(), "Interval": "1s", "Timeout": "1s"}});
    world.register(body).await;
    world.has("redis.svc", 1).await;
    let expected = ["_redis._tcp.redis.svc. SRV 10 100 6379 node1-redis-0-6379.redis.svc."];
    assert_eq!(world.srv("_redis._tcp.redis.svc").await, expected);
    assert_eq!(world.a("master.redis.svc").await, ["master.redis.svc. A 192.168.1.102"]);
    drop(listener);
    world.has("redis.svc", 0).await;
    let _listener = TcpListener::bind(address).await.unwrap();
    world.has("redis.svc", 1).await;
    let services = world.get("/v1/agent/services").await;
    assert_eq!(services["node1:redis.0:6379"]["Service"], "redis", "{services}");
    world.put("/v1/agent/service/deregister/node1:redis.0:6379", Value::Null).await;
    world.has("redis.svc", 0).await;
}

#[tokio::test]
async fn http_checks_are_asked_and_a_warning_has_a_weight_of_its_own() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let code = Arc::new(AtomicU16::new(200));
    let mut web = JoinSet::new();
    let says = code.clone();
    web.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1_024];
            let _ = stream.read(&mut request).await;
            let reply = format!("HTTP/1.1 {} So\r\ncontent-length: 0\r\n\r\n", says.load(Relaxed));
            let _ = stream.write_all(reply.as_bytes()).await;
        }
    });
    world
        .register(json!({"Name": "web", "Port": 80, "Address": "10.0.0.7",
            "Weights": {"Passing": 10, "Warning": 2},
            "Check": {"HTTP": format!("http://{address}/healthy"), "Interval": "1s"}}))
        .await;
    let name = "_http._tcp.web.svc";
    for (said, records) in
        [(200, vec!["1000"]), (429, vec!["200"]), (500, vec![]), (204, vec!["1000"])]
    {
        code.store(said, Relaxed);
        let expected: Vec<_> = records
            .into_iter()
            .map(|weight| format!("{name}. SRV 10 {weight} 80 10-0-0-7-80.web.svc."))
            .collect();
        until(&format!("{said} shows"), async || world.srv(name).await == expected).await;
    }
}

#[tokio::test]
async fn http_checks_over_tls_ask_for_a_certificate_that_is_trusted_or_for_any() {
    let tls = "[http.tls]\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n";
    let home = Home::with_config(&format!("{tls}{CONFIG}"));
    certificates::make(&home.path(""), "127.0.0.1");
    let server = home.spawn(&[]).await;
    let url = format!("https://{}/livez", server.http);
    let world = World { home, server };
    for (name, check) in [
        ("any", json!({"HTTP": url, "Interval": "1s", "TLSSkipVerify": true})),
        ("trusted", json!({"HTTP": url, "Interval": "1s"})),
    ] {
        world
            .register(json!({"Name": name, "Port": 80, "Address": "10.0.0.1", "Check": check}))
            .await;
    }
    world.has("any.svc", 1).await;
    until("it is said why", async || {
        let checks = world.get("/v1/agent/checks").await;
        let output = checks["service:trusted"]["Output"].as_str().unwrap();
        output.contains("its certificate is not to be trusted: its authority is unknown here")
    })
    .await;
    assert_eq!(world.a("trusted.svc").await, [""; 0]);
}

#[tokio::test]
async fn maintenance_takes_out_a_service_or_all_of_them() {
    let world = World::new().await;
    for (name, address) in [("one", "10.0.0.1"), ("two", "10.0.0.2")] {
        world.register(json!({"Name": name, "Port": 80, "Address": address})).await;
        world.has(&format!("{name}.svc"), 1).await;
    }
    world.put("/v1/agent/service/maintenance/one?enable=true&reason=so", Value::Null).await;
    world.has("one.svc", 0).await;
    let listed = world.get("/v1/health/service/one").await;
    let checks = listed[0]["Checks"].as_array().unwrap();
    let marked =
        checks.iter().find(|check| check["CheckID"] == "_service_maintenance:one").unwrap();
    assert_eq!((&marked["Status"], &marked["Notes"]), (&json!("critical"), &json!("so")));
    assert_eq!(world.get("/v1/health/service/one?passing").await, json!([]));
    world.put("/v1/agent/service/maintenance/one?enable=false", Value::Null).await;
    world.has("one.svc", 1).await;
    world.put("/v1/agent/maintenance?enable=true", Value::Null).await;
    for name in ["one.svc", "two.svc"] {
        world.has(name, 0).await;
    }
    world.put("/v1/agent/maintenance?enable=false", Value::Null).await;
    for name in ["one.svc", "two.svc"] {
        world.has(name, 1).await;
    }
    // What an operator does here is maintenance to Consul's clients.
    let marked = world.server.put("/v1/apps/two/instances/10-0-0-2-80/offline", json!({})).await;
    assert_eq!(marked.status, 200, "{marked:?}");
    let passing = async || world.get("/v1/health/service/two?passing").await;
    until("it is shown", async || passing().await == json!([])).await;
    for (path, status) in [
        ("/v1/agent/service/maintenance/none?enable=true", 404),
        ("/v1/agent/service/maintenance/one", 400),
        ("/v1/agent/maintenance?enable=maybe", 400),
    ] {
        assert_eq!(world.call("PUT", path, None).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn what_was_registered_outlives_its_server() {
    let mut world = World::new().await;
    world.register(greeter("30s")).await;
    world.put("/v1/agent/check/pass/service:greeter-6f1a0c6e", Value::Null).await;
    world.register(json!({"Name": "gone", "Port": 80, "Address": "10.0.0.3"})).await;
    world.put("/v1/agent/service/deregister/gone", Value::Null).await;
    let before = world.server.get("/v1/apps/greeter/instances/greeter-6f1a0c6e").await.body;
    // How a check stands is saved a moment later.
    let saved = world.home.path("data/compat-consul.json");
    until("it is saved", async || {
        std::fs::read_to_string(&saved).unwrap().contains("\"status\":\"passing\"")
    })
    .await;
    let World { home, server } = world;
    server.kill().await;
    world = World::start(home, &[]).await;
    world.has("greeter.svc", 1).await;
    let after = world.server.get("/v1/apps/greeter/instances/greeter-6f1a0c6e").await.body;
    assert_eq!(after["revision"], before["revision"], "nothing was written anew: {after}");
    let services = world.get("/v1/agent/services").await;
    assert_eq!(services.as_object().unwrap().len(), 1, "{services}");
    world.put("/v1/agent/check/pass/service:greeter-6f1a0c6e", Value::Null).await;
    world.put("/v1/agent/check/fail/service:greeter-6f1a0c6e", Value::Null).await;
    world.has("greeter.svc", 0).await;
}

#[tokio::test]
async fn ids_are_those_of_an_agent_however_fast_another_one_has_the_same() {
    let etcd = Etcd::start().await;
    let url = etcd.url();
    let flags = ["--etcd", &*url];
    let start = || World::start(Home::with_config(CONFIG), &flags);
    let (one, other) = tokio::join!(start(), start());
    let register = async |world: &World, host: usize| {
        for n in 0..8 {
            let check = json!({"TTL": "5m", "Status": "passing"});
            let service = json!({"ID": format!("web-{n}"), "Name": "web", "Port": 80,
                "Address": format!("10.0.{n}.{host}"), "Check": check});
            world.register(service).await;
        }
    };
    tokio::join!(register(&one, 1), register(&other, 2));
    one.has("web.svc", 16).await;
    other.has("web.svc", 16).await;
    // Registered again they are what they were; and each is taken away by its own agent alone.
    let serial = one.server.serial("svc").await;
    tokio::join!(register(&one, 1), register(&other, 2));
    assert_eq!(one.server.serial("svc").await, serial);
    for n in 0..8 {
        one.put(&format!("/v1/agent/service/deregister/web-{n}"), Value::Null).await;
    }
    one.has("web.svc", 8).await;
    other.has("web.svc", 8).await;
    assert!(other.a("web.svc").await.iter().all(|record| record.ends_with(".2")));
}

#[tokio::test]
async fn what_died_while_its_server_was_away_is_not_served_again() {
    let world = World::new().await;
    let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for (name, listener) in [("alive", &alive), ("dead", &dead)] {
        let check = json!({"TCP": listener.local_addr().unwrap(), "Interval": "10m"});
        let body = json!({"Name": name, "Port": 80, "Address": "10.0.0.3", "Check": check});
        world.register(body).await;
        world.has(&format!("{name}.svc"), 1).await;
    }
    world.register(greeter("30s")).await;
    world.put("/v1/agent/check/pass/service:greeter-6f1a0c6e", Value::Null).await;
    let path = world.home.path("data/compat-consul.json");
    let read = || std::fs::read_to_string(&path).unwrap();
    let passing = "\"status\":\"passing\"";
    until("it is saved", async || read().matches(passing).count() == 3).await;
    let World { home, server } = world;
    server.kill().await;
    drop(dead);
    // The last word of its owner was an hour ago.
    let mut saved: Value = serde_json::from_str(&read()).unwrap();
    for service in saved["saved"]["services"].as_array_mut().unwrap() {
        let until = &mut service["checks"][0]["until"];
        *until = until.as_u64().map_or(Value::Null, |until| (until - 3_600_000).into());
    }
    std::fs::write(&path, saved.to_string()).unwrap();
    let world = World::start(home, &[]).await;
    for name in ["greeter.svc", "dead.svc"] {
        world.has(name, 0).await;
    }
    world.has("alive.svc", 1).await;
    world.put("/v1/agent/check/pass/service:greeter-6f1a0c6e", Value::Null).await;
    world.has("greeter.svc", 1).await;
    until("it is saved", async || read().matches(passing).count() == 2).await;

    // Where the registry has nothing of it any more, nobody is sent there before it was asked.
    let World { home, server } = world;
    server.kill().await;
    std::fs::remove_file(home.path("data/registry.redb")).unwrap();
    drop(alive);
    let world = World::start(home, &[]).await;
    world.has("greeter.svc", 1).await;
    assert_eq!(world.a("alive.svc").await, [""; 0]);
}

#[tokio::test]
async fn a_thousand_malformed_calls_register_nothing() {
    let world = World::new().await;
    let bodies: [&'static [u8]; 10] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{\"Name\":7}",
        b"{\"Name\":\"\"}",
        b"{\"Name\":\"a\",\"Port\":-1}",
        b"{\"Name\":\"a\",\"Check\":{\"TTL\":\"x\"}}",
        b"{\"Name\":\"::\"}",
    ];
    let paths = [
        "service/register",
        "check/register",
        "check/update/service:a",
        "service/register?x=%ff",
        "check/pass/%ff",
    ];
    let mut http = Http::connect(world.agent()).await.unwrap();
    for i in 0..1_000 {
        let (body, path) = (bodies[i % 10], format!("/v1/agent/{}", paths[i / 10 % 5]));
        let reply = http.send_octets("PUT", &path, "", body.into()).await.unwrap();
        assert!((400..500).contains(&reply.status), "{path} {body:?}: {reply:?}");
    }
    assert_eq!(world.get("/v1/agent/services").await, json!({}));
    assert_eq!(world.get("/v1/agent/checks").await, json!({}));
    assert_eq!(world.get("/v1/catalog/services").await, json!({}));
    assert_eq!(world.server.get("/v1/apps").await.body["apps"], json!([]));
    world.register(json!({"Name": "well", "Port": 80, "Address": "10.0.0.1"})).await;
    assert_eq!(world.server.ask("well.svc", SRV).await.records().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_a_reason() {
    let world = World::new().await;
    let register = "/v1/agent/service/register";
    for (method, path, body, status, why) in [
        (
            "PUT",
            register,
            json!({"Name": "a", "Check": {"Args": ["x"], "Interval": "1s"}}),
            400,
            "Scripts are disabled",
        ),
        (
            "PUT",
            register,
            json!({"Name": "a", "Address": "0.0.0.0"}),
            400,
            "Invalid service address",
        ),
        ("PUT", register, json!({"Name": "a", "Tags": ["x".repeat(200_000)]}), 413, "at most"),
        ("POST", register, json!({"Name": "a"}), 405, ""),
        ("PUT", "/v1/kv/a/b", json!("x"), 501, "no keys and values"),
        ("GET", "/v1/nothing", Value::Null, 404, "Invalid URL path"),
        ("GET", "/v1/agent/service/none", Value::Null, 404, "unknown service ID"),
        ("GET", "/v1/health/service/a?filter=x", Value::Null, 400, "filter is not known here"),
        ("GET", "/v1/health/service/a?index=x", Value::Null, 400, "Invalid index"),
        ("GET", "/v1/health/service/a?passing=x", Value::Null, 400, "Invalid value for ?passing"),
    ] {
        let body = Some(body).filter(|body| !body.is_null());
        let (code, said) = world.call(method, path, body.as_ref()).await;
        assert_eq!(code, status, "{path}: {said}");
        assert!(said.as_str().unwrap().contains(why), "{path}: {said}");
    }
    assert_eq!(world.get("/v1/agent/services").await, json!({}));
}

#[tokio::test]
async fn a_service_without_an_address_is_where_it_calls_from_and_names_are_resolved() {
    let world = World::new().await;
    world.register(json!({"Name": "here", "Port": 80})).await;
    assert_eq!(world.a("here.svc").await, ["here.svc. A 127.0.0.1"]);
    world.register(json!({"ID": "n", "Name": "named", "Port": 80, "Address": "localhost"})).await;
    assert_eq!(world.a("n.named.svc").await, ["n.named.svc. A 127.0.0.1"]);
    // One that has none is kept, and in no answer.
    world.register(json!({"Name": "lost", "Port": 80, "Address": "nobody.invalid"})).await;
    assert_eq!(world.a("lost.svc").await, [""; 0]);
    let listed = world.get("/v1/health/service/lost").await;
    assert_eq!(listed[0]["Service"]["Address"], "nobody.invalid", "{listed}");
    // And it is told why.
    world.register(json!({"Name": "portless", "Check": {"TTL": "30s", "Status": "passing"}})).await;
    let checks = world.get("/v1/agent/checks").await;
    for (name, why) in [("lost", "its Address does not resolve"), ("portless", "without a Port")] {
        let said = checks[format!("_rollcall_dns:{name}")]["Notes"].as_str().unwrap_or_default();
        assert!(said.contains(why), "{name}: {checks}");
    }
    assert!(checks.get("_rollcall_dns:here").is_none(), "{checks}");
    let listed = world.get("/v1/health/service/portless?passing").await;
    assert_eq!(listed[0]["Checks"][2]["CheckID"], "_rollcall_dns:portless", "{listed}");
}

/// Where this host is for others, if it is anywhere: where its packets to them would come from. None is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("198.41.0.4:53").ok()?;
    Some(socket.local_addr().unwrap().ip()).filter(|address| !address.is_loopback())
}

#[tokio::test]
async fn a_service_without_an_address_is_where_others_find_it_if_they_may_ask() {
    let home = Home::with_config(CONFIG);
    let world = World::start(home, &["--dns", "0.0.0.0:0"]).await;
    world.register(json!({"Name": "here", "Port": 80})).await;
    let address = own_address().unwrap_or_else(|| [127, 0, 0, 1].into());
    assert_eq!(world.a("here.svc").await, [format!("here.svc. A {address}")]);
}

#[tokio::test]
async fn checks_of_other_hosts_lead_neither_here_nor_to_changes() {
    let config = "[compat.consul]\nlisten = \"0.0.0.0:0\"\nallow = [\"0.0.0.0/0\"]\n";
    let world = World::start(Home::with_config(config), &["--http", "127.0.0.1:0"]).await;
    let (api, port) = (world.server.http, world.agent().port());
    let register = async |host: IpAddr, check: Value| {
        let body = json!({"Name": "web", "Port": 80, "Address": "10.0.0.1", "Check": check});
        let mut http = Http::connect((host, port).into()).await.unwrap();
        let path = "/v1/agent/service/register";
        let reply = http.send("PUT", path, Some(&body)).await.unwrap();
        (reply.status, reply.body.as_str().unwrap_or_default().to_owned())
    };
    let http = |url: String, method: &str| json!({"HTTP": url, "Method": method, "Interval": "1s"});
    let local = [127, 0, 0, 1].into();
    // Without an address for others there are no others, and unit tests alone say what they may.
    if let Some(own) = own_address() {
        for (check, why) in [
            (http(format!("http://{api}/v1/apps"), "GET"), "is the loopback of"),
            (http(format!("http://localhost:{}/", api.port()), "GET"), "is the loopback of"),
            (http("http://169.254.169.254/latest".to_owned(), "GET"), "another host on each link"),
            (http(format!("http://{own}:{port}/v1/agent/self"), "GET"), "is rollcall itself"),
            (json!({"TCP": api, "Interval": "1s"}), "is the loopback of"),
            (http("http://10.0.0.1/x".to_owned(), "DELETE"), "use GET or HEAD"),
        ] {
            let (status, said) = register(own, check.clone()).await;
            assert_eq!(status, 400, "{check}: {said}");
            assert!(said.starts_with("Invalid check: ") && said.contains(why), "{check}: {said}");
            let mut alone = check.clone();
            alone["Name"] = json!("alone");
            let mut http = Http::connect((own, port).into()).await.unwrap();
            let reply = http.send("PUT", "/v1/agent/check/register", Some(&alone)).await.unwrap();
            assert_eq!(reply.status, 400, "{check}");
        }
        assert_eq!(world.get("/v1/agent/services").await, json!({}));
        let allowed = http("http://10.0.0.1/healthy".to_owned(), "GET");
        assert_eq!(register(own, allowed).await.0, 200);
    }
    // Here is the host's own business.
    let check = http(format!("http://{api}/livez"), "POST");
    assert_eq!(register(local, check).await.0, 200);
}
