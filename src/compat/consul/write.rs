//! Calls that change something: registration of services and checks, what owners tell of checks, maintenance.
//!
//! A call is answered once what it changed is on disk here, and in the registry as well. Where only the registry can't be
//! reached it is answered all the same, as an agent of Consul does whose servers are away: what was registered is kept, and
//! written as soon as it can be.
//!
//! Knows nothing of how any of this is kept.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::agent::Touched;
use super::answer::{Answer, Refused};
use super::definition::{self, Status};
use super::keeper::Keeper;
use super::query::Query;
use crate::compat::hold::HoldError;
use crate::http::Peer;

/// Largest body. Those of go-micro list all methods of a server.
const BODY_OCTETS_MAX: usize = 128 * 1024;

/// Services that are settled before an answer: a check may go from one to another. What concerns the node concerns all.
const SETTLED_MAX: usize = 2;

type Kept = State<Arc<Keeper>>;

/// `PUT /v1/agent/service/register`
pub(super) async fn register(
    State(keeper): Kept,
    Extension(Peer(peer)): Extension<Peer>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Answer {
    let query = Query::new(&query.unwrap_or_default());
    let replace = query.flag("replace-existing-checks").map_err(Refused::bad)?;
    let (mut service, mut checks) = definition::service(within(&body)?).map_err(Refused::bad)?;
    service.afar = is_afar(peer);
    for check in &mut checks {
        check.afar = service.afar;
        keeper.admit_check(check).await.map_err(Refused::bad)?;
    }
    let resolved = keeper.resolve(&service).await;
    let place = (keeper.place(peer.ip()), resolved);
    let id = service.id.clone();
    let before = keeper.agent().service(&id).cloned();
    let registered =
        keeper.change(|agent, now| agent.register(service, checks, place, replace, now));
    let touched = registered.map_err(Refused::bad)?;
    if let Err(error) = keeper.admit(&id) {
        keeper.change(|agent, now| match before {
            Some(before) => agent.restore(before, now),
            None => {
                agent.deregister(&id, now);
            }
        });
        return Err(unregistrable(&error));
    }
    done(&keeper, touched, true).await
}

/// `PUT /v1/agent/service/deregister/{id}`: one that is not there is gone, too.
pub(super) async fn deregister(State(keeper): Kept, Path(id): Path<String>) -> Answer {
    let touched = keeper.change(|agent, now| agent.deregister(&id, now));
    done(&keeper, touched, true).await
}

/// `PUT /v1/agent/service/maintenance/{id}`
pub(super) async fn maintenance(
    State(keeper): Kept,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    maintain(&keeper, Some(&id), query).await
}

/// `PUT /v1/agent/maintenance`
pub(super) async fn node_maintenance(State(keeper): Kept, RawQuery(query): RawQuery) -> Answer {
    maintain(&keeper, None, query).await
}

async fn maintain(keeper: &Arc<Keeper>, id: Option<&str>, query: Option<String>) -> Answer {
    let query = Query::new(&query.unwrap_or_default());
    let reason = match query.enable().map_err(Refused::bad)? {
        true => Some(query.first("reason").unwrap_or_default()),
        false => None,
    };
    let touched = keeper.change(|agent, now| agent.maintain(id, reason, now)).ok_or_else(|| {
        let id = id.unwrap_or_default();
        Refused(
            StatusCode::NOT_FOUND,
            format!(
                "Unknown service ID {id:?}. Ensure that the service ID is passed, not the service name."
            ),
        )
    })?;
    done(keeper, touched, true).await
}

/// `PUT /v1/agent/check/register`
pub(super) async fn register_check(
    State(keeper): Kept,
    Extension(Peer(peer)): Extension<Peer>,
    body: Bytes,
) -> Answer {
    let mut check = definition::check(within(&body)?).map_err(Refused::bad)?;
    check.afar = is_afar(peer);
    keeper.admit_check(&check).await.map_err(Refused::bad)?;
    let touched = keeper.change(|agent, now| agent.register_check(check, now));
    done(&keeper, touched.map_err(Refused::bad)?, true).await
}

/// `PUT /v1/agent/check/deregister/{id}`: one that is not there is gone, too.
pub(super) async fn deregister_check(State(keeper): Kept, Path(id): Path<String>) -> Answer {
    let touched = keeper.change(|agent, now| agent.deregister_check(&id, now));
    done(&keeper, touched, true).await
}

/// `PUT /v1/agent/check/pass/{id}`
pub(super) async fn pass(keeper: Kept, id: Path<String>, query: RawQuery) -> Answer {
    noted(keeper, id, query, Status::Passing).await
}

/// `PUT /v1/agent/check/warn/{id}`
pub(super) async fn warn(keeper: Kept, id: Path<String>, query: RawQuery) -> Answer {
    noted(keeper, id, query, Status::Warning).await
}

/// `PUT /v1/agent/check/fail/{id}`
pub(super) async fn fail(keeper: Kept, id: Path<String>, query: RawQuery) -> Answer {
    noted(keeper, id, query, Status::Critical).await
}

async fn noted(
    State(keeper): Kept,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    status: Status,
) -> Answer {
    let query = Query::new(&query.unwrap_or_default());
    told(&keeper, &id, status, query.first("note").unwrap_or_default()).await
}

/// `PUT /v1/agent/check/update/{id}`
pub(super) async fn update(State(keeper): Kept, Path(id): Path<String>, body: Bytes) -> Answer {
    let (status, output) = definition::update(within(&body)?).map_err(Refused::bad)?;
    told(&keeper, &id, status, &output).await
}

async fn told(keeper: &Arc<Keeper>, id: &str, status: Status, output: &str) -> Answer {
    let touched = keeper.change(|agent, now| agent.told(id, status, output, now));
    let touched = touched.ok_or_else(|| {
        // Clients register again when they are told so.
        let why = format!(
            "Unknown check ID {id:?}. Ensure that the check ID is passed, not the check name."
        );
        Refused(StatusCode::NOT_FOUND, why)
    })?;
    done(keeper, touched, false).await
}

/// Answers once what was changed is kept: saved, and settled where it concerns one service only. What concerns all of them
/// is done behind the answer.
async fn done(keeper: &Arc<Keeper>, touched: Touched, defined: bool) -> Answer {
    if defined {
        keeper.save().await.map_err(|error| {
            let why = format!("cannot save: {error}: look after the data directory of rollcall");
            Refused(StatusCode::INTERNAL_SERVER_ERROR, why)
        })?;
    } else if touched.is_empty() {
        keeper.save_later();
    } else {
        keeper.save_soon();
    }
    if touched.len() > SETTLED_MAX {
        keeper.settle_soon(touched);
        return Ok(StatusCode::OK.into_response());
    }
    if defined || !touched.is_empty() {
        // Something may be due earlier than it was.
        keeper.wake.notify_one();
    }
    for id in touched {
        match keeper.settle(&id).await {
            Ok(()) => {}
            Err(error @ (HoldError::Pending(_) | HoldError::Others)) => {
                tracing::debug!(service = id, %error, "kept, and not in the registry yet");
            }
            Err(error) => return Err(unregistrable(&error)),
        }
    }
    Ok(StatusCode::OK.into_response())
}

/// Whether a call came from another host, or from what looks like one.
fn is_afar(peer: SocketAddr) -> bool {
    !peer.ip().to_canonical().is_loopback()
}

fn unregistrable(error: &HoldError) -> Refused {
    Refused::bad(format!("Validation failed: {error}"))
}

fn within(body: &[u8]) -> Result<&[u8], Refused> {
    if body.len() > BODY_OCTETS_MAX {
        let why = format!("the body is {} octets, at most {BODY_OCTETS_MAX} are read", body.len());
        return Err(Refused(StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    Ok(body)
}
