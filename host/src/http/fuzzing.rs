//! The code that reads a request's head, for fuzz targets.

use super::{client_address::TrustedProxies, cors::PageRules};
use crate::config::{CorsHeader, ForwardedHeader, HttpSettings, Origin};
use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header::FORWARDED};
use ipnet::IpNet;
use std::net::IpAddr;

/// Finds the client of a request that a proxy in one of these networks forwarded, from these lines of the header.
pub fn client_address<'a>(
    networks: &[IpNet],
    peer: IpAddr,
    header: ForwardedHeader,
    lines: impl Iterator<Item = &'a [u8]>,
) -> IpAddr {
    let settings = HttpSettings {
        trusted_proxies: networks.to_vec(),
        forwarded_header: header,
        ..HttpSettings::default()
    };
    let mut headers = HeaderMap::new();
    for line in lines.filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        match header {
            ForwardedHeader::Forwarded => headers.append(FORWARDED, line),
            ForwardedHeader::XForwardedFor => headers.append("x-forwarded-for", line),
        };
    }
    TrustedProxies::new(&settings).client_address(peer, &headers)
}

/// A gateway without routes, for pages of other origins.
pub struct Pages(PageRules);

impl Pages {
    /// Makes it; pages of these origins may send these headers.
    pub fn new(origins: Vec<Origin>, headers: Vec<CorsHeader>) -> Self {
        let settings =
            HttpSettings { cors_origins: origins, cors_headers: headers, ..HttpSettings::default() };
        Self(PageRules::new(&settings))
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request<Body>) -> Response {
        self.0.around(request, async |_| StatusCode::NOT_FOUND.into_response()).await
    }
}
