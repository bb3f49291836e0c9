//! DNS over TLS (RFC 7858).

use std::time::Duration;

use rollcall::dns::{Settings, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::dns::{DEADLINE, Server, settings};
use crate::encrypted::{NAME, World, read_message, write_messages};
use crate::{query, seen, snapshot, soon};

type Stream = TlsStream<TcpStream>;

fn start(world: &World, settings: Settings) -> Server {
    Server::start(world.settings(settings), snapshot())
}

/// A connection that the server has let in and answered once.
async fn used(world: &World, server: &Server) -> Stream {
    let connect = world.connect(server.address_of(Transport::Tls), &["dot"]);
    let mut stream = soon(connect).await.unwrap();
    assert!(ask(&mut stream, 1).await);
    stream
}

/// Whether a question on that connection is answered.
async fn ask(stream: &mut Stream, id: u16) -> bool {
    let query = query(id);
    let message = [&(query.len() as u16).to_be_bytes()[..], &query].concat();
    if stream.write_all(&message).await.is_err() || stream.flush().await.is_err() {
        return false;
    }
    let Ok(length) = soon(stream.read_u16()).await else { return false };
    let mut reply = vec![0; length.into()];
    soon(stream.read_exact(&mut reply)).await.unwrap();
    assert_eq!(seen(&reply), (id, 1));
    true
}

/// Whether the other end has said that it closes, as TLS asks (RFC 8446 section 6.1).
async fn told(stream: &mut Stream) -> bool {
    matches!(soon(stream.read(&mut [0])).await, Ok(0))
}

/// Whether the other end has closed.
async fn closed(stream: &mut (impl AsyncReadExt + Unpin)) -> bool {
    matches!(soon(stream.read(&mut [0])).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn clients_name_dns_or_nothing() {
    let world = World::new();
    let server = start(&world, settings());
    let at = server.address_of(Transport::Tls);
    for alpn in [&["dot"][..], &[], &["h2", "dot"]] {
        let mut stream = soon(world.connect(at, alpn)).await.unwrap();
        let expected = (!alpn.is_empty()).then_some(&b"dot"[..]);
        assert_eq!(stream.get_ref().1.alpn_protocol(), expected);
        assert!(ask(&mut stream, 7).await);
    }
    soon(world.connect(at, &["h2"])).await.expect_err("HTTP is not spoken here");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn many_questions_are_answered_in_order_though_the_reader_is_slow() {
    let world = World::new();
    let server = start(&world, settings());
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = socket.connect(server.address_of(Transport::Tls)).await.unwrap();
    let connector = TlsConnector::from(std::sync::Arc::new(world.trust(&["dot"])));
    let name = ServerName::try_from(NAME).unwrap();
    let stream = soon(connector.connect(name, stream)).await.unwrap();
    // Large answers among small ones, so that records, buffers and turns all end in the middle of something.
    let mut large = crate::wire::Query::default().octets("big.svc.", "SRV", "IN").unwrap();
    large[..2].copy_from_slice(&9_999_u16.to_be_bytes());
    let (mut read, mut write) = tokio::io::split(stream);
    let ask = async {
        for id in 0..2_000 {
            write_messages(&mut write, &[&query(id)]).await;
            if id % 100 == 0 {
                write_messages(&mut write, &[&large]).await;
            }
        }
        // A half-close, as TLS has it.
        write.shutdown().await.unwrap();
    };
    let hear = async {
        for id in 0..2_000 {
            assert_eq!(seen(&read_message(&mut read).await), (id, 1));
            if id % 100 == 0 {
                assert_eq!(seen(&read_message(&mut read).await), (9_999, 1_000));
            }
        }
        assert_eq!(read.read(&mut [0]).await.unwrap(), 0, "the end is told as TLS asks");
    };
    soon(async { tokio::join!(ask, hear) }).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let world = World::new();
    let message = Duration::from_millis(300);
    let server = start(&world, Settings { tcp_message: message, tcp_idle: DEADLINE, ..settings() });
    let mut stream = used(&world, &server).await;
    let large = crate::wire::Query::default().octets("big.svc.", "SRV", "IN").unwrap();
    let message = [&(large.len() as u16).to_be_bytes()[..], &large].concat();
    let flood = async { while stream.write_all(&message).await.is_ok() {} };
    soon(flood).await;
    let gone = async {
        while server.stats.totals().connections(Transport::Tls).open > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(gone).await;
    used(&world, &server).await;
}

#[tokio::test]
async fn a_handshake_that_is_no_handshake_or_takes_too_long_ends_the_connection() {
    let world = World::new();
    let message = Duration::from_millis(300);
    let server = start(&world, Settings { tcp_message: message, tcp_idle: DEADLINE, ..settings() });
    let at = server.address_of(Transport::Tls);
    let plain = query(1);
    let framed = [&(plain.len() as u16).to_be_bytes()[..], &plain].concat();
    // The first octets of a hello, then nothing more.
    let begun = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice();
    for sent in [&framed[..], b"GET / HTTP/1.1\r\n\r\n", &[0; 1_000], begun, b""] {
        let mut stream = soon(TcpStream::connect(at)).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut said = Vec::new();
        let _ = soon(stream.read_to_end(&mut said)).await;
        // At most an alert (RFC 8446 section 6).
        assert!(said.is_empty() || said[0] == 21, "{said:?}");
    }
    let totals = server.stats.totals();
    assert_eq!(totals.of(Transport::Tls).failed, 5);
    assert!(ask(&mut used(&world, &server).await, 2).await);
}

#[tokio::test]
async fn an_idle_connection_ends_and_so_does_half_a_message() {
    let world = World::new();
    let short = Duration::from_millis(300);
    let server = start(&world, Settings { tcp_idle: short, ..settings() });
    let mut stream = used(&world, &server).await;
    assert!(told(&mut stream).await);
    let server = start(&world, Settings { tcp_message: short, tcp_idle: DEADLINE, ..settings() });
    let mut stream = used(&world, &server).await;
    stream.write_all(&[0, 40, 1]).await.unwrap();
    stream.flush().await.unwrap();
    assert!(closed(&mut stream).await);
}

#[tokio::test]
async fn the_longest_idle_makes_room_and_tcp_is_left_alone() {
    let world = World::new();
    let server = start(&world, Settings { tcp_connections_max: 2, ..settings() });
    let mut tcp = soon(TcpStream::connect(server.address())).await.unwrap();
    write_messages(&mut tcp, &[&query(1)]).await;
    read_message(&mut tcp).await;
    let mut one = used(&world, &server).await;
    let mut two = used(&world, &server).await;
    assert!(ask(&mut one, 2).await);
    let mut three = used(&world, &server).await;
    assert!(told(&mut two).await, "idle for longest");
    assert!(ask(&mut one, 3).await && ask(&mut three, 4).await);
    let totals = server.stats.totals();
    let of = |transport| {
        let sums = totals.connections(transport);
        (sums.accepted, sums.evicted, sums.refused, sums.open)
    };
    assert_eq!(of(Transport::Tls), (3, 1, 0, 2));
    assert_eq!(of(Transport::Tcp), (1, 0, 0, 1), "TCP has places of its own");
    write_messages(&mut tcp, &[&query(2)]).await;
    assert_eq!(seen(&read_message(&mut tcp).await).0, 2);
}

#[tokio::test]
async fn whoever_does_not_finish_the_handshake_gives_way() {
    let world = World::new();
    let server = start(
        &world,
        Settings { tcp_connections_per_client_max: 1, tcp_message: DEADLINE * 2, ..settings() },
    );
    let mut stalled = soon(TcpStream::connect(server.address_of(Transport::Tls))).await.unwrap();
    used(&world, &server).await;
    assert!(closed(&mut stalled).await);
    assert_eq!(server.stats.totals().connections(Transport::Tls).evicted, 1);
}

#[tokio::test]
async fn a_stop_is_told_to_those_who_are_idle() {
    let world = World::new();
    let server = start(&world, settings());
    let mut stream = used(&world, &server).await;
    let at = server.address_of(Transport::Tls);
    let stalled = soon(TcpStream::connect(at)).await.unwrap();
    server.stop().await.unwrap();
    assert_eq!(soon(stream.read(&mut [0])).await.unwrap(), 0, "an end as TLS asks");
    drop(stalled);
}

#[tokio::test]
async fn crowds_of_the_stalled_and_the_hasty_harm_nobody() {
    let world = World::new();
    let server = start(&world, Settings { tcp_idle: DEADLINE, ..settings() });
    let (tls, https) = (server.address_of(Transport::Tls), server.address_of(Transport::Https));
    let mut stalled = Vec::new();
    for _ in 0..50 {
        for at in [tls, https] {
            stalled.push(soon(TcpStream::connect(at)).await.unwrap());
        }
    }
    for _ in 0..300 {
        for at in [tls, https] {
            drop(soon(TcpStream::connect(at)).await.unwrap());
        }
    }
    assert!(ask(&mut used(&world, &server).await, 2).await);
    assert!(soon(world.get(https, &query(3))).await.is_some());
    let mut tcp = soon(TcpStream::connect(server.address())).await.unwrap();
    write_messages(&mut tcp, &[&query(4)]).await;
    assert_eq!(seen(&soon(read_message(&mut tcp)).await), (4, 1));
    let udp = tokio::net::UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    udp.connect(server.address()).await.unwrap();
    udp.send(&query(5)).await.unwrap();
    let mut reply = [0; 1_232];
    let len = soon(udp.recv(&mut reply)).await.unwrap();
    assert_eq!(seen(&reply[..len]), (5, 1));
    drop(stalled);
    server.stop().await.unwrap();
}
