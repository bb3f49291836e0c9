//! Waits until a program's port accepts connections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::output;
use crate::host;
use crate::model::{Instance, Transport};

/// Pause between two tries: short against any program's start, long against a connection's cost.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest try.
const TRY_TIMEOUT: Duration = Duration::from_secs(1);
/// When to say that we are still waiting.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where to knock: the first TCP endpoint at the addresses that are this host's own. Where none is (an
/// address that something translates, or a stand-in), at loopback. Without a TCP endpoint: nowhere.
pub(super) fn doors(instance: &Instance) -> Vec<SocketAddr> {
    let Some(endpoint) = instance.endpoints.iter().find(|e| e.transport == Transport::Tcp) else {
        return Vec::new();
    };
    let own = host::own_addresses();
    // All of 127.0.0.0/8 leads here, though loopback lists 127.0.0.1 alone.
    let is_own = |address: &IpAddr| own.contains(address) || address.is_loopback();
    let mut addresses: Vec<IpAddr> = instance.addresses.iter().copied().filter(is_own).collect();
    if addresses.is_empty() {
        addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    addresses.into_iter().map(|address| SocketAddr::new(address, endpoint.port)).collect()
}

/// Returns once one of the doors opens; at once if there is none. No limit in time: a program may take as
/// long as it likes to start, and the caller stops waiting when it ends.
pub(super) async fn wait_for(doors: &[SocketAddr]) {
    let start = Instant::now();
    let mut said = false;
    while !doors.is_empty() {
        for door in doors {
            if let Ok(Ok(_)) = timeout(TRY_TIMEOUT, TcpStream::connect(door)).await {
                return;
            }
        }
        if !said && start.elapsed() >= PATIENCE {
            let doors: Vec<_> = doors.iter().map(ToString::to_string).collect();
            output::note(&format!(
                "not registered yet: the program does not accept connections on {}",
                doors.join(" or ")
            ));
            said = true;
        }
        sleep(PAUSE).await;
    }
}
