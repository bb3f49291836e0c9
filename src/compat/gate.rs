//! What every call over HTTP passes before its handler, whatever the system: its body read within bounds, pages in
//! browsers sent away, panics contained, answers counted.
//!
//! The content type is no matter: clients of these systems send what they like.
//!
//! Knows nothing of paths, and of what bodies say.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::Compat;
use crate::http::{BodyError, HostError, Peer, body_within, check_host};
use crate::supervise::panic_message;

/// How long a head may take, and then a body.
pub(super) const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest body: Zan lists all methods of all services in one.
const BODY_OCTETS_MAX: usize = 512 * 1024;
/// What browsers add to what a page makes them send, in all that are newer than 2023.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// One listener's gate.
#[derive(Clone)]
struct Gate {
    name: &'static str,
    compat: Arc<Compat>,
}

/// Puts the gate before all of a router, its fallback included.
pub(super) fn gated(router: Router, name: &'static str, compat: Arc<Compat>) -> Router {
    router.layer(from_fn_with_state(Gate { name, compat }, gate))
}

async fn gate(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let Gate { name, compat } = gate;
    let answer = AssertUnwindSafe(admit(&compat.hosts, request, next)).catch_unwind().await;
    let response = answer.unwrap_or_else(|panic| {
        compat.metrics.listener(name).panics.inc();
        let message = panic_message(&*panic);
        tracing::error!(listener = name, message, "handler panicked");
        let message = "this is a bug in rollcall; its log has the details\n";
        (StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
    });
    compat.metrics.answered(name, response.status().as_u16());
    response
}

async fn admit(hosts: &[String], request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let read = body_within(&parts.headers, body, BODY_OCTETS_MAX, ARRIVAL_TIMEOUT).await;
    if let Err(refused) = check_sender(&parts, hosts) {
        return refused.into_response();
    }
    match read {
        Ok(body) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Err(error) => refusal(&error),
    }
}

/// Sends pages in browsers away: a browser of this host reaches loopback, and these calls know no tokens.
///
/// What a page sends to a server of its own says nothing of the page; and a name of its own may lead here. So from this
/// host a name must be known. Other machines call this one as they like.
fn check_sender(parts: &Parts, hosts: &[String]) -> Result<(), (StatusCode, String)> {
    if parts.headers.contains_key(ORIGIN) || parts.headers.contains_key(FETCH_SITE) {
        return Err((StatusCode::FORBIDDEN, "pages in browsers may not call this\n".to_owned()));
    }
    let peer = parts.extensions.get::<Peer>();
    if !peer.is_some_and(|peer| peer.0.ip().to_canonical().is_loopback()) {
        return Ok(());
    }
    match check_host(parts, hosts.iter().map(String::as_str)) {
        // Browsers never leave it out.
        Ok(()) | Err(HostError::Missing) => Ok(()),
        Err(HostError::Twice | HostError::Malformed) => {
            Err((StatusCode::BAD_REQUEST, "host must be one name or address\n".to_owned()))
        }
        Err(HostError::Foreign(host)) => {
            let message = format!(
                "host {host:?} is not served here: send to an IP address or localhost, or list it in http.hosts\n"
            );
            Err((StatusCode::MISDIRECTED_REQUEST, message))
        }
    }
}

fn refusal(error: &BodyError) -> Response {
    let status = match error {
        BodyError::TooLarge(_) | BodyError::FarTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Unreadable(_) => StatusCode::BAD_REQUEST,
        BodyError::Late => StatusCode::REQUEST_TIMEOUT,
    };
    let mut response = (status, format!("{error}\n")).into_response();
    if !matches!(error, BodyError::TooLarge(_)) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
