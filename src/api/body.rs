//! JSON bodies: refused by name for every field that is unknown, doubled or of the wrong type.
//!
//! Knows nothing of what the fields mean.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::problem::Problem;
use crate::model::Spec;

/// Longest reason of a mark, in octets.
const REASON_OCTETS_MAX: usize = 1_000;

/// A registration as sent.
pub(super) fn spec(body: &[u8]) -> Result<Spec, Problem> {
    let spec: Spec = object(body)?;
    if spec.v.is_some() {
        return Err(Problem::malformed("v", "is unknown: registrations have no such field"));
    }
    if spec.endpoints.is_some() {
        let _: EndpointObjects = read(body)?;
    }
    Ok(spec)
}

/// The reason of a mark; an empty body has none.
pub(super) fn reason(body: &[u8]) -> Result<String, Problem> {
    #[derive(Deserialize)]
    struct Reason {
        #[serde(default)]
        reason: Option<String>,
    }

    if body.is_empty() {
        return Ok(String::new());
    }
    let reason = object::<Reason>(body)?.reason.unwrap_or_default();
    if reason.len() > REASON_OCTETS_MAX {
        let rule = format!("is {} octets, at most {REASON_OCTETS_MAX} are allowed", reason.len());
        return Err(Problem::unacceptable("reason", rule));
    }
    if reason.contains('\0') {
        return Err(Problem::unacceptable("reason", "has a NUL character"));
    }
    Ok(reason)
}

/// Refuses what a call that takes no body would silently leave out.
pub(super) fn nothing(body: &[u8]) -> Result<(), Problem> {
    #[derive(Deserialize)]
    struct Nothing {}

    if body.is_empty() {
        return Ok(());
    }
    object::<Nothing>(body).map(|Nothing {}| ())
}

/// Holds endpoints to be objects: derived code would take `[null, null, 9000]` as fields by position.
#[derive(Deserialize)]
struct EndpointObjects {
    #[serde(rename = "endpoints")]
    _endpoints: Vec<BTreeMap<String, IgnoredAny>>,
}

fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    match body.trim_ascii_start().first() {
        Some(b'{') => {}
        None => return Err(malformed("the body is empty: send a JSON object")),
        Some(_) => return Err(malformed("the body must be a JSON object")),
    }
    let mut unknown = None;
    let value = with_path(body, |path| {
        unknown.get_or_insert(path);
    })?;
    match unknown {
        None => Ok(value),
        Some(path) => Err(Problem::malformed(path, "is unknown: no such field here")),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    with_path(body, |_| {})
}

fn with_path<T: DeserializeOwned>(
    body: &[u8],
    mut ignored: impl FnMut(String),
) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let read = serde_ignored::deserialize(tracked, |path| ignored(as_written(&path.to_string())));
    let value =
        read.map_err(|error: serde_json::Error| wrong(&track.path().to_string(), &error))?;
    json.end().map_err(|error| malformed(&format!("the body is not one JSON object: {error}")))?;
    Ok(value)
}

/// Names the field that could not be read.
fn wrong(path: &str, error: &serde_json::Error) -> Problem {
    // Where the text itself is broken, a path would only say how far it was read.
    if !error.is_data() {
        return malformed(&format!("the body is not readable: {error}"));
    }
    let path = if path == "." { "" } else { path };
    let text = error.to_string().replace("expected i64", "expected a whole number");
    // serde says which field it was in its message only.
    let doubled = text.strip_prefix("duplicate field `").and_then(|rest| rest.split_once('`'));
    match doubled {
        Some((field, _)) if path.is_empty() => Problem::malformed(field, "is there twice"),
        Some((field, _)) => Problem::malformed(format!("{path}.{field}"), "is there twice"),
        None if path.is_empty() => malformed(&format!("the body is wrong: {text}")),
        None => Problem::malformed(path, format_args!("is wrong: {text}")),
    }
}

/// Writes `endpoints.?.2.port` as `endpoints[2].port`.
fn as_written(path: &str) -> String {
    let mut written = String::new();
    for part in path.split('.').filter(|part| *part != "?") {
        match part.parse::<usize>() {
            Ok(index) => written.push_str(&format!("[{index}]")),
            Err(_) if written.is_empty() => written.push_str(part),
            Err(_) => written.push_str(&format!(".{part}")),
        }
    }
    written
}

fn malformed(message: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, message)
}
