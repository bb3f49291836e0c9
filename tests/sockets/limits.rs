//! Reply-rate limiting on sockets: what a stranger is sent who asks in others' names, and what a true client still gets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rollcall::dns::answer::cookie::Secrets;
use rollcall::dns::limit::{Limits, Mode};
use rollcall::dns::{Policy, Settings, Source, Transport, UdpCalls};
use rollcall::model::Nets;
use rollcall::zone::Published;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::dns::{DEADLINE, Server, settings};
use crate::world;

const A: u16 = 1;
/// Questions at once: more than any rate here allows.
const FLOOD: u16 = 60;

/// A server that limits to 10 replies that say the same, 5 negatives, and sends every second one beyond empty.
fn start(udp_calls: UdpCalls, mode: Mode) -> Server {
    let limits = Limits {
        mode,
        replies_per_second: 10,
        negatives_per_second: 5,
        all_per_second: 1_000,
        slip: 2,
        exempt: Nets::default(),
        ..Limits::default()
    };
    // One worker: a socket's datagrams would all go to one of them anyway.
    let settings = Settings { limits, udp_calls, udp_workers: 1, ..settings() };
    let published = Arc::new(Published::new(world::World::new(3, 2).snapshot()));
    let policy = Policy { cookies: Some(Secrets::new([7; 16], None)), ..Policy::default() };
    Server::answering(settings, &Source::new(published, policy, || 1_800_000_000))
}

async fn client(to: SocketAddr, from: Ipv4Addr) -> UdpSocket {
    let socket = UdpSocket::bind((IpAddr::V4(from), 0)).await.unwrap();
    socket.connect(to).await.unwrap();
    socket
}

async fn hear(socket: &UdpSocket) -> Vec<u8> {
    let mut octets = vec![0; 1_232];
    let len = timeout(DEADLINE, socket.recv(&mut octets)).await.expect("a reply").unwrap();
    octets.truncate(len);
    octets
}

/// Asks so many times at once, and then until a reply says that all before it were seen: how many came whole, and how
/// many empty with TC set.
async fn flood(socket: &UdpSocket, name: &str, options: &[u8]) -> (usize, usize) {
    let with = |name: &str, id: u16| {
        let mut octets = world::query(name, A);
        octets[..2].copy_from_slice(&id.to_be_bytes());
        // The OPT record is the last: its length, and then the options.
        let at = octets.len() - 2;
        octets[at..].copy_from_slice(&u16::to_be_bytes(options.len() as u16));
        octets.extend_from_slice(options);
        octets
    };
    for id in 1..=FLOOD {
        socket.send(&with(name, id)).await.unwrap();
    }
    // A name that is within its rate.
    socket.send(&with("app-2.svc", 0)).await.unwrap();
    let (mut whole, mut slipped) = (0, 0);
    loop {
        let reply = hear(socket).await;
        match (&reply[..2], reply[2] & 2 != 0, reply[7]) {
            ([0, 0], ..) => return (whole, slipped),
            (_, true, answers) => {
                assert_eq!((answers, reply[9], reply[11]), (0, 0, 1), "empty but for OPT");
                slipped += 1;
            }
            _ => whole += 1,
        }
    }
}

#[tokio::test]
async fn a_network_gets_few_replies_that_say_the_same_and_some_that_say_to_use_tcp() {
    for calls in [UdpCalls::Batched, UdpCalls::Single] {
        let server = start(calls, Mode::On);
        let victim = client(server.address(), Ipv4Addr::new(127, 9, 9, 1)).await;
        let (whole, slipped) = flood(&victim, "app-0.svc", &[]).await;
        // More than ten where the flood took longer than a moment.
        assert!((10..40).contains(&whole), "{whole} whole");
        assert!(slipped > 0 && whole + slipped < usize::from(FLOOD), "{whole} and {slipped}");
        // Another network is none the worse.
        let other = client(server.address(), Ipv4Addr::new(127, 9, 8, 1)).await;
        other.send(&world::query("app-0.svc", A)).await.unwrap();
        assert_eq!(hear(&other).await[7], 2);
        // Nor is TCP.
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let query = world::query("app-0.svc", A);
        for _ in 0..FLOOD {
            stream.write_u16(query.len() as u16).await.unwrap();
            stream.write_all(&query).await.unwrap();
            let mut reply = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut reply).await.unwrap();
            assert_eq!((reply[2] & 2, reply[7]), (0, 2));
        }
        let totals = server.stats.totals();
        let [observed, sent_empty, dropped] = totals.of(Transport::Udp).limited;
        assert_eq!((observed, sent_empty), (0, slipped as u64));
        assert_eq!(dropped, (usize::from(FLOOD) - whole - slipped) as u64);
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn names_that_do_not_exist_are_limited_together() {
    let server = start(UdpCalls::Batched, Mode::On);
    let victim = client(server.address(), Ipv4Addr::new(127, 9, 9, 1)).await;
    for at in 0..FLOOD {
        let query = world::query(&format!("nope-{at}.svc"), A);
        victim.send(&query).await.unwrap();
    }
    let known = world::query("app-1.svc", A);
    victim.send(&known).await.unwrap();
    let mut whole = 0;
    loop {
        let reply = hear(&victim).await;
        match (reply[7], reply[3] & 0x0f) {
            (2, 0) => break,
            (_, 3) => whole += 1,
            _ => assert_ne!(reply[2] & 2, 0, "TC"),
        }
    }
    assert!((5..40).contains(&whole), "{whole} whole");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn who_brings_our_cookie_back_is_no_stranger() {
    let server = start(UdpCalls::Batched, Mode::On);
    let client = client(server.address(), Ipv4Addr::new(127, 9, 9, 1)).await;
    let option = |cookie: &[u8]| [&[0, 10, 0, cookie.len() as u8][..], cookie].concat();
    let mut query = world::query("app-1.svc", A);
    let at = query.len() - 1;
    query[at] = 12;
    query.extend(option(&[1; 8]));
    client.send(&query).await.unwrap();
    let reply = hear(&client).await;
    let cookie = &reply[reply.len() - 24..];
    assert_eq!(cookie[..8], [1; 8]);
    let (whole, slipped) = flood(&client, "app-0.svc", &option(cookie)).await;
    assert_eq!((whole, slipped), (FLOOD.into(), 0));
    // One of another's is worth nothing.
    let mut forged = cookie.to_vec();
    forged[23] ^= 1;
    let (whole, _) = flood(&client, "app-0.svc", &option(&forged)).await;
    assert!(whole < usize::from(FLOOD), "{whole} whole");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn observing_counts_and_sends_everything() {
    let server = start(UdpCalls::Batched, Mode::Observe);
    let client = client(server.address(), Ipv4Addr::new(127, 9, 9, 1)).await;
    assert_eq!(flood(&client, "app-0.svc", &[]).await, (FLOOD.into(), 0));
    let [observed, slipped, dropped] = server.stats.totals().of(Transport::Udp).limited;
    assert!(observed > 0 && slipped + dropped == 0, "{observed} {slipped} {dropped}");
    server.stop().await.unwrap();
}
