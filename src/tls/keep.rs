//! Keeps identities as their files are: a look every few seconds, which finds every way of replacing a file, on
//! every file system, links of a mounted secret included.
//!
//! Knows nothing of who uses an identity.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::identity::{Identity, Looked};

/// How often files are looked at; nobody waits for a new certificate more urgently than that.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Looks at the files until it is told to stop, and reads them all whenever `hangups` changes.
///
/// # Errors
/// None; the form is that of all tasks.
pub async fn keep(
    identities: Vec<Arc<Identity>>,
    mut hangups: watch::Receiver<()>,
    stop: CancellationToken,
) -> Result<(), String> {
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let in_any_case = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = looks.tick() => false,
            // Who passes signals on ends only when the server does.
            Ok(()) = hangups.changed() => true,
        };
        look(&identities, in_any_case).await;
    }
}

async fn look(identities: &[Arc<Identity>], in_any_case: bool) {
    // Files that several share are told of once.
    let mut told = Vec::new();
    for identity in identities {
        let looked = identity.clone();
        // A file system may take its time.
        let looked = tokio::task::spawn_blocking(move || looked.look(in_any_case)).await;
        let cert = identity.files().cert.display();
        match looked {
            Ok(Looked::Same) => {}
            Ok(Looked::Taken) => tracing::info!(%cert, "certificate read anew"),
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
