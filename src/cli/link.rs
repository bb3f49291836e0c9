//! The way to a server: TCP, TLS on it where its address says so, and one request on that; and what to say when there
//! is none.
//!
//! Knows nothing of what is asked.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::ClientError;
use super::error::Error;
use crate::config::io_reason;
use crate::http::client::{Reply, exchange};
use crate::tls::{self, ClientStream, ConnectError, Connector};

/// Longest wait for a connection, and for TLS on it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The way to one server.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// Host and port.
    server: String,
    /// None: HTTP without TLS.
    tls: Option<Connector>,
}

impl Link {
    /// To that address, by TLS if `https://` stands before it: then with those authorities instead of the
    /// system's, and with that certificate and its key.
    pub(super) fn new(
        address: &str,
        ca: Option<&Path>,
        own: Option<(&Path, &Path)>,
    ) -> Result<Self, Error> {
        let (secure, server) = match address.strip_prefix("https://") {
            Some(server) => (true, server),
            None => (false, address.strip_prefix("http://").unwrap_or(address)),
        };
        let server = server.trim_end_matches('/');
        let port = server.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) {
            let message = format!(
                "--http / ROLLCALL_HTTP: must be host:port such as 127.0.0.1:8053, got {server:?}"
            );
            return Err(Error::Usage(message));
        }
        let tls = secure.then(|| Connector::new(ca, own)).transpose().map_err(|error| {
            let flag = match &*error.file {
                file if ca == Some(file) => "--ca",
                file if own.is_some_and(|(_, key)| key == file) => "--key",
                _ => "--cert",
            };
            Error::Usage(format!("{flag}: {error}"))
        })?;
        Ok(Self { server: server.to_owned(), tls })
    }

    /// Host and port.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Sends a request on a connection of its own.
    pub(super) async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Reply, ClientError> {
        let stream = self.connect().await?;
        let reply = match &self.tls {
            None => exchange(stream, request).await,
            Some(tls) => exchange(self.secure(tls, stream).await?, request).await,
        };
        reply.map_err(|error| self.unanswered(&error))
    }

    /// A connection with nothing on it yet.
    pub(super) async fn connect(&self) -> Result<TcpStream, ClientError> {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.server)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Err(self.away("connection refused"))
            }
            Ok(Err(error)) => Err(self.away(&io_reason(&error))),
            Err(_) => {
                Err(self.away(&format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())))
            }
        }
    }

    async fn secure(
        &self,
        tls: &Connector,
        stream: TcpStream,
    ) -> Result<ClientStream, ClientError> {
        let host = self.server.rsplit_once(':').map_or("", |(host, _)| host);
        match timeout(CONNECT_TIMEOUT, tls.connect(host, stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error @ ConnectError::Untrusted(_))) => {
                let server = &self.server;
                let message = format!(
                    "cannot trust rollcall at {server}: {error}: give its authority with --ca / ROLLCALL_CA, \
                     or ask it by a name that its certificate has"
                );
                Err(ClientError::Unreachable(message))
            }
            Ok(Err(ConnectError::NoTls)) => Err(ClientError::Unreachable(format!(
                "what answers at {} has no TLS: leave https:// out (--http / ROLLCALL_HTTP)",
                self.server
            ))),
            Ok(Err(error)) => Err(self.away(&error.to_string())),
            Err(_) => Err(self.away(&format!("no TLS within {} s", CONNECT_TIMEOUT.as_secs()))),
        }
    }

    /// Nothing came back that is a reply.
    fn unanswered(&self, error: &hyper::Error) -> ClientError {
        let server = &self.server;
        if self.tls.is_none() && error.is_parse() {
            return ClientError::Unreachable(format!(
                "what answers at {server} is no HTTP: where it has TLS, write https:// in front of it"
            ));
        }
        if self.tls.is_some() && tls::wants_certificate(error) {
            return ClientError::Unreachable(format!(
                "rollcall at {server} wants a certificate that it knows: give one with --cert and --key / \
                 ROLLCALL_CERT and ROLLCALL_KEY"
            ));
        }
        self.away(&error.to_string())
    }

    /// The server is not there, or not now.
    pub(super) fn away(&self, why: &str) -> ClientError {
        ClientError::Unreachable(format!(
            "cannot reach rollcall at {}: {why}: is the server running? (rollcall serve, or set --http / ROLLCALL_HTTP)",
            self.server
        ))
    }
}
