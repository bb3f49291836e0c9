//! `rollcall serve` and its zone files while it runs: what is read again, and what a broken file does not break.

use hickory_proto::rr::RecordType::{A, TXT};
use serde_json::json;

use crate::support::ask::Vigil;
use crate::support::server::{Home, Server};
use crate::support::until;

const APEX: &str = "$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nns A 192.0.2.53\n";

impl Home {
    /// Writes the default zone's file: the apex in four lines, then this.
    fn zone(&self, body: &str) {
        self.write("zones/svc.zone", &format!("{APEX}{body}"));
    }
}

/// The lines that warn of a zone file.
fn warnings(server: &Server) -> Vec<String> {
    let log = server.log();
    let warnings = log.lines().filter(|line| line.contains("zone file can't be served"));
    warnings.map(str::to_owned).collect()
}

/// A metric of the default zone, or of the whole.
async fn metric(server: &Server, name: &str) -> Option<f64> {
    let metrics = server.get("/metrics").await.body;
    let mut lines = metrics.as_str().unwrap().lines();
    lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Waits for that answer, to a question for an address.
async fn answers(server: &Server, name: &str, address: &str) {
    let expected = [format!("{name}. A {address}")];
    until(name, async || server.addresses(name).await == expected).await;
}

#[tokio::test]
async fn what_changes_on_disk_is_served_and_what_is_broken_is_not() {
    let home = Home::new();
    home.zone("$INCLUDE hosts.inc\n");
    home.write("zones/hosts.inc", "db A 192.0.2.1\n");
    let server = home.start(&[]).await;
    server.register("greeter", "i-1", json!({"address": "10.0.0.7", "port": 9000})).await;
    let steady = |name: &str, address: &str| vec![format!("{name}. A {address}")];
    let vigil = Vigil::over(
        server.dns[0],
        vec![
            ("ns.svc", A, steady("ns.svc", "192.0.2.53")),
            ("greeter.svc", A, steady("greeter.svc", "10.0.0.7")),
        ],
    );
    assert_eq!(server.addresses("db.svc").await, ["db.svc. A 192.0.2.1"]);
    let serial = server.serial("svc").await;

    // An included file alone.
    home.write("zones/hosts.inc", "db A 192.0.2.2\n");
    answers(&server, "db.svc", "192.0.2.2").await;
    let served = server.serial("svc").await;
    assert!(served > serial, "{served} is not above {serial}");

    home.write(
        "zones/hosts.inc",
        "db A 192.0.2.3\nlater A 192.0.2.4\ndb  A 192.0.2.300\nx NONSENSE\n",
    );
    let good = "rollcall_zone_last_reload_successful{zone=\"svc.\"}";
    until("a broken file is noticed", async || metric(&server, good).await == Some(0.0)).await;
    let said = warnings(&server);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("zones/hosts.inc:3:7: record is not readable"), "{said:#?}");
    assert!(said[0].contains("more=1"), "{said:#?}");
    assert_eq!(server.addresses("db.svc").await, ["db.svc. A 192.0.2.2"]);
    assert_eq!(server.addresses("later.svc").await, [""; 0]);
    assert_eq!(server.serial("svc").await, served);

    home.zone("db A 192.0.2.5\n");
    answers(&server, "db.svc", "192.0.2.5").await;
    until("it is good", async || metric(&server, good).await == Some(1.0)).await;
    std::fs::remove_file(home.path("zones/svc.zone")).unwrap();
    until("it is missed", async || metric(&server, good).await == Some(0.0)).await;
    assert_eq!(server.addresses("db.svc").await, ["db.svc. A 192.0.2.5"]);
    let said = warnings(&server);
    assert!(
        said[1].contains("zones/svc.zone: cannot read this zone file: no such file"),
        "{said:#?}"
    );
    let failed = metric(&server, "rollcall_zone_reloads_total{outcome=\"failed\"}").await;
    assert_eq!((said.len(), failed), (2, Some(2.0)), "one warning for each");

    let seen = vigil.end().await;
    assert!(seen.asked > 0 && seen.bad.is_empty(), "{seen:?}");
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn a_signal_has_files_read_at_once_and_ends_nothing() {
    let home = Home::new();
    home.zone("broken\n");
    home.refuse(&[]).await;
    home.zone("");
    let mut server = home.start(&[]).await;
    home.zone("broken\n");
    // Each signal is answered: looking at the file would warn once.
    for count in 1..=3 {
        server.hang_up();
        until("a warning", async || warnings(&server).len() >= count).await;
    }
    home.zone("new TXT here\n");
    server.hang_up();
    until("new.svc", async || server.ask("new.svc", TXT).await.records() == ["new.svc. TXT here"])
        .await;
    assert!(server.runs());
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn a_zone_file_that_comes_later_is_served() {
    let home = Home::new();
    let server = home.start(&[]).await;
    server.hang_up();
    home.zone("db A 192.0.2.1\n");
    answers(&server, "db.svc", "192.0.2.1").await;
    assert_eq!(warnings(&server), [""; 0], "nobody misses a file that was never there");
}

#[tokio::test]
async fn names_are_taken_from_registrations_and_given_back() {
    let home = Home::new();
    home.zone("");
    let server = home.start(&[]).await;
    let body = || json!({"address": "10.0.0.7", "port": 9000});
    server.register("greeter", "i-1", body()).await;
    home.zone("greeter A 192.0.2.1\n");
    server.hang_up();
    answers(&server, "greeter.svc", "192.0.2.1").await;
    let refused = server.put("/v1/apps/greeter/instances/i-2", body()).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let message = refused.body["error"]["message"].as_str().unwrap();
    assert!(message.contains("zones/svc.zone:5"), "{message}");
    let rejected = server.get("/v1/rejected").await.body.to_string();
    assert!(rejected.contains("zones/svc.zone:5 has static records on its name"), "{rejected}");
    home.zone("");
    server.hang_up();
    answers(&server, "greeter.svc", "10.0.0.7").await;
    assert_eq!(server.put("/v1/apps/greeter/instances/i-2", body()).await.status, 201);
}
