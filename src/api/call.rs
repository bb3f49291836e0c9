//! What a handler is asked for: the names in the path, the query, the body, who asks.
//!
//! Knows nothing of single routes, save the names of path segments.

use std::net::SocketAddr;

use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::problem::Problem;
use super::token::Caller;
use crate::http::Peer;
use crate::model::{AppName, Label, NameError, Namespace};
use crate::registry::LeaseId;

/// One request, the body apart.
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) peer: SocketAddr,
    /// The names in the path, by what the route calls them.
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
}

/// Which instance a request is about.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) namespace: Namespace,
    pub(super) app: AppName,
    pub(super) id: Label,
}

impl<S: Send + Sync> FromRequestParts<S> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let bug = |what: &str| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, what);
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| bug("the request did not pass the gate"))?;
        let Peer(peer) = *parts.extensions.get().ok_or_else(|| bug("the peer is not known"))?;
        let path = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::malformed("path", "is not UTF-8"))?;
        let path = path.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        let Query(query) = Query::try_from_uri(&parts.uri)
            .map_err(|_| Problem::malformed("query", "is not name=value joined by &, in UTF-8"))?;
        Ok(Self { caller, peer, path, query })
    }
}

impl Call {
    /// Refuses queries that hold another name than these and `namespace`, or one twice.
    pub(super) fn query_only(&self, known: &[&str]) -> Result<(), Problem> {
        for (i, (name, _)) in self.query.iter().enumerate() {
            if name != "namespace" && !known.contains(&name.as_str()) {
                return Err(Problem::malformed(name, "is not a query parameter of this call"));
            }
            if self.query[..i].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::malformed(name, "is in the query twice"));
            }
        }
        Ok(())
    }

    /// A query parameter.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(given, _)| given == name).map(|(_, text)| text.as_str())
    }

    pub(super) fn namespace(&self) -> Result<Namespace, Problem> {
        match self.query("namespace") {
            None => Ok(Namespace::default()),
            Some(text) => named("namespace", text, Namespace::new),
        }
    }

    /// The app in the path.
    pub(super) fn app(&self) -> Result<AppName, Problem> {
        named("app", self.segment("app"), AppName::new)
    }

    /// The app and the instance in the path.
    pub(super) fn target(&self) -> Result<Target, Problem> {
        let (namespace, app) = (self.namespace()?, self.app()?);
        let id = named("id", self.segment("id"), Label::new)?;
        Ok(Target { namespace, app, id })
    }

    /// The app in the query, where one is asked for.
    pub(super) fn app_asked(&self) -> Result<Option<AppName>, Problem> {
        self.query("app").map(|text| named("app", text, AppName::new)).transpose()
    }

    /// The incarnation in the query.
    pub(super) fn incarnation(&self) -> Result<Option<LeaseId>, Problem> {
        let Some(text) = self.query("incarnation") else { return Ok(None) };
        LeaseId::from_hex(text).map(Some).ok_or_else(|| {
            Problem::malformed("incarnation", format_args!("{text:?} is not one in hex digits"))
        })
    }

    fn segment(&self, name: &str) -> &str {
        let found = self.path.iter().find(|(given, _)| given == name);
        found.map_or("", |(_, text)| text.as_str())
    }
}

fn named<N>(
    field: &str,
    text: &str,
    read: impl Fn(&str) -> Result<N, NameError>,
) -> Result<N, Problem> {
    read(text).map_err(|rule| Problem::malformed(field, rule))
}
