//! A client that checks every answer for the properties that all answers must have.

use reqwest::{
    Method, RequestBuilder,
    header::{HeaderMap, HeaderName},
};
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// Prefixes, of test drivers and others, whose answers have no envelope.
const BARE_PREFIXES: [&str; 2] = ["old-probe", "pg-meta"];

/// All that a gateway answered in a test, headers and bodies. Tests search it for text that must not be in it.
#[derive(Debug, Clone, Default)]
pub struct Transcript(Arc<Mutex<Vec<u8>>>);

impl Transcript {
    /// Returns all of it.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    /// Adds bytes to it.
    pub fn add(&self, bytes: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(bytes);
    }
}

/// A caller of the gateway, with one token or none.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    transcript: Transcript,
}

impl Client {
    /// Makes a client of the gateway at `base`: `http://127.0.0.1:8787`.
    pub fn new(base: &str, token: Option<String>, transcript: Transcript) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(*crate::PATIENCE * 4)
            .build()
            .unwrap();
        Self { http, base: base.to_owned(), token, transcript }
    }

    /// Makes a client with another token, on the same connection pool.
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    /// Makes a client without a token, on the same connection pool.
    pub fn anonymous(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// Returns the token.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// Begins a request, for cases that the short forms don't cover. End it with [`send`](Self::send).
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request; panics when there is no answer.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    /// Sends a request that may get no answer, as when the gateway is killed.
    ///
    /// # Errors
    /// The connection's.
    pub async fn try_send(&self, request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        let (http, request) = request.build_split();
        let request = request?;
        let question = format!("{} {}", request.method(), request.url().path());
        let response = http.execute(request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?.to_vec();
        self.transcript.add(format!("{headers:?}").as_bytes());
        self.transcript.add(&bytes);
        let answer = Answer { question, status, headers, bytes };
        answer.check();
        Ok(answer)
    }

    /// Sends a `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    /// Sends a `POST` with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request("POST", path).json(&body)).await
    }

    /// Sends a `PUT` with a JSON body.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(self.request("PUT", path).json(&body)).await
    }

    /// Sends a `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request("DELETE", path)).await
    }

    /// Sends a request of any method with a body or none, for tables of routes.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method, path);
        self.send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }
}

/// An answer of the gateway.
#[derive(Debug, Clone)]
pub struct Answer {
    question: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// Asserts all that every answer must have (http-api.md §1).
    fn check(&self) {
        let id = self.header("x-request-id");
        assert!(id.is_some_and(|id| !id.is_empty()), "no x-request-id: {self}");
        if self.status == 401 {
            assert_eq!(self.header("www-authenticate"), Some("Bearer"), "{self}");
        }
        if self.status == 204 {
            assert!(self.bytes.is_empty(), "a body with 204: {self}");
        }
        if self.is_bare() {
            assert!(self.status < 400 || self.bytes.is_empty() || self.json()["error"].is_string(), "{self}");
        } else if self.status >= 400 && !self.bytes.is_empty() {
            let error = &self.json()["error"];
            assert!(
                error["code"].is_string() && error["message"].is_string(),
                "not an error's shape: {self}"
            );
            assert_eq!(error["request_id"].as_str(), id, "{self}");
        }
    }

    /// Tells whether the answer is of an alias without envelope.
    fn is_bare(&self) -> bool {
        let prefix = self.question.split_once("/api/platform/").map(|(_, rest)| rest.split('/').next());
        prefix.flatten().is_some_and(|prefix| BARE_PREFIXES.contains(&prefix))
    }

    /// Finds a header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(HeaderName::from_bytes(name.as_bytes()).unwrap())?.to_str().ok()
    }

    /// Parses the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("not JSON: {self}"))
    }

    /// Asserts the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Asserts a failure's status and code, and gives back its details.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.error_code().as_str()), (status, code), "{self}");
        self.json()["error"]["details"].clone()
    }

    /// Asserts a `VALIDATION_ERROR` that names this field.
    #[track_caller]
    pub fn refused_field(&self, field: &str) {
        assert_eq!(self.refused(400, "VALIDATION_ERROR")["field"], field, "{self}");
    }

    /// Asserts a success and gives back the payload.
    #[track_caller]
    pub fn data(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self}");
        let json = self.json();
        let envelope = json.as_object().unwrap_or_else(|| panic!("not in the envelope: {self}"));
        assert!(envelope.len() == 1 && envelope.contains_key("data"), "not in the envelope: {self}");
        envelope["data"].clone()
    }

    /// Returns a success's payload as it is written: a `serde_json::Value` may order and write it in another way.
    #[track_caller]
    pub fn payload(&self) -> &str {
        assert!((200..300).contains(&self.status), "{self}");
        let text = std::str::from_utf8(&self.bytes).unwrap_or_else(|_| panic!("not text: {self}"));
        let payload = text.strip_prefix("{\"data\":").and_then(|rest| rest.strip_suffix('}'));
        payload.unwrap_or_else(|| panic!("not in the envelope: {self}"))
    }

    /// Returns the payload, which must be a list.
    #[track_caller]
    pub fn items(&self) -> Vec<Value> {
        self.data().as_array().unwrap_or_else(|| panic!("not a list: {self}")).clone()
    }

    /// Returns a failure's code; empty when it has none.
    pub fn error_code(&self) -> String {
        let json: Value = serde_json::from_slice(&self.bytes).unwrap_or_default();
        json["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns a failure's message; empty when it has none.
    pub fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.bytes);
        let start: String = text.chars().take(500).collect();
        write!(formatter, "{} answered {} {:?} {start}", self.question, self.status, self.headers)
    }
}
