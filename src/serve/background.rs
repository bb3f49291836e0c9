//! Threads for work that takes long at a time: reading a registry anew, and building what changed.
//!
//! On the threads of the runtime it would hold up DNS over TCP and the API, on a machine of one core altogether.
//!
//! Knows nothing of the work.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;

use crate::supervise::panic_message;

/// Starts a thread. What is returned ends with it: with the panic's text, should it panic.
pub(super) fn start<W>(
    name: &str,
    work: W,
) -> std::io::Result<impl Future<Output = Result<(), String>> + use<W>>
where
    W: FnOnce() -> Result<(), String> + Send + 'static,
{
    let (ended, end) = oneshot::channel();
    let thread = move || {
        let outcome = catch_unwind(AssertUnwindSafe(work));
        let outcome =
            outcome.unwrap_or_else(|panic| Err(format!("panicked: {}", panic_message(&*panic))));
        // Nobody waits for it only when the process is ending.
        let _ = ended.send(outcome);
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(thread)?;
    Ok(async { end.await.unwrap_or_else(|_| Err("thread vanished".to_owned())) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_with_its_text() {
        let ended = start("broken", || panic!("on purpose")).unwrap();
        assert_eq!(ended.await, Err("panicked: on purpose".to_owned()));
        assert_eq!(start("fine", || Ok(())).unwrap().await, Ok(()));
    }
}
