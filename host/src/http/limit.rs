//! Limits on how often clients may ask: by address before their token is read, then by user.

use super::error::ApiError;
use crate::{
    flow::{FlowError, RequestFacts, time_for},
    gateway::Gateway,
    identity::{Access, GateError},
    limits::{Class, RateLimitRequest, Refusal},
};
use axum::{
    body::Body,
    extract::{RawPathParams, Request, State, rejection::RawPathParamsRejection},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{net::IpAddr, sync::Arc};

/// Counts a request against its address, around every route of the API.
pub(super) async fn by_address(
    State(gateway): State<Arc<Gateway>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let address = request.extensions().get::<RequestFacts>().and_then(|facts| facts.remote);
    match admit_address(&gateway, address) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refused(*refusal),
    }
}

/// Counts a request against its address, if that is known.
pub(super) fn admit_address(gateway: &Gateway, address: Option<IpAddr>) -> Result<(), Box<Refusal>> {
    address.map_or(Ok(()), |address| gateway.rate_limits.admit_address(address))
}

/// Counts a request against its user, around the host's own routes; a driver's request is counted in `flow`.
pub(super) async fn by_user(
    State(gateway): State<Arc<Gateway>>,
    parameters: Result<RawPathParams, RawPathParamsRejection>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let parameters = match parameters {
        // PostgreSQL's text has no zero bytes, so nothing has such a name.
        Ok(parameters) if !parameters.iter().any(|(_, value)| value.contains('\0')) => parameters,
        _ => return ApiError::path_is_no_text().into_response(),
    };
    let (mut database_type, mut project) = (None, None);
    for (name, value) in &parameters {
        match name {
            "type" => database_type = Some(value),
            "ref" => project = Some(value),
            _ => {}
        }
    }
    let (gate, headers) = (&gateway.gate, request.headers());
    let known = match project {
        Some(project) => gate
            .authorize(headers, project, Access::Read)
            .await
            .map(|authorization| (authorization.principal().clone(), Some(authorization.role()))),
        None => gate.authenticate(headers, None).await.map(|principal| (principal, None)),
    };
    let (principal, role) = match known {
        Ok(known) => known,
        // Refused before any of the body is read, since the sender is unknown; and if the registry is out of reach,
        // before the route waits for it again.
        Err(error @ (GateError::Token(_) | GateError::Registry(_))) => {
            return ApiError::from(error).into_response();
        }
        // The route itself refuses a caller without access, in its own words.
        Err(_) => return next.run(request).await,
    };
    let class = Class::of_method(request.method());
    match gateway.rate_limits.admit(&RateLimitRequest {
        principal: &principal,
        role,
        database_type,
        project,
        class,
    }) {
        Ok(rate_limit_headers) => {
            let mut response = next.run(request).await;
            if let Some(rate_limit_headers) = rate_limit_headers {
                rate_limit_headers.write(response.headers_mut());
            }
            response
        }
        Err(refusal) => refused(*refusal),
    }
}

/// Ends a request when its time is up, around the host's own routes except the one that reloads drivers.
pub(super) async fn by_deadline(
    State(gateway): State<Arc<Gateway>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let time = match time_for(request.headers(), *gateway.flow.limits.request_timeout) {
        Ok(time) => time,
        Err(error) => return ApiError::from(error).into_response(),
    };
    let only_reads = request.method().is_safe();
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(response) => response,
        Err(_) if only_reads => ApiError::from(FlowError::Deadline).into_response(),
        // A change that has begun goes on.
        Err(_) => ApiError::from(FlowError::Deadline).with("outcome", "unknown").into_response(),
    }
}

/// Answers a request that exceeds a limit.
pub(super) fn refused(mut refusal: Refusal) -> Response {
    let rate_limit_headers = refusal.headers.take();
    let mut response = ApiError::from(refusal).into_response();
    if let Some(rate_limit_headers) = rate_limit_headers {
        rate_limit_headers.write(response.headers_mut());
    }
    response
}
