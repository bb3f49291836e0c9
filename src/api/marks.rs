//! Operators' marks: offline takes an instance or a whole app out of answers until online.
//!
//! A mark is a key of its own, without a lease: it outlives registrations.
//!
//! Knows nothing of what a mark does to answers.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes as Body;
use axum::extract::State;
use axum::http::StatusCode;
use bytes::Bytes;

use super::call::{Call, Target};
use super::problem::Problem;
use super::settings::Permission;
use super::store::{Store, TRIES_MAX, is_pin};
use super::view::Written;
use super::{Shared, body};
use crate::layout::Note;
use crate::layout::native::{mark_label, mark_value};
use crate::model::{AppName, Label, Namespace, RawId};
use crate::registry::{Error, Origin, Precondition, Write};
use crate::zone::{self, Refusal};

/// `PUT /v1/apps/{app}/offline`
pub(super) async fn app_offline(
    State(shared): State<Arc<Shared>>,
    call: Call,
    bytes: Body,
) -> Result<Json<Written>, Problem> {
    offline(&shared, &call, None, &bytes).await
}

/// `PUT /v1/apps/{app}/instances/{id}/offline`
pub(super) async fn instance_offline(
    State(shared): State<Arc<Shared>>,
    call: Call,
    bytes: Body,
) -> Result<Json<Written>, Problem> {
    let Target { id, .. } = call.target()?;
    offline(&shared, &call, Some(&id), &bytes).await
}

/// `PUT /v1/apps/{app}/online`
pub(super) async fn app_online(
    State(shared): State<Arc<Shared>>,
    call: Call,
    bytes: Body,
) -> Result<Json<Written>, Problem> {
    online(&shared, &call, None, &bytes).await
}

/// `PUT /v1/apps/{app}/instances/{id}/online`
pub(super) async fn instance_online(
    State(shared): State<Arc<Shared>>,
    call: Call,
    bytes: Body,
) -> Result<Json<Written>, Problem> {
    let Target { id, .. } = call.target()?;
    online(&shared, &call, Some(&id), &bytes).await
}

async fn offline(
    shared: &Shared,
    call: &Call,
    id: Option<&Label>,
    bytes: &[u8],
) -> Result<Json<Written>, Problem> {
    let (namespace, app, reason) = operate(shared, call, bytes)?;
    let store = Store::new(shared);
    let places = places(shared, &namespace, &app, id);
    let marked = async || match &places[..] {
        // It may be marked though this server has not heard of it.
        [place] => Ok::<_, Error>(store.entry(&place.key).await?.is_some()),
        _ => Ok(true),
    };
    if !known(shared, &store, &namespace, &app, id).await? && !marked().await? {
        return Err(unknown(&namespace, &app, id));
    }
    let note = shared.note(call, reason);
    let put = |Place { key, of }: Place| {
        let value = mark_value(&note, of.as_deref());
        Write::Put { key, value, lease: None }
    };
    let writes = places.into_iter().map(put).collect();
    let Some(stamp) = store.commit(None, writes, None).await? else {
        return Err(Problem::unavailable("the registry refused a mark without saying why"));
    };
    let visible = store.visible(&namespace, stamp.revision).await;
    Ok(Json(Written::at(stamp.revision, Some(visible))))
}

async fn online(
    shared: &Shared,
    call: &Call,
    id: Option<&Label>,
    bytes: &[u8],
) -> Result<Json<Written>, Problem> {
    let (namespace, app, _) = operate(shared, call, bytes)?;
    let store = Store::new(shared);
    for _ in 0..TRIES_MAX {
        let mut marks = Vec::new();
        for Place { key, .. } in places(shared, &namespace, &app, id) {
            marks.extend(store.entry(&key).await?);
        }
        if marks.is_empty() {
            // A name mistyped must not look like one that is back in answers.
            if !known(shared, &store, &namespace, &app, id).await? {
                return Err(unknown(&namespace, &app, id));
            }
            // Another server may have taken it away just now, and the news not be here yet.
            let revision = shared.api.published.load().revision;
            let visible = !is_marked(shared, &namespace, &app, id);
            return Ok(Json(Written {
                changed: Some(false),
                ..Written::at(revision, Some(visible))
            }));
        }
        let unmoved = marks.iter().map(|mark| Precondition::At(mark.key.clone(), mark.revision));
        let writes = marks.iter().map(|mark| Write::Delete(mark.key.clone())).collect();
        let Some(stamp) = store.commit(unmoved, writes, None).await? else { continue };
        let visible = store.visible(&namespace, stamp.revision).await;
        let written = Written::at(stamp.revision, Some(visible));
        return Ok(Json(Written { changed: Some(true), ..written }));
    }
    Err(Problem::unavailable("others wrote this mark all the while: try again"))
}

