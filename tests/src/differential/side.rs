//! One of the servers.

use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::Value;

/// A server, and who asks it.
#[derive(Debug)]
pub struct Side {
    name: &'static str,
    base: String,
    token: Option<String>,
    http: reqwest::Client,
}

/// What a request brings along.
#[derive(Debug)]
pub(super) enum Body {
    /// Nothing.
    None,
    /// JSON, said to be that.
    Json(Value),
    /// A text of which nothing is said.
    Text(String),
}

/// What it answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Who.
    pub side: &'static str,
    /// The status.
    pub status: u16,
    /// What kind of text the body is, where that is known: `application/json`.
    pub media_type: String,
    /// The body: JSON, or a string where it is no JSON.
    pub body: Value,
}

impl Side {
    /// `base`: what paths are below.
    pub fn new(name: &'static str, base: &str, token: Option<String>) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(*crate::PATIENCE * 4).build().unwrap();
        Self { name, base: base.to_owned(), token, http }
    }

    /// What paths are below.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Who asks.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The same asked by someone else.
    pub fn with_token(&self, token: &str) -> Self {
        Self::new(self.name, &self.base, Some(token.to_owned()))
    }

    /// Sends a request; panics when there is no answer.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.send(method, path, &[], body.map_or(Body::None, |body| Body::Json(body.clone()))).await
    }

    /// The same of a request in all its parts.
    pub(super) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Body) -> Reply {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = match body {
            Body::None => request,
            Body::Json(json) => request.json(&json),
            Body::Text(text) => request.body(text),
        };
        let response =
            request.send().await.unwrap_or_else(|error| panic!("{}: {path}: {error:?}", self.name));
        let status = response.status().as_u16();
        let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default().to_owned();
        let text = response.text().await.unwrap_or_else(|error| panic!("{}: {path}: {error:?}", self.name));
        Reply { media_type, ..Reply::new(self, status, text) }
    }
}

impl Reply {
    /// An answer as it came, whatever kind of text it is.
    pub(super) fn new(side: &Side, status: u16, text: String) -> Self {
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { side: side.name, status, media_type: String::new(), body }
    }

    /// The items of a list.
    #[track_caller]
    pub fn items(&self) -> &[Value] {
        self.body.as_array().unwrap_or_else(|| panic!("not a list: {} {}", self.status, self.body))
    }
}
