//! The laws of failure (docs/architecture.md) on the real binary, with a real etcd behind it where a
//! registry has to fail.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, NS, SRV};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::ask::{Vigil, ask};
use crate::support::etcd::Etcd;
use crate::support::server::{Home, Server};
use crate::support::until;

/// A refusal is to arrive within that time (docs/api.md, 503).
const REFUSED_WITHIN: Duration = Duration::from_secs(5);
const NOT_READY: Option<u16> = Some(14);

/// Serves from that etcd.
async fn start(home: &Home, etcd: &Etcd) -> Server {
    home.start(&["--etcd", &etcd.url()]).await
}

/// What `/readyz` says is wrong with the registry.
async fn trouble(server: &Server) -> Option<String> {
    let readiness = server.get("/readyz").await.body;
    readiness["sources"][0]["error"].as_str().map(ToOwned::to_owned)
}

/// Sends a write that can't be done now, asserts that it is refused in time, and gives the outcome.
async fn refused(server: &Server, method: &str, path: &str, body: Option<&Value>) -> String {
    let mut took = Vec::new();
    // Once in time proves the bound; a machine that is busy with other tests may be late once.
    for _ in 0..3 {
        let began = Instant::now();
        let reply = server.send(method, path, body).await;
        took.push(began.elapsed());
        assert_eq!((reply.status, reply.retry_after.as_deref()), (503, Some("1")), "{reply:?}");
        if began.elapsed() < REFUSED_WITHIN {
            return reply.body["error"]["outcome"].as_str().expect("an outcome").to_owned();
        }
    }
    panic!("{method} {path} is refused late: after {took:?}");
}

// ---- law 1: never NXDOMAIN or NODATA out of ignorance --------------------------------------------

#[tokio::test]
async fn nothing_is_denied_before_the_registry_was_read() {
    let mut etcd = Etcd::start().await;
    let key = "/rollcall/v1/default/instances/greeter/i-1";
    etcd.put(key, r#"{"address": "10.0.0.7", "port": 9000}"#).await;
    etcd.stop().await;

    let home = Home::with_config(
        "[[zone]]\nname = \"svc.\"\n[[zone]]\nname = \"static.example.\"\nnamespace = \"\"\nfile = \"s.zone\"\n",
    );
    home.write("zones/s.zone", "$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nns A 192.0.2.53\n");
    home.write("zones/svc.zone", "$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nns A 192.0.2.54\n");
    let server = home.spawn(&["--etcd", &etcd.url()]).await;
    for name in ["greeter.svc", "i-1.greeter.svc", "_nova._tcp.greeter.svc", "none.svc"] {
        for rtype in [A, SRV] {
            let answer = server.ask(name, rtype).await;
            let got = (answer.status(), answer.extended_error());
            assert_eq!(got, (ResponseCode::ServFail, NOT_READY), "{name} {rtype}");
            assert_eq!(answer.serial(), None, "no SOA: nothing is denied");
        }
    }
    assert!(server.serial("svc").await > 0);
    assert_eq!(server.ask("svc", NS).await.records(), ["svc. NS ns.svc."]);
    assert_eq!(server.addresses("ns.svc").await, ["ns.svc. A 192.0.2.54"], "static records stand");
    let other = "ns.static.example";
    assert_eq!(server.addresses(other).await, [format!("{other}. A 192.0.2.53")]);
    let none = server.ask("none.static.example", A).await;
    assert_eq!(none.status(), ResponseCode::NXDomain);

    until("the trouble is told", async || trouble(&server).await.is_some()).await;
    let readiness = server.get("/readyz").await;
    assert_eq!(readiness.status, 503);
    assert!(server.log().contains("registry not reached yet, trying on"), "{}", server.log());
    let source = &readiness.body["sources"][0];
    assert_eq!((&source["name"], &source["has_view"]), (&"etcd".into(), &false.into()));
    assert_eq!(source["prefix"], "/rollcall/v1/");
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.get("/v1/apps/greeter").await.status, 503, "not 404 out of ignorance");

    etcd.restart().await;
    until("the registry is read", async || server.get("/readyz").await.status == 200).await;
    assert_eq!(server.addresses("greeter.svc").await, ["greeter.svc. A 10.0.0.7"]);
    assert_eq!(server.ask("none.svc", A).await.status(), ResponseCode::NXDomain);
    until("nothing is wrong any more", async || trouble(&server).await.is_none()).await;
}

