//! `rollcall import`: keys as other systems write them, and an embedded registry, into a real etcd, and what a server makes
//! of the copies.

use std::process::Stdio;
use std::time::Duration;

use hickory_proto::rr::RecordType::SRV;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rollcall::registry::{LeaseId, Registry as _, Txn, Write};
use serde_json::{Value, json};

use crate::support::etcd::Etcd;
use crate::support::server::{Home, Ran, Server, run};
use crate::support::until;

/// One key as a system writes it, and the SRV record that its copy is.
struct Golden {
    from: &'static str,
    key: &'static str,
    value: &'static str,
    record: &'static str,
}

const GOLDEN: [Golden; 10] = [
    Golden {
        from: "nova:nova:com.youzan.service/",
        key: "nova:com.youzan.service/scrm-customer-base/10.9.42.107:8100",
        value: r#"{"Namespace":"com.youzan.service","SrvName":"scrm-customer-base","IP":"10.9.42.107","Port":8100,"Protocol":"nova","Status":1,"Weight":100,"ExtData":"[{\"language\":\"php\",\"service\":\"com.youzan.scrm.customer.service.CustomerService\",\"methods\":[\"getById\"]}]"}"#,
        record: "_nova._tcp.scrm-customer-base.svc. SRV 10 100 8100 10-9-42-107-8100.scrm-customer-base.svc.",
    },
    Golden {
        from: "go-micro:/micro/registry/",
        key: "/micro/registry/go.micro.srv.greeter/go.micro.srv.greeter-6f1a0c6e",
        value: r#"{"name":"go.micro.srv.greeter","version":"1.4.2","metadata":null,"endpoints":[],"nodes":[{"id":"go.micro.srv.greeter-6f1a0c6e","address":"10.0.0.12:41233","metadata":{"protocol":"grpc"}}]}"#,
        record: "_grpc._tcp.go.micro.srv.greeter.svc. SRV 10 100 41233 go-micro-srv-greeter-6f1a0c6e.go.micro.srv.greeter.svc.",
    },
    Golden {
        from: "go-micro:/micro-registry/",
        key: "/micro-registry/pay/pay-1",
        value: r#"{"name":"pay","nodes":[{"id":"pay-1","address":"10.0.0.13","port":80}]}"#,
        record: "_mucp._tcp.pay.svc. SRV 10 100 80 pay-1.pay.svc.",
    },
    Golden {
        from: "grpc:services/",
        key: "services/teller/10.0.0.5:9000",
        value: r#"{"Op":0,"Addr":"10.0.0.5:9000","Metadata":{"weight":10}}"#,
        record: "_grpc._tcp.teller.svc. SRV 10 100 9000 10-0-0-5-9000.teller.svc.",
    },
    Golden {
        from: "kratos:/microservices/",
        key: "/microservices/helloworld/h1",
        value: r#"{"id":"h1","name":"helloworld","version":"v1.2","metadata":{"region":"a"},"endpoints":["http://10.0.0.8:8000?isSecure=false","grpc://10.0.0.8:9000?isSecure=false"]}"#,
        record: "_http._tcp.helloworld.svc. SRV 10 100 8000 h1.helloworld.svc.",
    },
    Golden {
        from: "go-zero:user.rpc/",
        key: "user.rpc/7587870460981677828",
        value: "10.0.0.7:8080",
        record: "_grpc._tcp.user.rpc.svc. SRV 10 100 8080 7587870460981677828.user.rpc.svc.",
    },
    Golden {
        from: "dubbo:/services/",
        key: "/services/user-srv/10.0.0.5:20000",
        value: r#"{"ID":"10.0.0.5:20000","ServiceName":"user-srv","Host":"10.0.0.5","Port":20000,"Weight":0,"Enable":true,"Healthy":true,"Metadata":{}}"#,
        record: "_dubbo._tcp.user-srv.svc. SRV 10 100 20000 10-0-0-5-20000.user-srv.svc.",
    },
    Golden {
        from: "dubbo:/dubbo/",
        key: "/dubbo/com.x.UserProvider/providers/dubbo%3A%2F%2F10.0.0.5%3A20000%2Fcom.x.UserProvider%3Fapplication%3Duser-srv",
        value: "",
        record: "_dubbo._tcp.com.x.userprovider.svc. SRV 10 100 20000 10-0-0-5-20000-dubbo.com.x.userprovider.svc.",
    },
    Golden {
        from: "registrator:/containers/",
        key: "/containers/redis/node1:redis.0:6379",
        value: "192.168.1.102:10000",
        record: "_redis._tcp.redis.svc. SRV 10 100 10000 node1-redis-0-6379.redis.svc.",
    },
    Golden {
        from: "url:/prefix/",
        key: "/prefix/orders/a",
        value: "http://10.0.0.9:80",
        record: "_http._tcp.orders.svc. SRV 10 100 80 a.orders.svc.",
    },
];

