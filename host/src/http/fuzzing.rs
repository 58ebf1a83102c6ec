//! The code that reads a request's head, for fuzz targets.

use super::{client_address::TrustedProxies, cors};
use crate::config::{CorsHeader, ForwardedHeader, HttpSettings, Origin};
use axum::{Router, body::Body, extract::Request, response::Response};
use http::{HeaderMap, HeaderValue, header::FORWARDED};
use ipnet::IpNet;
use std::net::IpAddr;
use tower::ServiceExt;

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

/// A router without routes, for pages of other origins.
pub struct Pages(Router);

impl Pages {
    /// Makes the router; pages of these origins may send these headers.
    pub fn new(origins: Vec<Origin>, headers: Vec<CorsHeader>) -> Self {
        let settings =
            HttpSettings { cors_origins: origins, cors_headers: headers, ..HttpSettings::default() };
        Self(cors::around(Router::new(), &settings))
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request<Body>) -> Response {
        match self.0.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
