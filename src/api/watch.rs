//! `GET /v1/watch`: server-sent events, one a change.
//!
//! Written to the stream's own rules (WHATWG HTML, section "Server-sent events"): an `id:` line alone tells
//! the client where it stands, so that it can come back even before the first event.
//!
//! Knows nothing of what brings events about, nor of how they are kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::timeout;

use super::Shared;
use super::call::Call;
use super::history::{EventId, Next};
use super::problem::Problem;
use super::settings::Permission;
use super::token::Caller;
use super::view::EventJson;
use crate::http::Counted;
use crate::model::{AppName, Namespace};
use crate::zone::Event;

/// A silent stream is shown alive that often: proxies cut after 30 s or more.
const COMMENT_INTERVAL: Duration = Duration::from_secs(15);
/// Events written at once; the next are read when the client has taken these.
const CHUNK_EVENTS: usize = 64;

/// `GET /v1/watch`
pub(super) async fn watch(
    State(shared): State<Arc<Shared>>,
    call: Call,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    call.query_only(&["app"])?;
    let (namespace, app) = (call.namespace()?, call.app_asked()?);
    match &app {
        Some(app) => call.caller.may(Permission::Read, app)?,
        None => call.caller.may_some(Permission::Read)?,
    }
    let permit = shared.watchers.clone().try_acquire_owned().map_err(|_| {
        let most = shared.api.settings.watchers_max;
        Problem::unavailable(format!(
            "{most} watchers are connected already, the most there may be"
        ))
    })?;
    let resume = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let changed = shared.api.history.subscribe();
    let mut watcher = Watcher {
        place: 0,
        ready: VecDeque::new(),
        changed,
        namespace,
        app,
        caller: call.caller,
        _permit: permit,
        _counted: Counted::new(&shared.api.metrics.watchers),
        shared,
    };
    watcher.start(resume);
    let stream = futures_util::stream::unfold(watcher, |mut watcher| async {
        let chunk = watcher.next().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), watcher))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream")];
    Ok((StatusCode::OK, headers, Body::from_stream(stream)).into_response())
}

struct Watcher {
    shared: Arc<Shared>,
    /// Where it reads on.
    place: u64,
    /// What is to be written before anything else.
    ready: VecDeque<Bytes>,
    changed: watch::Receiver<u64>,
    namespace: Namespace,
    app: Option<AppName>,
    caller: Caller,
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

impl Watcher {
    fn start(&mut self, resume: Option<&str>) {
        let history = &self.shared.api.history;
        let (last, present) = history.present();
        let revision = self.shared.api.published.load().revision;
        let mut first = format!(": watching from {revision}\n");
        self.place = present;
        match resume.map(|id| id.parse().ok().and_then(|id| history.after(id))) {
            Some(Some(place)) => self.place = place,
            Some(None) => first.push_str(&reset(last, revision)),
            None => {
                if let Some(last) = last {
                    first.push_str(&format!("id: {last}\n"));
                }
            }
        }
        first.push('\n');
        self.ready.push_back(first.into());
    }

    /// What to write next; none: the stream ends, since the server stops.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(ready) = self.ready.pop_front() {
            return Some(ready);
        }
        loop {
            if self.shared.stop.is_cancelled() {
                return None;
            }
            // Before reading, so that what is pushed meanwhile is not slept over.
            self.changed.mark_unchanged();
            match self.shared.api.history.read(self.place, CHUNK_EVENTS) {
                Next::Lost(last, present) => {
                    self.place = present;
                    let revision = self.shared.api.published.load().revision;
                    return Some((reset(last, revision) + "\n").into());
                }
                Next::Events(events, _) if events.is_empty() => {}
                Next::Events(events, place) => {
                    self.place = place;
                    let shown = events.iter().filter(|(_, event)| self.shows(event));
                    let text: String = shown.map(|(id, event)| written(*id, event)).collect();
                    if text.is_empty() {
                        continue;
                    }
                    return Some(text.into());
                }
            }
            let stop = self.shared.stop.clone();
            tokio::select! {
                () = stop.cancelled() => return None,
                changed = timeout(COMMENT_INTERVAL, self.changed.changed()) => match changed {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return None,
                    Err(_) => return Some(Bytes::from_static(b": \n\n")),
                },
            }
        }
    }

    fn shows(&self, event: &Event) -> bool {
        event.namespace == self.namespace
            && self.app.as_ref().is_none_or(|app| *app == event.app)
            && self.caller.covers(&event.app)
    }
}

fn reset(last: Option<EventId>, revision: u64) -> String {
    let id = last.map_or_else(String::new, |last| format!("id: {last}\n"));
    format!("{id}event: reset\ndata: {{\"revision\":{revision}}}\n")
}

fn written(id: EventId, event: &Event) -> String {
    // JSON has no raw line ends, so that one data line holds it; and nothing in an event can't be JSON.
    let data = serde_json::to_string(&EventJson::new(event)).unwrap_or_default();
    format!("id: {id}\nevent: {}\ndata: {data}\n\n", event.cause)
}
