//! One connection of HTTP/1.1 or HTTP/2: how long it may be quiet, and how it ends.
//!
//! A request's head has to arrive within the time that a connection may be idle, counted from when the reply before was
//! taken. Replies have to be taken, and bodies to arrive (in `exchange`), within the time of a message.
//!
//! Knows nothing of paths, nor of messages.

use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tower::ServiceExt;

use super::activity::Activity;
use super::exchange::Client;
use crate::dns::tcp::{Place, Service};
use crate::supervise::panic_message;

/// Octets of a request's head: a message of 11 KiB fits a GET, and longer ones want POST.
const HEAD_OCTETS_MAX: u32 = 16 << 10;
/// Requests at once on a connection of HTTP/2, each of which may hold a message of 64 KiB. With fewer,
/// clients would be refused that begin before they have heard the limit, and count on this one (RFC 9113 section
/// 6.5.2).
const STREAMS_MAX: u32 = 100;
/// How long a client may take to hear that its connection ends, when nothing is in flight.
const FAREWELL: Duration = Duration::from_millis(500);

/// Serves it to its end.
pub(super) async fn run<S>(
    stream: S,
    client: IpAddr,
    place: Place,
    service: &Service,
    router: Router,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let evicted = place.evicted().clone();
    let activity = Activity::new(place);
    let counters = service.counters.clone();
    let begin = activity.clone();
    let requests = service_fn(move |mut request: hyper::Request<Incoming>| {
        let answering = begin.begin();
        let counters = counters.clone();
        request.extensions_mut().insert(Client(client));
        let answer = router.clone().oneshot(request.map(Body::new));
        async move {
            let answer = AssertUnwindSafe(answer).catch_unwind().await;
            let response = answer.map_or_else(
                |panic| {
                    counters.failed(1);
                    tracing::error!(message = panic_message(&*panic), "dns over https panicked");
                    StatusCode::INTERNAL_SERVER_ERROR.into_response()
                },
                |answer| answer.unwrap_or_else(|never: Infallible| match never {}),
            );
            Ok::<_, Infallible>(answering.hold(response))
        }
    });
    let builder = builder(service);
    let connection = builder.serve_connection(TokioIo::new(stream), requests);
    let mut connection = std::pin::pin!(connection);
    // What a client does wrong ends its connection, and is nobody else's business: so no result is looked at.
    let patience = tokio::select! {
        _ = connection.as_mut() => return,
        () = evicted.cancelled() => FAREWELL,
        () = service.stop.cancelled() => service.message,
        () = activity.stalled(service.idle, service.message) => FAREWELL,
    };
    connection.as_mut().graceful_shutdown();
    let _ = timeout(patience, connection).await;
}

fn builder(service: &Service) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(service.idle)
        .max_buf_size(HEAD_OCTETS_MAX as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_OCTETS_MAX);
    builder
}
