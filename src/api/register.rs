//! PUT and POST of instances: register, change, renew, take over.
//!
//! ```text
//! what the directory shows --same content--> renew its lease, check by reading that nobody came between
//!            |    |
//!            |    +--same ttl--> renew its lease, write under it ---+
//!            +--else, or to take over--> write under a new lease ---+--> only if the key is still as seen;
//!                                                                        else read it and begin again
//! ```
//!
//! The directory may be a moment behind, so nothing is answered from it alone: writes carry the revision that
//! was seen as a precondition, and "unchanged" is checked by a linearizable read.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::call::{Call, Target};
use super::problem::Problem;
use super::settings::Permission;
use super::store::{Current, Fresh, Store, TRIES_MAX, unmoved};
use super::view::Written;
use super::{Shared, body};
use crate::layout::native::instance_value;
use crate::model::{Instance, default_id, limits};
use crate::registry::{Error, LeaseId, Revision, Write};

/// `PUT /v1/apps/{app}/instances/{id}`
pub(super) async fn put(
    State(shared): State<Arc<Shared>>,
    call: Call,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let takeover = takeover(&call)?;
    let target = call.target()?;
    call.caller.may(Permission::Register, &target.app)?;
    let instance = read(&shared, &call, &bytes)?;
    admit(&shared, &target)?;
    register(&shared, target, instance, takeover).await
}

/// `POST /v1/apps/{app}/instances`
pub(super) async fn post(
    State(shared): State<Arc<Shared>>,
    call: Call,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let takeover = takeover(&call)?;
    let (namespace, app) = (call.namespace()?, call.app()?);
    call.caller.may(Permission::Register, &app)?;
    let instance = read(&shared, &call, &bytes)?;
    let (Some(address), Some(endpoint)) = (instance.addresses.first(), instance.endpoints.first())
    else {
        return Err(Problem::unacceptable("endpoints", "must hold one, and an address"));
    };
    let id = default_id(*address, endpoint.port);
    let target = Target { namespace, app, id };
    admit(&shared, &target)?;
    register(&shared, target, instance, takeover).await
}

fn takeover(call: &Call) -> Result<bool, Problem> {
    call.query_only(&["incarnation"])?;
    match call.query("incarnation") {
        None => Ok(false),
        Some("new") => Ok(true),
        Some(other) => {
            let rule = format!("is {other:?}, a registration takes only \"new\"");
            Err(Problem::malformed("incarnation", rule))
        }
    }
}

/// The instance that a body describes, with the rules on loopback that hold for this server's registry.
fn read(shared: &Shared, call: &Call, bytes: &[u8]) -> Result<Instance, Problem> {
    let spec = body::spec(bytes)?;
    let peer = call.peer.ip().to_canonical();
    let unsaid = spec.address.is_none() && spec.addresses.as_ref().is_none_or(Vec::is_empty);
    let shared_registry = shared.api.shared_registry;
    if unsaid && shared_registry && peer.is_loopback() {
        let rule = "is missing, and you come from loopback, which means nothing to others that share \
                    the registry: give one that clients can connect to";
        return Err(Problem::unacceptable("address", rule));
    }
    let field = if spec.address.is_some() { "address" } else { "addresses" };
    let mut instance = spec.resolve(Some(peer))?;
    instance.ttl.get_or_insert(limits::TTL_SECS_DEFAULT);
    if shared_registry && !shared.api.settings.allow_loopback {
        no_loopback(field, &instance)?;
    }
    Ok(instance)
}

fn no_loopback(field: &str, instance: &Instance) -> Result<(), Problem> {
    let own = instance.addresses.iter().map(|address| (field.to_owned(), address));
    let endpoints = instance.endpoints.iter().enumerate().flat_map(|(i, endpoint)| {
        endpoint.addresses.iter().map(move |one| (format!("endpoints[{i}].addresses"), one))
    });
    match own.chain(endpoints).find(|(_, address)| address.is_loopback()) {
        None => Ok(()),
        Some((field, address)) => {
            let rule = format!(
                "has {address}, which means nothing to others that share the registry: give one that \
                 clients can connect to, or set http.allow_loopback = true in the server's configuration"
            );
            Err(Problem::unacceptable(field, rule))
        }
    }
}

/// Refuses what no zone here could serve.
fn admit(shared: &Shared, target: &Target) -> Result<(), Problem> {
    let Target { namespace, app, id } = target;
    shared.api.guard.check(namespace, app, Some(id)).map_err(Problem::from)
}

/// What a registration came to.
struct Registered {
    created: bool,
    written: bool,
    revision: Revision,
    lease: LeaseId,
    ttl_secs: u32,
}

