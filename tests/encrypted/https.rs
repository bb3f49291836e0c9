//! DNS over HTTPS (RFC 8484).

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rollcall::dns::{Https, Settings, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::dns::{DEADLINE, Server, settings};
use crate::encrypted::{NAME, Response, World, exchange};
use crate::{query, seen, snapshot, soon};

fn start(world: &World, settings: Settings) -> Server {
    Server::start(world.settings(settings), snapshot())
}

fn at(server: &Server) -> SocketAddr {
    server.address_of(Transport::Https)
}

/// A request as `METHOD path`, with headers and a body.
fn request(line: &str, headers: &[(&str, &str)], body: &[u8]) -> Request<Full<Bytes>> {
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder()
        .method(Method::try_from(method).unwrap())
        .uri(format!("https://{NAME}{path}"))
        .header("host", NAME);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(Bytes::copy_from_slice(body))).unwrap()
}

fn get(query: &[u8]) -> String {
    format!("GET /dns-query?dns={}", BASE64URL_NOPAD.encode(query))
}

const MESSAGE: (&str, &str) = ("content-type", "application/dns-message");

/// Sends a request over HTTP/1.1 and HTTP/2, and expects the same of both.
async fn both(world: &World, server: &Server, request: Request<Full<Bytes>>) -> Response {
    let old = soon(world.over_https(at(server), "http/1.1", request.clone())).await;
    let new = soon(world.over_https(at(server), "h2", request)).await;
    assert_eq!(old.status, new.status);
    for header in ["content-type", "cache-control", "allow", "content-length"] {
        assert_eq!(old.header(header), new.header(header), "{header}");
    }
    assert_eq!(old.body, new.body);
    new
}

