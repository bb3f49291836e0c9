//! UDP and TCP as sockets: what arrives how, who is cut off when, and what a stop leaves behind.
//!
//! What an answer holds is not looked at here, only that it belongs to its question.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rollcall::dns::{Settings, Transport, UdpCalls, bind};
use rollcall::zone::Snapshot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::dns::{DEADLINE, Server, settings};
use crate::world;

fn start(settings: Settings) -> Server {
    Server::start(settings, Snapshot::default().into())
}

/// A question for the address of `a.example.` with that id.
fn query(id: u16) -> Vec<u8> {
    let mut octets = id.to_be_bytes().to_vec();
    octets.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    octets.extend_from_slice(b"\x01a\x07example\x00\x00\x01\x00\x01");
    octets
}

/// The same with its length in front.
fn framed(id: u16) -> Vec<u8> {
    let query = query(id);
    [&u16::try_from(query.len()).unwrap().to_be_bytes()[..], &query].concat()
}

/// Reads one reply and gives its id; none at the end of the stream.
async fn reply(stream: &mut TcpStream) -> Option<u16> {
    let read = async {
        let length = stream.read_u16().await.ok()?;
        let mut octets = vec![0; length.into()];
        stream.read_exact(&mut octets).await.expect("a reply is whole");
        assert!(octets.len() >= 12 && octets[2] & 0x80 != 0, "{octets:?}");
        Some(u16::from_be_bytes([octets[0], octets[1]]))
    };
    timeout(DEADLINE, read).await.expect("a reply or an end")
}

async fn connect(server: &Server) -> TcpStream {
    timeout(DEADLINE, TcpStream::connect(server.address())).await.unwrap().unwrap()
}

async fn ask(stream: &mut TcpStream, id: u16) -> Option<u16> {
    stream.write_all(&framed(id)).await.ok()?;
    reply(stream).await
}

/// A socket that hears replies from that address alone.
async fn udp(to: SocketAddr) -> UdpSocket {
    let any: IpAddr = if to.is_ipv4() { [0, 0, 0, 0].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0)).await.unwrap();
    socket.connect(to).await.unwrap();
    socket
}

async fn ask_udp(socket: &UdpSocket, id: u16) -> u16 {
    socket.send(&query(id)).await.unwrap();
    let mut octets = [0; 512];
    let len = timeout(DEADLINE, socket.recv(&mut octets)).await.expect("a reply").unwrap();
    assert!(len >= 12 && octets[2] & 0x80 != 0);
    u16::from_be_bytes([octets[0], octets[1]])
}

