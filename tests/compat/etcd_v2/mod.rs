//! etcd's v2 keys: what their clients call, against the real binary.

mod alike;
mod answered;
mod bounds;
mod client;
mod lives;
mod php;
mod python;

use std::net::SocketAddr;

use crate::listeners::address;
use crate::support::etcd::Etcd;
use crate::support::server::{Home, Server};

/// A server with the listener and these layouts, and a registry of its own.
async fn start(layouts: &str) -> (Server, SocketAddr) {
    start_with(layouts, &[]).await
}

/// The same on an etcd.
async fn start_on(etcd: &Etcd, layouts: &str) -> (Server, SocketAddr) {
    start_with(layouts, &["--etcd", &etcd.url()]).await
}

async fn start_with(layouts: &str, flags: &[&str]) -> (Server, SocketAddr) {
    let config = format!("{layouts}\n[compat.etcd_v2]\nlisten = \"127.0.0.1:0\"\n");
    let server = Home::with_config(&config).start(flags).await;
    let address = address(&server, "etcd_v2");
    (server, address)
}
