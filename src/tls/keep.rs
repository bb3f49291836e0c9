//! Keeps identities as their files are, and says when they can't be, or when a new certificate is not a good one.
//!
//! Knows nothing of who uses an identity.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::identity::{Identity, Looked};
use crate::files::Looks;

/// Looks at the files until it is told to stop, and reads them all whenever `hangups` changes.
///
/// # Errors
/// None; the form is that of all tasks.
pub async fn keep(
    identities: Vec<Arc<Identity>>,
    wall_clock: fn() -> SystemTime,
    hangups: watch::Receiver<()>,
    stop: CancellationToken,
) -> Result<(), String> {
    let mut looks = Looks::new(hangups);
    loop {
        let in_any_case = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            asked = looks.next() => asked,
        };
        // A file system that hangs must not keep the server from ending.
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = look(&identities, in_any_case, wall_clock) => {}
        }
    }
}

async fn look(identities: &[Arc<Identity>], in_any_case: bool, wall_clock: fn() -> SystemTime) {
    // Files that several share are told of once.
    let mut told = Vec::new();
    for identity in identities {
        let looked = identity.clone();
        // A file system may take its time.
        let looked = tokio::task::spawn_blocking(move || looked.look(in_any_case)).await;
        let cert = identity.files().cert.display();
        match looked {
            Ok(Looked::Same) => {}
            Ok(Looked::Taken) => match identity.validity().trouble(wall_clock()) {
                None => tracing::info!(%cert, "certificate read anew"),
                Some(trouble) => tracing::warn!(%cert, "certificate read anew: {trouble}"),
            },
            Ok(Looked::Kept(error)) if told.contains(&error) => {}
            Ok(Looked::Kept(error)) => {
                tracing::warn!(%error, "cannot use the new certificate: going on with the old one");
                told.push(error);
            }
            // The runtime is ending.
            Err(error) => tracing::debug!(%cert, %error, "certificate not looked at"),
        }
    }
}
