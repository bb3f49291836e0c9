//! A request and its response (RFC 8484 section 4): where the message is in the one, and what the other says.
//!
//! Knows nothing of connections.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use data_encoding::BASE64URL_NOPAD;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::activity::CROWDED;
use super::freshness::freshness_secs;
use super::room::{Room, Taken};
use crate::dns::answer::reply::MESSAGE_OCTETS_MAX;
use crate::dns::reply_to::Responder;
use crate::dns::tcp::Service;

/// What messages are called (RFC 8484 section 6).
const DNS_MESSAGE: &str = "application/dns-message";

/// The other end of the connection, be it the client or somebody who passes requests on.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    /// For the messages of this connection.
    pub(super) room: Room,
}

/// What requests are answered with.
#[derive(Debug)]
struct Desk {
    responder: Responder,
    /// How long a body may take to arrive whole.
    message: Duration,
}

/// A request that gets no message, and why.
#[derive(Debug)]
struct Refusal(StatusCode, &'static str);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

/// Answers at that path, and nowhere else.
pub(super) fn router(path: &str, service: &Service) -> Router {
    let responder = Responder {
        source: service.source.clone(),
        transport: service.transport,
        counters: service.counters.clone(),
    };
    let desk = Arc::new(Desk { responder, message: service.message });
    Router::new()
        .route(path, get(by_get).post(by_post))
        .fallback(|| async {
            Refusal(StatusCode::NOT_FOUND, "there is no such path here: look for DNS elsewhere\n")
        })
        .method_not_allowed_fallback(|| async {
            Refusal(StatusCode::METHOD_NOT_ALLOWED, "DNS is asked with GET or POST\n")
        })
        .with_state(desk)
}

async fn by_get(
    State(desk): State<Arc<Desk>>,
    Extension(client): Extension<Client>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    check_accept(&headers)?;
    let message = message_in(query.as_deref().unwrap_or(""))?;
    desk.answer(client.address, &message).await
}

async fn by_post(
    State(desk): State<Arc<Desk>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    if !media_type(kind).eq_ignore_ascii_case(DNS_MESSAGE) {
        let why = "the body must be content-type: application/dns-message\n";
        return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    check_accept(&headers)?;
    let mut room = client.room.none();
    let whole = timeout(desk.message, message_of(body, &mut room)).await;
    let message = whole.map_err(|_| {
        Refusal(StatusCode::REQUEST_TIMEOUT, "the body did not arrive whole in time\n")
    })??;
    desk.answer(client.address, &message).await
}

/// The message that a body is, for which room is taken as it arrives.
async fn message_of(mut body: Body, room: &mut Taken) -> Result<Vec<u8>, Refusal> {
    let mut message = Vec::new();
    while let Some(frame) = body.frame().await {
        let unreadable = |_| Refusal(StatusCode::BAD_REQUEST, "the body can't be read\n");
        // What is no data are trailers, which say nothing here.
        let Ok(octets) = frame.map_err(unreadable)?.into_data() else { continue };
        if message.len() + octets.len() > MESSAGE_OCTETS_MAX {
            return Err(TOO_LARGE);
        }
        if !room.grow(octets.len()) {
            return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, CROWDED));
        }
        message.extend_from_slice(&octets);
    }
    Ok(message)
}

const TOO_LARGE: Refusal =
    Refusal(StatusCode::PAYLOAD_TOO_LARGE, "a DNS message has at most 65,535 octets\n");

impl Desk {
    async fn answer(&self, client: IpAddr, query: &[u8]) -> Result<Response, Refusal> {
        // Where other transports are silent, HTTP has to say something.
        let reply = self.responder.reply(client, query).await;
        let reply = reply.ok_or(Refusal(StatusCode::BAD_REQUEST, "that is no DNS query\n"))?;
        let freshness = freshness_secs(&reply).map_or_else(
            || HeaderValue::from_static("no-store"),
            |secs| {
                HeaderValue::try_from(format!("max-age={secs}"))
                    .expect("letters and digits are legal in a header")
            },
        );
        let headers =
            [(CONTENT_TYPE, HeaderValue::from_static(DNS_MESSAGE)), (CACHE_CONTROL, freshness)];
        Ok((headers, reply).into_response())
    }
}

/// The message in a URL's query (RFC 8484 section 6): base64url without padding.
fn message_in(query: &str) -> Result<Vec<u8>, Refusal> {
    let mut values = query.split('&').filter_map(|pair| pair.strip_prefix("dns="));
    let (Some(text), None) = (values.next(), values.next()) else {
        let why = "the query must have one parameter dns, as in ?dns=AAABAAAB\n";
        return Err(Refusal(StatusCode::BAD_REQUEST, why));
    };
    let message = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| {
        let why = "the parameter dns must be base64url without padding\n";
        Refusal(StatusCode::BAD_REQUEST, why)
    })?;
    if message.len() > MESSAGE_OCTETS_MAX { Err(TOO_LARGE) } else { Ok(message) }
}

/// Refuses a client that would not take what we have (RFC 9110 section 12.5.1).
fn check_accept(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut listed = headers.get_all(ACCEPT).iter().peekable();
    let takes = |value: &HeaderValue| value.to_str().is_ok_and(|list| list.split(',').any(takes));
    if listed.peek().is_none() || listed.any(takes) {
        return Ok(());
    }
    let why = "the answer is application/dns-message, which the accept header does not list\n";
    Err(Refusal(StatusCode::NOT_ACCEPTABLE, why))
}

/// Whether one entry of an accept header is for us, and not of weight 0.
fn takes(entry: &str) -> bool {
    let kind = media_type(entry);
    let ours = ["*/*", "application/*", DNS_MESSAGE];
    let weight = entry.split(';').skip(1).find_map(|parameter| {
        parameter.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok())
    });
    ours.iter().any(|ours| kind.eq_ignore_ascii_case(ours)) && weight.is_none_or(|q| q > 0.0)
}

/// A media type without its parameters.
fn media_type(text: &str) -> &str {
    text.split(';').next().unwrap_or("").trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_is_there_once_and_is_base64url() {
        assert_eq!(message_in("dns=AAAB").unwrap(), [0, 0, 1]);
        assert_eq!(message_in("x=1&dns=_-8&y").unwrap(), [0xff, 0xef]);
        for wrong in ["", "dns", "dn=AAAB", "dns=AAAB&dns=AAAB", "dns=AA=", "dns=A", "dns=+/8"] {
            assert_eq!(message_in(wrong).unwrap_err().0, StatusCode::BAD_REQUEST, "{wrong}");
        }
        let long = format!("dns={}", BASE64URL_NOPAD.encode(&[0; 65_536]));
        assert_eq!(message_in(&long).unwrap_err().0, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn who_lists_what_we_have_gets_it() {
        let accepts = |lists: &[&str]| {
            let mut headers = HeaderMap::new();
            for list in lists {
                headers.append(ACCEPT, list.parse().unwrap());
            }
            check_accept(&headers).is_ok()
        };
        for list in ["application/dns-message", "text/html, */*;q=0.1", "Application/*"] {
            assert!(accepts(&[list]), "{list}");
        }
        assert!(accepts(&[]) && accepts(&["text/html", "application/dns-message"]));
        for list in ["application/dns-json", "application/dns-message;q=0", "text/html", ""] {
            assert!(!accepts(&[list]), "{list}");
        }
    }
}