impl Golden {
    /// What it is asked for by.
    fn name(&self) -> &str {
        self.record.split(' ').next().unwrap()
    }
}

/// An etcd with a lease, to which keys are bound.
pub(crate) struct World {
    pub(crate) etcd: Etcd,
    pub(crate) lease: LeaseId,
}

impl World {
    pub(crate) async fn new() -> Self {
        let etcd = Etcd::start().await;
        let lease = etcd.registry().await.grant(3_600).await.unwrap().lease;
        Self { etcd, lease }
    }

    pub(crate) async fn put(&self, key: &str, value: &str, lease: Option<LeaseId>) {
        let (key, value) = (key.to_owned().into(), value.to_owned().into());
        let txn = Txn { preconditions: Vec::new(), writes: vec![Write::Put { key, value, lease }] };
        self.etcd.registry().await.commit(txn).await.unwrap();
    }

    pub(crate) async fn import(&self, arguments: &[&str]) -> Ran {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rollcall"));
        command.args(["import", "--etcd", &self.etcd.url()]).args(arguments);
        run(command).await
    }

    pub(crate) async fn report(&self, arguments: &[&str]) -> (i32, Value) {
        let ran = self.import(&[arguments, &["--json"]].concat()).await;
        let report = serde_json::from_str(&ran.out).unwrap_or_else(|why| panic!("{why}: {ran:?}"));
        (ran.code, report)
    }

    async fn serve(&self, home: &Home) -> Server {
        home.start(&["--etcd", &self.etcd.url()]).await
    }
}

/// How many were copied, changed and unchanged.
fn counts(report: &Value) -> [usize; 3] {
    let length = |field: &str| report[field].as_array().unwrap().len();
    [length("copied"), length("changed"), report["unchanged"].as_u64().unwrap().try_into().unwrap()]
}

