//! What arrives on port 53 without being DNS, or without end: nobody else notices, and nothing is written.
//!
//! The real binary, on both of its ways; a client asks over UDP and another over TCP all the while.

use hickory_proto::rr::RecordType::A;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::support::ask::{Vigil, ask, ask_tcp};
use crate::support::server::{Home, Server};
use crate::support::soon;

const NAME: &str = "greeter.svc";
const EXPECTED: [&str; 1] = ["greeter.svc. A 10.0.0.7"];

/// A server with one instance.
async fn start() -> Server {
    let server = Home::new().start(&[]).await;
    let body = json!({"address": "10.0.0.7", "port": 9000, "ttl": 3600});
    server.register("greeter", "i-1", body).await;
    server
}

async fn connect(server: &Server) -> TcpStream {
    soon("a connection", TcpStream::connect(server.dns[0])).await.unwrap()
}

/// Asserts that others are answered, and that nothing was logged since.
async fn is_unharmed(server: &Server, log: &str, what: &str) {
    for _ in 0..20 {
        assert_eq!(ask(server.dns[0], NAME, A).await.records(), EXPECTED, "{what}, over UDP");
    }
    assert_eq!(ask_tcp(server.dns[0], NAME, A).await.records(), EXPECTED, "{what}, over TCP");
    assert_eq!(server.log(), log, "{what}: a client can not make it write");
}

#[tokio::test]
async fn stalled_connections_and_those_that_leave_harm_nobody() {
    let server = start().await;
    let records = EXPECTED.iter().map(ToString::to_string).collect();
    let vigil = Vigil::over(server.dns[0], vec![(NAME, A, records)]);
    let log = server.log();
    let mut stalled = Vec::new();
    for length in 0..50_usize {
        let mut stream = connect(&server).await;
        // Nothing, half a length, or a message of which the end never comes.
        let octets = [&[0, 60][..], &[0; 48]].concat();
        stream.write_all(&octets[..length]).await.unwrap();
        stalled.push(stream);
    }
    is_unharmed(&server, &log, "50 stalled connections").await;
    for turn in 0..300 {
        let mut stream = connect(&server).await;
        if turn % 3 == 0 {
            stream.write_all(&[0, 29, 7]).await.unwrap();
        }
        // Without a goodbye, every second time.
        if turn % 2 == 0 {
            socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        }
    }
    is_unharmed(&server, &log, "300 that connect and leave").await;
    drop(stalled);
    let seen = vigil.end().await;
    assert!(seen.bad.is_empty() && seen.asked > 0, "{} asked: {:?}", seen.asked, seen.bad);
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn what_is_no_dns_message_harms_nobody() {
    let server = start().await;
    let log = server.log();
    let hello = [&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..], &[7; 194]].concat();
    let strange: [(&str, Vec<u8>); 4] = [
        ("a message of zeros as long as any", [&[255, 255][..], &[0; 65_535]].concat()),
        ("zeros alone", vec![0; 65_536]),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: greeter.svc\r\n\r\n".to_vec()),
        ("a TLS hello", hello),
    ];
    for (what, octets) in strange {
        let mut stream = connect(&server).await;
        // The server may close at any octet of it.
        let _ = stream.write_all(&octets).await;
        is_unharmed(&server, &log, what).await;
        let _ = stream.shutdown().await;
        let mut said = Vec::new();
        // A message of zeros is one without a question, and gets its reply; nothing else is one.
        let _ = soon("the end of it", stream.read_to_end(&mut said)).await;
        assert!(said.len() <= 14, "{what}: {said:?}");
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let datagram = &octets[..octets.len().min(65_507)];
        socket.send_to(datagram, server.dns[0]).await.unwrap();
        is_unharmed(&server, &log, what).await;
    }
    assert_eq!(server.stop().await, 0);
}
