//! What clients of v2 keys write is answered in DNS, on etcd and on a registry of our own, and leaves by each system's rule:
//! its time to live, or a deletion.

use super::client::ask;
use super::{start, start_on};
use crate::support::etcd::Etcd;
use crate::support::until;

const LAYOUTS: &str = r#"
    [[layout]]
    kind = "url"
    prefix = "/prefix/"
    [[layout]]
    kind = "registrator"
    prefix = "/services/"
    [[layout]]
    kind = "skydns"
    [[layout]]
    kind = "go-micro"
    prefix = "/micro-registry/"
"#;

/// A key and a value, form-encoded as their clients do, and what DNS says of it.
struct Row {
    key: &'static str,
    value: &'static str,
    question: (&'static str, &'static str),
    record: &'static str,
}

const ROWS: [Row; 4] = [
    // yeqown/server-common.
    Row {
        key: "/prefix/srv_3456",
        value: "http%3A%2F%2F10.0.0.1%3A3456",
        question: ("SRV", "_http._tcp.prefix.svc"),
        record: "_http._tcp.prefix.svc. SRV 10 100 3456 srv-3456.prefix.svc.",
    },
    // registrator, its `etcd` and `skydns2` backends.
    Row {
        key: "/services/redis/node1:redis.0:6379",
        value: "192.168.1.102%3A10000",
        question: ("SRV", "_redis._tcp.redis.svc"),
        record: "_redis._tcp.redis.svc. SRV 10 100 10000 node1-redis-0-6379.redis.svc.",
    },
    Row {
        key: "/skydns/svc/cluster/redis/node1:redis.0:6379",
        value: "%7B%22host%22%3A%22192.168.1.102%22%2C%22port%22%3A10000%7D",
        question: ("SRV", "redis.cluster.svc"),
        record: "redis.cluster.svc. SRV 10 100 10000 node1-redis-0-6379.redis.cluster.svc.",
    },
    // go-micro's plugin `etcd` before November 2019.
    Row {
        key: "/micro-registry/billing/billing-1",
        value: "%7B%22name%22%3A%22billing%22%2C%22nodes%22%3A%5B%7B%22id%22%3A%22billing-1%22%2C%22address%22%3A%2210.0.0.13%22%2C%22port%22%3A8080%7D%5D%7D",
        question: ("SRV", "_mucp._tcp.billing.svc"),
        record: "_mucp._tcp.billing.svc. SRV 10 100 8080 billing-1.billing.svc.",
    },
];

#[tokio::test]
async fn each_system_that_writes_v2_keys_is_answered_until_it_leaves() {
    let etcd = Etcd::start().await;
    for (server, at) in [start_on(&etcd, LAYOUTS).await, start(LAYOUTS).await] {
        for Row { key, value, question: (rtype, name), record } in ROWS {
            let rtype = rtype.parse().unwrap();
            let shows = async |expected: &[&str], why: &str| {
                until(&format!("{name} is {expected:?}: {why}"), async || {
                    server.ask(name, rtype).await.records() == expected
                })
                .await;
            };
            let path = format!("/v2/keys{key}");
            let set = async |ttl: &str| {
                let set = ask(at, "PUT", &path, &format!("value={value}&ttl={ttl}")).await;
                assert!(matches!(set.status, 200 | 201), "{}", set.text);
            };
            set("60").await;
            shows(&[record], "it was set").await;
            // A full set each time is how these say that they are alive.
            set("60").await;
            shows(&[record], "it was set again").await;
            let gone = ask(at, "DELETE", &path, "").await;
            assert_eq!(gone.status, 200, "{}", gone.text);
            shows(&[], "it was deleted").await;
            set("2").await;
            shows(&[record], "it is back").await;
            shows(&[], "its time to live is over").await;
        }
    }
}
