//! etcd's v2 keys: what their clients call, against the real binary.

mod alike;
mod client;

use std::net::SocketAddr;

use crate::listeners::address;
use crate::support::server::{Home, Server};

/// A server with the listener and these layouts, and a registry of its own.
async fn start(layouts: &str) -> (Server, SocketAddr) {
    let config = format!("{layouts}\n[compat.etcd_v2]\nlisten = \"127.0.0.1:0\"\n");
    let server = Home::with_config(&config).start(&[]).await;
    let address = address(&server, "etcd_v2");
    (server, address)
}
