//! The routes of the host itself.

use super::{
    connections,
    driver::to_driver,
    error::ApiError,
    health,
    limit::{by_address, by_deadline, by_user},
    members, organizations, plugins, projects,
};
use crate::{
    config::HttpSettings,
    flow::{FlowError, RequestFacts},
    gateway::Gateway,
};
use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State},
    middleware,
    response::Response,
    routing::{any, delete, get, post, put},
};
use std::sync::Arc;

/// The router of the host's own routes. Paths of drivers are in it too, for those that the front does not know by their
/// form.
pub(super) struct Routes {
    router: Router,
    /// The patterns of all paths.
    patterns: matchit::Router<&'static str>,
}

impl Routes {
    /// Makes it; it has `/metrics` unless a separate listener serves that.
    pub(super) fn new(gateway: &Arc<Gateway>, settings: &HttpSettings) -> Self {
        let (by_deadline, by_user, by_address) = (
            middleware::from_fn_with_state(gateway.clone(), by_deadline),
            middleware::from_fn_with_state(gateway.clone(), by_user),
            middleware::from_fn_with_state(gateway.clone(), by_address),
        );
        let mut patterns = matchit::Router::new();
        let mut route = |router: Router<Arc<Gateway>>, pattern, methods| {
            // Axum panics where two patterns exclude each other.
            let _ = patterns.insert(pattern, pattern);
            router.route(pattern, methods)
        };
        let mut router = Router::new();
        for (pattern, methods) in [
            ("/api/platform/plugins", get(plugins::list)),
            ("/api/platform/organizations", get(organizations::list).post(organizations::create)),
            ("/api/platform/projects", get(projects::list).post(projects::create)),
            ("/api/platform/projects/{ref}", get(projects::get).delete(projects::delete)),
            ("/api/platform/projects/{ref}/databases", get(projects::databases)),
            ("/api/platform/projects/{ref}/members", get(members::list)),
            (
                "/api/platform/projects/{ref}/members/{user_id}",
                put(members::put).merge(delete(members::delete)),
            ),
            ("/api/platform/{type}/{ref}/connections", get(connections::list).post(connections::create)),
            (
                "/api/platform/{type}/{ref}/connections/{id}",
                get(connections::get).put(connections::change).merge(delete(connections::delete)),
            ),
            ("/api/platform/{type}/{ref}/connections/{id}/test", post(connections::test)),
        ] {
            router = route(router, pattern, methods);
        }
        router = router.route_layer(by_deadline);
        router = route(router, "/api/platform/plugins/reload", post(plugins::reload)).route_layer(by_user);
        for pattern in [
            "/api/platform/{type}",
            "/api/platform/{type}/{ref}",
            "/api/platform/{type}/{ref}/",
            "/api/platform/{type}/{ref}/{*rest}",
        ] {
            router = route(router, pattern, any(driver_request));
        }
        router = router.route_layer(by_address);
        router = route(router, "/healthz", get(health::healthz));
        router = route(router, "/readyz", get(health::readyz));
        if settings.metrics_listen.is_none() {
            router = route(router, "/metrics", get(health::metrics));
        }
        let router = router
            .fallback(async || ApiError::from(FlowError::UnknownPath))
            .method_not_allowed_fallback(async || ApiError::method_not_allowed(None))
            .with_state(gateway.clone());
        Self { router, patterns }
    }

    /// Finds the pattern of a path.
    pub(super) fn pattern(&self, path: &str) -> Option<&'static str> {
        Some(*self.patterns.at(path).ok()?.value)
    }

    /// Gives the router, for one request.
    pub(super) fn router(&self) -> Router {
        self.router.clone()
    }
}

/// Makes the router that has `/metrics` alone, for its separate listener.
pub fn metrics_router(gateway: Arc<Gateway>) -> Router {
    Router::new().route("/metrics", get(health::metrics_for_operators)).with_state(gateway)
}

/// Passes a request to the flow.
async fn driver_request(
    State(gateway): State<Arc<Gateway>>,
    Extension(facts): Extension<RequestFacts>,
    request: Request<Body>,
) -> Response {
    let (mut response, operation) = to_driver(&gateway, facts, request).await;
    if let Some(operation) = operation {
        response.extensions_mut().insert(operation);
    }
    response
}
