//! What every local resolver in front of rollcall has to give: the same answers, for as long as their TTL.

use std::net::SocketAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{self, A, AAAA, SOA, SRV};
use tokio::time::Instant;

use crate::support::ask::{ask, ask_tcp, try_ask};
use crate::support::running::Running;
use crate::support::server::Server;
use crate::support::until;
use crate::world::{many, tell};

/// Where the examples have them listen.
pub(crate) const FORWARDER: &str = "127.0.0.53:53";

/// Its address, once it answers.
pub(crate) async fn ready(program: &mut Running) -> SocketAddr {
    let forwarder = FORWARDER.parse().unwrap();
    until("the forwarder answers", async || {
        assert!(program.runs(), "it ended: {}{}", program.out(), program.err());
        // Not below an app: a test asks for the steps down to one.
        let answer = try_ask(forwarder, "svc", SOA).await;
        answer.is_some_and(|answer| answer.status() == ResponseCode::NoError)
    })
    .await;
    forwarder
}

/// Asserts that it says of `world::two` what the server says.
pub(crate) async fn agrees(server: &Server, forwarder: SocketAddr) {
    let asked: [(&str, RecordType); 7] = [
        ("_nova._tcp.app.svc", SRV),
        ("app.svc", A),
        ("app.svc", AAAA),
        ("i-1.app.svc", AAAA),
        ("i-2.app.svc", AAAA),
        ("_tcp.app.svc", A),
        ("nope.svc", A),
    ];
    for (name, rtype) in asked {
        let (ours, theirs) = (server.ask(name, rtype).await, ask(forwarder, name, rtype).await);
        let of = |answer: &crate::support::ask::Answer| (answer.status(), answer.records());
        assert_eq!(of(&theirs), of(&ours), "{name} {rtype}");
    }
}

/// Forty instances come through it whole, over TCP.
pub(crate) async fn passes_forty(server: &Server, forwarder: SocketAddr) {
    many(server, "big", 40).await;
    let name = "_nova._tcp.big.svc";
    until("forty records", async || ask_tcp(forwarder, name, SRV).await.records().len() == 40)
        .await;
}

/// A departed instance leaves its answers too, once its TTL is over.
pub(crate) async fn forgets(who: &str, server: &Server, forwarder: SocketAddr) {
    let service = "_nova._tcp.app.svc";
    assert_eq!(ask(forwarder, service, SRV).await.records().len(), 2);
    let departed = Instant::now();
    assert_eq!(server.delete("/v1/apps/app/instances/i-2").await.status, 200);
    until("it is forgotten", async || {
        let records = ask(forwarder, service, SRV).await.records();
        assert!(!records.is_empty(), "no moment without the other");
        records == [format!("{service}. SRV 10 100 8001 i-1.app.svc.")]
    })
    .await;
    tell(&format!("{who}: a departed instance is in answers for another"), departed.elapsed());
}
