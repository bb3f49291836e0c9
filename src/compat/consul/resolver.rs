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

/// Names that are resolved at once.
const AT_ONCE_MAX: usize = 32;

/// Resolves names. Cloning gives the same.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    places: Arc<Semaphore>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE_MAX)) }
    }
}

impl Resolver {
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
            match TcpStream::connect(SocketAddr::new(address, port)).await {
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
        assert_eq!(resolver.places.available_permits(), AT_ONCE_MAX);
    }
}
