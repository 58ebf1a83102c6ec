//! One of the servers.

use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::Value;

/// A server, and the token that it is asked with.
#[derive(Debug)]
pub struct Side {
    name: &'static str,
    base: String,
    token: Option<String>,
    http: reqwest::Client,
}

/// The body of a request.
#[derive(Debug)]
pub(super) enum Body {
    /// Nothing.
    None,
    /// JSON, said to be that.
    Json(Value),
    /// A text, sent without a content type.
    Text(String),
}

/// The answer of one server.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The server's name.
    pub side: &'static str,
    /// The status.
    pub status: u16,
    /// The media type of the body, where that is known: `application/json`.
    pub media_type: String,
    /// The body: JSON, or a string where it is no JSON.
    pub body: Value,
}

impl Side {
    /// Makes a side. `base`: the URL that paths are below.
    pub fn new(name: &'static str, base: &str, token: Option<String>) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(*crate::PATIENCE * 4).build().unwrap();
        Self { name, base: base.to_owned(), token, http }
    }

    /// Returns the URL that paths are below.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Returns the token that the server is asked with.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Makes a side of the same server with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self::new(self.name, &self.base, Some(token.to_owned()))
    }

    /// Sends a request; panics when there is no answer.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.send(method, path, &[], body.map_or(Body::None, |body| Body::Json(body.clone()))).await
    }

    /// Sends a request with all its parts.
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
    /// Makes a reply of an answer as it came, of any media type.
    pub(super) fn new(side: &Side, status: u16, text: String) -> Self {
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { side: side.name, status, media_type: String::new(), body }
    }

    /// Returns the items of a list.
    #[track_caller]
    pub fn items(&self) -> &[Value] {
        self.body.as_array().unwrap_or_else(|| panic!("not a list: {} {}", self.status, self.body))
    }
}
