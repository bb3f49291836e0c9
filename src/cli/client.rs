//! The HTTP client of all commands that talk to a server: one request a connection, every wait bounded.
//!
//! Knows nothing of what replies mean.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::error::Error;
use super::replies::{Refusal, WriteOutcome};
use crate::config::{io_reason, read_secret};
use crate::model::Namespace;
use crate::tls::{self, ClientStream, ConnectError, Connector};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for a reply: a write may take 5 s in the registry and 2 s more until it is visible.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest reply: a page of 1,000 apps, or an app of 10,000 instances with all they may hold.
const REPLY_OCTETS_MAX: usize = 64 << 20;
/// What stays as it is in a path segment or a query value (RFC 3986 section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where the server is and who asks.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ServerArgs {
    /// The server's HTTP address; with https:// in front where it has TLS
    #[arg(
        long,
        help_heading = "Server",
        env = "ROLLCALL_HTTP",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:8053"
    )]
    http: String,
    /// Authorities to trust instead of the system's, PEM (for https://)
    #[arg(long, help_heading = "Server", env = "ROLLCALL_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Our certificate, PEM, where the server wants one (for https://)
    #[arg(
        long,
        help_heading = "Server",
        env = "ROLLCALL_CERT",
        value_name = "FILE",
        requires = "key"
    )]
    cert: Option<PathBuf>,
    /// Its key
    #[arg(
        long,
        help_heading = "Server",
        env = "ROLLCALL_KEY",
        value_name = "FILE",
        requires = "cert"
    )]
    key: Option<PathBuf>,
    /// The file that holds the token, where the server wants one
    #[arg(long, help_heading = "Server", env = "ROLLCALL_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The namespace of the app [default: default]
    #[arg(long, help_heading = "Server", env = "ROLLCALL_NAMESPACE", value_name = "NAME")]
    namespace: Option<Namespace>,
}

/// Speaks to one server.
#[derive(Debug, Clone)]
pub(super) struct Client {
    /// Host and port.
    server: String,
    /// None: HTTP without TLS.
    tls: Option<Connector>,
    token: Option<String>,
    namespace: Option<Namespace>,
}

/// What is asked for: a path below `/v1` and its query.
#[derive(Debug, Clone)]
pub(super) struct Target(String);

/// Why there is no good reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClientError {
    /// The server said no.
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its reason.
        message: String,
    },
    /// The server can't be reached: trying again may help.
    Unreachable(String),
    /// The server can't do it now: trying again may help.
    NotNow {
        /// Which server, and its reason.
        message: String,
        /// What a person does next; whoever tries again by itself leaves it out.
        advice: &'static str,
    },
}

/// A reply that goes on, with the connection that it comes over.
pub(super) struct Stream {
    body: Incoming,
    _connection: JoinSet<()>,
}

impl ServerArgs {
    /// The client for that server.
    pub(super) fn client(&self) -> Result<Client, Error> {
        let (secure, server) = match self.http.strip_prefix("https://") {
            Some(server) => (true, server),
            None => (false, self.http.strip_prefix("http://").unwrap_or(&self.http)),
        };
        let server = server.trim_end_matches('/');
        let port = server.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) {
            let message =
                format!("--http: must be host:port such as 127.0.0.1:8053, got {server:?}");
            return Err(Error::Usage(message));
        }
        let token = self.token_file.as_deref().map(read_secret).transpose().map_err(|why| {
            let file = self.token_file.as_deref().unwrap_or_else(|| "".as_ref());
            Error::Usage(format!("--token-file: {}: {why}", file.display()))
        })?;
        Ok(Client {
            server: server.to_owned(),
            tls: secure.then(|| self.connector()).transpose()?,
            token: token.map(|token| token.text),
            namespace: self.namespace.clone(),
        })
    }
}

impl ServerArgs {
    fn connector(&self) -> Result<Connector, Error> {
        let own = self.cert.as_deref().zip(self.key.as_deref());
        Connector::new(self.ca.as_deref(), own).map_err(|error| {
            let flag = match &error.file {
                file if self.ca.as_ref() == Some(file) => "--ca",
                file if self.key.as_ref() == Some(file) => "--key",
                _ => "--cert",
            };
            Error::Usage(format!("{flag}: {error}"))
        })
    }
}

impl Target {
    /// A path below `/v1` from its segments.
    pub(super) fn new(segments: &[&str]) -> Self {
        let encoded = segments.iter().map(|segment| utf8_percent_encode(segment, UNRESERVED));
        Self(encoded.fold("/v1".to_owned(), |path, segment| format!("{path}/{segment}")))
    }

    /// With one more parameter.
    pub(super) fn with(self, key: &str, value: &str) -> Self {
        let mark = if self.0.contains('?') { '&' } else { '?' };
        Self(format!("{}{mark}{key}={}", self.0, utf8_percent_encode(value, UNRESERVED)))
    }
}

impl Client {
    /// Asks for something in our namespace and takes the whole reply.
    pub(super) async fn send(
        &self,
        method: Method,
        target: Target,
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let whole = async {
            let (reply, _connection) =
                self.open(method, self.in_namespace(target), body, &[]).await?;
            let status = reply.status();
            let body = Limited::new(reply.into_body(), REPLY_OCTETS_MAX);
            let body = body.collect().await.map_err(|error| self.away(&error.to_string()))?;
            self.judge(status, &body.to_bytes())
        };
        match timeout(REPLY_TIMEOUT, whole).await {
            Ok(result) => result,
            Err(_) => Err(self.away(&format!("no answer within {} s", REPLY_TIMEOUT.as_secs()))),
        }
    }

