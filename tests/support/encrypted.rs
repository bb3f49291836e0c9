//! Clients of the encrypted transports, none of them ours: rustls, hyper, quinn, h3.
#![allow(dead_code, reason = "each test program uses a part of this")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use http_body_util::{BodyExt, Full};
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use quinn::crypto::rustls::QuicClientConfig;
use rollcall::dns::{Https, Secure, Settings};
use rollcall::tls::{Files, Identity};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::certificates;

/// The name in the certificates.
pub(crate) const NAME: &str = "localhost";

/// Certificates for a server, and clients that trust it.
pub(crate) struct World {
    folder: TempDir,
    identity: Arc<Identity>,
}

/// A response of HTTP.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Response {
    /// A header's text; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        certificates::make(folder.path(), NAME);
        let file = |name| folder.path().join(name);
        let files = Files { cert: file("cert.pem"), key: file("key.pem"), client_ca: None };
        let identity = Arc::new(Identity::load(files).unwrap());
        Self { folder, identity }
    }

    /// The folder with `ca.pem`, `cert.pem` and `key.pem`.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Settings with every encrypted transport on a free port of 127.0.0.1.
    pub(crate) fn settings(&self, settings: Settings) -> Settings {
        let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        let identity = self.identity.clone();
        Settings {
            tls: Some(Secure { listen: listen.clone(), identity: identity.clone() }),
            quic: Some(Secure { listen: listen.clone(), identity: identity.clone() }),
            h3: Some(Secure { listen: listen.clone(), identity: identity.clone() }),
            https: Some(Https { listen, path: Https::PATH.into(), identity: Some(identity) }),
            ..settings
        }
    }

    /// What a client trusts, and the names of what it wants to speak.
    pub(crate) fn trust(&self, alpn: &[&str]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.folder().join("ca.pem")).unwrap();
        roots.add(ca).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// A connection under TLS.
    pub(crate) async fn connect(
        &self,
        server: SocketAddr,
        alpn: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(NAME).unwrap();
        TlsConnector::from(Arc::new(self.trust(alpn))).connect(name, stream).await
    }

    /// Sends messages over TLS and gives the first reply.
    pub(crate) async fn over_tls(&self, server: SocketAddr, messages: &[&[u8]]) -> Vec<u8> {
        let mut stream = self.connect(server, &["dot"]).await.unwrap();
        write_messages(&mut stream, messages).await;
        read_message(&mut stream).await
    }

    /// Sends one request over HTTP/1.1 or, with `h2` in ALPN, HTTP/2.
    pub(crate) async fn over_https(
        &self,
        server: SocketAddr,
        alpn: &str,
        request: Request<Full<Bytes>>,
    ) -> Response {
        let stream = self.connect(server, &[alpn]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn.as_bytes()));
        exchange(stream, alpn == "h2", request).await
    }

    /// A connection of QUIC.
    pub(crate) async fn dial(&self, server: SocketAddr, alpn: &str) -> quinn::Connection {
        let tls = QuicClientConfig::try_from(self.trust(&[alpn])).unwrap();
        let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(tls));
        endpoint.connect_with(config, server, NAME).unwrap().await.unwrap()
    }

    /// The reply to a message over QUIC, with id 0 both ways (RFC 9250 section 4.2.1); none for silence.
    pub(crate) async fn over_quic(&self, server: SocketAddr, query: &[u8]) -> Option<Vec<u8>> {
        let connection = self.dial(server, "doq").await;
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        let id: [u8; 2] = query[..2].try_into().unwrap();
        let query = [&[0, 0], &query[2..]].concat();
        write_messages(&mut send, &[&query]).await;
        send.finish().unwrap();
        let reply = receive.read_to_end(70_000).await.unwrap();
        if reply.is_empty() {
            return None;
        }
        let (length, reply) = reply.split_first_chunk::<2>().expect("a length");
        assert_eq!(usize::from(u16::from_be_bytes(*length)), reply.len());
        assert_eq!(reply[..2], [0, 0]);
        Some([&id, &reply[2..]].concat())
    }

    /// The reply to a message over HTTP/3; none for silence.
    pub(crate) async fn over_h3(&self, server: SocketAddr, query: &[u8]) -> Option<Vec<u8>> {
        let connection = self.dial(server, "h3").await;
        let (mut driver, mut sender) =
            h3::client::new(h3_quinn::Connection::new(connection)).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(driver.wait_idle().await) });
        let request = Request::post(format!("https://{NAME}{}", Https::PATH))
            .header(CONTENT_TYPE, "application/dns-message")
            .body(())
            .unwrap();
        let mut stream = sender.send_request(request).await.unwrap();
        stream.send_data(Bytes::copy_from_slice(query)).await.unwrap();
        stream.finish().await.unwrap();
        let response = stream.recv_response().await.ok()?;
        assert_eq!(response.status(), StatusCode::OK);
        let mut body = Vec::new();
        while let Some(mut data) = stream.recv_data().await.unwrap() {
            body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
        Some(body)
    }

    /// The message that a GET brings; none where it is refused as no query.
    pub(crate) async fn get(&self, server: SocketAddr, query: &[u8]) -> Option<Vec<u8>> {
        let dns = data_encoding::BASE64URL_NOPAD.encode(query);
        let request = Request::get(format!("https://{NAME}{}?dns={dns}", Https::PATH))
            .header(ACCEPT, "application/dns-message");
        let request = request.body(Full::default()).unwrap();
        message(self.over_https(server, "h2", request).await)
    }

    /// The message that a POST brings; none where it is refused as no query.
    pub(crate) async fn post(&self, server: SocketAddr, query: &[u8]) -> Option<Vec<u8>> {
        let request = Request::post(Https::PATH)
            .header("host", NAME)
            .header(CONTENT_TYPE, "application/dns-message");
        let request = request.body(Full::new(Bytes::copy_from_slice(query))).unwrap();
        message(self.over_https(server, "http/1.1", request).await)
    }
}

/// One request on a connection of its own.
pub(crate) async fn exchange<S>(stream: S, h2: bool, request: Request<Full<Bytes>>) -> Response
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let io = TokioIo::new(stream);
    let mut tasks = JoinSet::new();
    let response = if h2 {
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (mut sender, connection) = handshake.await.unwrap();
        tasks.spawn(async move { drop(connection.await) });
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tasks.spawn(async move { drop(connection.await) });
        sender.send_request(request).await.unwrap()
    };
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Response { status: head.status, headers: head.headers, body }
}

fn message(response: Response) -> Option<Vec<u8>> {
    match response.status {
        StatusCode::OK => {
            assert_eq!(response.header("content-type"), "application/dns-message");
            Some(response.body.to_vec())
        }
        StatusCode::BAD_REQUEST => None,
        other => panic!("{other}: {:?}", response.body),
    }
}

/// Messages as a stream carries them (RFC 1035 section 4.2.2).
pub(crate) async fn write_messages(stream: &mut (impl AsyncWriteExt + Unpin), messages: &[&[u8]]) {
    let mut octets = Vec::new();
    for message in messages {
        octets.extend_from_slice(&u16::try_from(message.len()).unwrap().to_be_bytes());
        octets.extend_from_slice(message);
    }
    stream.write_all(&octets).await.unwrap();
    stream.flush().await.unwrap();
}

/// The next message of a stream.
pub(crate) async fn read_message(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let length = stream.read_u16().await.expect("a reply");
    let mut reply = vec![0; length.into()];
    stream.read_exact(&mut reply).await.unwrap();
    reply
}
