//! Brings operations to disk in groups, and only then to readers.
//!
//! Whoever finds nobody writing starts a blocking task, which takes what has gathered, works ahead on a clone
//! of the state, saves all steps in one durable commit, shows the new state, answers, and goes on until
//! nothing has gathered meanwhile. So one writer waits for one commit, and a thousand at once for two. A task
//! for as long as there is work, rather than a thread for ever, also keeps paused time in tests from running
//! on during a commit.
//!
//! Knows nothing of how a step lies on disk.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::store::Store;
use crate::registry::memory::core::Core;
use crate::registry::memory::expiry::EndLeases;
use crate::registry::memory::state::{Answer, Op, Step};
use crate::registry::{Error, LeaseId};
use crate::supervise::panic_message;

/// Writes for one registry.
#[derive(Debug)]
pub(super) struct Writer {
    core: Arc<Core>,
    /// Held during a commit.
    disk: Mutex<Disk>,
    /// Never held for longer than it takes to push or to take.
    queue: Mutex<Queue>,
}

#[derive(Debug)]
enum Disk {
    Working(Store),
    /// What to answer.
    Failed(String),
    Closed,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Request>,
    octets: u64,
    /// A task is writing, and will look here again before it ends.
    writing: bool,
}

#[derive(Debug)]
struct Request {
    op: Op,
    reply: Reply,
}

type Reply = oneshot::Sender<Result<Answer, Error>>;

type Pending = oneshot::Receiver<Result<Answer, Error>>;

impl Writer {
    pub(super) fn new(core: Arc<Core>, store: Store) -> Self {
        Self { core, disk: Mutex::new(Disk::Working(store)), queue: Mutex::default() }
    }

