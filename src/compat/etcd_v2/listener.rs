//! Which path leads where.
//!
//! Knows nothing of sockets.

use axum::Router;

use crate::compat::settings::EtcdV2;
use crate::compat::{Room, StartError};

/// What the listener serves.
pub(in crate::compat) fn router(
    _settings: &EtcdV2,
    _room: &Room<'_>,
) -> Result<Router, StartError> {
    Ok(Router::new())
}
