//! The real binary under strain: writers that get in each other's way, strangers that send rubbish, a registry
//! that hangs while it is to stop, descriptors that run out.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, SRV};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;

use crate::support::ask::{ask, ask_tcp};
use crate::support::etcd::Etcd;
use crate::support::http::{Begun, Http, Reply};
use crate::support::running::Running;
use crate::support::server::{Home, Server};
use crate::support::{soon, until};

// ---- random histories ----------------------------------------------------------------------------

const APPS: [&str; 3] = ["a", "b", "a.b"];
const CLIENTS: usize = 4;
const STEPS: usize = 60;

/// What should be there of one id.
#[derive(Debug, Default)]
struct Slot {
    address: Option<u8>,
    marked: bool,
}

/// One client that writes its own id of every app, now through this server, now through that.
async fn write_at_random(servers: Vec<SocketAddr>, client: usize, seed: u64) -> [Slot; APPS.len()] {
    let mut random = fastrand::Rng::with_seed(seed.wrapping_add(client as u64));
    let mut slots = <[Slot; APPS.len()]>::default();
    let several = servers.len() > 1;
    let mut connections = Vec::new();
    for server in servers {
        connections.push(Http::connect(server).await.unwrap());
    }
    for step in 0..STEPS {
        let at = random.usize(..APPS.len());
        let slot = &mut slots[at];
        let path = format!("/v1/apps/{}/instances/i-{client}", APPS[at]);
        let http = random.choice(&mut connections).unwrap();
        let (reply, expected): (Reply, u16) = match random.u8(..5) {
            0 | 1 => {
                let address = random.u8(1..=250);
                let body =
                    json!({"address": format!("10.0.0.{address}"), "port": 9000, "ttl": 3600});
                let was = slot.address.replace(address);
                (send(http, "PUT", &path, Some(body)).await, if was.is_none() { 201 } else { 200 })
            }
            2 => {
                let was = slot.address.take();
                (send(http, "DELETE", &path, None).await, if was.is_some() { 200 } else { 404 })
            }
            3 => {
                let known = slot.address.is_some() || slot.marked;
                let reply = send(http, "PUT", &format!("{path}/offline"), Some(json!({}))).await;
                slot.marked = reply.status == 200;
                // A server that is a moment behind another one may mark what has just gone.
                let forgiven = several && slot.marked;
                (reply, if known || forgiven { 200 } else { 404 })
            }
            _ => {
                let known = slot.address.is_some() || slot.marked;
                slot.marked = false;
                let reply = send(http, "PUT", &format!("{path}/online"), Some(json!({}))).await;
                // To a server that is a moment behind, what has just gone is still there.
                let forgiven = several && reply.status == 200;
                (reply, if known || forgiven { 200 } else { 404 })
            }
        };
        assert_eq!(reply.status, expected, "seed {seed}, client {client}, step {step}: {reply:?}");
    }
    slots
}

async fn send(http: &mut Http, method: &str, path: &str, body: Option<Value>) -> Reply {
    http.send(method, path, body.as_ref()).await.unwrap()
}

/// Whatever the history, the servers end up with what their clients were told.
async fn servers_agree_with_their_clients(servers: &[&Server]) {
    let seed = fastrand::u64(..);
    let addresses: Vec<_> = servers.iter().map(|server| server.http).collect();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(write_at_random(addresses.clone(), client, seed));
    }
    let slots = soon("the clients' end", clients.join_all()).await;
    for (at, app) in APPS.iter().enumerate() {
        let name = format!("{app}.svc");
        let served = slots.iter().map(|slots| &slots[at]).filter(|slot| !slot.marked);
        let expected: BTreeSet<_> =
            served.filter_map(|slot| Some(format!("{name}. A 10.0.0.{}", slot.address?))).collect();
        for server in servers {
            let what = format!("seed {seed}: {name} is {expected:?}");
            until(&what, async || {
                let records: BTreeSet<_> = server.addresses(&name).await.into_iter().collect();
                records == expected
            })
            .await;
        }
    }
    let mut listings = Vec::new();
    for server in servers {
        let listing = server.get("/v1/apps").await;
        listings.push(listing.body["apps"].clone());
    }
    assert!(listings.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}: {listings:?}");
}

#[tokio::test]
async fn random_writes_on_embedded_end_as_their_writers_were_told() {
    let home = Home::new();
    let server = home.start(&[]).await;
    servers_agree_with_their_clients(&[&server]).await;
    let before = server.get("/v1/apps").await.body;
    assert_eq!(server.stop().await, 0);
    let server = home.start(&[]).await;
    assert_eq!(server.get("/v1/apps").await.body["apps"], before["apps"]);
}

#[tokio::test]
async fn random_writes_through_two_servers_end_as_their_writers_were_told() {
    let etcd = Etcd::start().await;
    let one = Home::new().start(&["--etcd", &etcd.url()]).await;
    let two = Home::new().start(&["--etcd", &etcd.url()]).await;
    servers_agree_with_their_clients(&[&one, &two]).await;
}

// ---- rolling restarts ----------------------------------------------------------------------------

