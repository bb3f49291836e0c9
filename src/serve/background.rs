//! Threads for work that may wait a little: where there are too few cores, those who answer come first.
//!
//! Reading a registry anew and building what changed can take a core for seconds. On the threads of the runtime
//! that would hold up DNS over TCP and the API; on a thread of equal rank it takes turns of some milliseconds
//! with the UDP workers, who need microseconds.
//!
//! Knows nothing of the work.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;

use crate::supervise::panic_message;

/// The rank of these threads, from 0, everybody's, to 19, the last: a tenth of the share of others. Not less,
/// so that what changes still gets into answers while a flood of queries takes all it can get.
const NICENESS: i32 = 10;

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
        step_back();
        let outcome = catch_unwind(AssertUnwindSafe(work));
        let outcome =
            outcome.unwrap_or_else(|panic| Err(format!("panicked: {}", panic_message(&*panic))));
        // Nobody waits for it only when the process is ending.
        let _ = ended.send(outcome);
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(thread)?;
    Ok(async { end.await.unwrap_or_else(|_| Err("thread vanished".to_owned())) })
}

/// Takes a lower rank, which needs no privilege. Where that fails, as in a sandbox, only latency suffers.
#[cfg(target_os = "linux")]
fn step_back() {
    use rustix::process::{getpriority_process, setpriority_process};
    // On Linux each thread has a rank of its own (setpriority(2), "C library/kernel differences").
    let this = Some(rustix::thread::gettid());
    // A server that was started with a lower rank than this keeps it.
    let lower = getpriority_process(this).is_ok_and(|rank| rank < NICENESS);
    if lower && let Err(error) = setpriority_process(this, NICENESS) {
        tracing::debug!(%error, "a background thread keeps its rank");
    }
}

/// Elsewhere the rank is the whole process's.
#[cfg(not(target_os = "linux"))]
fn step_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_with_its_text() {
        let ended = start("broken", || panic!("on purpose")).unwrap();
        assert_eq!(ended.await, Err("panicked: on purpose".to_owned()));
        assert_eq!(start("fine", || Ok(())).unwrap().await, Ok(()));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn it_comes_after_others_and_they_keep_their_rank() {
        let rank = || rustix::process::getpriority_process(Some(rustix::thread::gettid()));
        let before = rank().unwrap();
        let work = move || {
            let rank = rank().map_err(|error| error.to_string())?;
            if rank == NICENESS.max(before) { Ok(()) } else { Err(format!("rank {rank}")) }
        };
        assert_eq!(start("background", work).unwrap().await, Ok(()));
        assert_eq!(rank().unwrap(), before);
    }
}
