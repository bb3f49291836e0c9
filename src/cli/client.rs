//! The HTTP client of all commands that talk to a server: one request a connection, every wait bounded.
//!
//! Knows nothing of what replies mean.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::time::timeout;

use super::error::Error;
use super::link::Link;
use super::replies::{Refusal, WriteOutcome};
use crate::config::{io_reason, read_secret};
use crate::http::client::Reply;
use crate::model::Namespace;

/// Longest wait for a reply: a write may take 5 s in the registry and 2 s more until it is visible.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest reply: a page of 1,000 apps, or an app of 10,000 instances with all they may hold.
const REPLY_OCTETS_MAX: usize = 64 << 20;
/// What stays as it is in a path segment or a query value (RFC 3986 section 2.3).
pub(super) const UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

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
    link: Link,
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

/// A reply that goes on.
pub(super) struct Stream(Reply);

impl ServerArgs {
    /// The client for that server.
    pub(super) fn client(&self) -> Result<Client, Error> {
        let own = self.cert.as_deref().zip(self.key.as_deref());
        let link = Link::new(&self.http, self.ca.as_deref(), own)?;
        let token = self.token_file.as_deref().map(read_secret).transpose().map_err(|why| {
            let file = self.token_file.as_deref().unwrap_or_else(|| "".as_ref());
            Error::Usage(format!("--token-file: {}: {why}", file.display()))
        })?;
        Ok(Client { link, token: token.map(|token| token.text), namespace: self.namespace.clone() })
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
    /// The server's host and port.
    pub(super) fn server(&self) -> &str {
        self.link.server()
    }

    /// Asks for something in our namespace and takes the whole reply.
    pub(super) async fn send(
        &self,
        method: Method,
        target: Target,
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let whole = async {
            let reply = self.open(method, self.in_namespace(target), body, &[]).await?;
            self.judge(reply).await
        };
        match timeout(REPLY_TIMEOUT, whole).await {
            Ok(result) => result,
            Err(_) => {
                Err(self.link.away(&format!("no answer within {} s", REPLY_TIMEOUT.as_secs())))
            }
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
            let reply = self.open(Method::GET, target, None, headers).await?;
            if reply.status().is_success() {
                return Ok(Stream(reply));
            }
            Err(match self.judge(reply).await {
                Err(error) => error,
                Ok(_) => self.link.away("an empty answer"),
            })
        };
        match timeout(REPLY_TIMEOUT, start).await {
            Ok(result) => result,
            Err(_) => {
                Err(self.link.away(&format!("no answer within {} s", REPLY_TIMEOUT.as_secs())))
            }
        }
    }

    /// The address from which we reach the server: what it sees as our own, unless something translates
    /// addresses in between.
    pub(super) async fn local_address(&self) -> Result<IpAddr, ClientError> {
        let stream = self.link.connect().await?;
        let local = stream.local_addr().map_err(|error| self.link.away(&io_reason(&error)))?;
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
    ) -> Result<Reply, ClientError> {
        let mut request =
            Request::builder().method(method).uri(target.0).header(HOST, self.link.server());
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
            request.body(Full::new(body)).map_err(|error| self.link.away(&error.to_string()))?;
        self.link.ask(request).await
    }

    async fn judge(&self, reply: Reply) -> Result<Value, ClientError> {
        let status = reply.status();
        let body = reply.whole(REPLY_OCTETS_MAX).await;
        let body = &*body.map_err(|error| self.link.away(&error.to_string()))?;
        if status.is_success() {
            return serde_json::from_slice(body).map_err(|_| {
                let server = self.link.server();
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
        let message = format!("rollcall at {} {what}: {why}", self.link.server());
        ClientError::NotNow { message, advice }
    }
}

impl Stream {
    /// The next octets; none at the end.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        self.0.next().await.ok()?
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
