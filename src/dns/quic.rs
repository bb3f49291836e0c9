//! DNS over QUIC (RFC 9250) and HTTP/3, carried by hickory's server: ours is the answer, theirs the way it comes.
//!
//! What hickory's server takes is records and not octets, so a reply is decoded and encoded once more; and what it
//! can't read it answers itself. docs/dns-behaviour.md lists what is different for that.
//!
//! Knows nothing of what an answer holds. hickory's types stay in this file.

use std::io;
use std::net::UdpSocket;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Edns, Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::NULL;
use hickory_server::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_server::proto::serialize::binary::{BinDecodable, BinDecoder};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{MessageResponseBuilder, Queries};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::reply_to::Responder;
use super::tcp::DRAIN;
use super::transport::Transport;
use crate::supervise::panic_message;
use crate::tls::Identity;

/// Serves one socket until the service is stopped. What it carries is the responder's transport.
pub(super) async fn serve(
    socket: UdpSocket,
    identity: Arc<Identity>,
    responder: Responder,
    idle: Duration,
    stop: CancellationToken,
) -> Result<(), String> {
    let transport = responder.transport;
    let mut server = Server::new(Handler { responder });
    let registered = tokio::net::UdpSocket::from_std(socket).and_then(|socket| match transport {
        Transport::Quic => server.register_quic_listener(socket, idle, identity.resolver()),
        Transport::H3 => server.register_h3_listener(socket, idle, identity.resolver(), None),
        _ => Err(io::ErrorKind::Unsupported.into()),
    });
    registered.map_err(|error| format!("cannot serve: {error}"))?;
    tokio::select! {
        () = stop.cancelled() => {}
        ended = server.block_until_done() => {
            let why = ended.err().map_or_else(|| "without a reason".into(), |why| why.to_string());
            return Err(format!("listener ended: {why}"));
        }
    }
    // Whoever is left after that time is cut; how the others ended matters no more.
    let _ = timeout(DRAIN, server.shutdown_gracefully()).await;
    Ok(())
}

/// Hands messages to us, and our replies back.
struct Handler {
    responder: Responder,
}

/// A reply in the form that hickory sends.
struct Parts {
    metadata: Metadata,
    queries: Queries,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additionals: Vec<Record>,
    edns: Option<Edns>,
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response_handle: R,
    ) -> ResponseInfo {
        let reply = self.responder.reply(request.src().ip(), request.as_slice());
        // hickory drops what its tasks end with, so that nobody would hear of a panic.
        let reply = AssertUnwindSafe(reply).catch_unwind().await.unwrap_or_else(|panic| {
            tracing::error!(message = panic_message(&*panic), "dns over quic panicked");
            None
        });
        let sent = match reply.as_deref().and_then(Parts::of) {
            None => None,
            Some(parts) => {
                let builder = MessageResponseBuilder::new(&parts.queries, parts.edns.as_ref());
                let response = builder.build(
                    parts.metadata,
                    &parts.answers,
                    &parts.authorities,
                    [],
                    &parts.additionals,
                );
                response_handle.send_response(response).await.ok()
            }
        };
        sent.unwrap_or_else(|| {
            self.responder.counters.failed(1);
            unsent(&request.metadata)
        })
    }
}

impl Parts {
    fn of(reply: &[u8]) -> Option<Self> {
        let mut decoder = BinDecoder::new(reply);
        let Header { mut metadata, counts } = Header::read(&mut decoder).ok()?;
        // As it is written: a decoded question may be written otherwise.
        let queries = Queries::read(&mut decoder, counts.queries.into()).ok()?;
        let mut records =
            |count: u16| (0..count).map(|_| record(&mut decoder)).collect::<Option<Vec<Record>>>();
        let (answers, authorities) = (records(counts.answers)?, records(counts.authorities)?);
        let mut additionals = records(counts.additionals)?;
        // In our replies the OPT record is the last one.
        let opt = additionals.pop_if(|record| record.record_type() == RecordType::OPT);
        let edns = opt.as_ref().map(Edns::from);
        if let Some(edns) = &edns {
            metadata.merge_response_code(edns.rcode_high());
        }
        Some(Self { metadata, queries, answers, authorities, additionals, edns })
    }
}

/// One record; where hickory does not take its data for what the type holds, they are octets to it. Those are of zone
/// files, so that no name in them is compressed.
fn record(decoder: &mut BinDecoder<'_>) -> Option<Record> {
    let start = u16::try_from(decoder.index()).ok()?;
    let mut octets = decoder.clone(start);
    if let Ok(record) = Record::read(decoder)
        && (!matches!(record.data, RData::Update0(_)) || record.record_type() == RecordType::OPT)
    {
        return Some(record);
    }
    let name = Name::read(&mut octets).ok()?;
    let code = RecordType::read(&mut octets).ok()?;
    let class = DNSClass::read(&mut octets).ok()?;
    let ttl = octets.read_u32().ok()?.unverified();
    let length = octets.read_u16().ok()?.unverified();
    let data = octets.read_slice(length.into()).ok()?.unverified();
    *decoder = octets;
    let rdata = if data.is_empty() { NULL::new() } else { NULL::with(data.to_vec()) };
    let data = RData::Unknown { code, rdata };
    let mut record = Record::from_rdata(name, ttl, data);
    record.dns_class = class;
    Some(record)
}

/// What hickory is told of a reply that did not go out.
fn unsent(request: &Metadata) -> ResponseInfo {
    let mut metadata = Metadata::response_from_request(request);
    metadata.response_code = ResponseCode::ServFail;
    ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
}
