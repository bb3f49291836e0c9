//! Which path leads where, and what is answered. Clients look at the body only to log it, and take any answer for a
//! success; what is refused is told in one line all the same.
//!
//! Knows nothing of what calls do.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::json;

use super::agent::{Agent, CallError};
use super::call::groups;
use crate::compat::hold::HoldError;
use crate::compat::{Room, StartError};

/// What the listener serves, having taken up what was saved.
pub(in crate::compat) fn router(room: &Room<'_>) -> Result<Router, StartError> {
    // Not by path: the package client writes `//register`.
    Ok(Router::new().fallback(answer).with_state(Agent::start(room)?))
}

async fn answer(State(agent): State<Agent>, method: Method, uri: Uri, body: Bytes) -> Response {
    let mut path = uri.path().split('/').filter(|part| !part.is_empty());
    let register = match (path.next(), path.next()) {
        (Some("register"), None) => true,
        (Some("unregister"), None) => false,
        _ => return refused(StatusCode::NOT_FOUND, "there are /register and /unregister"),
    };
    if method != Method::POST {
        return refused(StatusCode::METHOD_NOT_ALLOWED, "calls are POST");
    }
    let groups = match groups(&body, agent.namespace()) {
        Ok(groups) => groups,
        Err(why) => return refused(StatusCode::BAD_REQUEST, &why),
    };
    match agent.call(&groups, register).await {
        Ok(()) => {
            let code = StatusCode::OK.as_u16();
            // Those with another status than 1, or without weight, are taken out by registering.
            let disabled = groups.iter().filter(|group| group.registration.disabled).count();
            let registered = if register { groups.len() - disabled } else { 0 };
            Json(json!({ "code": code, "msg": "ok", "registered": registered })).into_response()
        }
        Err(error) => refused(status(&error), &error.to_string()),
    }
}

fn status(error: &CallError) -> StatusCode {
    match error {
        CallError::Crowded(_) => StatusCode::BAD_REQUEST,
        CallError::Hold(_, HoldError::Unserved(_) | HoldError::Others) => StatusCode::CONFLICT,
        CallError::Hold(_, HoldError::Loopback(_) | HoldError::AppFull(..)) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        CallError::Hold(_, HoldError::Full(_) | HoldError::Pending(_)) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

fn refused(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "code": status.as_u16(), "msg": why }))).into_response()
}
