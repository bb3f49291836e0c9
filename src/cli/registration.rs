//! Keeps one registration alive: registers, renews at a third of the lease, registers again when the server
//! has forgotten it, and takes it away at the end.
//!
//! ```text
//!            PUT ?incarnation=new           PUT heartbeat ?incarnation=…
//!   away --------------------------> held <----------------------------> held
//!    ^ ^                               |
//!    | '--------- 404: forgotten ------+------ 409: another holds the id ------> lost
//!    '-- try again, server is away     '------ stop: DELETE ?incarnation=… ----> left
//! ```
//!
//! A request that is under way is never abandoned: one whose reply nobody heard could leave a registration that
//! nobody takes away. So stopping takes effect between requests, each of which is bounded in time.
//!
//! Knows nothing of programs and signals.

use std::time::Duration;

use hyper::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::client::{Client, ClientError, Target};
use super::instance::{Described, first_port};
use super::output;
use super::replies::Registered;
use crate::model::{AppName, Label, default_id};

/// First pause before trying again.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// Longest pause before trying again while the server is away.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Pause before trying again what the server refused: only a person can change its mind.
const PAUSE_REFUSED: Duration = Duration::from_secs(30);
/// How long the goodbye is tried. What is not taken away by then goes with its lease.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// One registration and its life.
pub(super) struct Registration {
    client: Client,
    app: AppName,
    described: Described,
    id: Option<Label>,
    held: Option<Held>,
}

/// What the server told us about our registration.
struct Held {
    incarnation: String,
    ttl: Duration,
}

/// Why a registration is no longer kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Another registration took the id.
    Taken(String),
    /// The server refuses it.
    Refused(String),
}

/// What to do when the server refuses the registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnRefusal {
    /// Give up: there is nothing else to do here.
    GiveUp,
    /// Warn and try again later: a program is running, and somebody may mend the cause.
    TryLater,
}

impl Registration {
    /// Nothing is sent yet.
    pub(super) fn new(client: Client, app: AppName, described: Described) -> Self {
        let id = described.id.clone();
        Self { client, app, described, id, held: None }
    }

