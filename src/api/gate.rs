//! What every request passes before its handler: who it is sent to, how it is written, who sends it. Also
//! where requests are counted, and where a handler's panic ends.
//!
//! The body is read to its end even when the head is refused already, so that the connection stays usable.
//!
//! Knows nothing of what routes do.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::time::Instant;

use super::Shared;
use super::problem::Problem;
use super::routes::Route;
use super::token::Caller;
use crate::http::{HostError, body_within, check_host};
use crate::supervise::panic_message;

/// Longest request head, in octets: the request line and all headers.
const HEAD_OCTETS_MAX: usize = 16 * 1024;

/// Admits a request to its handler, or answers it here.
pub(super) async fn gate(
    State(shared): State<Arc<Shared>>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let route = Route::of(matched.as_ref());
    let method = request.method().clone();
    let answer = AssertUnwindSafe(admit(&shared, route, request, next)).catch_unwind().await;
    let mut response = match answer {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) => problem.into_response(),
        Err(panic) => {
            shared.api.metrics.listener.panics.inc();
            let message = panic_message(&*panic);
            tracing::error!(route = route.path(), %method, message, "http handler panicked");
            let message = "this is a bug in rollcall; its log has the details";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
        }
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    shared.api.metrics.answered(route, &method, response.status(), started.elapsed());
    response
}

async fn admit(
    shared: &Shared,
    route: Route,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let examined = examine(shared, &parts);
    let keep = if examined.is_ok() { shared.api.settings.body_octets_max } else { 0 };
    let time = shared.api.settings.request_timeout;
    let read = body_within(&parts.headers, body, keep, time).await.map_err(Problem::from);
    let caller = examined?;
    let body = read?;
    if route != Route::Other && !body.is_empty() {
        check_type(&parts.headers)?;
    }
    parts.extensions.insert(caller);
    Ok(next.run(Request::from_parts(parts, Body::from(body))).await)
}

/// All that can be said from the head alone.
fn examine(shared: &Shared, parts: &Parts) -> Result<Caller, Problem> {
    let line = parts.method.as_str().len() + parts.uri.to_string().len() + " HTTP/1.1\r\n ".len();
    let fields = parts.headers.iter();
    // Each field's line has ": " and the line's end besides.
    let octets = line + fields.map(|(name, v)| name.as_str().len() + v.len() + 4).sum::<usize>();
    if octets > HEAD_OCTETS_MAX {
        let message =
            format!("the request's head is {octets} octets, at most {HEAD_OCTETS_MAX} are allowed");
        return Err(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message));
    }
    check_sent_to(parts, &shared.api.settings.hosts)?;
    if parts.headers.contains_key(CONTENT_ENCODING) {
        let message = "a body with content-encoding is not read: send it as it is";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let path = parts.uri.path();
    if path == "/v1" || path.starts_with("/v1/") {
        shared.tokens.authenticate(&parts.headers)
    } else {
        Ok(Caller::Anyone)
    }
}

/// Refuses requests that a web page made a browser send to a name of its own.
fn check_sent_to(parts: &Parts, listed: &[String]) -> Result<(), Problem> {
    check_host(parts, listed.iter().map(String::as_str)).map_err(|error| match error {
        HostError::Missing | HostError::Twice => Problem::malformed("host", "must be there once"),
        HostError::Malformed => Problem::malformed("host", "is not a host name or an address"),
        HostError::Foreign(host) => {
            let message = format!(
                "host {host:?} is not served here: send to an IP address or localhost, or list it in http.hosts"
            );
            Problem::new(StatusCode::MISDIRECTED_REQUEST, message)
        }
    })
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let mut parts = given.split(';').map(str::trim);
    let json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    if json && utf8 {
        return Ok(());
    }
    let message = format!("a body must be content-type: application/json, got {given:?}");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}
