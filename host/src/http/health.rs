//! Routes for liveness, readiness and metrics.

use super::error::{ApiError, REGISTRY_UNREACHABLE};
use crate::{gateway::Gateway, telemetry::Audience};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde_json::json;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// How long the registry may take to answer the readiness check.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// Handles `GET /healthz`: answers as long as the process works.
pub(super) async fn healthz() -> Response {
    super::body::data(StatusCode::OK, json!({"status": "alive"}))
}

/// Handles `GET /readyz`: tells whether the gateway can serve requests.
pub(super) async fn readyz(State(gateway): State<Arc<Gateway>>) -> Response {
    let registry = tokio::time::timeout(SIGN_OF_LIFE, gateway.directory.registry().ping()).await;
    let reason = if gateway.draining.load(Ordering::Relaxed) {
        Some("draining")
    } else if !matches!(registry, Ok(Ok(()))) {
        Some(REGISTRY_UNREACHABLE)
    } else {
        None
    };
    match reason {
        None => super::body::data(StatusCode::OK, json!({"status": "ready"})),
        Some(reason) => ApiError::unavailable("the gateway does not take requests now")
            .with("reason", reason)
            .into_response(),
    }
}

/// Handles `GET /metrics` beside the API.
pub(super) async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    render(&gateway, Audience::Everyone)
}

/// Handles `GET /metrics` on the separate listener for operators.
pub(super) async fn metrics_for_operators(State(gateway): State<Arc<Gateway>>) -> Response {
    render(&gateway, Audience::Operator)
}

fn render(gateway: &Gateway, audience: Audience) -> Response {
    gateway.metrics.held(&gateway.flow.budgets, &gateway.flow.clients);
    let text = gateway.metrics.render(&gateway.catalog, &gateway.sessions, &gateway.cache, audience);
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}
