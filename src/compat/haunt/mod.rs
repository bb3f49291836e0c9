//! haunt.
//!
//! Knows nothing of sockets.

use axum::Router;

use super::{Room, StartError};

/// What the listener serves.
pub(super) fn router(_room: &Room<'_>) -> Result<Router, StartError> {
    Ok(Router::new())
}
