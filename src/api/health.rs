//! What load balancers and monitors ask. No token is needed for it.
//!
//! Knows nothing of registries and views: `serve` says how they are.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Shared;
use super::problem::Problem;

/// Whether this server should be asked, and how its sources are.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Readiness {
    /// Our own layout has been read whole once, and each of another system has been, or can't be.
    pub ready: bool,
    /// The server is about to stop.
    pub draining: bool,
    /// The registries' prefixes it reads.
    pub sources: Vec<SourceReadiness>,
}

/// One source.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SourceReadiness {
    /// `embedded` or `etcd`.
    pub name: String,
    /// `native`, or whose layout it is.
    pub layout: String,
    /// The prefix that is read.
    pub prefix: String,
    /// The revision that was read last.
    pub revision: u64,
    /// Whether it has had a complete view.
    pub has_view: bool,
    /// Seconds since the registry last gave a sign of life.
    pub contact_age_secs: Option<f64>,
    /// What is wrong with it now.
    pub error: Option<String>,
}

/// `GET /livez`
pub(super) async fn livez() -> &'static str {
    "ok"
}

/// `GET /readyz`
pub(super) async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let readiness = (shared.api.readiness)();
    let status = match readiness.ready && !readiness.draining {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(readiness)).into_response()
}

/// `GET /metrics`
pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &shared.api.exposition).map_err(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics can't be written as text")
    })?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}
