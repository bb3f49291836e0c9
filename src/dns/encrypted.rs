//! The listeners besides UDP and TCP: TLS and HTTPS, each off unless the settings name addresses.
//!
//! Knows nothing of messages.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::bind::{BindError, tcp_socket};
use super::settings::Settings;
use super::source::Source;
use super::stats::Stats;
use super::tcp::Service;
use super::transport::Transport;
use super::{https, tcp};
use crate::supervise::Tasks;
use crate::tls::Acceptor;

/// The name of DNS over TLS, for clients that name what they want (RFC 7301 section 6).
const ALPN_TLS: &[&str] = &["dot"];
/// The names of HTTP, the better one first.
const ALPN_HTTPS: &[&str] = &["h2", "http/1.1"];

/// Sockets that are bound, and not yet read from.
#[derive(Debug, Default)]
pub(super) struct Doors {
    tls: Vec<(SocketAddr, TcpListener)>,
    https: Vec<(SocketAddr, TcpListener)>,
}

impl Doors {
    /// Binds all that the settings name.
    pub(super) fn bind(settings: &Settings) -> Result<Self, BindError> {
        let (tls, https) = (settings.tls.iter(), settings.https.iter());
        Ok(Self {
            tls: tls.flat_map(|tls| &tls.listen).map(over_tcp).collect::<Result<_, _>>()?,
            https: https.flat_map(|https| &https.listen).map(over_tcp).collect::<Result<_, _>>()?,
        })
    }

    /// The addresses of one transport, with the ports that were taken.
    pub(super) fn addresses(&self, transport: Transport) -> Vec<SocketAddr> {
        let of = |doors: &[(SocketAddr, TcpListener)]| doors.iter().map(|door| door.0).collect();
        match transport {
            Transport::Tls => of(&self.tls),
            Transport::Https => of(&self.https),
            _ => Vec::new(),
        }
    }

    /// Answers on all of them until the group of tasks is stopped.
    pub(super) fn run(
        self,
        settings: &Settings,
        source: &Source,
        stats: &Arc<Stats>,
        tasks: &Tasks,
    ) -> Result<(), BindError> {
        let service = |transport| {
            Service::new(transport, settings, source.clone(), stats, tasks.stop_token())
        };
        if let Some(tls) = &settings.tls {
            let service = service(Transport::Tls);
            let acceptor = Arc::new(Acceptor::new(tls.identity.clone(), ALPN_TLS));
            for (address, socket) in self.tls {
                let listener = listener(address, socket)?;
                let serve = tcp::serve_secure(listener, service.clone(), acceptor.clone());
                tasks.spawn(format!("dns tls {address}"), serve);
            }
        }
        if let Some(https) = &settings.https {
            let service = service(Transport::Https);
            let acceptor = https.identity.clone().map(|own| Acceptor::new(own, ALPN_HTTPS));
            let site = Arc::new(https::Site::new(&https.path, acceptor, service));
            for (address, socket) in self.https {
                let listener = listener(address, socket)?;
                let serve = https::serve(listener, site.clone());
                tasks.spawn(format!("dns https {address}"), serve);
            }
        }
        Ok(())
    }
}

fn over_tcp(address: &SocketAddr) -> Result<(SocketAddr, TcpListener), BindError> {
    let bound = tcp_socket(*address).and_then(|socket| Ok((socket.local_addr()?, socket)));
    bound.map_err(|source| BindError { address: *address, source })
}

fn listener(
    address: SocketAddr,
    socket: TcpListener,
) -> Result<tokio::net::TcpListener, BindError> {
    tokio::net::TcpListener::from_std(socket)
        .map_err(|source: io::Error| BindError { address, source })
}