    /// Does an operation; it is durable when this returns.
    pub(super) async fn run(self: &Arc<Self>, op: Op) -> Result<Answer, Error> {
        let pending = self.submit(op)?;
        match tokio::time::timeout(CALL_TIMEOUT, pending).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::Unknown(PANICKED.to_owned())),
            Err(_) => Err(Error::Unknown(format!(
                "the disk took longer than {} s: look for what else keeps it busy",
                CALL_TIMEOUT.as_secs()
            ))),
        }
    }

    /// Lets go of the disk, after the commit that may be under way. Whoever waits hears that it was closed.
    pub(super) fn close(&self) {
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = Disk::Closed;
    }

    fn submit(self: &Arc<Self>, op: Op) -> Result<Pending, Error> {
        let (reply, pending) = oneshot::channel();
        let mut queue = self.queue();
        let octets = queue.octets + op.octets();
        if queue.waiting.len() >= QUEUE_OPS_MAX || octets > QUEUE_OCTETS_MAX {
            let waiting = queue.waiting.len();
            return Err(Error::Unavailable(format!("{waiting} writes wait for the disk already")));
        }
        queue.octets = octets;
        queue.waiting.push_back(Request { op, reply });
        if !queue.writing {
            queue.writing = true;
            let writer = Arc::clone(self);
            // Its end needs no waiting for: callers wait for their replies.
            drop(tokio::task::spawn_blocking(move || writer.write_all()));
        }
        Ok(pending)
    }

    /// Writes until nothing waits.
    fn write_all(&self) {
        while let Some(group) = self.take_group() {
            // A panic drops the group's replies, which is an answer too, and poisons the disk's lock, so that
            // whoever comes next is told.
            let written = catch_unwind(AssertUnwindSafe(|| self.write(group)));
            if let Err(panic) = written {
                let why = panic_message(&*panic);
                tracing::error!(
                    why,
                    "a write panicked: the embedded registry takes no more writes"
                );
            }
        }
    }

    fn take_group(&self) -> Option<Vec<Request>> {
        let mut queue = self.queue();
        let (mut group, mut octets) = (Vec::new(), 0);
        while group.len() < GROUP_OPS_MAX && octets < GROUP_OCTETS_MAX {
            let Some(request) = queue.waiting.pop_front() else { break };
            octets += request.op.octets();
            group.push(request);
        }
        queue.octets -= octets;
        queue.writing = !group.is_empty();
        queue.writing.then_some(group)
    }

    fn write(&self, group: Vec<Request>) {
        let Ok(mut disk) = self.disk.lock() else {
            return answer_all(group, &Error::Unavailable(PANICKED.to_owned()));
        };
        let store = match &*disk {
            Disk::Working(store) => store,
            Disk::Failed(why) => return answer_all(group, &Error::Unavailable(why.clone())),
            Disk::Closed => {
                return answer_all(group, &Error::Unavailable("it was closed".to_owned()));
            }
        };
        let mut ahead = match self.core.ahead() {
            Ok(state) => state,
            Err(error) => return answer_all(group, &error),
        };

        let mut steps: Vec<Step> = Vec::new();
        let mut answers = Vec::with_capacity(group.len());
        for Request { op, reply } in group {
            let applied = ahead.apply(op);
            let writes = applied.as_ref().is_ok_and(|(_, step)| !step.is_empty());
            answers.push((
                reply,
                writes,
                applied.map(|(answer, step)| {
                    if writes {
                        steps.push(step);
                    }
                    answer
                }),
            ));
        }

        let saved = if steps.is_empty() { Ok(()) } else { store.save(&steps) };
        if let Err(error) = saved {
            let why = format!(
                "cannot write to disk: {error}: free or repair it, then restart the server"
            );
            tracing::error!(why, "the embedded registry takes no more writes");
            *disk = Disk::Failed(why.clone());
            for (reply, writes, _) in answers {
                // A refusal came from a state that may never have been: no answer but this one is safe.
                let error = if writes { Error::Unknown } else { Error::Unavailable };
                let _ = reply.send(Err(error(why.clone())));
            }
            return;
        }
        let shown =
            if steps.is_empty() { Ok(()) } else { self.core.publish(ahead, steps, Instant::now()) };
        // It is on disk, so it may be there again after a restart.
        let shown = shown.map_err(|error| Error::Unknown(error.to_string()));
        for (reply, _, answer) in answers {
            // A caller that gave up does not hear.
            let _ = reply.send(shown.clone().and(answer));
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing in its critical sections can panic half-way.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EndLeases for Arc<Writer> {
    async fn end(&self, leases: Vec<LeaseId>) -> Vec<LeaseId> {
        // All are submitted before the first is waited for, so that they share a commit.
        let submitted: Vec<_> =
            leases.into_iter().map(|lease| (lease, self.submit(Op::End(lease)))).collect();
        let mut left = Vec::new();
        for (lease, pending) in submitted {
            let ended = match pending {
                Ok(pending) => pending.await,
                Err(error) => Ok(Err(error)),
            };
            // One that was revoked meanwhile is gone as well.
            if !matches!(ended, Ok(Ok(_) | Err(Error::LeaseNotFound))) {
                left.push(lease);
            }
        }
        left
    }
}

fn answer_all(group: Vec<Request>, error: &Error) {
    for request in group {
        let _ = request.reply.send(Err(error.clone()));
    }
}

const PANICKED: &str = "a write panicked: restart the server";

/// How long a caller waits for the disk; below the 5 s in which the HTTP API promises an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(4);

/// Operations and octets of one commit: enough that the disk's latency is shared by all who wait, few enough
/// that none of them waits long.
const GROUP_OPS_MAX: usize = 1_000;
const GROUP_OCTETS_MAX: u64 = 8 * 1024 * 1024;

/// Operations and octets that may wait: several groups, so that a fleet that registers at once is not sent
/// away by a disk that is merely slow.
const QUEUE_OPS_MAX: usize = 16_384;
const QUEUE_OCTETS_MAX: u64 = 64 * 1024 * 1024;
