//! Heartbeats and departures: what a running instance says until it stops.
//!
//! With `?incarnation=` both are for one registration only: 409, and nothing done, once another one holds the
//! id, so that an old process's goodbye can't take its successor down.
//!
//! Knows nothing of how a lease is renewed and a write is tried again.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;

use super::call::{Call, Target};
use super::problem::Problem;
use super::settings::Permission;
use super::store::{Current, Store, TRIES_MAX, unmoved};
use super::view::Written;
use super::{Shared, body};
use crate::layout::native::{DEPARTED_TTL_SECS, note_value};
use crate::registry::{LeaseId, Origin, Write};

/// `PUT /v1/apps/{app}/instances/{id}/heartbeat`
pub(super) async fn heartbeat(
    State(shared): State<Arc<Shared>>,
    call: Call,
    bytes: Bytes,
) -> Result<Json<Written>, Problem> {
    let (target, wanted) = target(&shared, &call, &bytes)?;
    let store = Store::new(&shared);
    let gone = || {
        let message = format!("{} is not registered: register again", title(&target));
        Problem::new(StatusCode::NOT_FOUND, message)
    };
    let mut seen = store.listed(&target).filter(|seen| is_wanted(seen, wanted));
    let mut listed = seen.is_some();
    for _ in 0..TRIES_MAX {
        if !listed {
            seen = store.current(&target).await?;
        }
        let current = seen.as_ref().ok_or_else(gone)?;
        held_by(current, wanted, &target)?;
        let ttl = match current.lease {
            None => None,
            Some(lease) => match store.renew(lease).await? {
                // Where the directory was behind, another lease may hold the id by now.
                None if listed => {
                    listed = false;
                    continue;
                }
                // The key ends with its lease.
                None => return Err(gone()),
                renewed => renewed,
            },
        };
        let incarnation = current.lease.map(|lease| lease.to_string());
        return Ok(Json(Written { incarnation, ttl, ..Written::at(current.revision, None) }));
    }
    Err(gone())
}

/// `DELETE /v1/apps/{app}/instances/{id}`
pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    call: Call,
    bytes: Bytes,
) -> Result<Json<Written>, Problem> {
    let (target, wanted) = target(&shared, &call, &bytes)?;
    let Target { namespace, app, id } = &target;
    let store = Store::new(&shared);
    let key = shared.api.keys.instance(namespace, app, id);
    let departed = shared.api.keys.departed(namespace, app, id);
    let value = note_value(&shared.note(&call, String::new()));
    let mut seen = store.listed(&target).filter(|seen| is_wanted(seen, wanted));
    let mut fresh = None;
    for attempt in 0..TRIES_MAX {
        if attempt > 0 || seen.is_none() {
            seen = store.current(&target).await?;
        }
        let current = seen.as_ref().ok_or_else(|| absent(&shared, &target))?;
        held_by(current, wanted, &target)?;
        let mut lease = match fresh.take() {
            Some(lease) => lease,
            None => store.grant(DEPARTED_TTL_SECS).await?,
        };
        let note =
            Write::Put { key: departed.clone(), value: value.clone(), lease: Some(lease.lease) };
        let writes = vec![Write::Delete(key.clone()), note];
        let precondition = unmoved(&key, Some(current));
        let Some(stamp) = store.commit(Some(precondition), writes, Some(&mut lease)).await? else {
            fresh = Some(lease);
            continue;
        };
        let visible = store.visible(namespace, stamp.revision).await;
        return Ok(Json(Written::at(stamp.revision, Some(visible))));
    }
    Err(Problem::unavailable("others wrote this id all the while: try again"))
}

/// Why there is nothing to take away.
fn absent(shared: &Shared, target: &Target) -> Problem {
    let Target { namespace, app, id } = target;
    let snapshot = shared.api.published.load();
    match snapshot.directory.instance(namespace, app, id) {
        Some(view) if view.registration.origin != Origin::NATIVE => {
            let message = format!(
                "{} was registered by another system, which alone can take it away: take it out of answers with \
                 'rollcall offline {app} {id}'",
                title(target)
            );
            Problem::new(StatusCode::CONFLICT, message)
        }
        _ => Problem::new(StatusCode::NOT_FOUND, format!("{} is not registered", title(target))),
    }
}

fn target(
    shared: &Shared,
    call: &Call,
    bytes: &[u8],
) -> Result<(Target, Option<LeaseId>), Problem> {
    call.query_only(&["incarnation"])?;
    let target = call.target()?;
    call.caller.may(Permission::Register, &target.app)?;
    let wanted = call.incarnation()?;
    body::nothing(bytes)?;
    shared.serves(&target.namespace, &target.app)?;
    Ok((target, wanted))
}

fn is_wanted(seen: &Current, wanted: Option<LeaseId>) -> bool {
    wanted.is_none() || seen.lease == wanted
}

fn held_by(seen: &Current, wanted: Option<LeaseId>, target: &Target) -> Result<(), Problem> {
    if is_wanted(seen, wanted) {
        return Ok(());
    }
    let message = format!("{} is held by another registration by now", title(target));
    Err(Problem::new(StatusCode::CONFLICT, message))
}

fn title(target: &Target) -> String {
    format!("instance {} of app {} in namespace {}", target.id, target.app, target.namespace)
}
