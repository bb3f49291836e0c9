//! The servers that a file in the form of resolv.conf names, for as long as it does.
//!
//! Knows nothing of how they are asked.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use resolv_conf::{Config, ScopedIp};
use tokio_util::sync::CancellationToken;

use super::Forwarder;
use super::own::is_own;

/// The port of the servers in such a file.
const PORT: u16 = 53;
/// How often to look whether it has changed: so late is a laptop that has gone to another network.
const INTERVAL: Duration = Duration::from_secs(2);
/// More than these are not asked (three are all that resolvers take).
const SERVERS_MAX: usize = 8;
/// Octets of such a file that are looked at.
const OCTETS_MAX: usize = 64 << 10;

/// The servers in a file's text, our own addresses left out: it may well name us.
pub(super) fn servers(text: &[u8], listeners: &[SocketAddr]) -> Vec<SocketAddr> {
    let text = text.get(..OCTETS_MAX).unwrap_or(text);
    // A line that can't be read is no reason to do without the others.
    let (config, _) = Config::parse_with_errors(text);
    let addresses = config.nameservers.iter().filter_map(address);
    addresses.filter(|address| !is_own(listeners, *address)).take(SERVERS_MAX).collect()
}

fn address(server: &ScopedIp) -> Option<SocketAddr> {
    match server {
        ScopedIp::V4(ip) => Some(SocketAddr::new(IpAddr::V4(*ip), PORT)),
        ScopedIp::V6(ip, None) => Some(SocketAddr::new(IpAddr::V6(*ip), PORT)),
        ScopedIp::V6(ip, Some(scope)) => {
            let index = scope.parse().or_else(|_| if_nametoindex(scope.as_str())).ok()?;
            Some(SocketAddr::V6(SocketAddrV6::new(*ip, PORT, 0, index)))
        }
    }
}

/// Keeps the forwarder's servers as the file has them, until told to stop.
pub(in crate::dns) async fn follow(
    forwarder: Forwarder,
    file: Arc<Path>,
    stop: CancellationToken,
) -> Result<(), String> {
    let mut before = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(INTERVAL) => {}
        }
        // A file that is being replaced, or gone for a moment, changes nothing.
        if let Ok(text) = tokio::fs::read(&file).await
            && before.as_ref() != Some(&text)
        {
            take(&forwarder, &file, &text);
            before = Some(text);
        }
    }
}

/// The servers that the file has at the start. It may not be there yet, as on a machine that has no network yet.
pub(super) fn begin(forwarder: &Forwarder, file: &Path) {
    match std::fs::read(file) {
        Ok(text) => take(forwarder, file, &text),
        Err(error) => tracing::warn!(
            file = %file.display(),
            %error,
            "nobody to forward to: cannot read the file; name servers in forward.upstreams, or wait until it is there"
        ),
    }
}

/// Asks the servers of the file's text from now on.
fn take(forwarder: &Forwarder, file: &Path, text: &[u8]) {
    let servers = servers(text, forwarder.listeners());
    if servers.is_empty() {
        tracing::warn!(
            file = %file.display(),
            "nobody to forward to: the file names no server but this one; name some in forward.upstreams"
        );
    }
    if forwarder.replace_upstreams(&servers) {
        tracing::info!(file = %file.display(), ?servers, "forwarding to");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_servers_and_we_are_none_of_them() {
        let text = b"# by hand\nsearch corp.example\nnameserver 127.0.0.1\nnameserver nonsense\n\
            nameserver 192.0.2.1\nnameserver 2001:db8::1\noptions ndots:2\n";
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let all = [at("127.0.0.1:53"), at("192.0.2.1:53"), at("[2001:db8::1]:53")];
        assert_eq!(servers(text, &[]), all);
        assert_eq!(servers(text, &[at("127.0.0.1:53")]), all[1..]);
        assert_eq!(servers(text, &[at("0.0.0.0:53")]), all[1..]);
        assert_eq!(servers(text, &[at("127.0.0.1:1053")]), all);
    }
}
