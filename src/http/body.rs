//! Request bodies, read within bounds of octets and of time.
//!
//! A body that is too large is read to its end all the same, within bounds too, so that the connection stays usable.
//!
//! Knows nothing of what is in a body.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use tokio::time::timeout;

/// Most that is read of a refused body to keep its connection usable, in octets. A longer one closes it.
const DISCARD_OCTETS_MAX: usize = 1024 * 1024;

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is too large, and was read away.
    #[error("the body is larger than {0} octets")]
    TooLarge(usize),
    /// It is so large that the connection is not worth reading it: close that.
    #[error("the body is larger than {0} octets")]
    FarTooLarge(usize),
    /// It ended, or its framing was wrong; the rest of the connection can't be understood: close that.
    #[error("the body can't be read: {0}")]
    Unreadable(axum::Error),
    /// It did not arrive whole in time: close the connection.
    #[error("the request did not arrive whole in time")]
    Late,
}

/// Reads a body of at most `keep` octets, and away what goes beyond, in at most that time.
///
/// # Errors
/// [`BodyError`], which says when the connection has to be closed.
pub async fn body_within(
    headers: &HeaderMap,
    body: Body,
    keep: usize,
    time: Duration,
) -> Result<Bytes, BodyError> {
    timeout(time, read(headers, body, keep)).await.unwrap_or(Err(BodyError::Late))
}

async fn read(headers: &HeaderMap, mut body: Body, keep: usize) -> Result<Bytes, BodyError> {
    let most = DISCARD_OCTETS_MAX.max(keep);
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|text| text.parse().ok()).is_some_and(|n: usize| n > most) {
        return Err(BodyError::FarTooLarge(keep));
    }
    let (mut kept, mut octets) = (Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(BodyError::Unreadable)?;
        let Some(data) = frame.data_ref() else { continue };
        octets += data.len();
        if octets > most {
            return Err(BodyError::FarTooLarge(keep));
        }
        if octets <= keep {
            kept.extend_from_slice(data);
        }
    }
    if octets > keep { Err(BodyError::TooLarge(keep)) } else { Ok(kept.into()) }
}
