//! Keeps the zones' last serials in the data directory, so that later content never has a lower one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::data::Data;
use crate::zone::SavedSerial;

/// The file's name.
const FILE: &str = "serials.json";
/// A changing zone writes its serial no more often: what a crash loses is made up for by the revision, which
/// the next serial is never below.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// The serials as they were saved last. A file that can't be read counts as none, with a warning: the
/// revision still makes serials grow.
pub(super) fn load(data: &Data) -> Vec<SavedSerial> {
    let read = data.read(FILE).map_err(|error| error.to_string());
    let parsed = read.and_then(|content| match content {
        None => Ok(Vec::new()),
        Some(content) => serde_json::from_slice(&content).map_err(|error| error.to_string()),
    });
    parsed.unwrap_or_else(|error| {
        tracing::warn!(
            file = FILE,
            error,
            "saved serials are not readable; starting from the revision"
        );
        Vec::new()
    })
}

/// Saves each change, at most once an interval until it is stopped. Ends when the compiler does, so that the
/// last one is saved whatever is still answered meanwhile.
pub(super) async fn keep(
    data: Arc<Data>,
    mut serials: watch::Receiver<Vec<SavedSerial>>,
    stop: CancellationToken,
) -> Result<(), String> {
    let mut failing = false;
    loop {
        let last = serials.changed().await.is_err();
        let current = serials.borrow_and_update().clone();
        let data = data.clone();
        let saved = tokio::task::spawn_blocking(move || save(&data, &current)).await;
        let error = match saved {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = &error
            && !failing
        {
            tracing::warn!(file = FILE, error, "cannot save serials; going on without");
        }
        failing = error.is_some();
        if last {
            // A compiler that ends unasked is to be heard of before this task.
            stop.cancelled().await;
            return Ok(());
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(WRITE_INTERVAL) => {}
        }
    }
}

fn save(data: &Data, serials: &[SavedSerial]) -> std::io::Result<()> {
    let content = serde_json::to_vec(serials).map_err(std::io::Error::other)?;
    data.replace(FILE, &content)
}
