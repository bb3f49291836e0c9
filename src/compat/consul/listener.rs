//! Which path leads where.
//!
//! Knows nothing of sockets.

use axum::Router;

use crate::compat::{Room, StartError};

/// What the listener serves.
pub(in crate::compat) fn router(_room: &Room<'_>) -> Result<Router, StartError> {
    Ok(Router::new())
}