#[tokio::test]
async fn an_old_process_does_not_take_its_successor_down() {
    let etcd = Etcd::start().await;
    let one = Home::new().start(&["--etcd", &etcd.url()]).await;
    let two = Home::new().start(&["--etcd", &etcd.url()]).await;
    let path = "/v1/apps/greeter/instances/i-1";
    let body = || json!({"address": "10.0.0.7", "port": 9000, "ttl": 3600});
    let incarnation = |reply: &Reply| reply.body["incarnation"].as_str().unwrap().to_owned();
    let old = incarnation(&one.put(&format!("{path}?incarnation=new"), body()).await);
    let new = incarnation(&two.put(&format!("{path}?incarnation=new"), body()).await);
    assert_ne!(old, new);
    let goodbye = one.delete(&format!("{path}?incarnation={old}")).await;
    assert_eq!(goodbye.status, 409, "{goodbye:?}");
    // Heartbeats go by what the server has seen so far.
    let late = format!("{path}/heartbeat?incarnation={old}");
    until("the old one hears of it", async || one.send("PUT", &late, None).await.status == 409)
        .await;
    let beat = one.send("PUT", &format!("{path}/heartbeat?incarnation={new}"), None).await;
    assert_eq!(beat.status, 200, "{beat:?}");
    for server in [&one, &two] {
        assert_eq!(server.addresses("greeter.svc").await, ["greeter.svc. A 10.0.0.7"]);
    }
    let gone = one.delete(&format!("{path}?incarnation={new}")).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    assert_eq!(one.ask("greeter.svc", A).await.status(), ResponseCode::NXDomain);
}

/// Of an address that no other test uses, so that nobody takes its ports while the server is away.
const OWN_PORTS: &str = "127.77.0.1:0";

#[tokio::test]
async fn clients_get_over_a_restart_that_forgot_everything() {
    let mut server = Home::new().start(&["--dns", OWN_PORTS, "--http", OWN_PORTS]).await;
    let (dns, http) = (server.dns[0].to_string(), server.http.to_string());
    let mut watch = Running::start(server.command(&["watch", "greeter", "--json"]));
    let register =
        ["register", "greeter", "--port", "9000", "--address", "10.0.0.7", "--ttl", "3s"];
    let mut keeper = Running::start(server.command(&register));
    let expected = ["greeter.svc. A 10.0.0.7"];
    until("it is registered", async || server.addresses("greeter.svc").await == expected).await;
    let causes = |watch: &Running| -> Vec<String> {
        let events = watch.out();
        let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.map(|event| event["cause"].as_str().unwrap().to_owned()).collect()
    };
    until("the watch is on", async || {
        for mark in ["offline", "online"] {
            let path = format!("/v1/apps/greeter/{mark}");
            assert_eq!(server.put(&path, json!({})).await.status, 200);
        }
        causes(&watch).iter().any(|cause| cause == "online")
    })
    .await;

    // Whoever is idle, or only listens, does not hold up the end.
    let _idle = TcpStream::connect(server.dns[0]).await.unwrap();
    let mut kept = Http::connect(server.http).await.unwrap();
    assert_eq!(kept.send("GET", "/livez", None).await.unwrap().status, 200);
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
    let log = server.log();
    assert!(
        log.contains(" stopped") && !log.contains("cut at") && !log.contains("unfinished"),
        "{log}"
    );

    let server = Home::new().start(&["--dns", &dns, "--http", &http]).await;
    until("it is registered again", async || server.addresses("greeter.svc").await == expected)
        .await;
    // What was missed is not passed over in silence.
    until("the watch is told", async || causes(&watch).iter().any(|cause| cause == "reset")).await;
    keeper.signal(Signal::SIGINT);
    assert_eq!(keeper.ended().await, 0, "{}", keeper.err());
    assert_eq!(server.ask("greeter.svc", A).await.status(), ResponseCode::NXDomain);
    until("the watch has told of it", async || causes(&watch).last().unwrap() == "departed").await;
    assert!(watch.runs());
}

// ---- stopping in trouble -------------------------------------------------------------------------

#[tokio::test]
async fn a_write_that_waits_for_the_registry_is_answered_before_the_end() {
    let etcd = Etcd::start().await;
    let mut server = Home::new().start(&["--etcd", &etcd.url()]).await;
    etcd.pause();
    let body = json!({"address": "10.0.0.7", "port": 9000});
    let write = Begun::put(server.http, "/v1/apps/greeter/instances/i-1", &body).await;
    server.terminate();
    let reply = write.finish().await;
    assert!(reply.starts_with("HTTP/1.1 503 ") && reply.contains("retry-after: 1\r\n"), "{reply}");
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_server_without_its_registry_stops_in_order() {
    let mut etcd = Etcd::start().await;
    etcd.stop().await;
    let server = Home::new().spawn(&["--etcd", &etcd.url()]).await;
    assert_eq!(server.stop().await, 0);
}

// ---- strangers -----------------------------------------------------------------------------------

/// A question for `greeter.svc` with some of its octets changed, or rubbish altogether.
fn rubbish(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut octets =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x07greeter\x03svc\x00\x00\x21\x00\x01\
                       \x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
            .to_vec();
    match random.u8(..3) {
        0 => {
            let length = random.usize(..300);
            octets = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
        }
        1 => octets.truncate(random.usize(..octets.len())),
        _ => {
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..octets.len());
                octets[at] = random.u8(..);
            }
        }
    }
    octets
}

