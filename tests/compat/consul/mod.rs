//! Clients of Consul's agent: go-micro, registrator and Kratos by the calls that they make, two others as they are.

mod agent;
mod clients;
mod look_up;
mod names;

use std::net::SocketAddr;

use hickory_proto::rr::RecordType::{A, SRV, TXT};
use serde_json::{Value, json};

use crate::support::http::Http;
use crate::support::server::{Home, Server};
use crate::support::until;

/// A listener on any port.
const CONFIG: &str = "[compat.consul]\nlisten = \"127.0.0.1:0\"\n";

/// A server, and its agent.
struct World {
    home: Home,
    server: Server,
}

impl World {
    async fn new() -> Self {
        Self::start(Home::with_config(CONFIG), &[]).await
    }

    async fn start(home: Home, flags: &[&str]) -> Self {
        let server = home.start(flags).await;
        Self { home, server }
    }

    fn agent(&self) -> SocketAddr {
        serde_json::from_value(self.server.listening("compat")["consul"].clone()).unwrap()
    }

    /// A call on a connection of its own: status and body.
    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut http = Http::connect(self.agent()).await.unwrap();
        let reply = http.send(method, path, body).await.unwrap();
        (reply.status, reply.body)
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// A call that changes something, and is answered without a word.
    async fn put(&self, path: &str, body: Value) {
        let body = Some(body).filter(|body| !body.is_null());
        let said = self.call("PUT", path, body.as_ref()).await;
        assert_eq!(said, (200, json!("")), "{path}");
    }

    async fn register(&self, body: Value) {
        self.put("/v1/agent/service/register", body).await;
    }

    async fn srv(&self, name: &str) -> Vec<String> {
        self.server.ask(name, SRV).await.records()
    }

    async fn a(&self, name: &str) -> Vec<String> {
        self.server.ask(name, A).await.records()
    }

    async fn txt(&self, name: &str) -> Vec<String> {
        self.server.ask(name, TXT).await.records()
    }

    /// Waits until a name has that many addresses.
    async fn has(&self, name: &str, addresses: usize) {
        until(&format!("{name} has {addresses} addresses"), async || {
            self.a(name).await.len() == addresses
        })
        .await;
    }
}