    /// Registers and renews until stopped. `told` hears of each registration.
    pub(super) async fn keep(
        &mut self,
        stop: &CancellationToken,
        on_refusal: OnRefusal,
        mut told: impl FnMut(&Self, &Value),
    ) -> Result<(), Lost> {
        let mut pauses = Pauses::default();
        let mut complaint = String::new();
        while !stop.is_cancelled() {
            let was_held = self.held.is_some();
            // The lease runs from the server's receipt, which is not long after this.
            let began = Instant::now();
            let result = if was_held { self.renew().await } else { self.register().await };
            let pause = match result {
                Ok(reply) => {
                    if !was_held {
                        told(self, &reply);
                    } else if !complaint.is_empty() {
                        output::note(&format!("in touch again: {} is renewed", self.name()));
                    }
                    complaint.clear();
                    pauses = Pauses::default();
                    self.held.as_ref().map_or(PAUSE_MAX, |held| beat(held.ttl))
                }
                Err(ClientError::Refused { status: StatusCode::NOT_FOUND, .. }) if was_held => {
                    output::note(&format!(
                        "{} is not registered any more: registering again",
                        self.name()
                    ));
                    self.held = None;
                    Duration::ZERO
                }
                Err(ClientError::Refused { status: StatusCode::CONFLICT, message }) if was_held => {
                    self.held = None;
                    return Err(Lost::Taken(message));
                }
                Err(ClientError::Refused { message, .. }) => {
                    let message = with_flag(message, self.described.address_flag);
                    if on_refusal == OnRefusal::GiveUp {
                        return Err(Lost::Refused(message));
                    }
                    self.complain(&mut complaint, message);
                    PAUSE_REFUSED
                }
                Err(ClientError::Unreachable(message) | ClientError::NotNow { message, .. }) => {
                    self.complain(&mut complaint, message);
                    pauses.next()
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep_until(began + pause) => {}
            }
        }
        Ok(())
    }

    /// Takes the registration away, if there is one of ours.
    pub(super) async fn leave(&mut self) -> Result<(), ClientError> {
        let (Some(held), Some(id)) = (self.held.take(), &self.id) else { return Ok(()) };
        let target = Target::new(&["apps", self.app.as_str(), "instances", id.as_str()])
            .with("incarnation", &held.incarnation);
        let deadline = Instant::now() + LEAVE_TIMEOUT;
        let mut pauses = Pauses::default();
        let mut last = ClientError::Unreachable("the server gave no answer in time".into());
        loop {
            let reply = self.client.send(Method::DELETE, target.clone(), None);
            match timeout_at(deadline, reply).await {
                Ok(Ok(_)) => return Ok(()),
                // Gone already, or another one's by now: either way it is not ours any more.
                Ok(Err(ClientError::Refused {
                    status: StatusCode::NOT_FOUND | StatusCode::CONFLICT,
                    ..
                })) => return Ok(()),
                Ok(Err(error @ ClientError::Refused { .. })) => return Err(error),
                Ok(Err(error)) => last = error,
                Err(_) => return Err(last),
            }
            if timeout_at(deadline, sleep(pauses.next())).await.is_err() {
                return Err(last);
            }
        }
    }

    /// Whether the server holds a registration of ours, as far as we know.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// How long the registration lives on if we fall silent.
    pub(super) fn ttl(&self) -> Option<Duration> {
        self.held.as_ref().map(|held| held.ttl)
    }

    /// App and id, for messages.
    pub(super) fn name(&self) -> String {
        self.id.as_ref().map_or_else(|| self.app.to_string(), |id| format!("{} {id}", self.app))
    }

    async fn register(&mut self) -> Result<Value, ClientError> {
        let id = match &self.id {
            Some(id) => id,
            None => {
                // No address to send, so the server will take our connection's: so does the default id.
                let address = self.client.local_address().await?;
                self.id.insert(default_id(address, first_port(&self.described.instance)))
            }
        };
        let target = Target::new(&["apps", self.app.as_str(), "instances", id.as_str()])
            .with("incarnation", "new");
        let body = serde_json::to_value(&self.described.spec)
            .map_err(|error| ClientError::Unreachable(format!("cannot write the body: {error}")))?;
        let reply = self.client.send(Method::PUT, target, Some(&body)).await?;
        self.hold(reply)
    }

    async fn renew(&mut self) -> Result<Value, ClientError> {
        let (Some(held), Some(id)) = (&self.held, &self.id) else { return self.register().await };
        let segments = ["apps", self.app.as_str(), "instances", id.as_str(), "heartbeat"];
        let target = Target::new(&segments).with("incarnation", &held.incarnation);
        let reply = self.client.send(Method::PUT, target, None).await?;
        self.hold(reply)
    }

    fn hold(&mut self, reply: Value) -> Result<Value, ClientError> {
        let Registered { incarnation, ttl } =
            serde_json::from_value(reply.clone()).map_err(|error| {
                ClientError::Unreachable(format!(
                    "the server's reply to a registration is odd: {error}"
                ))
            })?;
        self.held = Some(Held { incarnation, ttl: Duration::from_secs(ttl.into()) });
        Ok(reply)
    }

    /// Says what is wrong once, not at every try.
    fn complain(&self, last: &mut String, message: String) {
        if *last != message {
            output::note(&format!("{message} (trying again)"));
            *last = message;
        }
    }
}

/// What the server says of an address, with the flag that gives another one.
fn with_flag(message: String, flag: &str) -> String {
    if message.starts_with("address") { format!("{message}: {flag} gives one") } else { message }
}

/// From one renewal to the next: two may be lost before the lease ends.
fn beat(ttl: Duration) -> Duration {
    (ttl / 3).max(PAUSE_MIN)
}

/// Growing pauses with jitter, so that a fleet whose server comes back does not come back as one.
#[derive(Default)]
struct Pauses {
    tries: u32,
}

impl Pauses {
    fn next(&mut self) -> Duration {
        let whole = PAUSE_MIN.saturating_mul(1 << self.tries.min(10)).min(PAUSE_MAX);
        self.tries += 1;
        whole.mul_f64(fastrand::f64().mul_add(0.5, 0.5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_address_comes_with_its_flag() {
        assert_eq!(
            with_flag("address: is missing".into(), "--address"),
            "address: is missing: --address gives one"
        );
        assert_eq!(with_flag("port: is missing".into(), "--address"), "port: is missing");
    }

    #[test]
    fn a_lease_is_renewed_at_a_third() {
        assert_eq!(beat(Duration::from_secs(30)), Duration::from_secs(10));
        assert_eq!(beat(Duration::ZERO), PAUSE_MIN);
    }

    #[test]
    fn pauses_grow_to_their_bound() {
        let mut pauses = Pauses::default();
        let first = pauses.next();
        assert!(first >= PAUSE_MIN / 2 && first <= PAUSE_MIN);
        let late = (0..20).map(|_| pauses.next()).last().unwrap();
        assert!(late >= PAUSE_MAX / 2 && late <= PAUSE_MAX);
    }
}
