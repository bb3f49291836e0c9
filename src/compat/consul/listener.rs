//! Which path leads where, and what every path that is none gets.
//!
//! Knows nothing of sockets.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{any, get, put};

use super::background::Background;
use super::keeper::Keeper;
use super::{read, write};
use crate::compat::{Room, StartError};

/// What the listener serves. What was registered before a restart is looked after from now on.
pub(in crate::compat) fn router(room: &Room<'_>) -> Result<Router, StartError> {
    let (keeper, lost) = Keeper::start(room)?;
    let background = Background::new(keeper.clone(), lost);
    room.tasks.spawn(format!("{} agent", room.name), background.run());
    Ok(routes().with_state(keeper))
}

fn routes() -> Router<Arc<Keeper>> {
    Router::new()
        .route("/v1/agent/service/register", put(write::register))
        .route("/v1/agent/service/deregister/{*id}", put(write::deregister))
        .route("/v1/agent/service/maintenance/{*id}", put(write::maintenance))
        .route("/v1/agent/service/{*id}", get(read::agent_service))
        .route("/v1/agent/check/register", put(write::register_check))
        .route("/v1/agent/check/deregister/{*id}", put(write::deregister_check))
        .route("/v1/agent/check/pass/{*id}", put(write::pass))
        .route("/v1/agent/check/warn/{*id}", put(write::warn))
        .route("/v1/agent/check/fail/{*id}", put(write::fail))
        .route("/v1/agent/check/update/{*id}", put(write::update))
        .route("/v1/agent/maintenance", put(write::node_maintenance))
        .route("/v1/agent/services", get(read::agent_services))
        .route("/v1/agent/checks", get(read::agent_checks))
        .route("/v1/agent/self", get(read::agent_self))
        .route("/v1/agent/host", get(read::agent_host))
        .route("/v1/agent/members", get(read::agent_members))
        .route("/v1/health/service/{*name}", get(read::health_service))
        .route("/v1/health/checks/{*name}", get(read::health_checks))
        .route("/v1/health/node/{*name}", get(read::health_node))
        .route("/v1/catalog/services", get(read::catalog_services))
        .route("/v1/catalog/service/{*name}", get(read::catalog_service))
        .route("/v1/catalog/nodes", get(read::catalog_nodes))
        .route("/v1/catalog/datacenters", get(read::datacenters))
        .route("/v1/status/leader", get(read::leader))
        .route("/v1/status/peers", get(read::peers))
        .route("/v1/kv/{*key}", any(no_keys))
        .fallback(async || {
            let why = "Invalid URL path: not a recognized HTTP API endpoint";
            (StatusCode::NOT_FOUND, why)
        })
}

/// Keys and values are nothing that a registry of instances has. Not found would be taken for a key that is not there.
async fn no_keys() -> impl IntoResponse {
    let why = "rollcall has no keys and values: only services and checks are registered here";
    (StatusCode::NOT_IMPLEMENTED, why)
}