    /// Asks for something that goes on and on.
    pub(super) async fn stream(
        &self,
        target: Target,
        headers: &[(&'static str, String)],
    ) -> Result<Stream, ClientError> {
        let start = async {
            let target = self.in_namespace(target);
            let (reply, connection) = self.open(Method::GET, target, None, headers).await?;
            if reply.status().is_success() {
                return Ok(Stream { body: reply.into_body(), _connection: connection });
            }
            let status = reply.status();
            let body = Limited::new(reply.into_body(), REPLY_OCTETS_MAX);
            let body = body.collect().await.map_err(|error| self.away(&error.to_string()))?;
            Err(match self.judge(status, &body.to_bytes()) {
                Err(error) => error,
                Ok(_) => self.away("an empty answer"),
            })
        };
        match timeout(REPLY_TIMEOUT, start).await {
            Ok(result) => result,
            Err(_) => Err(self.away(&format!("no answer within {} s", REPLY_TIMEOUT.as_secs()))),
        }
    }

    /// The address from which we reach the server: what it sees as our own, unless something translates
    /// addresses in between.
    pub(super) async fn local_address(&self) -> Result<IpAddr, ClientError> {
        let stream = self.connect().await?;
        let local = stream.local_addr().map_err(|error| self.away(&io_reason(&error)))?;
        Ok(local.ip().to_canonical())
    }

    fn in_namespace(&self, target: Target) -> Target {
        match &self.namespace {
            Some(namespace) => target.with("namespace", namespace.as_str()),
            None => target,
        }
    }

    async fn open(
        &self,
        method: Method,
        target: Target,
        body: Option<&Value>,
        headers: &[(&'static str, String)],
    ) -> Result<(Response<Incoming>, JoinSet<()>), ClientError> {
        let stream = self.connect().await?;
        let (mut sender, tasks) = match &self.tls {
            None => self.begin(stream).await?,
            Some(tls) => self.begin(self.secure(tls, stream).await?).await?,
        };
        let mut request =
            Request::builder().method(method).uri(target.0).header(HOST, &self.server);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let request =
            request.body(Full::new(body)).map_err(|error| self.away(&error.to_string()))?;
        let reply = sender.send_request(request).await.map_err(|error| self.unanswered(&error))?;
        Ok((reply, tasks))
    }

    /// HTTP on a connection.
    async fn begin<S>(
        &self,
        stream: S,
    ) -> Result<(SendRequest<Full<Bytes>>, JoinSet<()>), ClientError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.away(&error.to_string()))?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Whatever breaks the connection shows in the reply, which somebody waits for.
            let _ = connection.await;
        });
        Ok((sender, tasks))
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

    async fn connect(&self) -> Result<TcpStream, ClientError> {
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

    fn judge(&self, status: StatusCode, body: &[u8]) -> Result<Value, ClientError> {
        if status.is_success() {
            return serde_json::from_slice(body).map_err(|_| {
                let server = &self.server;
                let message =
                    format!("what answers at {server} is no rollcall: set --http / ROLLCALL_HTTP");
                ClientError::Unreachable(message)
            });
        }
        let refusal = serde_json::from_slice::<Refusal>(body).ok();
        let message = refusal
            .as_ref()
            .map_or_else(|| format!("{status}, without a reason"), ToString::to_string);
        let later = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        if status.is_server_error() || later {
            let outcome = refusal.and_then(|refusal| refusal.outcome());
            return Err(self.not_now(&message, outcome));
        }
        if status == StatusCode::UNAUTHORIZED {
            let what = if self.token.is_some() { "look at the token in" } else { "give one with" };
            // How a program sends it is nothing for who reads this.
            let (why, _) = message.split_once(": send ").unwrap_or((&message, ""));
            let message = format!("{why}: {what} --token-file / ROLLCALL_TOKEN_FILE");
            return Err(ClientError::Refused { status, message });
        }
        Err(ClientError::Refused { status, message })
    }

    /// The server could not do it, as far as it knows: who sent a write must learn whether to look first.
    fn not_now(&self, why: &str, outcome: Option<WriteOutcome>) -> ClientError {
        let why = why.strip_suffix(": try again").unwrap_or(why);
        let (what, advice) = match outcome {
            Some(WriteOutcome::Unknown) => (
                "cannot tell whether it was done",
                ": it may have been done or may yet be, look with 'rollcall ls' or repeat it",
            ),
            Some(WriteOutcome::NotDone) => ("cannot do it now", ": nothing was done, try again"),
            None => ("cannot do it now", ""),
        };
        let message = format!("rollcall at {} {what}: {why}", self.server);
        ClientError::NotNow { message, advice }
    }

    fn away(&self, why: &str) -> ClientError {
        ClientError::Unreachable(format!(
            "cannot reach rollcall at {}: {why}: is the server running? (rollcall serve, or set --http / ROLLCALL_HTTP)",
            self.server
        ))
    }
}

impl Stream {
    /// The next octets; none at the end.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            let frame = self.body.frame().await?.ok()?;
            if let Ok(octets) = frame.into_data() {
                return Some(octets);
            }
        }
    }
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused { message, .. } => Self::Refused(message),
            ClientError::Unreachable(message) => Self::Unreachable(message),
            ClientError::NotNow { message, advice } => {
                Self::Unreachable(format!("{message}{advice}"))
            }
        }
    }
}
