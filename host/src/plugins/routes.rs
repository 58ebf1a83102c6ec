//! A driver's routers, one for each of its prefixes, built from its manifest.

use percent_encoding::percent_decode_str;
use studio_plugin_api::operations::Method;

/// The operation that a request goes to, or why it goes to none.
#[derive(Debug, PartialEq, Eq)]
pub enum Route<T> {
    /// An operation, with its path parameters percent-decoded to bytes.
    Operation {
        /// The operation as it was given to [`Routes::build`].
        operation: T,
        /// The parameters in the template's order.
        parameters: Vec<Vec<u8>>,
    },
    /// The path is known, the method is not.
    WrongMethod {
        /// The value for `Allow`.
        allow: String,
    },
    /// No operation has this path, and one would if there were something where this parameter belongs.
    EmptyName {
        /// The parameter's name in the template.
        name: String,
    },
    /// No operation has this path.
    Unknown,
}

/// All of a driver's paths under one prefix: a router for each method, so that a static segment hides a parameter only
/// where both have the same method (`POST /keys/batch` leaves `GET /keys/{key}` its key named `batch`).
pub struct Routes<T> {
    methods: Vec<(&'static str, matchit::Router<T>)>,
}

impl<T: Clone> Routes<T> {
    /// Builds the routers for methods and path templates that lead to operations.
    ///
    /// # Errors
    /// Two templates of one method that no path can tell apart, in words.
    pub fn build<'a>(operations: impl Iterator<Item = (Method, &'a str, T)>) -> Result<Self, String> {
        let mut methods: Vec<(&'static str, matchit::Router<T>)> = Vec::new();
        for (method, path, operation) in operations {
            let method = method.as_str();
            let place = methods.iter().position(|(known, _)| *known == method).unwrap_or_else(|| {
                methods.push((method, matchit::Router::new()));
                methods.len() - 1
            });
            if let Some((_, router)) = methods.get_mut(place) {
                router.insert(path, operation).map_err(|error| format!("`{path}`: {error}"))?;
            }
        }
        Ok(Self { methods })
    }

    /// Finds the operation for a path that is still percent-encoded, so that `%2F` stays inside its segment.
    pub fn find(&self, method: &str, path: &str) -> Route<T> {
        let wanted = if method == "HEAD" { "GET" } else { method };
        let of_method = self.methods.iter().find(|(known, _)| *known == wanted);
        if let Some((_, router)) = of_method
            && let Ok(found) = router.at(path)
        {
            let decode = |(_, value)| percent_decode_str(value).collect();
            let parameters = found.params.iter().map(decode).collect();
            return Route::Operation { operation: found.value.clone(), parameters };
        }
        let others = self.methods.iter().filter(|(_, router)| router.at(path).is_ok());
        let mut allow: Vec<_> = others.map(|(method, _)| *method).collect();
        if allow.is_empty() {
            return self.find_empty(wanted, path).map_or(Route::Unknown, |name| Route::EmptyName { name });
        }
        if allow.contains(&"GET") {
            allow.push("HEAD");
        }
        allow.push("OPTIONS");
        Route::WrongMethod { allow: allow.join(", ") }
    }

    /// Finds the parameter that is empty in a path which would be known otherwise.
    fn find_empty(&self, method: &str, path: &str) -> Option<String> {
        // No path has a segment like this by itself.
        const FILLED: &str = "\0";
        let segments: Vec<_> = path.strip_prefix('/')?.split('/').collect();
        let filled: String = segments
            .iter()
            .flat_map(|segment| ["/", if segment.is_empty() { FILLED } else { segment }])
            .collect();
        let (_, router) = self.methods.iter().find(|(known, _)| *known == method)?;
        let found = router.at(&filled).ok()?;
        found.params.iter().find(|(_, value)| *value == FILLED).map(|(name, _)| name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn routes(paths: &[(&str, &str)]) -> Routes<u32> {
        let method = |name| serde_json::from_value(json!(name)).unwrap();
        let rows = (0..).zip(paths).map(|(number, (name, path))| (method(name), *path, number));
        Routes::build(rows).unwrap()
    }

    #[test]
    fn encoded_slashes_and_bytes_stay_inside_their_segment() {
        let routes = routes(&[("GET", "/keys/{key}"), ("POST", "/keys/batch"), ("GET", "/keys")]);
        let key = |path| match routes.find("GET", path) {
            Route::Operation { operation: 0, parameters } => parameters[0].clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(key("/keys/a%2Fb"), b"a/b");
        assert_eq!(key("/keys/%FF%00"), [0xFF, 0]);
        assert_eq!(key("/keys/100%"), b"100%");
        assert_eq!(routes.find("GET", "/keys/a/b"), Route::Unknown);
        assert_eq!(routes.find("GET", "/keys/"), Route::EmptyName { name: "key".to_owned() });
        assert_eq!(routes.find("POST", "/keys/"), Route::Unknown);
        assert_eq!(routes.find("GET", "/keys/a/"), Route::Unknown);
        assert_eq!(routes.find("GET", "//"), Route::Unknown);
        assert!(matches!(routes.find("HEAD", "/keys"), Route::Operation { operation: 2, .. }));
    }

    #[test]
    fn a_static_segment_hides_a_parameter_only_of_its_own_method() {
        let routes = routes(&[("GET", "/keys/{key}"), ("POST", "/keys/{key}"), ("POST", "/keys/batch")]);
        assert!(matches!(routes.find("POST", "/keys/batch"), Route::Operation { operation: 2, .. }));
        assert!(matches!(routes.find("POST", "/keys/%62atch"), Route::Operation { operation: 1, .. }));
        assert!(matches!(routes.find("GET", "/keys/batch"), Route::Operation { operation: 0, .. }));
        let allow = "GET, POST, HEAD, OPTIONS".to_owned();
        assert_eq!(routes.find("DELETE", "/keys/x"), Route::WrongMethod { allow });
    }
}
