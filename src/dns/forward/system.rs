//! The servers that a file in the form of resolv.conf names, for as long as it does.
//!
//! Knows nothing of how they are asked.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::Path;

use nix::net::if_::if_nametoindex;
use resolv_conf::{Config, ScopedIp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Forwarder;
use super::own::is_own;
use crate::files::{self, Looks, Watched};

/// The port of the servers in such a file.
const PORT: u16 = 53;
/// More than these are not asked (three are all that resolvers take).
const SERVERS_MAX: usize = 8;
/// Longest file of that form.
const OCTETS_MAX: usize = 64 << 10;

/// The servers in a file's text, our own addresses left out: it may well name us.
pub(super) fn servers(text: &[u8], listeners: &[SocketAddr]) -> Vec<SocketAddr> {
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

/// Keeps the forwarder's servers as its file has them, if it has one, until told to stop; reads it in any case whenever
/// `hangups` changes.
///
/// # Errors
/// That the runtime can't wait for files any more.
pub async fn follow(
    forwarder: Forwarder,
    hangups: watch::Receiver<()>,
    stop: CancellationToken,
) -> Result<(), String> {
    let Some(file) = forwarder.file() else {
        stop.cancelled().await;
        return Ok(());
    };
    // As if it had not been there: what changed since the start is read once more, with nothing lost.
    let mut watched = Watched::new([(file.to_path_buf(), None)].into());
    let mut looks = Looks::new(hangups);
    loop {
        let asked = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            asked = looks.next() => asked,
        };
        let path = file.clone();
        let look = tokio::task::spawn_blocking(move || {
            if !watched.have_changed() && !asked {
                return (watched, None);
            }
            let watched = Watched::now([&*path]);
            (watched, Some(files::read(&path, OCTETS_MAX)))
        });
        // A file system that hangs must not keep the server from ending.
        let (back, read) = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            looked = look => looked.map_err(|error| error.to_string())?,
        };
        watched = back;
        match read {
            None => {}
            Some(Ok(text)) => take(&forwarder, &file, &text),
            Some(Err(error)) => tracing::warn!(
                file = %file.display(),
                %error,
                "cannot read the file: the servers to forward to stay as they are"
            ),
        }
    }
}

/// The servers that the file has at the start. It may not be there yet, as on a machine that has no network yet.
pub(super) fn begin(forwarder: &Forwarder, file: &Path) {
    match files::read(file, OCTETS_MAX) {
        Ok(text) => {
            take(forwarder, file, &text);
            if !forwarder.has_others() {
                tracing::warn!(
                    file = %file.display(),
                    "nobody to forward to: the file names no server but this one; name some in forward.upstreams"
                );
            }
        }
        Err(error) => tracing::warn!(
            file = %file.display(),
            %error,
            "nobody to forward to: cannot read the file; name servers in forward.upstreams, or wait until it is there"
        ),
    }
}

/// Asks the servers of the file's text from now on; if it names any, for without one a host is lost, and whoever
/// writes such files may well empty them first.
fn take(forwarder: &Forwarder, file: &Path, text: &[u8]) {
    let servers = servers(text, forwarder.listeners());
    if servers.is_empty() {
        if forwarder.has_others() {
            tracing::warn!(
                file = %file.display(),
                "the file names no server any more, or this one alone: going on with those that it named before"
            );
        }
    } else if forwarder.replace_upstreams(&servers) {
        tracing::info!(file = %file.display(), ?servers, "forwarding to");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dns::answer::policy::Policy;
    use crate::dns::forward::{Settings, Upstreams};
    use crate::dns::source::Source;
    use crate::zone::Published;

    /// A forwarder to the servers of that file.
    fn forwarder(file: &Path) -> Forwarder {
        let upstreams = Upstreams::System(file.to_owned());
        let settings = Settings { upstreams, ..Settings::default() };
        let own = Source::new(Arc::new(Published::new(Arc::default())), Policy::default(), || 0);
        Forwarder::new(settings, own, Vec::new(), Arc::default()).unwrap()
    }

    #[tokio::test]
    async fn what_names_nobody_or_is_no_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let server = |text: &str| text.parse::<IpAddr>().unwrap();
        std::fs::write(path("resolv.conf"), "nameserver 192.0.2.1\n").unwrap();
        let forwarder = forwarder(&path("resolv.conf"));
        let asks = |who: &str| forwarder.inner.routes.is_upstream(server(who));
        assert!(asks("192.0.2.1"));
        for nobody in ["", "search example\n", "nameserver nonsense\n"] {
            take(&forwarder, folder.path(), nobody.as_bytes());
            assert!(asks("192.0.2.1"), "{nobody:?}");
        }
        take(&forwarder, folder.path(), b"nameserver 192.0.2.2\n");
        assert!(asks("192.0.2.2") && !asks("192.0.2.1"));
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(made.success());
        // Whoever opened it would wait for ever.
        assert!(!self::forwarder(&path("pipe")).has_others());
    }

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