// ---- law 2: registry lost, answer on from memory -------------------------------------------------

/// Registers an app and keeps asking for its names.
async fn registered_and_watched(server: &Server) -> Vigil {
    let body = json!({"address": "10.0.0.7", "port": 9000, "ttl": 3600});
    server.register("greeter", "i-1", body).await;
    let service = "_nova._tcp.greeter.svc";
    let expected = vec![
        ("greeter.svc", A, vec!["greeter.svc. A 10.0.0.7".to_owned()]),
        (service, SRV, vec![format!("{service}. SRV 10 100 9000 i-1.greeter.svc.")]),
    ];
    Vigil::over(server.dns[0], expected)
}

const NEW: &str = "/v1/apps/other/instances/i-2";
const REGISTERED: &str = "/v1/apps/greeter/instances/i-1";
const MARK: &str = "/v1/apps/greeter/instances/i-1/offline";

#[tokio::test]
async fn a_stopped_registry_makes_no_name_blink() {
    let mut etcd = Etcd::start().await;
    let home = Home::new();
    let server = start(&home, &etcd).await;
    let vigil = registered_and_watched(&server).await;
    etcd.stop().await;

    until("the loss is told", async || trouble(&server).await.is_some()).await;
    assert!(server.log().contains("registry lost, serving what is known"), "{}", server.log());
    assert_eq!(server.get("/readyz").await.status, 200, "it answers on, so it is to be asked");
    let body = json!({"address": "10.0.0.8", "port": 9000});
    assert_eq!(refused(&server, "PUT", NEW, Some(&body)).await, "not done");
    assert_eq!(refused(&server, "PUT", MARK, None).await, "not done");
    assert_eq!(refused(&server, "DELETE", REGISTERED, None).await, "not done");
    let stale = async || ask(server.dns[0], "greeter.svc", A).await.extended_error();
    until("answers say that they may be stale", async || stale().await == Some(3)).await;

    etcd.restart().await;
    until("writes work again", async || server.put(NEW, body.clone()).await.status != 503).await;
    until("the registry is back", async || trouble(&server).await.is_none()).await;
    until("answers are fresh", async || stale().await.is_none()).await;
    let id = "i-2.other.svc";
    until("the new one is seen", async || {
        server.addresses(id).await == [format!("{id}. A 10.0.0.8")]
    })
    .await;
    let seen = vigil.end().await;
    assert!(seen.bad.is_empty() && seen.asked > 100, "{} asked: {:?}", seen.asked, seen.bad);
}

#[tokio::test]
async fn a_hung_registry_makes_no_name_blink() {
    let etcd = Etcd::start().await;
    let home = Home::new();
    let server = start(&home, &etcd).await;
    let vigil = registered_and_watched(&server).await;
    etcd.pause();

    let body = json!({"address": "10.0.0.8", "port": 9000});
    assert_eq!(refused(&server, "PUT", NEW, Some(&body)).await, "not done");
    // It was sent and may be done yet, once etcd goes on.
    assert_eq!(refused(&server, "PUT", MARK, None).await, "unknown");
    until("the loss is told", async || trouble(&server).await.is_some()).await;
    let seen = vigil.end().await;
    assert!(seen.bad.is_empty() && seen.asked > 100, "{} asked: {:?}", seen.asked, seen.bad);

    etcd.resume();
    until("marks work again", async || server.put(MARK, json!({})).await.status == 200).await;
    let back = "/v1/apps/greeter/instances/i-1/online";
    until("and back", async || server.put(back, json!({})).await.status == 200).await;
    assert_eq!(server.addresses("greeter.svc").await, ["greeter.svc. A 10.0.0.7"]);
    until("the registry is back", async || trouble(&server).await.is_none()).await;
}

