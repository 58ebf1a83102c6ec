//! The host's own request bodies, lists and answers.

use super::error::ApiError;
use crate::{
    flow::{read_body, read_query},
    gateway::Gateway,
};
use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Request},
    response::{IntoResponse, Response},
};
use http::{HeaderName, StatusCode, request::Parts};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{sync::Arc, time::Instant};
use studio_plugin_api::{ErrorCode, parameters};

/// The most bytes that a body of the host's own routes may have. They hold names and settings, never data.
const LARGEST_BODY: usize = 256 * 1024;
/// The most items on a page.
const LARGEST_PAGE: u32 = 1000;
/// Items on a page when the client does not say.
const USUAL_PAGE: u32 = 100;
/// Says how many items all pages of a list have together.
const TOTAL: HeaderName = HeaderName::from_static("x-total-count");

/// A JSON body, read with errors that name the field.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Gateway>> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, gateway: &Arc<Gateway>) -> Result<Self, ApiError> {
        let budgets = &gateway.flow.budgets;
        let by = Instant::now() + *budgets.settings().body;
        let (bytes, _room) = read_body(request.into_body(), LARGEST_BODY, &budgets.process(), by).await?;
        Ok(Self(parameters::from_body(&bytes)?))
    }
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    #[serde(default = "usual_page")]
    pub(super) limit: u32,
    #[serde(default)]
    pub(super) offset: u32,
}

fn usual_page() -> u32 {
    USUAL_PAGE
}

impl<S: Send + Sync> FromRequestParts<S> for PageQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = read_query(parts.uri.query().unwrap_or_default())?;
        let page: Self = parameters::from_query(&query)?;
        if page.limit == 0 || page.limit > LARGEST_PAGE {
            let message = format!("`limit` must be from 1 to {LARGEST_PAGE}");
            return Err(ApiError::new(ErrorCode::ValidationError, message).with("field", "limit"));
        }
        Ok(page)
    }
}

#[derive(Serialize)]
struct DataEnvelope<T> {
    data: T,
}

/// Puts a successful result into the envelope.
pub(super) fn data<T: Serialize>(status: StatusCode, payload: T) -> Response {
    (status, axum::Json(DataEnvelope { data: payload })).into_response()
}

/// Puts one page of a list into the envelope; the header `x-total-count` says how many items all pages have.
pub(super) fn page<T: Serialize>(items: &[T], total: u64) -> Response {
    let mut response = data(StatusCode::OK, items);
    response.headers_mut().insert(TOTAL, total.into());
    response
}

/// Cuts the wanted page out of a list that is in memory as a whole.
pub(super) fn page_of<T: Serialize>(items: &[T], wanted: PageQuery) -> Response {
    let part: Vec<&T> = items.iter().skip(wanted.offset as usize).take(wanted.limit as usize).collect();
    page(&part, items.len() as u64)
}
