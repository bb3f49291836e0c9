//! DNS over QUIC (RFC 9250) and HTTP/3, carried by hickory's server: ours is the answer, theirs the way it comes.
//!
//! What hickory's server takes is records and not octets, so a reply is decoded and encoded once more; and what it
//! can't read it answers itself. docs/dns-behaviour.md lists what is different for that.
//!
//! Knows nothing of what an answer holds. hickory's types stay in this file.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Header, HeaderCounts, Message, Metadata, ResponseCode};
use hickory_server::proto::serialize::binary::{BinDecodable, BinDecoder};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{MessageResponseBuilder, Queries};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::reply_to::Responder;
use super::tcp::DRAIN;
use super::transport::Transport;
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
    queries: Queries,
    message: Message,
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response_handle: R,
    ) -> ResponseInfo {
        let reply = self.responder.reply(request.src().ip(), request.as_slice()).await;
        let sent = match reply.as_deref().and_then(Parts::of) {
            None => None,
            Some(Parts { queries, message }) => {
                let builder = MessageResponseBuilder::new(&queries, message.edns.as_ref());
                let response = builder.build(
                    message.metadata,
                    &message.answers,
                    &message.authorities,
                    [],
                    &message.additionals,
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
        // The question once more, as it is written: a decoded one may be written otherwise.
        let mut decoder = BinDecoder::new(reply);
        let header = Header::read(&mut decoder).ok()?;
        let queries = Queries::read(&mut decoder, header.counts.queries.into()).ok()?;
        Some(Self { queries, message: Message::from_vec(reply).ok()? })
    }
}

/// What hickory is told of a reply that did not go out.
fn unsent(request: &Metadata) -> ResponseInfo {
    let mut metadata = Metadata::response_from_request(request);
    metadata.response_code = ResponseCode::ServFail;
    ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
}
