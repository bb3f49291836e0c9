//! DNS over HTTPS (RFC 8484): GET and POST, over HTTP/1.1 and HTTP/2.
//!
//! ```text
//! accepted (in `tcp`) -> TLS -> connection: HTTP, within limits -> exchange: request, message, answer, response
//!                                         activity: what is being answered, what has yet to be taken
//! ```
//!
//! Knows nothing of what an answer holds, but how long it may be kept.

mod activity;
mod connection;
mod exchange;
mod freshness;

use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;

use super::tcp::{self, Service};
use crate::tls::Acceptor;

/// What all connections of this transport share.
#[derive(Debug)]
pub(super) struct Site {
    /// None: HTTP without TLS, behind somebody else's.
    acceptor: Option<Acceptor>,
    router: Router,
    service: Arc<Service>,
}

impl Site {
    /// Answers at that path.
    pub(super) fn new(path: &str, acceptor: Option<Acceptor>, service: Arc<Service>) -> Self {
        Self { acceptor, router: exchange::router(path, &service), service }
    }
}

/// Serves one listener until the service is stopped, then waits for what is in flight.
pub(super) async fn serve(listener: TcpListener, site: Arc<Site>) -> Result<(), String> {
    let talk = |stream, client, place| {
        let site = site.clone();
        async move {
            let Site { acceptor, router, service } = &*site;
            match acceptor {
                None => connection::run(stream, client, place, service, router.clone()).await,
                Some(acceptor) => {
                    if let Some(stream) = service.secure(acceptor, stream, &place).await {
                        connection::run(stream, client, place, service, router.clone()).await;
                    }
                }
            }
        }
    };
    tcp::accept(listener, &site.service, talk).await
}
