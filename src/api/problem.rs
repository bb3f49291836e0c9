//! Why a request was refused, as its sender reads it: a status, a field, one line, and after a failed write
//! whether it was done.
//!
//! Knows nothing of routes.

use axum::Json;
use axum::http::header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::http::BodyError;
use crate::model::FieldError;
use crate::registry;
use crate::zone::Refusal;

/// Longest message, in octets: what is quoted in it may be as long as a body.
const LINE_OCTETS_MAX: usize = 500;

/// What became of a write that was answered with 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Outcome {
    /// Nothing was written: asking again is right.
    #[serde(rename = "not done")]
    NotDone,
    /// The registry's answer was lost; PUT and DELETE are safe to repeat.
    #[serde(rename = "unknown")]
    Unknown,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    field: Option<String>,
    message: String,
    outcome: Option<Outcome>,
    /// The rest of the connection can't be understood.
    close: bool,
}

impl Problem {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, field: None, message: message.into(), outcome: None, close: false }
    }

    /// A request that is not written as it must be.
    pub(super) fn malformed(field: impl Into<String>, rule: impl std::fmt::Display) -> Self {
        let field = field.into();
        let message = format!("{field} {rule}");
        Self { field: Some(field), ..Self::new(StatusCode::BAD_REQUEST, message) }
    }

    /// A well-written request for what is not allowed.
    pub(super) fn unacceptable(field: impl Into<String>, rule: impl std::fmt::Display) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, ..Self::malformed(field, rule) }
    }

    /// This server can't do it now; nothing was done.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self {
            outcome: Some(Outcome::NotDone),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
        }
    }

    /// The connection ends with this answer.
    pub(super) fn closing(self) -> Self {
        Self { close: true, ..self }
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        Self::unacceptable(error.field, error.message)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match &refusal {
            Refusal::Unserved(namespace) => {
                let rule = format!("{namespace} is served by no zone here: add a [[zone]] for it");
                Self::unacceptable("namespace", rule)
            }
            Refusal::Static { .. } => {
                let message = format!("{refusal}: register another name, or take them out there");
                Self::new(StatusCode::CONFLICT, message)
            }
        }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let message = error.to_string();
        match error {
            BodyError::TooLarge(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, message),
            BodyError::FarTooLarge(_) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, message).closing()
            }
            BodyError::Unreadable(_) => Self::new(StatusCode::BAD_REQUEST, message).closing(),
            BodyError::Late => Self::new(StatusCode::REQUEST_TIMEOUT, message).closing(),
        }
    }
}

impl From<registry::Error> for Problem {
    fn from(error: registry::Error) -> Self {
        let outcome = match error {
            registry::Error::Unknown(_) => Outcome::Unknown,
            _ => Outcome::NotDone,
        };
        Self { outcome: Some(outcome), ..Self::unavailable(error.to_string()) }
    }
}

/// A message may quote what was sent: that must not make it another line, nor a long one.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars() {
        if line.len() >= LINE_OCTETS_MAX {
            line.push('…');
            break;
        }
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

#[derive(Serialize)]
struct Written {
    error: WrittenError,
}

#[derive(Serialize)]
struct WrittenError {
    field: Option<String>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, field, message, outcome, close } = self;
        let (field, message) = (field.map(|field| one_line(&field)), one_line(&message));
        let written = Written { error: WrittenError { field, message, outcome } };
        let mut response = (status, Json(written)).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
