//! Calls that survive the loss of a member.
//!
//! Calls go to one member until it fails, then to the next in turn. What may be repeated is repeated with
//! growing, jittered pauses until the call's time is over, which bridges an election.
//!
//! Knows nothing of keys, leases and watches.

use std::fmt::Write as _;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::Client;
use tokio::time::{Instant, sleep, timeout_at};

use super::failure::{self, Failure};
use super::member::{Member, tls_options};
use crate::registry::{Error, EtcdSettings};

/// When a call may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Doing it twice is doing it once.
    Freely,
    /// Only if it certainly was not done.
    OnlyUnsent,
}

/// All members.
pub(super) struct Cluster {
    members: Vec<Member>,
    /// The member that calls go to.
    current: AtomicUsize,
    call_timeout: Duration,
}

impl Cluster {
    pub(super) async fn new(settings: EtcdSettings) -> Result<Self, Error> {
        if settings.endpoints.is_empty() {
            return Err(Error::Refused("no etcd endpoint is given".to_owned()));
        }
        let tls = tls_options(&settings).await?;
        let mut members = Vec::with_capacity(settings.endpoints.len());
        for url in &settings.endpoints {
            members.push(Member::new(url, &settings, tls.clone()).await?);
        }
        // Many servers over few members: each begins somewhere else.
        let current = AtomicUsize::new(fastrand::usize(..members.len()));
        Ok(Self { members, current, call_timeout: settings.call_timeout })
    }

    pub(super) fn call_timeout(&self) -> Duration {
        self.call_timeout
    }

    /// Runs a call, on another member if one fails, within the call timeout.
    pub(super) async fn call<T, F, C>(&self, repeat: Repeat, call: F) -> Result<T, Error>
    where
        F: Fn(&Client) -> C + Sync,
        C: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        let deadline = Instant::now() + self.call_timeout;
        let mut pause = PAUSE_MIN;
        let mut logged_in_anew = false;
        // Ends by the deadline at the latest.
        loop {
            let index = self.current.load(Ordering::Relaxed) % self.members.len();
            let member = &self.members[index];
            let why = match self.attempt(member, repeat, deadline, &call).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::LoggedOut(why)) => {
                    if logged_in_anew || !member.log_out() {
                        return Err(Error::Refused(refusal(member, &why)));
                    }
                    logged_in_anew = true;
                    continue;
                }
                Err(Failure::Lost(why)) if repeat == Repeat::OnlyUnsent => {
                    self.pass_over(index);
                    return Err(Error::Unknown(format!("{}: {why}", member.url())));
                }
                Err(Failure::NotDone(why) | Failure::Lost(why)) => why,
            };
            self.pass_over(index);
            let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            if Instant::now() + jittered + ATTEMPT_MIN >= deadline {
                return Err(Error::Unavailable(format!("{}: {why}", member.url())));
            }
            sleep(jittered).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One attempt on one member.
    async fn attempt<T, F, C>(
        &self,
        member: &Member,
        repeat: Repeat,
        deadline: Instant,
        call: &F,
    ) -> Result<T, Failure>
    where
        F: Fn(&Client) -> C + Sync,
        C: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        let share = self.call_timeout / self.members.len().min(ATTEMPTS_IN_TIME) as u32;
        let until = deadline.min(Instant::now() + share);
        match timeout_at(until, member.log_in()).await {
            Ok(logged_in) => logged_in?,
            Err(_) => return Err(Failure::NotDone("no answer to the login in time".to_owned())),
        }
        // What can't be asked elsewhere gets all the time there is.
        let until = if repeat == Repeat::Freely { until } else { deadline };
        match timeout_at(until, call(member.client())).await {
            Ok(answer) => answer.map_err(|error| failure::of(&error)),
            Err(_) => Err(Failure::Lost("no answer in time".to_owned())),
        }
    }

    /// Sends the next calls elsewhere, unless another call did so already.
    fn pass_over(&self, index: usize) {
        let next = (index + 1) % self.members.len();
        let _ = self.current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// What to tell an operator whose login does not do.
fn refusal(member: &Member, why: &str) -> String {
    let mut text = format!("{}: {why}", member.url());
    if why.contains("user name is empty") {
        let _ = write!(text, ": etcd wants a user and password, and the settings have none");
    }
    text
}

/// The first pause before asking again.
const PAUSE_MIN: Duration = Duration::from_millis(25);

/// The longest: an election takes about a second, so this finds the new leader soon.
const PAUSE_MAX: Duration = Duration::from_millis(400);

/// No attempt is begun with less time: it would fail for lack of it, and hide the reason of the one before.
const ATTEMPT_MIN: Duration = Duration::from_millis(100);

/// A member that hangs may use up this part of a call's time, so that others get their turn.
const ATTEMPTS_IN_TIME: usize = 3;