/// Where a mark is.
struct Place {
    key: Bytes,
    /// The id that another layout gave what is marked.
    of: Option<RawId>,
}

/// Where the marks of an instance are: one for each registration that it is made of, since each may outlive the others.
/// Those of other layouts go by the ids that these gave them, which stay, and not by their labels. What is not known here
/// may be one of ours.
fn places(shared: &Shared, namespace: &Namespace, app: &AppName, id: Option<&Label>) -> Vec<Place> {
    let keys = &shared.api.keys;
    let own = |id: Option<&Label>| Place { key: keys.offline(namespace, app, id), of: None };
    let of = |raw: &RawId| {
        let key = keys.offline(namespace, app, Some(&mark_label(raw)));
        Place { key, of: Some(raw.clone()) }
    };
    let snapshot = shared.api.published.load();
    let view = snapshot.directory.app(namespace, app);
    let found = id.and_then(|id| Some((view?, view?.place(id)?)));
    let Some((view, place)) = found else { return vec![own(id)] };
    let mut places: Vec<Place> = Vec::new();
    for (origin, raw) in view.parts(place) {
        let place = match Label::new(raw) {
            Ok(id) if origin == Origin::NATIVE => own(Some(&id)),
            _ => of(raw),
        };
        if !places.iter().any(|other| other.key == place.key) {
            places.push(place);
        }
    }
    places
}

/// Whether something of that name is registered, or marked as far as this server shows.
async fn known(
    shared: &Shared,
    store: &Store<'_>,
    namespace: &Namespace,
    app: &AppName,
    id: Option<&Label>,
) -> Result<bool, Error> {
    Ok(listed(shared, namespace, app, id) || registered(shared, store, namespace, app, id).await?)
}

fn unknown(namespace: &Namespace, app: &AppName, id: Option<&Label>) -> Problem {
    let what = match id {
        None => format!("app {app}"),
        Some(id) => format!("instance {id} of app {app}"),
    };
    let message = format!("nothing is registered or marked as {what} in namespace {namespace}");
    Problem::new(StatusCode::NOT_FOUND, message)
}

fn operate(
    shared: &Shared,
    call: &Call,
    bytes: &[u8],
) -> Result<(Namespace, AppName, String), Problem> {
    call.query_only(&[])?;
    let (namespace, app) = (call.namespace()?, call.app()?);
    call.caller.may(Permission::Operate, &app)?;
    let reason = body::reason(bytes)?;
    shared.serves(&namespace, &app)?;
    Ok((namespace, app, reason))
}

fn listed(shared: &Shared, namespace: &Namespace, app: &AppName, id: Option<&Label>) -> bool {
    let snapshot = shared.api.published.load();
    let Some(view) = snapshot.directory.app(namespace, app) else { return false };
    let Some(id) = id else {
        let marked = view.offline.is_some() || !view.absent_marks.is_empty();
        return marked || view.instances.iter().any(|one| !is_pin(one));
    };
    snapshot.directory.instance(namespace, app, id).is_some_and(|one| !is_pin(one))
        || view.absent_marks.iter().any(|mark| mark.id.as_ref() == Some(id))
}

/// Whether answers show that very mark.
fn is_marked(shared: &Shared, namespace: &Namespace, app: &AppName, id: Option<&Label>) -> bool {
    let snapshot = shared.api.published.load();
    let Some(view) = snapshot.directory.app(namespace, app) else { return false };
    let Some(id) = id else { return view.offline.is_some() };
    let instance = view.place(id).and_then(|place| view.instances.get(place));
    let on_instance = instance.is_some_and(|one| match &one.state {
        // Not that of the app.
        zone::State::Offline(mark) => mark.id.is_some(),
        _ => false,
    });
    on_instance || view.absent_marks.iter().any(|mark| mark.id.as_ref() == Some(id))
}

async fn registered(
    shared: &Shared,
    store: &Store<'_>,
    namespace: &Namespace,
    app: &AppName,
    id: Option<&Label>,
) -> Result<bool, Error> {
    match id {
        None => store.any(&shared.api.keys.instances(namespace, app)).await,
        Some(id) => {
            let key: Bytes = shared.api.keys.instance(namespace, app, id);
            Ok(store.entry(&key).await?.is_some())
        }
    }
}

impl Shared {
    /// Who asks, now, and why.
    pub(super) fn note(&self, call: &Call, reason: String) -> Note {
        let at = humantime::format_rfc3339_seconds((self.api.wall_clock)()).to_string();
        Note { by: call.caller.name(call.peer), at, reason }
    }

    /// Refuses to write where nobody here would see it.
    pub(super) fn serves(&self, namespace: &Namespace, app: &AppName) -> Result<(), Problem> {
        match self.api.guard.check(namespace, app, None) {
            Err(refusal @ Refusal::Unserved(_)) => Err(refusal.into()),
            _ => Ok(()),
        }
    }
}
