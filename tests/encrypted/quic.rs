//! DNS over QUIC (RFC 9250) and HTTP/3: what hickory's server does where it does not ask us, so that a new version
//! of it that does otherwise is noticed. docs/dns-behaviour.md lists the same.

use bytes::Bytes;
use hyper::{Method, Request, StatusCode};
use rollcall::dns::{Settings, Transport};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::dns::{DEADLINE, Server, settings};
use crate::encrypted::{NAME, World, write_messages};
use crate::{query, seen, snapshot, soon, wire};

fn start(world: &World, settings: Settings) -> Server {
    Server::start(world.settings(settings), snapshot())
}

/// What comes back on a stream of its own for these octets; nothing where the stream or connection ends.
async fn stream(connection: &quinn::Connection, sent: &[u8]) -> Option<Vec<u8>> {
    let (mut send, mut receive) = connection.open_bi().await.ok()?;
    send.write_all(sent).await.ok()?;
    send.finish().ok()?;
    receive.read_to_end(70_000).await.ok().filter(|reply| !reply.is_empty())
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

#[tokio::test]
async fn garbage_leaves_others_alone() {
    let world = World::new();
    let server = start(&world, settings());
    let (quic, h3) = (server.address_of(Transport::Quic), server.address_of(Transport::H3));
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    for at in [quic, h3] {
        for garbage in
            [&query(1)[..], &[0; 1_200], &[0xc0; 1_200], &[0xff; 20], b"GET / HTTP/1.1\r\n\r\n"]
        {
            socket.send_to(garbage, at).await.unwrap();
        }
    }
    // A message that is cut short ends its connection and no other.
    let connection = soon(world.dial(quic, "doq")).await;
    assert_eq!(soon(stream(&connection, &framed(&query(0))[..9])).await, None);
    assert!(soon(world.over_quic(quic, &query(0))).await.is_some());
    assert!(soon(world.over_h3(h3, &query(0))).await.is_some());
    server.stop().await.unwrap();
}

/// What hickory does not take for what a type holds goes out as it stands in the zone file.
#[tokio::test]
async fn data_that_hickory_can_not_read_are_octets() {
    let world = World::new();
    let server = start(&world, settings());
    let (quic, h3) = (server.address_of(Transport::Quic), server.address_of(Transport::H3));
    for (rtype, data) in [
        (35_u16, &b"\x00\x64\x00\x0a\x01-\x01x\x00\x00"[..]),
        (65_280, b""),
        (42, b""),
        (62, b"\0\0\0\0\0\0"),
    ] {
        let mut asked = wire::Query::default();
        asked.flag("noedns").unwrap();
        let asked = asked.octets("odd.odd.example", &format!("TYPE{rtype}"), "IN").unwrap();
        let [t1, t2] = rtype.to_be_bytes();
        let head = [t1, t2, 0, 1, 0, 0, 0, 60, 0, data.len() as u8];
        for reply in
            [soon(world.over_quic(quic, &asked)).await, soon(world.over_h3(h3, &asked)).await]
        {
            let reply = reply.expect("a reply");
            assert_eq!(seen(&reply).1, 1, "{rtype}");
            assert!(reply.ends_with(&[&head, data].concat()), "{rtype}: {reply:?}");
        }
    }
    server.stop().await.unwrap();
}

/// The exception: where RFC 9250 section 4.2.1 asks for an error of its own, hickory ends the connection with
/// that of nothing.
#[tokio::test]
async fn a_query_with_an_id_ends_its_connection() {
    let world = World::new();
    let server = start(&world, settings());
    let connection = soon(world.dial(server.address_of(Transport::Quic), "doq")).await;
    assert_eq!(soon(stream(&connection, &framed(&query(7)))).await, None);
    let closed = soon(connection.closed()).await;
    let quinn::ConnectionError::ApplicationClosed(why) = closed else { panic!("{closed}") };
    assert_eq!(why.error_code, 0_u32.into());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn many_questions_share_a_connection() {
    let world = World::new();
    let server = start(&world, settings());
    let connection = soon(world.dial(server.address_of(Transport::Quic), "doq")).await;
    let mut asking = JoinSet::new();
    for _ in 0..90 {
        let connection = connection.clone();
        asking.spawn(async move { stream(&connection, &framed(&query(0))).await });
    }
    for reply in soon(asking.join_all()).await {
        assert_eq!(seen(&reply.expect("a reply")[2..]), (0, 1));
    }
    // The exception: after 100 questions hickory ends the connection.
    for asked in 91.. {
        if soon(stream(&connection, &framed(&query(0)))).await.is_none() {
            assert!(asked > 99, "ended after {asked}");
            break;
        }
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_ends() {
    let world = World::new();
    let short = std::time::Duration::from_millis(300);
    let server = start(&world, Settings { tcp_idle: short, ..settings() });
    let connection = soon(world.dial(server.address_of(Transport::Quic), "doq")).await;
    assert!(soon(stream(&connection, &framed(&query(0)))).await.is_some());
    soon(connection.closed()).await;
    // Nor does half a message keep it open.
    let connection = soon(world.dial(server.address_of(Transport::Quic), "doq")).await;
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(&[0, 40, 0]).await.unwrap();
    soon(connection.closed()).await;
}

#[tokio::test]
async fn other_protocols_are_refused() {
    let world = World::new();
    let server = start(&world, settings());
    for (transport, alpn) in [(Transport::Quic, "h3"), (Transport::H3, "doq")] {
        let tls = quinn::crypto::rustls::QuicClientConfig::try_from(world.trust(&[alpn])).unwrap();
        let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
        let config = quinn::ClientConfig::new(std::sync::Arc::new(tls));
        let connecting = endpoint.connect_with(config, server.address_of(transport), NAME).unwrap();
        soon(connecting).await.expect_err("another protocol");
    }
}

#[tokio::test]
async fn http_3_looks_at_the_body_only() {
    let world = World::new();
    let server = start(&world, settings());
    let at = server.address_of(Transport::H3);
    for (method, path, body, answered) in [
        (Method::POST, "/dns-query", &query(0)[..], true),
        (Method::POST, "/elsewhere", &query(0), true),
        (Method::PUT, "/dns-query", &query(0), true),
        (Method::GET, "/dns-query?dns=AAABAAABAAAAAAAAAWEAAAEAAQ", b"", false),
        (Method::POST, "/dns-query", b"too short", false),
    ] {
        let connection = soon(world.dial(at, "h3")).await;
        let (mut driver, mut sender) =
            soon(h3::client::new(h3_quinn::Connection::new(connection))).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(driver.wait_idle().await) });
        let request = Request::builder().method(&method).uri(format!("https://{NAME}{path}"));
        let mut stream = soon(sender.send_request(request.body(()).unwrap())).await.unwrap();
        if !body.is_empty() {
            stream.send_data(Bytes::copy_from_slice(body)).await.unwrap();
        }
        stream.finish().await.unwrap();
        let status = soon(stream.recv_response()).await.ok().map(|response| response.status());
        assert_eq!(status, answered.then_some(StatusCode::OK), "{method} {path}");
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_connections() {
    let world = World::new();
    let server = start(&world, Settings { tcp_idle: DEADLINE, ..settings() });
    let connection = soon(world.dial(server.address_of(Transport::Quic), "doq")).await;
    assert!(soon(stream(&connection, &framed(&query(0)))).await.is_some());
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    write_messages(&mut send, &[&query(0)]).await;
    server.stop().await.unwrap();
}