fn reasons(report: &Value) -> Vec<String> {
    let skipped = report["skipped"].as_array().unwrap().iter();
    skipped
        .map(|one| format!("{}: {}", one["key"].as_str().unwrap(), one["reason"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn copies_of_every_system_answer_and_end_with_their_originals() {
    let world = World::new().await;
    for golden in &GOLDEN {
        world.put(golden.key, golden.value, Some(world.lease)).await;
    }
    for golden in &GOLDEN {
        let (code, report) = world.report(&["--from", golden.from]).await;
        assert_eq!((code, counts(&report)), (0, [1, 0, 0]), "{}: {report}", golden.from);
    }
    let home = Home::new();
    let server = world.serve(&home).await;
    for golden in &GOLDEN {
        let records = server.ask(golden.name(), SRV).await.records();
        assert_eq!(records, [golden.record], "{}", golden.from);
    }
    // A second time, nothing is written.
    let before = world.etcd.revision().await;
    for golden in &GOLDEN {
        let (code, report) = world.report(&["--from", golden.from]).await;
        assert_eq!((code, counts(&report)), (0, [0, 0, 1]), "{}: {report}", golden.from);
    }
    assert_eq!(world.etcd.revision().await, before);
    // The apps' own lease is all that holds them.
    world.etcd.registry().await.revoke(world.lease).await.unwrap();
    for golden in &GOLDEN {
        let gone = async || server.ask(golden.name(), SRV).await.records().is_empty();
        until(&format!("the copy of {} is gone", golden.key), gone).await;
    }
}

#[tokio::test]
async fn what_cannot_be_copied_is_listed_with_the_reason() {
    let world = World::new().await;
    let lease = Some(world.lease);
    world.put("/s/web/good", "10.0.0.1:80", lease).await;
    world.put("/s/web/broken", "10.0.0.1", lease).await;
    world.put("/s/web/named", "web.example.org:80", lease).await;
    world.put("/s/web/permanent", "10.0.0.2:80", None).await;
    let from = ["--from", "registrator:/s/"];
    let no_lease = "/s/web/permanent: it has no lease, so that its copy would stay for ever: --permanent copies it";
    let skipped = [
        "/s/web/broken: \"10.0.0.1\" has no port",
        "/s/web/named: it is known by the host name web.example.org, and only addresses can be copied",
        no_lease,
    ];

    let (code, report) = world.report(&[&from[..], &["--dry-run"]].concat()).await;
    assert_eq!((code, counts(&report)), (1, [1, 0, 0]));
    assert_eq!(reasons(&report), skipped);
    assert!(world.etcd.keys("/rollcall/").await.is_empty(), "a dry run writes nothing");

    let (code, report) = world.report(&from).await;
    assert_eq!((code, counts(&report)), (1, [1, 0, 0]));
    assert_eq!(reasons(&report), skipped);
    let to = json!([{ "from": "registrator:/s/web/good", "to": "/rollcall/v1/default/instances/web/good" }]);
    assert_eq!(report["copied"], to);

    let (code, report) = world.report(&[&from[..], &["--permanent"]].concat()).await;
    assert_eq!((code, counts(&report)), (1, [1, 0, 1]));
    assert_eq!(reasons(&report), skipped[..2]);

    // In another namespace they are others.
    let elsewhere = world.import(&[&from[..], &["--namespace", "staging"]].concat()).await;
    assert_eq!(elsewhere.code, 1);
    let summary = "1 copied, 0 changed, 0 unchanged, 3 skipped\n";
    assert!(elsewhere.out.ends_with(summary), "{}", elsewhere.out);
    assert!(elsewhere.out.contains("| /s/web/broken "), "{}", elsewhere.out);
}

#[tokio::test]
async fn what_is_registered_is_overwritten_only_if_that_is_asked_for() {
    let world = World::new().await;
    let lease = Some(world.lease);
    let home = Home::new();
    let server = world.serve(&home).await;
    server.register("web", "i-1", json!({ "address": "10.0.0.9", "port": 9 })).await;
    world.put("/s/web/i-1", "10.0.0.1:80", lease).await;
    world.put("/s/web/i-2", "10.0.0.2:80", lease).await;
    let from = ["--from", "registrator:/s/"];
    let taken =
        ["registrator:/s/web/i-1: something is registered there already: --replace overwrites it"];

    let (code, report) = world.report(&from).await;
    assert_eq!((code, counts(&report)), (1, [1, 0, 0]), "{report}");
    assert_eq!(reasons(&report), taken);
    let addresses = async |id: &str| server.addresses(&format!("{id}.web.svc")).await;
    assert_eq!(addresses("i-1").await, ["i-1.web.svc. A 10.0.0.9"]);

    // A copy follows its original; what an app has registered since does not.
    world.put("/s/web/i-2", "10.0.0.3:80", lease).await;
    let (_, report) = world.report(&from).await;
    assert_eq!((counts(&report), reasons(&report).len()), ([0, 1, 0], 1), "{report}");
    until("the copy is changed", async || addresses("i-2").await == ["i-2.web.svc. A 10.0.0.3"])
        .await;
    let path = "/v1/apps/web/instances/i-2?incarnation=new";
    let reply = server.put(path, json!({ "address": "10.0.0.4", "port": 80 })).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let (_, report) = world.report(&from).await;
    assert_eq!((counts(&report), reasons(&report).len()), ([0, 0, 0], 2), "{report}");
    assert_eq!(addresses("i-2").await, ["i-2.web.svc. A 10.0.0.4"]);
    // Who takes a copy away leaves the original, and the lease that both have.
    world.put("/s/web/i-3", "10.0.0.5:80", lease).await;
    world.report(&from).await;
    until("there is a third", async || addresses("i-3").await.len() == 1).await;
    assert_eq!(server.delete("/v1/apps/web/instances/i-3").await.status, 200);
    assert!(addresses("i-3").await.is_empty());
    assert_eq!(world.etcd.keys("/s/").await.len(), 3);
    world.etcd.delete("/s/web/i-3").await;

    let (code, report) = world.report(&[&from[..], &["--replace"]].concat()).await;
    assert_eq!((code, counts(&report)), (0, [0, 2, 0]), "{report}");
    until("all are replaced", async || {
        addresses("i-1").await == ["i-1.web.svc. A 10.0.0.1"]
            && addresses("i-2").await == ["i-2.web.svc. A 10.0.0.3"]
    })
    .await;
}

#[tokio::test]
async fn what_has_a_copy_keeps_its_name_when_others_come() {
    let world = World::new().await;
    let lease = Some(world.lease);
    let from = ["--from", "registrator:/s/"];
    world.put("/s/idr/a_b", "10.0.0.1:80", lease).await;
    let (code, report) = world.report(&from).await;
    assert_eq!((code, counts(&report)), (0, [1, 0, 0]), "{report}");
    // Both are written as a-b, and this one is the smaller.
    world.put("/s/idr/a.b", "10.0.0.2:80", lease).await;
    let (code, report) = world.report(&from).await;
    assert_eq!((code, counts(&report)), (0, [1, 0, 1]), "{report}");
    assert_eq!(report["copied"][0]["from"], "registrator:/s/idr/a.b");
    let (code, report) = world.report(&from).await;
    assert_eq!((code, counts(&report)), (0, [0, 0, 2]), "{report}");
    let copies = world.etcd.keys("/rollcall/v1/default/instances/idr/").await;
    assert_eq!(copies.len(), 2, "{copies:?}");
    assert!(copies["/rollcall/v1/default/instances/idr/a-b"].contains("10.0.0.1"), "{copies:?}");
}

#[tokio::test]
async fn protocols_of_one_zan_server_are_one_copy_where_they_end_together() {
    let world = World::new().await;
    let other = world.etcd.registry().await.grant(3_600).await.unwrap().lease;
    for (protocol, port, lease) in [
        ("http", 8100, world.lease),
        ("nova", 8100, world.lease),
        ("http", 8200, world.lease),
        ("nova", 8200, other),
    ] {
        let key = format!("/{protocol}:com.youzan.service/two/10.8.5.1:{port}");
        let value = json!({
            "Namespace": "com.youzan.service", "SrvName": "two", "IP": "10.8.5.1", "Port": port,
            "Protocol": protocol, "Status": 1, "Weight": 100, "ExtData": "[]",
        });
        world.put(&key, &value.to_string(), Some(lease)).await;
    }
    let from = ["--from", "nova:/"];
    let (code, report) = world.report(&from).await;
    assert_eq!((code, counts(&report)), (0, [3, 0, 0]), "{report}");
    let (code, report) = world.report(&from).await;
    assert_eq!((code, counts(&report)), (0, [0, 0, 3]), "{report}");
    let home = Home::new();
    let server = world.serve(&home).await;
    let ports = async |protocol: &str| -> Vec<String> {
        let records = server.ask(&format!("_{protocol}._tcp.two.svc"), SRV).await.records();
        records.iter().map(|record| record.split(' ').nth(4).unwrap().to_owned()).collect()
    };
    for protocol in ["http", "nova"] {
        assert_eq!(ports(protocol).await, ["8100", "8200"], "{protocol}");
    }
    // What ends with another lease ends alone.
    world.etcd.registry().await.revoke(other).await.unwrap();
    until("one is gone", async || ports("nova").await == ["8100"]).await;
    assert_eq!(ports("http").await, ["8100", "8200"]);
}

#[tokio::test]
async fn programs_go_on_with_their_registrations_when_a_registry_moves_to_etcd() {
    let world = World::new().await;
    let home = Home::new();
    let server = home.start(&[]).await;
    let address = server.http.to_string();
    server
        .register("greeter", "quiet", json!({ "address": "10.0.0.8", "port": 80, "ttl": 3600 }))
        .await;
    server.put("/v1/apps/greeter/instances/quiet/offline", json!({ "reason": "deploy" })).await;
    let arguments = [
        "register",
        "greeter",
        "--port",
        "80",
        "--address",
        "10.0.0.7",
        "--id",
        "kept",
        "--ttl",
        "9s",
    ];
    let mut command = server.command(&arguments);
    let mut program =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let kept = "/v1/apps/greeter/instances/kept";
    until("it is registered", async || server.get(kept).await.status == 200).await;
    let incarnation = server.get(kept).await.body["incarnation"].clone();

    let data = home.path("data").display().to_string();
    let from = format!("embedded:{data}");
    // Not while the server has it.
    let ran = world.import(&["--from", &from]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("another process holds it: stop that process"), "{}", ran.err);
    assert_eq!(server.stop().await, 0);
    let (code, report) = world.report(&["--from", &from]).await;
    assert_eq!((code, counts(&report)), (0, [3, 0, 0]), "{report}");
    let (code, report) = world.report(&["--from", &from]).await;
    assert_eq!((code, counts(&report)), (0, [0, 0, 3]), "{report}");

    let home = Home::new();
    let server = home.start(&["--etcd", &world.etcd.url(), "--http", &address]).await;
    let app = server.get("/v1/apps/greeter").await.body;
    let states: Vec<_> =
        app["instances"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["online", "offline"], "{app}");
    assert_eq!(app["instances"][1]["offline"]["reason"], "deploy");
    // Its lease is renewed, and is the one that it had.
    let left = async || server.get(kept).await.body["lease_left"].as_u64().unwrap_or(0);
    let mut least = left().await;
    until("its lease is renewed", async || {
        let now = left().await;
        let renewed = now > least;
        least = now;
        tokio::time::sleep(Duration::from_millis(100)).await;
        renewed
    })
    .await;
    assert_eq!(server.get(kept).await.body["incarnation"], incarnation);
    kill(Pid::from_raw(program.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let code = tokio::task::spawn_blocking(move || program.wait()).await.unwrap().unwrap().code();
    assert_eq!(code, Some(0));
    assert_eq!(server.get(kept).await.status, 404);
}

#[tokio::test]
async fn sources_that_are_not_there_are_told_from_empty_ones() {
    let world = World::new().await;
    let home = Home::new();
    let nothing = world.import(&["--from", "registrator:/nothing/"]).await;
    assert_eq!(nothing.code, 1);
    assert!(nothing.err.contains("there is no key below /nothing/ in etcd"), "{nothing:?}");
    let directory = home.path("none").display().to_string();
    let none = world.import(&["--from", &format!("embedded:{directory}")]).await;
    assert_eq!(none.code, 1);
    assert!(none.err.contains(&format!("there is no registry in {directory}")), "{none:?}");
    assert!(!home.path("none").exists(), "a registry was made");
    let dead = crate::support::etcd::DeadEnd::new();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.args(["import", "--from", "url:/x/", "--etcd", &dead.url()]);
    let dead = run(command).await;
    assert_eq!(dead.code, 3, "{dead:?}");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command
        .args(["import", "--from", "url:/x/"])
        .env_remove("ROLLCALL_ETCD")
        .current_dir(home.path(""));
    let none = run(command).await;
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.err.contains("no etcd to copy into"), "{none:?}");
}
