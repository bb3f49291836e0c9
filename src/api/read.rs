//! Reads: from the published snapshot, hence what answers are made of, registry reachable or not.
//!
//! Knows nothing of how a view comes about.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use tokio::time::timeout;

use super::Shared;
use super::call::{Call, Target};
use super::problem::Problem;
use super::settings::Permission;
use super::store::Store;
use super::view::{AppJson, AppLine, InstanceJson};
use crate::model::{AppName, Namespace};
use crate::registry::{Error, Origin, Revision};
use crate::zone::{Rejected, Snapshot};

/// Lines of a page for those who ask for no number.
const PAGE_DEFAULT: usize = 100;
/// Most lines of a page.
const PAGE_MAX: usize = 1_000;
/// How long the one question to the registry that a read asks may take: the rest is worth having without it.
const LEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// `GET /v1/apps`
pub(super) async fn apps(
    State(shared): State<Arc<Shared>>,
    call: Call,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Page {
        revision: Revision,
        apps: Vec<AppLine>,
        #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    }

    call.query_only(&["limit", "continue"])?;
    call.caller.may_some(Permission::Read)?;
    let (limit, namespace) = (limit(&call)?, call.namespace()?);
    let after = after(&call)?
        .map(|text| AppName::new(&text).map_err(|_| not_ours("continue")))
        .transpose()?;
    let snapshot = shared.complete(Some(&namespace))?;
    let mut seen = snapshot
        .directory
        .apps(&namespace, after.as_ref())
        .filter(|view| call.caller.covers(&view.app));
    let page: Vec<_> = seen.by_ref().take(limit).collect();
    let last = page.last().filter(|_| seen.next().is_some());
    let next = last.map(|view| BASE64URL_NOPAD.encode(view.app.as_str().as_bytes()));
    let apps = page.iter().map(|view| AppLine::new(view)).collect();
    Ok(Json(Page { revision: snapshot.revision, apps, next }).into_response())
}

/// `GET /v1/apps/{app}`
pub(super) async fn app(
    State(shared): State<Arc<Shared>>,
    call: Call,
) -> Result<Response, Problem> {
    call.query_only(&[])?;
    let (namespace, app) = (call.namespace()?, call.app()?);
    call.caller.may(Permission::Read, &app)?;
    let snapshot = shared.complete(Some(&namespace))?;
    let view = snapshot.directory.app(&namespace, &app).ok_or_else(|| {
        let message = format!("app {app} is not known in namespace {namespace}");
        Problem::new(StatusCode::NOT_FOUND, message)
    })?;
    Ok(Json(AppJson::new(view, snapshot.revision, &shared.api.layouts)).into_response())
}

/// `GET /v1/apps/{app}/instances/{id}`
pub(super) async fn instance(
    State(shared): State<Arc<Shared>>,
    call: Call,
) -> Result<Response, Problem> {
    call.query_only(&[])?;
    let target = call.target()?;
    call.caller.may(Permission::Read, &target.app)?;
    let Target { namespace, app, id } = &target;
    let app_view = shared.complete(Some(namespace))?.directory.app(namespace, app).cloned();
    let found = app_view.as_ref().and_then(|view| Some((view, view.place(id)?)));
    let json = found.and_then(|(view, place)| InstanceJson::at(view, place, &shared.api.layouts));
    let mut json = json.ok_or_else(|| {
        let message = format!("instance {id} of app {app} is not known in namespace {namespace}");
        Problem::new(StatusCode::NOT_FOUND, message)
    })?;
    let view = found.and_then(|(view, place)| view.instances.get(place));
    let own = view.filter(|view| view.registration.origin == Origin::NATIVE);
    if let Some(lease) = own.and_then(|view| view.lease) {
        let store = Store::new(&shared);
        json.lease_left = match timeout(LEASE_TIMEOUT, store.time_left(lease)).await {
            Ok(Ok(left)) => Some(left),
            Ok(Err(Error::LeaseNotFound)) => Some(0),
            _ => None,
        };
    }
    Ok(Json(json).into_response())
}

/// `GET /v1/rejected`
pub(super) async fn rejected(
    State(shared): State<Arc<Shared>>,
    call: Call,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Line {
        key: Arc<str>,
        reason: Arc<str>,
    }

    #[derive(Serialize)]
    struct Page {
        revision: Revision,
        rejected: Vec<Line>,
        #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    }

    call.query_only(&["limit", "continue"])?;
    call.caller.may_some(Permission::Read)?;
    let (limit, after) = (limit(&call)?, after(&call)?);
    // Keys that name no namespace are shown to those who ask for none.
    let namespace = call.query("namespace").map(|_| call.namespace()).transpose()?;
    let snapshot = shared.complete(namespace.as_ref())?;
    let inside = |key: &str| namespace.is_none() || shared.api.keys.namespace_of(key) == namespace;
    let covered = |key: &str| {
        let app = || shared.api.keys.app_of(key);
        call.caller.covers_all() || app().is_some_and(|app| call.caller.covers(&app))
    };
    let mut seen = snapshot
        .directory
        .rejected(after.as_deref())
        .filter(|one| inside(&one.key) && covered(&one.key));
    let line = |Rejected { key, reason }| Line { key, reason };
    let rejected: Vec<Line> = seen.by_ref().take(limit).map(line).collect();
    let last = rejected.last().filter(|_| seen.next().is_some());
    let next = last.map(|line| BASE64URL_NOPAD.encode(line.key.as_bytes()));
    Ok(Json(Page { revision: snapshot.revision, rejected, next }).into_response())
}

fn limit(call: &Call) -> Result<usize, Problem> {
    let Some(text) = call.query("limit") else { return Ok(PAGE_DEFAULT) };
    text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit)).ok_or_else(|| {
        Problem::malformed("limit", format_args!("must be 1 to {PAGE_MAX}, got {text:?}"))
    })
}

/// The last name of the page before.
fn after(call: &Call) -> Result<Option<String>, Problem> {
    let Some(text) = call.query("continue") else { return Ok(None) };
    let name = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
    let name = name.and_then(|octets| String::from_utf8(octets).ok());
    name.map(Some).ok_or_else(|| not_ours("continue"))
}

fn not_ours(field: &str) -> Problem {
    Problem::malformed(field, "is not what an earlier page gave")
}

impl Shared {
    /// The snapshot, once it is complete in a namespace: "not there" must not be said out of ignorance. Without one, once
    /// our own layout has been read.
    fn complete(&self, namespace: Option<&Namespace>) -> Result<Guard<Arc<Snapshot>>, Problem> {
        let snapshot = self.api.published.load();
        if namespace.map_or(snapshot.ready, |namespace| snapshot.knows(namespace)) {
            return Ok(snapshot);
        }
        let part = namespace.filter(|_| snapshot.ready);
        let of = part.map(|namespace| format!(" of namespace {namespace}")).unwrap_or_default();
        Err(Problem::unavailable(format!(
            "this server has not read the whole registry{of} yet: /readyz has why"
        )))
    }
}
