//! Answers: JSON or a line of text, and those that wait for a change (blocking queries).
//!
//! An index grows with each snapshot that this server publishes, and with each change of the agent; so what it was given
//! for is never shown under it differently. A query with the index of the moment waits until what it asks for has
//! changed, or its time is over. One with any other is answered at once: older ones missed something, newer ones are of
//! another server.
//!
//! Knows nothing of what is asked for.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::agent::Agent;
use super::catalog::Sight;
use super::keeper::Keeper;
use super::query::{Blocking, Query};
use crate::model::{AppName, Namespace};
use crate::zone::{AppView, Directory};

/// Changes are gathered that long before anybody looks again: those who wait for one app are woken by all.
const GATHER: Duration = Duration::from_millis(25);

const INDEX: HeaderName = HeaderName::from_static("x-consul-index");
const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-consul-knownleader");
const LAST_CONTACT: HeaderName = HeaderName::from_static("x-consul-lastcontact");

/// A refusal: a status, and a line of text as Consul has them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused(pub(super) StatusCode, pub(super) String);

impl Refused {
    /// A call that is not written as it must be, or asks for what can't be.
    pub(super) fn bad(why: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, why.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

pub(super) type Answer = Result<Response, Refused>;

/// An answer as JSON.
pub(super) fn json(value: &impl Serialize) -> Answer {
    Ok(written(encoded(value)?))
}

fn encoded(value: &impl Serialize) -> Result<Vec<u8>, Refused> {
    serde_json::to_vec(value)
        .map_err(|error| Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

fn written(body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// What is registered, as it is being looked at.
pub(super) struct Moment<'a> {
    pub(super) directory: &'a Directory,
    pub(super) namespace: &'a Namespace,
    pub(super) node: &'a str,
    /// Nobody registers while it is held: what takes long is done without.
    pub(super) agent: MutexGuard<'a, Agent>,
}

impl Moment<'_> {
    /// All of it.
    pub(super) fn sight(&self) -> Sight<'_> {
        let Self { directory, namespace, node, agent } = self;
        Sight { directory, namespace, agent, node }
    }
}

/// One look at what is registered.
struct Look {
    index: u64,
    edition: u64,
    /// The agent's version, and the app as it is shown; nothing else has a part in what is said of an app.
    version: u64,
    app: Option<Arc<AppView>>,
    body: Vec<u8>,
}

/// Answers what `see` gives, waiting for a change where that is asked for. What is asked is about that app, or about all.
pub(super) async fn blocking<T: Serialize>(
    keeper: &Keeper,
    query: &Query,
    app: Option<AppName>,
    see: impl Fn(Moment<'_>) -> T,
) -> Answer {
    let Blocking { index, wait } = query.blocking(fastrand::f64()).map_err(Refused::bad)?;
    let deadline = Instant::now() + wait;
    let mut changes = keeper.changes();
    let mut look = look_at(keeper, app.as_ref(), &see, None)?;
    if index != look.index {
        return Ok(shown(keeper, look));
    }
    let Ok(_waiter) = keeper.waiters.clone().try_acquire_owned() else {
        let why = "too many blocking queries wait here already: ask again later";
        return Err(Refused(StatusCode::TOO_MANY_REQUESTS, why.to_owned()));
    };
    loop {
        changes.mark_unchanged();
        let published = &keeper.compat.published;
        let change = async {
            tokio::select! {
                () = published.changed(look.edition) => {}
                _ = changes.wait_for(|version| *version != look.version) => {}
                () = keeper.stop.cancelled() => {}
            }
        };
        if timeout_at(deadline, change).await.is_err() || keeper.stop.is_cancelled() {
            return Ok(shown(keeper, look));
        }
        sleep_until(deadline.min(Instant::now() + GATHER)).await;
        let next = look_at(keeper, app.as_ref(), &see, Some(&look))?;
        let changed = next.body != look.body;
        look = next;
        if changed {
            return Ok(shown(keeper, look));
        }
    }
}

/// Looks, and makes anew of it only what may have changed.
fn look_at<T: Serialize>(
    keeper: &Keeper,
    app: Option<&AppName>,
    see: &impl Fn(Moment<'_>) -> T,
    before: Option<&Look>,
) -> Result<Look, Refused> {
    let edition = keeper.compat.published.edition();
    let snapshot = keeper.compat.published.load_full();
    if !snapshot.knows(&keeper.namespace) {
        // Consul's word for a cluster that can't be asked. "Not there" must not be said out of ignorance.
        return Err(Refused(StatusCode::INTERNAL_SERVER_ERROR, "No cluster leader".to_owned()));
    }
    let (directory, namespace) = (&snapshot.directory, &keeper.namespace);
    let view = app.and_then(|app| directory.app(namespace, app).cloned());
    let agent = keeper.agent();
    let version = agent.version();
    let index = keeper.began.saturating_add(edition).saturating_add(version);
    let same_view = |before: &&Look| match (&before.app, &view) {
        (Some(before), Some(now)) => Arc::ptr_eq(before, now),
        (None, None) => app.is_some(),
        _ => false,
    };
    let body = match before.filter(|before| before.version == version).filter(same_view) {
        Some(before) => before.body.clone(),
        None => encoded(&see(Moment { directory, namespace, node: &keeper.node, agent }))?,
    };
    Ok(Look { index, edition, version, app: view, body })
}

fn shown(keeper: &Keeper, look: Look) -> Response {
    let mut response = written(look.body);
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(INDEX, look.index.into());
    let leader = if keeper.compat.published.is_stale() { "false" } else { "true" };
    headers.insert(KNOWN_LEADER, HeaderValue::from_static(leader));
    headers.insert(LAST_CONTACT, HeaderValue::from_static("0"));
    response
}