// ---- law 4: one broken registration hides nothing else -------------------------------------------

#[tokio::test]
async fn a_broken_key_is_listed_and_hides_nothing() {
    let etcd = Etcd::start().await;
    let broken = "/rollcall/v1/default/instances/greeter/broken";
    let newer = "/rollcall/v1/default/instances/greeter/newer";
    etcd.put(broken, r#"{"address": "10.0.0.6", "port": "#).await;
    etcd.put(
        "/rollcall/v1/default/instances/greeter/good",
        r#"{"address": "10.0.0.7", "port": 9000}"#,
    )
    .await;
    let home = Home::new();
    let server = start(&home, &etcd).await;
    // One from before the start, one from after it.
    etcd.put(newer, r#"{"v": 2, "address": "10.0.0.5", "port": 9000}"#).await;
    let rejected = async || {
        let listed = server.get("/v1/rejected").await.body;
        listed["rejected"].as_array().unwrap().clone()
    };
    until("both are listed", async || rejected().await.len() == 2).await;
    let listed = rejected().await;
    assert_eq!((&listed[0]["key"], &listed[1]["key"]), (&broken.into(), &newer.into()));
    let reason = |i: usize| listed[i]["reason"].as_str().unwrap();
    assert!(reason(0).contains("value is not readable"), "{listed:?}");
    assert!(reason(1).contains("version 2"), "{listed:?}");
    assert_eq!(server.addresses("greeter.svc").await, ["greeter.svc. A 10.0.0.7"]);
    let table = server.cli(&["ls", "--rejected"]).await.done();
    assert!(table.contains(broken) && table.contains("value is not readable"), "{table}");

    // Mended, it is served.
    etcd.put(broken, r#"{"address": "10.0.0.6", "port": 9000}"#).await;
    until("the mended one is served", async || server.addresses("greeter.svc").await.len() == 2)
        .await;
    assert_eq!(rejected().await.len(), 1);
}

// ---- law 6: departures at once, expiries when the lease ends -------------------------------------

async fn departures_act_at_once(server: &Server) {
    for number in 0..20 {
        let body = json!({"address": "10.0.0.7", "port": 9000, "ttl": 3600});
        server.register("greeter", "i-1", body).await;
        assert_eq!(server.addresses("greeter.svc").await, ["greeter.svc. A 10.0.0.7"]);
        let reply = server.delete("/v1/apps/greeter/instances/i-1").await;
        assert_eq!((reply.status, &reply.body["visible"]), (200, &true.into()), "{reply:?}");
        for name in ["greeter.svc", "i-1.greeter.svc", "_nova._tcp.greeter.svc", "_tcp.greeter.svc"]
        {
            let answer = server.ask(name, SRV).await;
            assert_eq!(answer.status(), ResponseCode::NXDomain, "{name} after {number}");
        }
        let again = server.delete("/v1/apps/greeter/instances/i-1").await;
        assert_eq!(again.status, 404, "{again:?}");
    }
}

/// Asserts that a lease of 2 s ends no earlier than that, and not much later than the last heartbeat says.
async fn expiries_act_when_the_lease_ends(server: &Server, latest: Duration) {
    let ttl = Duration::from_secs(2);
    let began = Instant::now();
    server.register("brief", "i-1", json!({"address": "10.0.0.9", "port": 1, "ttl": 2})).await;
    let served = async || server.ask("brief.svc", A).await.status() == ResponseCode::NoError;

    // Kept alive well beyond its lease.
    let mut renewed = began;
    while began.elapsed() < ttl * 2 {
        assert!(served().await || renewed.elapsed() >= ttl, "renewed {:?} ago", renewed.elapsed());
        if renewed.elapsed() > ttl / 3 {
            let now = Instant::now();
            let beat = server.put("/v1/apps/brief/instances/i-1/heartbeat", json!({})).await;
            assert_eq!((beat.status, &beat.body["ttl"]), (200, &2.into()), "{beat:?}");
            renewed = now;
        }
    }
    until("it is gone", async || !served().await).await;
    let lived = renewed.elapsed();
    assert!(lived >= ttl, "gone {lived:?} after a heartbeat");
    assert!(lived < latest, "still there {lived:?} after the last heartbeat");
    let gone = server.put("/v1/apps/brief/instances/i-1/heartbeat", json!({})).await;
    assert_eq!(gone.status, 404, "register again: {gone:?}");
}

#[tokio::test]
async fn departures_and_expiries_on_embedded() {
    let server = Home::new().start(&[]).await;
    departures_act_at_once(&server).await;
    expiries_act_when_the_lease_ends(&server, Duration::from_secs(6)).await;
}

#[tokio::test]
async fn departures_and_expiries_on_etcd() {
    let etcd = Etcd::start().await;
    let home = Home::new();
    let server = start(&home, &etcd).await;
    departures_act_at_once(&server).await;
    // etcd looks for ended leases twice a second, in small portions.
    expiries_act_when_the_lease_ends(&server, Duration::from_secs(8)).await;
}

// ---- law 7: what was acknowledged is not lost ----------------------------------------------------

#[tokio::test]
async fn a_restart_keeps_instances_marks_and_serials() {
    let home = Home::new();
    let server = home.start(&[]).await;
    for (id, address) in [("a", "10.0.0.7"), ("b", "10.0.0.8")] {
        let body = json!({
            "address": address, "port": 9000, "ttl": 3600, "tags": ["blue"], "meta": {"version": "1"},
        });
        server.register("greeter", id, body).await;
    }
    let reason = json!({"reason": "disk is full"});
    assert_eq!(server.put("/v1/apps/greeter/instances/b/offline", reason).await.status, 200);
    server.register("other", "a", json!({"address": "10.0.0.9", "port": 1, "ttl": 3600})).await;
    assert_eq!(server.put("/v1/apps/other/offline", json!({})).await.status, 200);
    let (before, serial) = (server.get("/v1/apps/greeter").await.body, server.serial("svc").await);
    assert_eq!(server.stop().await, 0);

    let server = home.start(&[]).await;
    let mut after = server.get("/v1/apps/greeter").await.body;
    assert!(after["revision"].as_u64() >= before["revision"].as_u64());
    after["revision"] = before["revision"].clone();
    assert_eq!(after, before, "incarnations, marks and reasons included");
    assert_eq!(server.addresses("greeter.svc").await, ["greeter.svc. A 10.0.0.7"]);
    assert_eq!(server.ask("other.svc", A).await.status(), ResponseCode::NXDomain);
    assert_eq!(server.serial("svc").await, serial, "the same records have the same serial");
    server.put("/v1/apps/other/online", json!({})).await;
    let changed = server.serial("svc").await;
    assert!(changed > serial, "{changed} after {serial}");

    // Killed before it could save anything: never back.
    server.put("/v1/apps/greeter/instances/b/online", json!({})).await;
    let last = server.serial("svc").await;
    assert!(last > changed, "{last} after {changed}");
    server.kill().await;
    let server = home.start(&[]).await;
    let now = server.serial("svc").await;
    assert!(now >= last, "{now} after {last}");
    assert_eq!(server.addresses("greeter.svc").await.len(), 2);
}

#[tokio::test]
async fn a_restart_gives_leases_their_full_time() {
    let home = Home::new();
    let server = home.start(&[]).await;
    server.register("brief", "i-1", json!({"address": "10.0.0.9", "port": 1, "ttl": 4})).await;
    let path = "/v1/apps/brief/instances/i-1";
    until("most of it is over", async || server.get(path).await.body["lease_left"] == 1).await;
    server.kill().await;

    let began = Instant::now();
    let server = home.start(&[]).await;
    let served = async || server.ask("brief.svc", A).await.status() == ResponseCode::NoError;
    assert!(served().await, "whoever lives had no chance to say so while the server was away");
    until("it is gone", async || !served().await).await;
    assert!(began.elapsed() >= Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(server.get(path).await.status, 404);
}
