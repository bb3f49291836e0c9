//! Keeps identities as their files are: a look every few seconds, which finds every way of replacing a file, on
//! every file system, links of a mounted secret included.
//!
//! Knows nothing of who uses an identity.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::identity::{Identity, Looked};

/// How often files are looked at; nobody waits for a new certificate more urgently than that.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Looks at the files until it is told to stop.
///
/// # Errors
/// None; the form is that of all tasks.
pub async fn keep(identities: Vec<Arc<Identity>>, stop: CancellationToken) -> Result<(), String> {
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = looks.tick() => {}
        }
        look(&identities, false).await;
    }
}

/// Reads all files now, whether or not they look changed.
pub async fn reload(identities: &[Arc<Identity>]) {
    look(identities, true).await;
}

async fn look(identities: &[Arc<Identity>], in_any_case: bool) {
    for identity in identities {
        let looked = identity.clone();
        // A file system may take its time.
        let looked = tokio::task::spawn_blocking(move || looked.look(in_any_case)).await;
        let cert = identity.files().cert.display();
        match looked {
            Ok(Looked::Same) => {}
            Ok(Looked::Taken) => tracing::info!(%cert, "certificate read anew"),
            Ok(Looked::Kept(error)) => {
                tracing::warn!(%error, "cannot use the new certificate: going on with the old one");
            }
            // The runtime is ending.
            Err(error) => tracing::debug!(%cert, %error, "certificate not looked at"),
        }
    }
}
