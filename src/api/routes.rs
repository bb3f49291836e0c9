//! Which path leads where.
//!
//! Knows nothing of what the handlers do.

use std::sync::Arc;

use axum::Router;
use axum::extract::MatchedPath;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};

use super::problem::Problem;
use super::{Shared, depart, gate, health, marks, read, register, watch};

/// The paths there are, also as a label of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Route {
    Apps,
    App,
    AppOffline,
    AppOnline,
    Instances,
    Instance,
    Heartbeat,
    InstanceOffline,
    InstanceOnline,
    Rejected,
    Watch,
    Livez,
    Readyz,
    Metrics,
    /// Whatever was asked for, it is not here.
    Other,
}

impl Route {
    const ALL: [Self; 14] = [
        Self::Apps,
        Self::App,
        Self::AppOffline,
        Self::AppOnline,
        Self::Instances,
        Self::Instance,
        Self::Heartbeat,
        Self::InstanceOffline,
        Self::InstanceOnline,
        Self::Rejected,
        Self::Watch,
        Self::Livez,
        Self::Readyz,
        Self::Metrics,
    ];

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Apps => "/v1/apps",
            Self::App => "/v1/apps/{app}",
            Self::AppOffline => "/v1/apps/{app}/offline",
            Self::AppOnline => "/v1/apps/{app}/online",
            Self::Instances => "/v1/apps/{app}/instances",
            Self::Instance => "/v1/apps/{app}/instances/{id}",
            Self::Heartbeat => "/v1/apps/{app}/instances/{id}/heartbeat",
            Self::InstanceOffline => "/v1/apps/{app}/instances/{id}/offline",
            Self::InstanceOnline => "/v1/apps/{app}/instances/{id}/online",
            Self::Rejected => "/v1/rejected",
            Self::Watch => "/v1/watch",
            Self::Livez => "/livez",
            Self::Readyz => "/readyz",
            Self::Metrics => "/metrics",
            Self::Other => "other",
        }
    }

    pub(super) fn of(matched: Option<&MatchedPath>) -> Self {
        let Some(matched) = matched else { return Self::Other };
        let found = Self::ALL.into_iter().find(|route| route.path() == matched.as_str());
        found.unwrap_or(Self::Other)
    }
}

/// The whole API.
pub(super) fn api(shared: &Arc<Shared>) -> Router {
    let router = health_routes()
        .route(Route::Apps.path(), get(read::apps))
        .route(Route::App.path(), get(read::app))
        .route(Route::AppOffline.path(), put(marks::app_offline))
        .route(Route::AppOnline.path(), put(marks::app_online))
        .route(Route::Instances.path(), post(register::post))
        .route(
            Route::Instance.path(),
            get(read::instance).put(register::put).delete(depart::delete),
        )
        .route(Route::Heartbeat.path(), put(depart::heartbeat))
        .route(Route::InstanceOffline.path(), put(marks::instance_offline))
        .route(Route::InstanceOnline.path(), put(marks::instance_online))
        .route(Route::Rejected.path(), get(read::rejected))
        .route(Route::Watch.path(), get(watch::watch));
    finish(router, shared)
}

/// Only what load balancers and monitors ask.
pub(super) fn health(shared: &Arc<Shared>) -> Router {
    finish(health_routes(), shared)
}

fn health_routes() -> Router<Arc<Shared>> {
    Router::new()
        .route(Route::Livez.path(), get(health::livez))
        .route(Route::Readyz.path(), get(health::readyz))
        .route(Route::Metrics.path(), get(health::metrics))
}

fn finish(router: Router<Arc<Shared>>, shared: &Arc<Shared>) -> Router {
    router
        .fallback(|| async {
            Problem::new(StatusCode::NOT_FOUND, "there is no such path here: see /v1/apps")
        })
        .method_not_allowed_fallback(|| async {
            let message =
                "this path does not take that method: the allow header lists those it takes";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, message)
        })
        .layer(from_fn_with_state(shared.clone(), gate::gate))
        .with_state(shared.clone())
}