#[tokio::test]
async fn requests_get_the_right_status() {
    let world = World::new();
    let server = start(&world, settings());
    let (good, large) = (query(0), vec![0; 65_536]);
    let get = get(&good);
    let accept = |list| [("accept", list)];
    let json = [("content-type", "application/json")];
    let typed = [("content-type", "Application/DNS-Message; charset=x")];
    let too_long = format!("GET /dns-query?dns={}", "A".repeat(4_000));
    for (line, headers, body, status) in [
        (&*get, &[][..], &b""[..], StatusCode::OK),
        (&get, &accept("application/dns-message"), b"", StatusCode::OK),
        (&get, &accept("*/*"), b"", StatusCode::OK),
        (&get, &accept("application/dns-json"), b"", StatusCode::NOT_ACCEPTABLE),
        ("POST /dns-query", &[MESSAGE], &good, StatusCode::OK),
        ("POST /dns-query", &typed, &good, StatusCode::OK),
        ("POST /dns-query", &json, &good, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("POST /dns-query", &[], &good, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("POST /dns-query", &[MESSAGE], &large, StatusCode::PAYLOAD_TOO_LARGE),
        ("POST /dns-query", &[MESSAGE], b"", StatusCode::BAD_REQUEST),
        ("GET /dns-query", &[], b"", StatusCode::BAD_REQUEST),
        ("GET /dns-query?dns=", &[], b"", StatusCode::BAD_REQUEST),
        ("GET /dns-query?dns=AA==", &[], b"", StatusCode::BAD_REQUEST),
        ("GET /dns-query?dns=%00", &[], b"", StatusCode::BAD_REQUEST),
        ("GET /dns-query?name=greeter.svc", &[], b"", StatusCode::BAD_REQUEST),
        // Zeros are a query without a question: malformed, and that is said in DNS (RFC 8484 section 4.2.1).
        (&too_long, &[], b"", StatusCode::OK),
        ("GET /", &[], b"", StatusCode::NOT_FOUND),
        ("GET /dns-query/", &[], b"", StatusCode::NOT_FOUND),
        ("PUT /dns-query", &[MESSAGE], &good, StatusCode::METHOD_NOT_ALLOWED),
        ("DELETE /dns-query", &[], b"", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let response = both(&world, &server, request(line, headers, body)).await;
        assert_eq!(response.status, status, "{line} {headers:?}: {:?}", response.body);
        if status == StatusCode::OK {
            assert_eq!(response.header("content-type"), "application/dns-message");
            assert_eq!(response.header("content-length"), response.body.len().to_string());
        }
        let allow = response.header("allow");
        assert_eq!(allow == "GET,HEAD,POST", status == StatusCode::METHOD_NOT_ALLOWED, "{allow}");
    }
    let head = request(&get.replace("GET", "HEAD"), &[], b"");
    let head = both(&world, &server, head).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("cache-control"), "max-age=5");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_answer_says_how_long_it_may_be_kept() {
    let world = World::new();
    let server = start(&world, settings());
    for (name, rtype, expected) in [
        ("greeter.svc.", "A", "max-age=5"),
        ("greeter.svc.", "AAAA", "max-age=1"),
        ("nobody.svc.", "A", "max-age=1"),
        ("example.org.", "A", "no-store"),
    ] {
        let query = crate::wire::Query::default().octets(name, rtype, "IN").unwrap();
        let response = both(&world, &server, request(&get(&query), &[], b"")).await;
        assert_eq!(response.header("cache-control"), expected, "{name} {rtype}");
    }
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let world = World::new();
    let server = start(&world, settings());
    let stream = soon(world.connect(at(&server), &["h2"])).await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = soon(handshake).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    // More than may be open at once: the rest waits its turn.
    let mut requests = JoinSet::new();
    for id in 0..200 {
        let mut sender = sender.clone();
        let request = request(&get(&query(id)), &[], b"");
        requests.spawn(async move {
            let response = sender.send_request(request).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(seen(&body), (id, 1));
        });
    }
    soon(requests.join_all()).await;
    let totals = server.stats.totals();
    assert_eq!(totals.connections(Transport::Https).accepted, 1);
    assert_eq!(totals.of(Transport::Https).requests.iter().sum::<u64>(), 200);
}

#[tokio::test]
async fn without_tls_it_is_plain_http_of_both_versions() {
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let https = Https { listen, path: "/a/b".into(), identity: None };
    let server = Server::start(Settings { https: Some(https), ..settings() }, snapshot());
    for h2 in [false, true] {
        let stream = soon(TcpStream::connect(at(&server))).await.unwrap();
        let request = request(&get(&query(0)).replace("/dns-query", "/a/b"), &[], b"");
        let response = soon(exchange(stream, h2, request)).await;
        assert_eq!((response.status, seen(&response.body)), (StatusCode::OK, (0, 1)), "h2: {h2}");
    }
    server.stop().await.unwrap();
}

/// Sends octets under TLS and reads until the end of the connection.
async fn until_the_end(world: &World, server: &Server, alpn: &[&str], sent: &[u8]) -> String {
    let mut stream = soon(world.connect(at(server), alpn)).await.unwrap();
    stream.write_all(sent).await.unwrap();
    stream.flush().await.unwrap();
    let mut said = Vec::new();
    let _ = soon(stream.read_to_end(&mut said)).await;
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn whoever_stalls_is_cut_off() {
    let world = World::new();
    let short = Duration::from_millis(300);
    let server = start(&world, Settings { tcp_idle: short, ..settings() });
    for (alpn, sent) in [
        ("http/1.1", &b""[..]),
        ("http/1.1", b"GET /dns-que"),
        ("http/1.1", b"GET /dns-query HTTP/1.1\r\nhost: x\r\n"),
        ("h2", b""),
        ("h2", b"PRI * HTTP"),
        ("h2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        let said = until_the_end(&world, &server, &[alpn], sent).await;
        assert!(!said.contains("200"), "{said}");
    }
    let server = start(&world, Settings { tcp_message: short, tcp_idle: DEADLINE, ..settings() });
    let head = "POST /dns-query HTTP/1.1\r\nhost: x\r\ncontent-type: application/dns-message\r\n\
                content-length: 40\r\n\r\nhalf";
    let said = until_the_end(&world, &server, &["http/1.1"], head.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    // A handshake that does not come.
    let mut stalled = soon(TcpStream::connect(at(&server))).await.unwrap();
    assert!(matches!(soon(stalled.read(&mut [0])).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let world = World::new();
    let short = Duration::from_secs(1);
    let server = start(&world, Settings { tcp_idle: short, tcp_message: short, ..settings() });
    let mut stream = soon(world.connect(at(&server), &["http/1.1"])).await.unwrap();
    let large = crate::wire::Query::default().octets("big.svc.", "SRV", "IN").unwrap();
    let ask = format!("{} HTTP/1.1\r\nhost: x\r\n\r\n", get(&large));
    let flood = async { while stream.write_all(ask.as_bytes()).await.is_ok() {} };
    soon(flood).await;
    let gone = async {
        while server.stats.totals().connections(Transport::Https).open > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(gone).await;
}

/// A client of HTTP/2 that lets no octet of any reply come.
struct Deaf {
    sender: SendRequest<Bytes>,
    _tasks: JoinSet<()>,
}

/// A response that it has the head of, and its stream.
type Untaken = (hyper::Response<RecvStream>, SendStream<Bytes>);

impl Deaf {
    async fn connect(world: &World, server: &Server) -> Self {
        let stream = soon(world.connect(at(server), &["h2"])).await.unwrap();
        let mut builder = h2::client::Builder::new();
        let (sender, connection) =
            soon(builder.initial_window_size(0).handshake(stream)).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(connection.await) });
        Self { sender, _tasks: tasks }
    }

    /// Asks for a large set; none when the connection has ended.
    async fn ask(&self) -> Option<Untaken> {
        let large = crate::wire::Query::default().octets("big.svc.", "SRV", "IN").unwrap();
        let (request, _) = request(&get(&large), &[], b"").into_parts();
        let mut sender = soon(self.sender.clone().ready()).await.ok()?;
        let request = Request::from_parts(request, ());
        let (response, stream) = sender.send_request(request, true).ok()?;
        Some((soon(response).await.ok()?, stream))
    }
}

#[tokio::test]
async fn who_takes_no_reply_can_leave_few_octets_with_us() {
    let world = World::new();
    let patient = Settings { tcp_message: DEADLINE * 2, tcp_idle: DEADLINE * 2, ..settings() };
    let server = start(&world, patient);
    let large = crate::wire::Query::default().octets("big.svc.", "SRV", "IN").unwrap();
    let octets = soon(world.get(at(&server), &large)).await.unwrap().len();
    assert!(octets > 30_000, "{octets}");
    let deaf = Deaf::connect(&world, &server).await;
    let mut held = Vec::new();
    for _ in 0..50 {
        held.push(deaf.ask().await.unwrap());
    }
    let count = |status| held.iter().filter(|(head, _)| head.status() == status).count();
    assert_eq!(count(StatusCode::OK), (512 << 10) / octets);
    assert_eq!(count(StatusCode::OK) + count(StatusCode::SERVICE_UNAVAILABLE), 50);
    // What it gives up is forgotten.
    drop(held);
    let heard = async { while deaf.ask().await.unwrap().0.status() != StatusCode::OK {} };
    soon(heard).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn who_takes_no_reply_is_cut_off_though_he_goes_on_asking() {
    let world = World::new();
    let message = Duration::from_secs(1);
    let server = start(&world, Settings { tcp_message: message, tcp_idle: DEADLINE, ..settings() });
    let deaf = Deaf::connect(&world, &server).await;
    let held = deaf.ask().await.unwrap();
    assert_eq!(held.0.status(), StatusCode::OK);
    let asked = async {
        // Each reply is given up for the next one.
        while deaf.ask().await.is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon(asked).await;
    let gone = async {
        while server.stats.totals().connections(Transport::Https).open > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(gone).await;
    assert!(soon(world.get(at(&server), &query(0))).await.is_some());
}

#[tokio::test]
async fn a_head_has_a_limit() {
    let world = World::new();
    let server = start(&world, settings());
    let long = "x".repeat(20_000);
    let sent = format!("GET /dns-query HTTP/1.1\r\nhost: x\r\nlong: {long}\r\n\r\n");
    let said = until_the_end(&world, &server, &["http/1.1"], sent.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 431"), "{said}");
    let long = request("GET /dns-query", &[("long", &long)], b"");
    let response = soon(world.over_https(at(&server), "h2", long)).await;
    assert_eq!(response.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn what_is_no_http_ends_the_connection() {
    let world = World::new();
    let server = start(&world, settings());
    let dns = [&[0, 29][..], &query(1)].concat();
    for sent in [&dns[..], &[0; 1_000], b"SSH-2.0-x\r\n\r\n"] {
        let said = until_the_end(&world, &server, &[], sent).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 400"), "{said}");
    }
    assert!(soon(world.get(at(&server), &query(0))).await.is_some());
}

#[tokio::test]
async fn the_longest_idle_makes_room() {
    let world = World::new();
    let server = start(
        &world,
        Settings { tcp_connections_per_client_max: 1, tcp_idle: DEADLINE * 2, ..settings() },
    );
    let mut idle = soon(world.connect(at(&server), &["http/1.1"])).await.unwrap();
    let ask = format!("{} HTTP/1.1\r\nhost: x\r\n\r\n", get(&query(0)));
    idle.write_all(ask.as_bytes()).await.unwrap();
    assert_ne!(soon(idle.read(&mut [0; 1_000])).await.unwrap(), 0);
    assert!(soon(world.get(at(&server), &query(0))).await.is_some());
    let mut rest = Vec::new();
    let _ = soon(idle.read_to_end(&mut rest)).await;
    let totals = server.stats.totals();
    assert_eq!(totals.connections(Transport::Https).evicted, 1);
}

#[tokio::test]
async fn a_stop_ends_idle_connections() {
    let world = World::new();
    let server = start(&world, settings());
    let mut idle = soon(world.connect(at(&server), &["http/1.1"])).await.unwrap();
    let ask = format!("{} HTTP/1.1\r\nhost: x\r\n\r\n", get(&query(0)));
    idle.write_all(ask.as_bytes()).await.unwrap();
    assert_ne!(soon(idle.read(&mut [0; 1_000])).await.unwrap(), 0);
    server.stop().await.unwrap();
    let mut rest = Vec::new();
    soon(idle.read_to_end(&mut rest)).await.unwrap();
}
