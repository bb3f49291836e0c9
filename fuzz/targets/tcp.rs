//! Any octets on a TCP connection, in any pieces: every whole message gets its reply, whole and in its turn, until one
//! comes that can't be a message; then, or at the client's end, the connection ends in order.
//!
//! An input is one octet that says in how many pieces it is sent, and then what is sent.

#![cfg_attr(not(test), no_main)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hickory_proto::op::Message;
use rollcall::dns::{Policy, Settings, Source, Stats, bind};
use rollcall::supervise::Tasks;
use rollcall::zone::{Catalogue, Published, ZoneSettings};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// The least that is a message: a header (RFC 1035 section 4.1.1).
const HEADER_OCTETS: usize = 12;
/// How long anything may take that happens at once on an idle machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// A server, and what it runs on.
struct Served {
    address: SocketAddr,
    _runtime: Runtime,
    _tasks: Tasks,
}

static SERVED: LazyLock<Served> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("a runtime");
    let _context = runtime.enter();
    let settings = Settings {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        udp_workers: 1,
        tcp_connections_per_client_max: 1_000,
        ..Settings::default()
    };
    let bound = bind(&settings).expect("a free port");
    let address = bound.addresses()[0];
    let mut catalogue = Catalogue::new(&[ZoneSettings::default()], &[], &[]);
    let snapshot = catalogue.compile(&|| Duration::ZERO).snapshot;
    let source = Source::new(Arc::new(Published::new(snapshot)), Policy::default(), || 0);
    let tasks = Tasks::new(CancellationToken::new());
    bound.run(&source, &Arc::<Stats>::default(), &tasks).expect("sockets that run");
    drop(_context);
    Served { address, _runtime: runtime, _tasks: tasks }
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [pieces, octets @ ..] = input else { return };
    let mut stream = TcpStream::connect(SERVED.address).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    stream.set_nodelay(true).expect("pieces of their own");
    let piece = (octets.len() / usize::from(pieces % 8 + 1)).max(1);
    for some in octets.chunks(piece) {
        // The server may close at any octet of it.
        if stream.write_all(some).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    let mut heard = Vec::new();
    // Where we had more to send than it read, it may be cut: what came before counts.
    let ended = stream.read_to_end(&mut heard);
    let mut replies = heard.as_slice();
    let (asked, fits) = queries(octets);
    for query in asked {
        let Some((reply, rest)) = message(replies) else {
            assert!(ended.is_err() && !fits, "a query without its reply");
            return;
        };
        replies = rest;
        assert_eq!(reply[..2], query[..2], "a reply out of its turn");
        Message::from_vec(reply).expect("a reply is well-formed");
    }
    assert!(replies.is_empty(), "octets behind the last reply");
});

/// The queries among whole messages that get a reply, and whether all that came could be messages.
fn queries(mut octets: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut queries = Vec::new();
    while let Some(length) = octets.first_chunk::<2>() {
        if usize::from(u16::from_be_bytes(*length)) < HEADER_OCTETS {
            return (queries, false);
        }
        let Some((query, rest)) = message(octets) else { break };
        octets = rest;
        // A response gets none (RFC 1035 section 4.1.1).
        if query[2] & 0x80 == 0 {
            queries.push(query);
        }
    }
    (queries, true)
}

/// The first message, behind its length, and what follows it.
fn message(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}
