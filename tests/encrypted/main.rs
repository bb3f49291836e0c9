//! DNS over TLS, HTTPS, QUIC and HTTP/3 as sockets: who is let in, how long for, and what a bad request gets.
//!
//! That answers are those of UDP and TCP is shown by `tests/cases.rs`.

#[path = "../support/case.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod case;
#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/compile.rs"]
mod compile;
#[path = "../support/dns.rs"]
mod dns;
#[path = "../support/encrypted.rs"]
mod encrypted;
#[path = "../support/wire.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod wire;

mod https;
mod quic;
mod tls;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use case::Case;
use dns::DEADLINE;
use rollcall::zone::Snapshot;

/// What is registered in these tests.
fn snapshot() -> Arc<Snapshot> {
    let text = r#"
instance greeter/a {"address":"10.0.0.1","port":9000}
instance big/i-{1..1000} {"address":"10.1.0.1","port":{}}
zone svc. default
zone odd.example. -
file odd.example.
  $TTL 60
  @ SOA ns1 hostmaster 1 2 3 4 5
  @ NS ns1
  ns1 A 192.0.2.1
  odd NAPTR 100 10 "-" "x" "" .
  odd TYPE65280 \# 0
  odd TYPE42 \# 0
  odd TYPE62 \# 6 000000000000
"#;
    compile::compile(&Case::world(Path::new("encrypted.case"), text))
}

/// A question for the address of `greeter.svc` with that id.
fn query(id: u16) -> Vec<u8> {
    let mut octets = wire::Query::default().octets("greeter.svc.", "A", "IN").unwrap();
    octets[..2].copy_from_slice(&id.to_be_bytes());
    octets
}

/// The id and the number of answers of a reply.
fn seen(reply: &[u8]) -> (u16, u16) {
    assert!(reply.len() >= 12 && reply[2] & 0x80 != 0, "{reply:?}");
    (u16::from_be_bytes([reply[0], reply[1]]), u16::from_be_bytes([reply[6], reply[7]]))
}

/// The future's result, within the deadline.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("what was waited for")
}
