//! The front of the API: all that is done around every request, whoever answers it. Requests for drivers' operations go to
//! the flow from here, the others to the router.

use super::{
    client_address::TrustedProxies,
    compression::{Accepted, Compression},
    cors::PageRules,
    driver::{is_of_operation, to_driver},
    error::{ApiError, internal},
    limit::{admit_address, refused},
    observe::{Observed, is_of_one_host},
    router::Routes,
};
use crate::{
    config::HttpSettings, flow::RequestFacts, gateway::Gateway, logging::for_request, plugins::Operation,
};
use axum::{
    Router,
    body::{Body, HttpBody},
    extract::Request,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{HeaderValue, Method, header};
use std::{net::IpAddr, panic::AssertUnwindSafe, pin::pin, sync::Arc};
use tower::ServiceExt;

/// Answers requests.
pub trait Answer: Clone + Send + Sync + 'static {
    /// Answers a request that came from this peer.
    fn answer(self, request: Request<Body>, peer: IpAddr) -> impl Future<Output = Response> + Send;
}

impl Answer for Router {
    async fn answer(self, request: Request<Body>, _: IpAddr) -> Response {
        by_router(self, request).await
    }
}

/// The whole API.
#[derive(Clone)]
pub struct Front(Arc<Parts>);

struct Parts {
    gateway: Arc<Gateway>,
    proxies: TrustedProxies,
    pages: PageRules,
    compression: Compression,
    routes: Routes,
}

impl Front {
    /// Makes it; `/metrics` is in it unless a separate listener serves that.
    pub fn new(gateway: Arc<Gateway>, settings: &HttpSettings) -> Self {
        Self(Arc::new(Parts {
            proxies: TrustedProxies::new(settings),
            pages: PageRules::new(settings),
            compression: Compression::new(gateway.flow.budgets.settings().compressions.get()),
            routes: Routes::new(&gateway, settings),
            gateway,
        }))
    }
}

impl Answer for Front {
    async fn answer(self, request: Request<Body>, peer: IpAddr) -> Response {
        self.0.answer(request, peer).await
    }
}

impl Parts {
    async fn answer(&self, request: Request<Body>, peer: IpAddr) -> Response {
        let observed = Observed::begin(&self.gateway.catalog, &self.proxies, &request, peer);
        let accepted = Accepted::by(request.headers());
        let is_head = request.method() == Method::HEAD;
        let mut operation = None;
        let found = &mut operation;
        let response = match is_of_one_host(request.headers()) {
            true => {
                let facts = observed.facts();
                let answer = move |request| self.pass_on(request, facts, found);
                let answering = pin!(self.pages.around(request, answer));
                for_request(observed.request_id(), answering).await
            }
            false => ApiError::two_hosts().into_response(),
        };
        let pattern = |path: &str| self.routes.pattern(path);
        let response = observed.end(&self.gateway.metrics, operation.as_deref(), pattern, response);
        complete(self.compression.compress(accepted, response).await, is_head)
    }

    /// Passes a request to the part that answers it, and finds its operation if that is a driver.
    async fn pass_on(
        &self,
        mut request: Request<Body>,
        facts: RequestFacts,
        operation: &mut Option<Arc<Operation>>,
    ) -> Response {
        if facts.prefix.is_some() && is_of_operation(request.uri().path()) {
            if let Err(refusal) = admit_address(&self.gateway, facts.remote) {
                return refused(*refusal);
            }
            return match caught(pin!(to_driver(&self.gateway, facts, request))).await {
                Ok((response, found)) => {
                    *operation = found;
                    response
                }
                Err(response) => response,
            };
        }
        // The body is left out at the end; until then its size counts.
        if request.method() == Method::HEAD {
            *request.method_mut() = Method::GET;
        }
        request.extensions_mut().insert(facts);
        let mut response = by_router(self.routes.router(), request).await;
        *operation = response.extensions_mut().remove();
        response
    }
}

async fn by_router(router: Router, request: Request<Body>) -> Response {
    match caught(router.oneshot(request)).await {
        Ok(Ok(response)) | Err(response) => response,
        Ok(Err(never)) => match never {},
    }
}

