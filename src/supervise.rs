//! Named tasks with an owner: a panic in one is counted and heard, never swallowed (law 9,
//! docs/architecture.md).
//!
//! Knows nobody; every room may use it.

use std::any::Any;
use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// What runs until it is told to stop. A task that panics, or that ends while nobody asked it to, ends the
/// whole group: a server that lacks one of its parts must not look alive.
#[derive(Debug)]
pub struct Tasks {
    stop: CancellationToken,
    running: Mutex<JoinSet<Ended>>,
}

/// How a task ended.
#[derive(Debug)]
struct Ended {
    name: String,
    result: Result<(), String>,
}

/// A task ended that should not have.
#[derive(Debug, thiserror::Error)]
#[error("task {name} ended: {why}")]
pub struct TaskFailed {
    /// The task's name.
    pub name: String,
    /// A panic's message, an error, or that it merely returned.
    pub why: String,
}

impl Tasks {
    /// An empty group that stops with this token.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self { stop, running: Mutex::new(JoinSet::new()) }
    }

    /// The token that tells tasks to stop.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs a task that must go on until the group is stopped.
    pub fn spawn<F>(&self, name: impl Into<String>, task: F)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let name = name.into();
        let running = &mut *self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        running.spawn(async move {
            let result = CatchPanic { inner: Box::pin(task) }.await;
            Ended { name, result }
        });
    }

    /// Waits until the group is stopped and all tasks have ended, or until one ends by itself, which stops
    /// the others. Those that still run a while (`grace`) after the stop are cut.
    ///
    /// # Errors
    /// The first task that ended unasked, or that panicked.
    pub async fn join(self, grace: Duration) -> Result<(), TaskFailed> {
        let mut running =
            self.running.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut failed = None;
        let mut overdue = std::pin::pin!(async {
            self.stop.cancelled().await;
            sleep(grace).await;
        });
        loop {
            let joined = tokio::select! {
                biased;
                joined = running.join_next() => joined,
                () = &mut overdue => {
                    tracing::warn!(tasks = running.len(), ?grace, "tasks cut that did not end");
                    break;
                }
            };
            let Some(joined) = joined else { break };
            let Ok(Ended { name, result }) = joined else { continue };
            let why = match result {
                Err(why) => why,
                Ok(()) if self.stop.is_cancelled() => continue,
                Ok(()) => "nobody asked it to".to_owned(),
            };
            tracing::error!(task = name, why, "task ended");
            failed.get_or_insert(TaskFailed { name, why });
            self.stop.cancel();
        }
        failed.map_or(Ok(()), Err)
    }
}

/// The text of a panic.
#[must_use]
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// Turns a panic while polling into an error, since a `JoinError` has lost the task's name.
struct CatchPanic<F> {
    inner: std::pin::Pin<Box<F>>,
}

impl<F: Future<Output = Result<(), String>>> Future for CatchPanic<F> {
    type Output = Result<(), String>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let inner = self.inner.as_mut();
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| inner.poll(context))) {
            Ok(poll) => poll,
            Err(panic) => {
                std::task::Poll::Ready(Err(format!("panicked: {}", panic_message(&*panic))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_panic_stops_the_group_and_is_named() {
        let tasks = Tasks::new(CancellationToken::new());
        let stop = tasks.stop_token();
        tasks.spawn("steady", async move {
            stop.cancelled().await;
            Ok(())
        });
        tasks.spawn("broken", async { panic!("on purpose") });
        let failed = tasks.join(GRACE).await.unwrap_err();
        assert_eq!(failed.to_string(), "task broken ended: panicked: on purpose");
    }

    #[tokio::test]
    async fn a_task_that_returns_unasked_has_failed() {
        let tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("short", async { Ok(()) });
        assert_eq!(tasks.join(GRACE).await.unwrap_err().name, "short");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_hear_the_stop_is_cut() {
        let tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("deaf", std::future::pending());
        tasks.spawn("broken", async { panic!("on purpose") });
        let began = tokio::time::Instant::now();
        assert_eq!(tasks.join(GRACE).await.unwrap_err().name, "broken");
        assert_eq!(began.elapsed().as_secs(), GRACE.as_secs());
    }

    #[tokio::test]
    async fn a_stopped_group_ends_in_order() {
        let tasks = Tasks::new(CancellationToken::new());
        let stop = tasks.stop_token();
        stop.cancel();
        tasks.spawn("steady", async move {
            stop.cancelled().await;
            Ok(())
        });
        tasks.join(GRACE).await.unwrap();
    }
}
