//! A turn of datagrams, with the address asked of each and a reply to each, allocates nothing: counted.

#[path = "support/world.rs"]
#[allow(dead_code, reason = "this test uses a part of it")]
mod world;

use std::net::{SocketAddr, UdpSocket};

use allocation_counter::measure;
use rollcall::dns::udp::{Batch, Datagrams, Socket};
use rollcall::dns::{Ask, Out, Policy, Transport, Verdict, answer};
use world::{World, query};

/// Datagrams of a turn: as many as one call takes.
const DATAGRAMS: u64 = 64;

#[test]
fn turns_of_datagrams_allocate_nothing() {
    let snapshot = World::new(1, 40).snapshot();
    let mut out = Out::new();
    let question = query("_nova._tcp.app-0.svc", 33);
    for (any, one) in [("0.0.0.0:0", "127.0.0.1"), ("[::]:0", "::1"), ("127.0.0.1:0", "127.0.0.1")]
    {
        let socket = UdpSocket::bind(any).unwrap();
        let to = SocketAddr::new(one.parse().unwrap(), socket.local_addr().unwrap().port());
        let client = UdpSocket::bind(SocketAddr::new(one.parse().unwrap(), 0)).unwrap();
        let mut batch = Batch::new(Socket::new(socket).unwrap(), 1232);
        let (mut answered, mut heard) = (0, 0);
        let info = measure(|| {
            let policy = Policy::default();
            for _ in 0..3 {
                for _ in 0..DATAGRAMS {
                    client.send_to(&question, to).unwrap();
                }
                let mut left = DATAGRAMS;
                while left > 0 {
                    let received = batch.receive().unwrap();
                    for at in 0..received {
                        let client = batch.from(at).ip();
                        assert!(batch.asked(at).is_none_or(|asked| asked == to.ip()));
                        let (transport, draw) = (Transport::Udp, answered);
                        let ask = Ask {
                            client,
                            transport,
                            draw,
                            now_secs: 0,
                            stale: false,
                            slip: false,
                            policy: &policy,
                        };
                        if let Verdict::Reply(len) =
                            answer(&snapshot, &ask, batch.query(at), &mut out)
                        {
                            batch.reply(at, out.octets(len));
                            answered += 1;
                        }
                    }
                    assert_eq!(batch.send(), 0);
                    left -= received as u64;
                }
                for _ in 0..DATAGRAMS {
                    let (len, from) = client.recv_from(&mut [0; 1232]).unwrap();
                    heard += u64::from(from == to && len > 1_000);
                }
            }
        });
        assert_eq!((info.count_total, info.count_current), (0, 0), "{any}");
        assert_eq!((answered, heard), (3 * DATAGRAMS, 3 * DATAGRAMS), "{any}");
    }
}
