//! Law 7 (docs/architecture.md) on the embedded registry: what was acknowledged is there after a crash, whole.

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::rr::RecordType;
use serde_json::{Value, json};
use support::http::Http;
use support::server::Home;
use support::{soon, until};
use tokio::task::JoinSet;

const APP: &str = "greeter";
const CONNECTIONS: usize = 8;
const REGISTRATIONS: usize = 1_000;
/// The server is killed once that many were acknowledged, with others under way.
const KILLED_AFTER: usize = 300;

/// What is registered under a number: of many parts, so that half of it would show.
fn body(number: usize) -> Value {
    json!({
        "address": address(number),
        "endpoints": [{"protocol": "nova", "port": 9000}, {"protocol": "http", "port": 8080}],
        "weight": number + 1,
        "tags": ["blue"],
        "meta": {"number": number.to_string(), "padding": "x".repeat(200)},
        "ttl": 3600,
    })
}

fn address(number: usize) -> String {
    format!("10.0.{}.{}", number / 250, number % 250 + 1)
}

/// Registers every so-manieth number until the server goes, and gives the incarnations of those that it acknowledged.
async fn register(
    http: SocketAddr,
    first: usize,
    acknowledged: Arc<AtomicUsize>,
) -> BTreeMap<usize, String> {
    let mut connection = Http::connect(http).await.unwrap();
    let mut done = BTreeMap::new();
    for number in (first..REGISTRATIONS).step_by(CONNECTIONS) {
        let path = format!("/v1/apps/{APP}/instances/i-{number}");
        let Ok(reply) = connection.send("PUT", &path, Some(&body(number))).await else { break };
        assert_eq!(reply.status, 201, "{reply:?}");
        done.insert(number, reply.body["incarnation"].as_str().unwrap().to_owned());
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    done
}

#[tokio::test]
async fn a_killed_server_has_lost_nothing_that_it_acknowledged() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for first in 0..CONNECTIONS {
        clients.spawn(register(server.http, first, acknowledged.clone()));
    }
    until("many are acknowledged", async || acknowledged.load(Ordering::Relaxed) >= KILLED_AFTER)
        .await;
    server.kill().await;
    let done: BTreeMap<_, _> =
        soon("the clients' end", clients.join_all()).await.into_iter().flatten().collect();
    assert!((KILLED_AFTER..REGISTRATIONS).contains(&done.len()), "in the middle: {}", done.len());

    let server = home.start(&[]).await;
    let there = server.get(&format!("/v1/apps/{APP}")).await.body;
    let there = there["instances"].as_array().unwrap();
    let number = |instance: &Value| -> usize {
        instance["id"].as_str().unwrap().strip_prefix("i-").unwrap().parse().unwrap()
    };
    let kept: BTreeMap<_, _> = there.iter().map(|one| (number(one), one)).collect();
    for (number, incarnation) in &done {
        let one = kept.get(number).unwrap_or_else(|| panic!("i-{number} was acknowledged"));
        assert_eq!(one["incarnation"], **incarnation, "i-{number}");
    }
    // At most one more a connection: the one that it was about to be told of.
    assert!(kept.len() <= done.len() + CONNECTIONS, "{} of {}", kept.len(), done.len());
    for (number, one) in kept {
        let wanted = body(number);
        assert_eq!(one["state"], "online");
        assert_eq!(one["addresses"], json!([wanted["address"]]));
        assert_eq!(one["endpoints"].as_array().unwrap().len(), 2);
        for field in ["weight", "tags", "meta", "ttl"] {
            assert_eq!(one[field], wanted[field], "{field} of i-{number}");
        }
        assert!(one["incarnation"].is_string(), "bound to its lease: {one}");

        let name = format!("i-{number}.{APP}.svc");
        assert_eq!(server.addresses(&name).await, [format!("{name}. A {}", address(number))]);
        let service = format!("_http._tcp.{name}");
        assert_eq!(
            server.ask(&service, RecordType::SRV).await.records(),
            [format!("{service}. SRV 10 {} 8080 {name}.", number + 1)]
        );
    }
    assert_eq!(server.stop().await, 0);
}