#[tokio::test]
async fn udp_and_tcp_share_one_free_port() {
    let two = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    let server = start(Settings { listen: two, ..settings() });
    for address in server.addresses.clone() {
        assert_ne!(address.port(), 0);
        assert_eq!(ask_udp(&udp(address).await, 7).await, 7);
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(ask(&mut stream, 8).await, Some(8));
    }
    let totals = server.stats.totals();
    assert_eq!(totals.of(Transport::Udp).requests.iter().sum::<u64>(), 2);
    assert_eq!(totals.of(Transport::Tcp).responses.iter().sum::<u64>(), 2);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_wildcard_listener_answers_from_the_address_asked() {
    let listen = vec!["0.0.0.0:0".parse().unwrap(), "[::]:0".parse().unwrap()];
    for udp_calls in [UdpCalls::Batched, UdpCalls::Single] {
        let server = start(Settings { listen: listen.clone(), udp_calls, ..settings() });
        let (v4, v6) = (server.addresses[0].port(), server.addresses[1].port());
        for asked in [
            SocketAddr::from(([127, 0, 0, 2], v4)),
            SocketAddr::from(([127, 0, 0, 1], v4)),
            SocketAddr::new("::1".parse().unwrap(), v6),
        ] {
            // A connected socket hears nobody else.
            assert_eq!(ask_udp(&udp(asked).await, 7).await, 7, "{asked}");
        }
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_burst_is_answered_datagram_by_datagram() {
    for udp_calls in [UdpCalls::Batched, UdpCalls::Single] {
        let server = start(Settings { udp_workers: 1, udp_calls, ..settings() });
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(udp(server.address()).await);
        }
        for id in 0..30 {
            for (client, of_client) in (0..).zip(&clients) {
                of_client.send(&query(client * 100 + id)).await.unwrap();
            }
        }
        for (client, of_client) in (0..).zip(&clients) {
            // One worker: in the order in which they were asked, each to whom it belongs.
            for id in 0..30 {
                let mut octets = [0; 512];
                let read = timeout(DEADLINE, of_client.recv(&mut octets));
                let len = read.await.expect("a reply").unwrap();
                assert!(len >= 12 && octets[..2] == u16::to_be_bytes(client * 100 + id));
            }
        }
        assert_eq!(server.stats.totals().of(Transport::Udp).requests.iter().sum::<u64>(), 150);
        server.stop().await.unwrap();
    }
}

/// Of a zone with many apps what a burst will read is fetched ahead; the answers must not show it.
#[tokio::test]
async fn a_burst_to_a_zone_with_many_apps_is_answered_datagram_by_datagram() {
    let snapshot = world::World::new(2_500, 1).snapshot();
    assert!(snapshot.is_large());
    let server = Server::start(Settings { udp_workers: 1, ..settings() }, snapshot);
    let client = udp(server.address()).await;
    let names =
        ["app-7.svc", "nope.svc", "i-0.app-2499.svc", "app-8.example", "_tcp.app-9.svc", ""];
    let answers = [1, 0, 1, 0, 0, 0];
    for id in 0..60 {
        let mut question = world::query(names[usize::from(id) % 6], 1);
        question[..2].copy_from_slice(&u16::to_be_bytes(id));
        // The last is no message at all.
        if id == 59 {
            question.truncate(13);
        }
        client.send(&question).await.unwrap();
    }
    for id in 0..60_u16 {
        let mut octets = [0; 512];
        let len = timeout(DEADLINE, client.recv(&mut octets)).await.expect("a reply").unwrap();
        let (asked, of_answers) = (&octets[..2], octets[7]);
        assert!(len >= 12 && asked == id.to_be_bytes(), "{id}");
        assert_eq!(of_answers, answers[usize::from(id) % 6], "{id}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_large_datagram_is_answered() {
    for udp_calls in [UdpCalls::Batched, UdpCalls::Single] {
        let server = start(Settings { udp_calls, ..settings() });
        let socket = udp(server.address()).await;
        // Whatever stands behind the message is not looked at, and may be cut off.
        let mut large = query(7);
        large.resize(60_000, 0);
        socket.send(&large).await.unwrap();
        let mut octets = [0; 512];
        let len = timeout(DEADLINE, socket.recv(&mut octets)).await.expect("a reply").unwrap();
        assert!(len >= 12 && octets[..2] == [0, 7] && octets[3] & 0x0f == 5, "{:?}", &octets[..12]);
        // A message that is itself cut off is malformed.
        large[11] = 1;
        large[27..38].copy_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0xea, 0]);
        socket.send(&large).await.unwrap();
        timeout(DEADLINE, socket.recv(&mut octets)).await.expect("a reply").unwrap();
        assert_eq!((octets[1], octets[3] & 0x0f), (7, 1));
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_reply_gets_no_reply() {
    let server = start(settings());
    let socket = udp(server.address()).await;
    let mut loud = query(1);
    loud[2] |= 0x80;
    socket.send(&loud).await.unwrap();
    socket.send(&loud[..5]).await.unwrap();
    assert_eq!(ask_udp(&socket, 2).await, 2);
    let mut stream = connect(&server).await;
    let framed_loud = [&u16::try_from(loud.len()).unwrap().to_be_bytes()[..], &loud].concat();
    stream.write_all(&framed_loud).await.unwrap();
    assert_eq!(ask(&mut stream, 3).await, Some(3));
    let totals = server.stats.totals();
    assert_eq!((totals.of(Transport::Udp).dropped, totals.of(Transport::Tcp).dropped), (2, 1));
}

#[tokio::test]
async fn every_worker_is_counted() {
    let server = start(settings());
    for id in 0..64 {
        // Another source port each time, so that the system spreads them.
        assert_eq!(ask_udp(&udp(server.address()).await, id).await, id);
    }
    assert_eq!(server.stats.totals().of(Transport::Udp).requests.iter().sum::<u64>(), 64);
}

#[tokio::test]
async fn pipelined_queries_are_answered_in_order() {
    let server = start(settings());
    let mut stream = connect(&server).await;
    let many: Vec<u8> = (0..2_000).flat_map(framed).collect();
    stream.write_all(&many).await.unwrap();
    for id in 0..2_000 {
        assert_eq!(reply(&mut stream).await, Some(id));
    }
}

#[tokio::test]
async fn a_query_may_come_octet_by_octet() {
    let server = start(settings());
    let mut stream = connect(&server).await;
    stream.set_nodelay(true).unwrap();
    for octet in framed(7) {
        stream.write_all(&[octet]).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(reply(&mut stream).await, Some(7));
}

#[tokio::test]
async fn a_large_message_is_taken_whole() {
    let server = start(settings());
    let mut stream = connect(&server).await;
    let mut large = query(7);
    large.resize(65_535, 0);
    stream.write_all(&[255, 255]).await.unwrap();
    stream.write_all(&large).await.unwrap();
    assert_eq!(reply(&mut stream).await, Some(7));
    assert_eq!(ask(&mut stream, 8).await, Some(8));
}

#[tokio::test]
async fn a_message_that_drips_is_cut_off_at_its_deadline() {
    let message = Duration::from_millis(300);
    let server = start(Settings { tcp_message: message, tcp_idle: DEADLINE, ..settings() });
    let mut stream = connect(&server).await;
    assert_eq!(ask(&mut stream, 1).await, Some(1));
    // Octets keep coming well within any pause, and the message is never whole.
    let drip = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        stream.write_all(&[255, 255]).await.unwrap();
        let mut octet = [0; 1];
        loop {
            tokio::select! {
                _ = pace.tick() => if stream.write_all(&[0]).await.is_err() { return },
                read = stream.read(&mut octet) => return assert!(!matches!(read, Ok(1))),
            }
        }
    };
    timeout(DEADLINE, drip).await.expect("the connection is cut");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let idle = Duration::from_millis(200);
    let server = start(Settings { tcp_idle: idle, ..settings() });
    let mut silent = connect(&server).await;
    let mut used = connect(&server).await;
    assert_eq!(ask(&mut used, 1).await, Some(1));
    assert_eq!(reply(&mut silent).await, None);
    assert_eq!(reply(&mut used).await, None);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let message = Duration::from_millis(300);
    let server = start(Settings { tcp_message: message, tcp_idle: DEADLINE, ..settings() });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(server.address()).await.unwrap();
    let many: Vec<u8> = (0..1_000).flat_map(framed).collect();
    let flood = async { while stream.write_all(&many).await.is_ok() {} };
    timeout(DEADLINE, flood).await.expect("the connection is cut");
    let gone = async {
        while server.stats.totals().connections(Transport::Tcp).open > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, gone).await.expect("its place is free again");
    assert_eq!(ask(&mut connect(&server).await, 2).await, Some(2));
}

#[tokio::test]
async fn a_half_closed_connection_gets_all_its_answers() {
    let server = start(settings());
    let mut stream = connect(&server).await;
    let three: Vec<u8> = (1..4).flat_map(framed).collect();
    // The last one is not whole and never will be.
    stream.write_all(&[&three[..], &framed(4)[..9]].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    for id in 1..4 {
        assert_eq!(reply(&mut stream).await, Some(id));
    }
    assert_eq!(reply(&mut stream).await, None);
}

#[tokio::test]
async fn a_length_that_can_not_be_closes_after_the_answers() {
    let server = start(settings());
    for length in [0_u16, 11] {
        let mut stream = connect(&server).await;
        let bad = vec![0; length.into()];
        let sent = [&framed(1)[..], &length.to_be_bytes(), &bad, &framed(2)].concat();
        stream.write_all(&sent).await.unwrap();
        assert_eq!(reply(&mut stream).await, Some(1), "length {length}");
        assert_eq!(reply(&mut stream).await, None, "length {length}");
    }
}

#[tokio::test]
async fn the_longest_idle_connection_makes_room() {
    let server = start(Settings { tcp_connections_max: 2, ..settings() });
    let mut one = connect(&server).await;
    assert_eq!(ask(&mut one, 1).await, Some(1));
    let mut two = connect(&server).await;
    assert_eq!(ask(&mut two, 2).await, Some(2));
    assert_eq!(ask(&mut one, 3).await, Some(3));
    let mut three = connect(&server).await;
    assert_eq!(ask(&mut three, 4).await, Some(4));
    assert_eq!(reply(&mut two).await, None, "idle for longest");
    assert_eq!(ask(&mut one, 5).await, Some(5));
    let totals = server.stats.totals();
    let totals = totals.connections(Transport::Tcp);
    assert_eq!((totals.accepted, totals.evicted, totals.refused), (3, 1, 0));
}

#[tokio::test]
async fn who_has_not_asked_anything_gives_way() {
    let server = start(Settings {
        tcp_connections_max: 2,
        tcp_message: DEADLINE * 2,
        tcp_idle: DEADLINE * 2,
        ..settings()
    });
    let mut begun = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(&server).await;
        stream.write_all(&framed(1)[..4]).await.unwrap();
        begun.push(stream);
    }
    // Whether what they sent was seen before somebody else came or not: neither is busy.
    for id in 2..10 {
        assert_eq!(ask(&mut connect(&server).await, id).await, Some(id));
    }
    assert_eq!(reply(&mut begun[0]).await, None, "the oldest of them");
    let totals = server.stats.totals();
    assert_eq!(totals.connections(Transport::Tcp).refused, 0);
}

#[tokio::test]
async fn one_client_can_not_take_every_place() {
    let server = start(Settings {
        tcp_connections_per_client_max: 1,
        listen: vec!["0.0.0.0:0".parse().unwrap()],
        ..settings()
    });
    let to = SocketAddr::from(([127, 0, 0, 1], server.address().port()));
    let from = |host| async move {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap();
        socket.connect(to).await.unwrap()
    };
    let mut other = from(2).await;
    assert_eq!(ask(&mut other, 1).await, Some(1));
    let mut busy = from(1).await;
    assert_eq!(ask(&mut busy, 2).await, Some(2));
    busy.write_all(&framed(3)[..4]).await.unwrap();
    // The half message has arrived once this is answered: same machine, same listener, later segment.
    let mut refused = from(1).await;
    let outcome = ask(&mut refused, 4).await;
    // Whether the half message was seen before the newcomer decides which of the two has the place.
    busy.write_all(&framed(3)[4..]).await.ok();
    let kept = reply(&mut busy).await;
    assert!(outcome.is_some() != kept.is_some(), "one of two: {outcome:?} {kept:?}");
    assert_eq!(ask(&mut other, 5).await, Some(5), "another client's is left alone");
}

#[tokio::test]
async fn udp_answers_while_tcp_is_full() {
    let server = start(Settings { tcp_connections_max: 0, ..settings() });
    let mut refused = connect(&server).await;
    assert_eq!(ask(&mut refused, 1).await, None);
    assert_eq!(ask_udp(&udp(server.address()).await, 2).await, 2);
    assert_eq!(server.stats.totals().connections(Transport::Tcp).refused, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_traffic_finishes_what_is_in_flight() {
    let server = start(settings());
    let address = server.address();
    let mut stream = connect(&server).await;
    let mut idle = connect(&server).await;
    assert_eq!(ask(&mut idle, 1).await, Some(1));
    let mut flood = tokio::task::JoinSet::new();
    flood.spawn(async move {
        let socket = udp(address).await;
        loop {
            // Refused once the server is gone.
            let _ = socket.send(&query(9)).await;
            tokio::task::yield_now().await;
        }
    });
    let many: Vec<u8> = (0..500).flat_map(framed).collect();
    stream.write_all(&many).await.unwrap();
    assert_eq!(reply(&mut stream).await, Some(0));
    let read_on = async {
        let mut last = 0;
        while let Some(id) = reply(&mut stream).await {
            assert_eq!(id, last + 1);
            last = id;
        }
        last
    };
    let (stopped, last) = tokio::join!(server.stop(), read_on);
    stopped.unwrap();
    assert_eq!(last, 499, "every query that had arrived is answered");
    assert_eq!(reply(&mut idle).await, None);
    flood.shutdown().await;
    assert!(TcpStream::connect(address).await.is_err());
    // The port is free again for the next server.
    bind(&Settings { listen: vec![address], ..settings() }).unwrap();
}

#[tokio::test]
async fn a_message_that_began_to_arrive_is_answered_after_a_stop() {
    let server = start(settings());
    let mut stream = connect(&server).await;
    let two = [framed(1), framed(2)].concat();
    let (now, later) = two.split_at(two.len() - 5);
    // One segment: whoever has answered the first has seen the second begin.
    stream.write_all(now).await.unwrap();
    assert_eq!(reply(&mut stream).await, Some(1));
    let finish = async {
        stream.write_all(later).await.unwrap();
        assert_eq!(reply(&mut stream).await, Some(2));
        assert_eq!(reply(&mut stream).await, None);
    };
    // The stop is polled first.
    let (stopped, ()) = tokio::join!(biased; server.stop(), finish);
    stopped.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let server = start(settings());
    let taken = server.address();
    let refused = |listen: SocketAddr| {
        bind(&Settings { listen: vec![listen], ..settings() }).unwrap_err().to_string()
    };
    let advice = "address in use: stop the program that listens there or choose another port";
    assert_eq!(refused(taken), format!("cannot bind dns listener {taken}: {advice}"));
    // A UDP port alone, shared by whoever asks for it, is taken all the same.
    let shared = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    shared.set_reuse_port(true).unwrap();
    shared.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let alone = shared.local_addr().unwrap().as_socket().unwrap();
    assert_eq!(refused(alone), format!("cannot bind dns listener {alone}: {advice}"));
    // An address for documentation, which no machine has (RFC 5737).
    let elsewhere = refused("192.0.2.1:0".parse().unwrap());
    assert!(elsewhere.contains("192.0.2.1:0: address not available: choose one"), "{elsewhere}");
}