async fn register(
    shared: &Shared,
    target: Target,
    instance: Instance,
    takeover: bool,
) -> Result<Response, Problem> {
    let mut attempt = Attempt { store: Store::new(shared), shared, target, instance, fresh: None };
    let mut seen = attempt.store.listed(&attempt.target);
    for _ in 0..TRIES_MAX {
        let Some(done) = attempt.run(seen.as_ref(), takeover).await? else {
            seen = attempt.store.current(&attempt.target).await?;
            continue;
        };
        let namespace = &attempt.target.namespace;
        let visible = match done.written {
            true => attempt.store.visible(namespace, done.revision).await,
            false => {
                let snapshot = shared.api.published.load();
                snapshot.revision >= done.revision && snapshot.knows(namespace)
            }
        };
        let status = if done.created { StatusCode::CREATED } else { StatusCode::OK };
        let id = attempt.target.id.to_string();
        let written = Written {
            id: Some(id),
            incarnation: Some(done.lease.to_string()),
            ttl: Some(done.ttl_secs),
            ..Written::at(done.revision, Some(visible))
        };
        return Ok((status, Json(written)).into_response());
    }
    Err(Problem::unavailable("others wrote this id all the while: try again"))
}

/// A registration on its way.
struct Attempt<'a> {
    store: Store<'a>,
    shared: &'a Shared,
    target: Target,
    instance: Instance,
    /// A lease granted by an earlier try that was refused.
    fresh: Option<Fresh>,
}

impl Attempt<'_> {
    /// One try from what was seen; none if that was not, or is no longer, so.
    async fn run(
        &mut self,
        seen: Option<&Current>,
        takeover: bool,
    ) -> Result<Option<Registered>, Problem> {
        if seen.is_none() {
            self.check_room()?;
        }
        let kept = if takeover { None } else { self.kept(seen).await? };
        let Some((lease, ttl_secs)) = kept else { return self.write_anew(seen).await };
        let Some(seen) = seen else { return Ok(None) };
        if seen.instance() != Some(&self.instance) {
            return self.write_keeping(seen, lease, ttl_secs).await;
        }
        // A write that was acknowledged elsewhere and is not shown here yet must not be taken for this one.
        let now = self.store.current(&self.target).await?;
        Ok(now.filter(|now| now == seen).map(|now| Registered {
            created: false,
            written: false,
            revision: now.revision,
            lease,
            ttl_secs,
        }))
    }

    /// The lease that the registration goes on with, renewed: the one it has, if that lives and the owner
    /// asks for the same length.
    async fn kept(&self, seen: Option<&Current>) -> Result<Option<(LeaseId, u32)>, Problem> {
        let Some(seen) = seen else { return Ok(None) };
        let (Some(lease), Some(old)) = (seen.lease, seen.instance()) else { return Ok(None) };
        if old.ttl != self.instance.ttl {
            return Ok(None);
        }
        Ok(self.store.renew(lease).await?.map(|ttl_secs| (lease, ttl_secs)))
    }

    async fn write_keeping(
        &self,
        seen: &Current,
        lease: LeaseId,
        ttl_secs: u32,
    ) -> Result<Option<Registered>, Problem> {
        let (precondition, write) = self.write(Some(seen), lease);
        let stamp = match self.store.commit(Some(precondition), vec![write], None).await {
            Err(Error::LeaseNotFound) => {
                self.shared.renewals.forget(lease);
                None
            }
            stamp => stamp?,
        };
        Ok(stamp.map(|stamp| Registered {
            created: false,
            written: true,
            revision: stamp.revision,
            lease,
            ttl_secs,
        }))
    }

    async fn write_anew(&mut self, seen: Option<&Current>) -> Result<Option<Registered>, Problem> {
        let mut fresh = match self.fresh.take() {
            Some(fresh) => fresh,
            None => {
                let asked = self.instance.ttl.unwrap_or(limits::TTL_SECS_DEFAULT);
                self.store.grant(asked).await?
            }
        };
        let (lease, ttl_secs) = (fresh.lease, fresh.ttl_secs);
        let (precondition, write) = self.write(seen, lease);
        let done = self.store.commit(Some(precondition), vec![write], Some(&mut fresh)).await?;
        let Some(stamp) = done else {
            self.fresh = Some(fresh);
            return Ok(None);
        };
        Ok(Some(Registered {
            created: seen.is_none(),
            written: true,
            revision: stamp.revision,
            lease,
            ttl_secs,
        }))
    }

    fn write(
        &self,
        seen: Option<&Current>,
        lease: LeaseId,
    ) -> (crate::registry::Precondition, Write) {
        let Target { namespace, app, id } = &self.target;
        let key = self.shared.api.keys.instance(namespace, app, id);
        let precondition = unmoved(&key, seen);
        let value = instance_value(&self.instance);
        (precondition, Write::Put { key, value, lease: Some(lease) })
    }

    fn check_room(&self) -> Result<(), Problem> {
        let snapshot = self.shared.api.published.load();
        let app = snapshot.directory.app(&self.target.namespace, &self.target.app);
        if app.is_some_and(|app| app.instances.len() >= limits::INSTANCES_MAX) {
            let rule =
                format!("has {} instances already, the most there may be", limits::INSTANCES_MAX);
            return Err(Problem::unacceptable("app", rule));
        }
        Ok(())
    }
}
