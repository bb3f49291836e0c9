//! A client of etcd v3 that is not ours, as services in other languages use one: what it registers is there while it keeps
//! its lease alive, and leaves by revoking it or by ceasing to.

use std::process::{Child, Command, Stdio};

use crate::support::etcd::Etcd;
use crate::support::library::node;
use crate::support::server::Home;
use crate::support::until;

/// Registers one key under a lease of its own, and keeps that alive until it is told to go.
const SERVICE: &str = r#"
    const { Etcd3 } = require('etcd3');
    const [hosts, key, value, ttl] = process.argv.slice(1);
    const client = new Etcd3({ hosts });
    const lease = client.lease(Number(ttl));
    process.on('SIGTERM', () => lease.revoke().then(() => process.exit(0)));
    lease.put(key).value(value).exec().catch(error => { console.error(error); process.exit(1); });
"#;

/// A process that is killed with its value.
struct Service(Child);

impl Service {
    fn start(etcd: &Etcd, key: &str, value: &str, ttl: &str) -> Self {
        let mut command: Command = node(SERVICE);
        command.args(["--", &etcd.url(), key, value, ttl]).stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let id = nix::unistd::Pid::from_raw(self.0.id().try_into().unwrap());
        nix::sys::signal::kill(id, signal).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As go-micro, Kratos and gRPC naming register, with the shortest lease that outlives etcd's own timers.
const RECORDS: [(&str, &str, &str, &str); 3] = [
    (
        "/micro/registry/billing/billing-1",
        r#"{"name":"billing","version":"1","nodes":[{"id":"billing-1","address":"10.0.0.1:80","metadata":{"protocol":"grpc"}}]}"#,
        "billing.svc",
        "10.0.0.1",
    ),
    (
        "/microservices/shop/s-1",
        r#"{"id":"s-1","name":"shop","endpoints":["grpc://10.0.0.2:80"]}"#,
        "shop.svc",
        "10.0.0.2",
    ),
    ("naming/mail/10.0.0.3:25", r#"{"Op":0,"Addr":"10.0.0.3:25"}"#, "mail.svc", "10.0.0.3"),
];
const LEASE_SECS: &str = "5";
const LAYOUTS: &str = r#"
    [[layout]]
    kind = "go-micro"
    [[layout]]
    kind = "kratos"
    [[layout]]
    kind = "grpc"
    prefix = "naming/"
"#;

#[tokio::test]
async fn with_node_etcd3_services_are_there_while_they_live() {
    use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
    let etcd = Etcd::start().await;
    let server = Home::with_config(LAYOUTS).start(&["--etcd", &etcd.url()]).await;
    let shows = async |name: &str, expected: &[String], why: &str| {
        let what = format!("{name} is {expected:?}: {why}");
        until(&what, async || server.addresses(name).await == expected).await;
    };
    for (end, why) in [(SIGTERM, "it revokes its lease"), (SIGKILL, "its lease ends")] {
        let mut services = Vec::new();
        for (key, value, name, address) in RECORDS {
            let service = Service::start(&etcd, key, value, LEASE_SECS);
            services.push((service, name, address));
        }
        for (_, name, address) in &services {
            shows(name, &[format!("{name}. A {address}")], "it lives").await;
        }
        for (service, name, _) in &services {
            service.signal(end);
            shows(name, &[], why).await;
        }
    }
}
