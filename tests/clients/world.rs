//! What is registered, and what the server counts.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::server::{Home, Server};

/// What every query gets that goes past a server on port 53.
pub(crate) const PORT_53: [&str; 2] = ["--dns", "127.0.0.1:53"];
/// Where forwarders and gateways expect it by default.
pub(crate) const PORT_1053: [&str; 2] = ["--dns", "127.0.0.1:1053"];

/// A server with the app `app`: `i-1` with an IPv4 and an IPv6 address, `i-2` with an IPv4 address.
pub(crate) async fn two(flags: &[&str]) -> Server {
    let server = Home::new().start(flags).await;
    let both = json!(["10.9.0.1", "fd00::9:1"]);
    server.register("app", "i-1", json!({"addresses": both, "port": 8001, "ttl": 3600})).await;
    server.register("app", "i-2", json!({"address": "10.9.0.2", "port": 8002, "ttl": 3600})).await;
    server
}

/// Registers so many instances of an app, each with an IPv4 address of its own: 10.8.0.1 and on.
pub(crate) async fn many(server: &Server, app: &str, count: u8) {
    for number in 1..=count {
        let address = format!("10.8.0.{number}");
        let id = format!("i-{number}");
        server.register(app, &id, lasting(&address, 9000)).await;
    }
}

/// The body of a registration that outlives any test.
pub(crate) fn lasting(address: &str, port: u16) -> Value {
    json!({"address": address, "port": port, "ttl": 3600})
}

/// The sum of the counters in `/metrics` whose line begins so.
pub(crate) async fn counted(server: &Server, beginning: &str) -> u64 {
    let metrics = server.get("/metrics").await.body;
    let lines = metrics.as_str().unwrap().lines().filter(|line| line.starts_with(beginning));
    let numbers = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    numbers.sum()
}

/// Tells a delay to whoever reads along. How long a client's own timers take is known, not judged.
#[expect(clippy::print_stdout, reason = "the test harness keeps it for `--show-output`")]
pub(crate) fn tell(what: &str, delay: Duration) {
    println!("{what}: {delay:.1?}");
}
