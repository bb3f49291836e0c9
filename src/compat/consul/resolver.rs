//! Addresses of host names, as this host resolves them. The system's call can't be given up, and may take half a minute: so
//! there are only so many at once, or strangers' names would take the threads that everything else is written with.
//!
//! Knows nothing of who asks.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::agent::bare;
use super::reach::Reach;

/// Names that are resolved at once.
const AT_ONCE_MAX: usize = 32;

/// Resolves names. Cloning gives the same.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    places: Arc<Semaphore>,
    reach: Option<Reach>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE_MAX)), reach: None }
    }
}

impl Resolver {
    /// The same, which connects only to what is within reach.
    pub(super) fn within(&self, reach: Reach) -> Self {
        Self { places: self.places.clone(), reach: Some(reach) }
    }

    /// Whether all addresses of a host may be connected to there.
    ///
    /// # Errors
    /// Why one may not. Of a host that has none that is not known, and it can't be connected to.
    pub(super) async fn admit(&self, host: &str, port: u16) -> Result<(), String> {
        let Some(reach) = &self.reach else { return Ok(()) };
        let addresses = self.addresses(host).await.unwrap_or_default();
        addresses.into_iter().try_for_each(|ip| reach.admit(SocketAddr::new(ip, port)))
    }

    /// The addresses of a host, which may be one itself. The caller bounds the wait in time.
    pub(super) async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let host = bare(host).to_owned();
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        let place = self.places.clone().acquire_owned().await.map_err(io::Error::other)?;
        let resolved = spawn_blocking(move || {
            let resolved = (host.as_str(), 0).to_socket_addrs();
            let resolved = resolved.map(|all| all.map(|address| address.ip()).collect());
            // Not before: whoever asked may have given up long ago.
            drop(place);
            resolved
        });
        resolved.await.map_err(io::Error::other)?
    }

    /// Connects to `host:port`, at the first of its addresses where somebody answers.
    pub(super) async fn connect(&self, target: &str) -> io::Result<TcpStream> {
        let none = || io::Error::new(io::ErrorKind::InvalidInput, "not host:port");
        let (host, port) = target.rsplit_once(':').ok_or_else(none)?;
        let port: u16 = port.parse().map_err(|_| none())?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in self.addresses(host).await? {
            let address = SocketAddr::new(address, port);
            if let Some(Err(why)) = self.reach.as_ref().map(|reach| reach.admit(address)) {
                last = io::Error::new(io::ErrorKind::PermissionDenied, why);
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn hosts_are_addresses_or_names() {
        let resolver = Resolver::default();
        let addresses = async |host: &str| resolver.addresses(host).await.ok();
        for (host, address) in [("10.0.0.1", "10.0.0.1"), ("[fd00::1]", "fd00::1"), ("::1", "::1")]
        {
            assert_eq!(addresses(host).await, Some(vec![address.parse().unwrap()]), "{host}");
        }
        let own = addresses("localhost").await.unwrap();
        assert!(!own.is_empty() && own.iter().all(IpAddr::is_loopback), "{own:?}");
        assert_eq!(addresses("nobody.invalid").await, None);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(resolver.connect(&format!("localhost:{port}")).await.is_ok());
        for target in ["localhost", "localhost:x", "nobody.invalid:1"] {
            assert!(resolver.connect(target).await.is_err(), "{target}");
        }
        let afar = resolver.within(Reach::beyond(&[]));
        for host in ["localhost", "127.0.0.1", "[::1]"] {
            let error = afar.connect(&format!("{host}:{port}")).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{host}");
            assert!(afar.admit(host, port).await.is_err(), "{host}");
            assert_eq!(resolver.admit(host, port).await, Ok(()));
        }
        for host in ["192.0.2.1", "nobody.invalid"] {
            assert_eq!(afar.admit(host, port).await, Ok(()), "{host}");
        }
        assert_eq!(resolver.places.available_permits(), AT_ONCE_MAX);
    }
}
