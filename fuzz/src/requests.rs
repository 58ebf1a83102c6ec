//! Heads and bodies of requests.

use crate::{feedback, runtime::wait};
use axum::body::Body;
use http::{HeaderValue, Request, header};
use serde_json::Value;
use std::sync::OnceLock;
use studio_gateway::{
    config::{CorsHeader, ForwardedHeader, Origin},
    fuzzing::{self, Pages, Paths},
    plugins::Route,
};
use studio_plugin_api::manifest::{self, Manifest};

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// Any path, to each driver: what is found is found again by its parameters.
pub(crate) fn paths(input: &[u8]) {
    static PREFIXES: OnceLock<Vec<(Manifest, Paths)>> = OnceLock::new();
    let prefixes = PREFIXES.get_or_init(|| {
        let manifests = [
            (manifest::derive::<studio_driver_postgres::Postgres>(), Some("pg-meta")),
            (manifest::derive::<studio_driver_postgres::Postgres>(), None),
            (manifest::derive::<studio_driver_mongodb::MongoDb>(), None),
            (manifest::derive::<studio_driver_redis::Redis>(), None),
        ];
        let built = manifests.into_iter().map(|(manifest, alias)| {
            let paths = Paths::new(&manifest, alias).unwrap();
            (manifest, paths)
        });
        built.collect()
    });
    let Some((choice, path)) = input.split_first() else { return };
    let Ok(path) = std::str::from_utf8(path) else { return };
    let choice = usize::from(*choice);
    let (manifest, paths) = &prefixes[choice % prefixes.len()];
    let method = METHODS[choice / prefixes.len() % METHODS.len()];
    match paths.find(method, path) {
        Route::Operation { operation, parameters } => {
            feedback::note(("found", choice % prefixes.len(), operation));
            let mut left = parameters.iter();
            let template = manifest.operations[operation as usize].path.as_str();
            let segments = template.split('/').map(|segment| match segment.starts_with('{') {
                true => left.next().unwrap().iter().map(|byte| format!("%{byte:02X}")).collect(),
                false => segment.to_owned(),
            });
            let again = segments.collect::<Vec<_>>().join("/");
            assert!(left.next().is_none(), "more parameters than `{template}` has");
            let found = paths.find(method, &again);
            assert_eq!(found, Route::Operation { operation, parameters: parameters.clone() }, "{again}");
        }
        Route::WrongMethod { allow } => {
            feedback::note(("wrong method", choice % prefixes.len(), &allow));
            assert!(!allow.split(", ").any(|allowed| allowed == method), "{allow}");
        }
        Route::EmptyName { .. } | Route::Unknown => feedback::note("unknown"),
    }
}

/// Any query string: where the strict reading takes it, the lenient one reads the same.
pub(crate) fn query(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let lenient = fuzzing::read_query(text, true).expect("nothing is refused");
    let strict = fuzzing::read_query(text, false);
    feedback::note((strict.is_some(), lenient.len()));
    if let Some(strict) = strict {
        assert_eq!(strict, lenient);
        let left = fuzzing::take_selector(strict, false);
        feedback::note(left.as_ref().map(Vec::len));
        for (name, _) in left.unwrap_or_default() {
            assert!(
                !["connection", "connection_id"].contains(&name.as_str()) && !name.starts_with("header:")
            );
        }
    }
    feedback::note(fuzzing::take_selector(lenient, true).map(|left| left.len()));
}

/// Any body: if it is JSON, it is as deep as it is told to be.
pub(crate) fn nesting(input: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(input) else {
        fuzzing::is_deeper_than(100, input);
        return;
    };
    let depth = depth(&value);
    feedback::note(depth);
    // A name that stands twice has its last value: the input itself may be deeper.
    let written = serde_json::to_vec(&value).unwrap();
    assert!(!fuzzing::is_deeper_than(depth, &written));
    assert!(depth == 0 || fuzzing::is_deeper_than(depth - 1, input));
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// Any lines that a client writes before a proxy adds its own: the client is whom the proxy names.
pub(crate) fn forwarded(input: &[u8]) {
    let networks = ["10.0.0.0/8".parse().unwrap(), "2001:db8:ffff::/48".parse().unwrap()];
    let proxy = "10.0.0.1".parse().unwrap();
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    for (header, own) in
        [(ForwardedHeader::Forwarded, "for=192.0.2.60"), (ForwardedHeader::XForwardedFor, "192.0.2.60")]
    {
        let alone = fuzzing::client_address(&networks, proxy, header, lines.iter().copied());
        feedback::note(alone == proxy);
        let stranger = "198.51.100.7".parse().unwrap();
        let direct = fuzzing::client_address(&networks, stranger, header, lines.iter().copied());
        assert_eq!(direct, stranger);
        let all = lines.iter().copied().chain([own.as_bytes()]);
        let client = fuzzing::client_address(&networks, proxy, header, all);
        assert_eq!(client.to_string(), "192.0.2.60");
    }
}

/// Any page that asks: only those of the settings' origins are let in by name.
pub(crate) fn cors(input: &[u8]) {
    static PAGES: OnceLock<Pages> = OnceLock::new();
    const ORIGIN: &str = "https://studio.example";
    let pages = PAGES.get_or_init(|| {
        let origin = Origin::try_from(ORIGIN.to_owned()).unwrap();
        Pages::new(vec![origin], vec![CorsHeader::any()])
    });
    let mut parts = input.split(|byte| *byte == b'\n');
    let mut next = || HeaderValue::from_bytes(parts.next().unwrap_or_default()).ok();
    let (Some(method), Some(origin), Some(asked), Some(headers)) = (next(), next(), next(), next()) else {
        return;
    };
    let Ok(method) = http::Method::from_bytes(method.as_bytes()) else { return };
    let request = Request::builder()
        .method(method)
        .uri("/api/platform/plugins")
        .header(header::ORIGIN, origin.clone())
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, asked)
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, headers);
    let response = wait(pages.answer(request.body(Body::empty()).unwrap()));
    feedback::note(response.status().as_u16());
    let allowed = response.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    if let Some(allowed) = allowed {
        assert_eq!((allowed.as_bytes(), origin.as_bytes()), (ORIGIN.as_bytes(), ORIGIN.as_bytes()));
    }
    if response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS) {
        assert_eq!(origin.as_bytes(), ORIGIN.as_bytes());
    }
}