#[tokio::test]
async fn rubbish_is_survived_without_a_word() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let server = Home::new().start(&[]).await;
    server.register("greeter", "i-1", json!({"address": "10.0.0.7", "port": 9000})).await;
    let log = server.log();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server.dns[0]).await.unwrap();
    for round in 0..40 {
        for _ in 0..50 {
            socket.send(&rubbish(&mut random)).await.unwrap();
        }
        let mut stream = TcpStream::connect(server.dns[0]).await.unwrap();
        // The server may close at any octet of it.
        let _ = stream.write_all(&rubbish(&mut random)).await;
        let mut http = TcpStream::connect(server.http).await.unwrap();
        let _ = http.write_all(&rubbish(&mut random)).await;
        let records = ask(server.dns[0], "greeter.svc", A).await.records();
        assert_eq!(records, ["greeter.svc. A 10.0.0.7"], "seed {seed}, round {round}");
    }
    assert_eq!(server.log(), log, "seed {seed}: a client can not make it write");
    let over_tcp = ask_tcp(server.dns[0], "_nova._tcp.greeter.svc", SRV).await;
    assert_eq!(over_tcp.records().len(), 1);
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn running_out_of_descriptors_harms_nobody_for_long() {
    // So that nobody's patience ends while descriptors are scarce.
    let server = Home::with_config("[dns]\ntcp_idle = \"10m\"\n").spawn_limited("-n 64").await;
    until("it is ready", async || server.get("/readyz").await.status == 200).await;
    server
        .register("greeter", "i-1", json!({"address": "10.0.0.7", "port": 9000, "ttl": 3600}))
        .await;
    let expected = ["greeter.svc. A 10.0.0.7"];
    let mut held = Vec::new();
    let warned = || {
        server.log().lines().filter(|line| line.contains("cannot accept dns connections")).count()
    };
    until("descriptors run out", async || {
        held.push(soon("a connection", TcpStream::connect(server.dns[0])).await.unwrap());
        warned() > 0
    })
    .await;
    // UDP never suffers, and on TCP who is idle makes room for who asks.
    for _ in 0..50 {
        assert_eq!(server.addresses("greeter.svc").await, expected);
    }
    for _ in 0..5 {
        assert_eq!(ask_tcp(server.dns[0], "greeter.svc", A).await.records(), expected);
    }
    assert_eq!(warned(), 1, "one line a minute:\n{}", server.log());

    drop(held);
    assert_eq!(ask_tcp(server.dns[0], "greeter.svc", A).await.records(), expected);
    assert_eq!(server.get("/readyz").await.status, 200);
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn room_is_made_for_as_many_connections_as_are_allowed() {
    // The hard limit of this process holds for the server too.
    let limits = |id: &str| -> (u64, u64) {
        let text = std::fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
        let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let mut words =
            line.split_whitespace().skip(3).map(|word| word.parse().unwrap_or(u64::MAX));
        (words.next().unwrap(), words.next().unwrap())
    };
    let server = Home::new().spawn_limited("-Sn 200").await;
    let (soft, hard) = limits(&server.id().to_string());
    assert_eq!(hard, limits("self").1);
    // What both sides allow by default, or all there is.
    assert!(soft >= hard.min(5_096), "{soft} of {hard}");
}

// ---- sets too big for any message ----------------------------------------------------------------

#[tokio::test]
async fn a_set_too_big_for_tcp_is_a_steady_sample_with_one_warning() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let endpoints: Vec<Value> = (0..16).map(|at| json!({"port": 9000 + at})).collect();
    for at in 0..110 {
        let body = json!({"address": "10.0.0.1", "endpoints": endpoints, "ttl": 3600});
        let id = format!("an-instance-with-a-long-name-{at}");
        server.register("crowd", &id, body).await;
    }
    let name = "_nova._tcp.crowd.svc.";
    let sample = ask_tcp(server.dns[0], name, SRV).await;
    assert!(!sample.0.metadata.truncation, "over TCP there is nothing to fall back to");
    let records: BTreeSet<String> = sample.records().into_iter().collect();
    assert!((500..110 * 16).contains(&records.len()), "{}", records.len());
    let again: BTreeSet<String> =
        ask_tcp(server.dns[0], name, SRV).await.records().into_iter().collect();
    assert_eq!(records, again, "one client sees the same each time");

    // Built again with every change, and still said once.
    let metrics = server.get("/metrics").await;
    let built = metrics.body.as_str().unwrap_or_default();
    assert!(!built.contains("rollcall_answers_oversized_total 0\n"), "{built}");
    assert_eq!(server.log().matches("do not fit a TCP message").count(), 1);
    assert_eq!(server.stop().await, 0);
}
