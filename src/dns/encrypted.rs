//! The listeners besides UDP and TCP: TLS, HTTPS, QUIC and HTTP/3, each off unless the settings name addresses.
//!
//! Knows nothing of messages.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use super::bind::{BindError, tcp_socket, udp_socket};
use super::reply_to::Responder;
use super::settings::{Secure, Settings};
use super::source::Source;
use super::stats::Stats;
use super::tcp::Service;
use super::transport::Transport;
use super::{https, quic, tcp};
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
    quic: Vec<(SocketAddr, UdpSocket)>,
    h3: Vec<(SocketAddr, UdpSocket)>,
}

impl Doors {
    /// Binds all that the settings name.
    pub(super) fn bind(settings: &Settings) -> Result<Self, BindError> {
        let secure = |secure: &Option<Secure>| {
            secure.iter().flat_map(|secure| secure.listen.clone()).collect::<Vec<_>>()
        };
        let https = settings.https.iter().flat_map(|https| https.listen.clone()).collect();
        Ok(Self {
            tls: all(secure(&settings.tls), over_tcp)?,
            https: all(https, over_tcp)?,
            quic: all(secure(&settings.quic), over_udp)?,
            h3: all(secure(&settings.h3), over_udp)?,
        })
    }

    /// The addresses of one transport, with the ports that were taken.
    pub(super) fn addresses(&self, transport: Transport) -> Vec<SocketAddr> {
        match transport {
            Transport::Udp | Transport::Tcp => Vec::new(),
            Transport::Tls => self.tls.iter().map(|(address, _)| *address).collect(),
            Transport::Https => self.https.iter().map(|(address, _)| *address).collect(),
            Transport::Quic => self.quic.iter().map(|(address, _)| *address).collect(),
            Transport::H3 => self.h3.iter().map(|(address, _)| *address).collect(),
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
        let over_udp =
            [(Transport::Quic, &settings.quic, self.quic), (Transport::H3, &settings.h3, self.h3)];
        for (transport, secure, doors) in over_udp {
            let Some(secure) = secure else { continue };
            let counters = stats.counters(transport);
            let responder = Responder { source: source.clone(), transport, counters };
            for (address, socket) in doors {
                let (own, stop) = (secure.identity.clone(), tasks.stop_token());
                let serve = quic::serve(socket, own, responder.clone(), settings.tcp_idle, stop);
                tasks.spawn(format!("dns {} {address}", transport.as_str()), serve);
            }
        }
        Ok(())
    }
}

fn all<S>(
    addresses: Vec<SocketAddr>,
    bind: impl Fn(SocketAddr) -> io::Result<(SocketAddr, S)>,
) -> Result<Vec<(SocketAddr, S)>, BindError> {
    let bind = |address| bind(address).map_err(|source| BindError { address, source });
    addresses.into_iter().map(bind).collect()
}

fn over_tcp(address: SocketAddr) -> io::Result<(SocketAddr, TcpListener)> {
    let socket = tcp_socket(address)?;
    Ok((socket.local_addr()?, socket))
}

fn over_udp(address: SocketAddr) -> io::Result<(SocketAddr, UdpSocket)> {
    let socket = udp_socket(address)?;
    Ok((socket.local_addr()?, socket))
}

fn listener(
    address: SocketAddr,
    socket: TcpListener,
) -> Result<tokio::net::TcpListener, BindError> {
    tokio::net::TcpListener::from_std(socket).map_err(|source| BindError { address, source })
}