/// Gives the answer for a handler that panicked; the panic's text is in the log.
async fn caught<T>(answer: impl Future<Output = T>) -> Result<T, Response> {
    let answered = AssertUnwindSafe(answer).catch_unwind().await;
    answered.map_err(|_| internal(&"a request handler panicked").into_response())
}

/// Tells the size of the body if that is known, and leaves the body out of the answer to `HEAD`.
fn complete(mut response: Response, is_head: bool) -> Response {
    if let Some(bytes) = response.body().size_hint().exact() {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(bytes));
    }
    if is_head {
        *response.body_mut() = Body::empty();
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CorsHeader, Origin};
    use axum::routing::get;
    use http::HeaderMap;

    const STUDIO: &str = "https://studio.example.com";
    const OTHER: &str = "https://other.example.com";

    async fn broken() {
        panic!("as a test of panics");
    }

    /// Gives the answer of a router with these settings to this method at `/broken`, `/well` or any other path.
    async fn answer(settings: &HttpSettings, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let router = Router::new().route("/broken", get(broken)).route("/well", get(async || "well"));
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        PageRules::new(settings).around(request, |request| by_router(router, request)).await
    }

    fn settings(origins: &[&str]) -> HttpSettings {
        let cors_origins = origins.iter().map(|origin| Origin::try_from(origin.to_string()).unwrap());
        HttpSettings { cors_origins: cors_origins.collect(), ..HttpSettings::default() }
    }

    fn allowed(headers: &HeaderMap) -> [Option<&str>; 2] {
        ["access-control-allow-origin", "access-control-allow-credentials"]
            .map(|name| headers.get(name).map(|value| value.to_str().unwrap()))
    }

    #[tokio::test]
    async fn page_reads_what_went_wrong_whoever_says_it() {
        for (path, status) in [("/broken", 500), ("/well", 200), ("/nowhere", 404)] {
            let answer = answer(&settings(&[STUDIO]), "GET", path, &[("origin", STUDIO)]).await;
            assert_eq!(answer.status(), status);
            assert_eq!(allowed(answer.headers()), [Some(STUDIO), Some("true")], "{path}");
            let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap();
            assert!(exposed.contains("retry-after") && exposed.contains("x-request-id"), "{exposed}");
            assert!(answer.headers()["vary"].to_str().unwrap().contains("origin"));
        }
    }

    #[tokio::test]
    async fn only_origins_with_a_name_have_credentials() {
        for (origins, origin, expected) in [
            (&[STUDIO][..], STUDIO, [Some(STUDIO), Some("true")]),
            (&[STUDIO], OTHER, [None, None]),
            (&["*"], STUDIO, [Some("*"), None]),
            (&["*", STUDIO], STUDIO, [Some(STUDIO), Some("true")]),
            (&["*", STUDIO], OTHER, [Some(OTHER), None]),
            (&[], STUDIO, [None, None]),
        ] {
            for (method, headers) in [
                ("GET", &[("origin", origin)][..]),
                ("OPTIONS", &[("origin", origin), ("access-control-request-method", "POST")]),
            ] {
                let answer = answer(&settings(origins), method, "/well", headers).await;
                assert_eq!(allowed(answer.headers()), expected, "{method} {origins:?} {origin}");
            }
        }
    }

    #[tokio::test]
    async fn pages_may_send_any_header_or_those_that_are_named() {
        let question = [
            ("origin", STUDIO),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "apikey,x-of-tomorrow"),
        ];
        let mut settings = settings(&[STUDIO]);
        for (headers, expected) in [(None, "apikey,x-of-tomorrow"), (Some("apikey"), "apikey")] {
            if let Some(header) = headers {
                settings.cors_headers = vec![CorsHeader::try_from(header.to_owned()).unwrap()];
            }
            let answer = answer(&settings, "OPTIONS", "/nowhere", &question).await;
            assert_eq!(answer.headers()["access-control-allow-headers"], expected);
            assert!(answer.status().is_success());
        }
    }

    #[tokio::test]
    async fn options_that_is_no_question_in_advance_is_told_the_methods() {
        for settings in [settings(&[]), settings(&[STUDIO])] {
            let answer = answer(&settings, "OPTIONS", "/well", &[]).await;
            assert_eq!(answer.headers()["allow"], "GET,HEAD");
        }
    }
}
