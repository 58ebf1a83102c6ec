//! The rules that a driver's manifest must keep: the router and the rest of the host build on them.

use super::{caching::LONGEST_CACHE, error::PluginError};
use http::{HeaderName, HeaderValue, header};
use std::collections::HashSet;
use studio_plugin_api::{
    API_VERSION, Alias,
    alias::Envelope,
    manifest::{AccessManifest, Manifest, OperationManifest},
    operations::Method,
};

/// Segments below `/api/platform/` that are the host's own.
pub const RESERVED_TYPES: [&str; 3] = ["plugins", "organizations", "projects"];
/// The most characters of a name or a version.
const LONGEST_NAME: usize = 100;
/// The most operations: more than any database needs. A manifest beyond it is a mistake or a prank.
const MOST_OPERATIONS: usize = 1000;
/// The most aliases: more than any driver has reason to claim.
const MOST_ALIASES: usize = 8;
/// The most request headers: more than any alias has reason to ask for.
const MOST_HEADERS: usize = 8;
/// Headers that say who calls. A driver never sees them.
const PRIVATE_HEADERS: [HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];

/// Holds a manifest to the rules.
pub(super) fn check_manifest(manifest: &Manifest) -> Result<(), PluginError> {
    let refuse = |reason: String| Err(PluginError::Manifest(reason));
    let database_type = &manifest.database_type;
    if !is_prefix(database_type) {
        return refuse(format!("`{}` can't be a database type", shorten(database_type)));
    }
    for (field, text) in [("name", &manifest.name), ("version", &manifest.version)] {
        if text.chars().count() > LONGEST_NAME || text.contains(char::is_control) {
            return refuse(format!("`{field}` must be one line of at most {LONGEST_NAME} characters"));
        }
    }
    if manifest.operations.len() > MOST_OPERATIONS {
        return refuse(format!("{} operations are more than {MOST_OPERATIONS}", manifest.operations.len()));
    }
    check_aliases(manifest).or_else(refuse)?;
    let mut seen = HashSet::new();
    for operation in &manifest.operations {
        let (method, path) = (operation.method.as_str(), operation.path.as_str());
        if !is_path_template(path) {
            return refuse(format!("`{}` is not a path template like `/keys/{{key}}`", shorten(path)));
        }
        if path == "/connections" || path.starts_with("/connections/") {
            return refuse(format!("`{path}` is the host's own"));
        }
        if !seen.insert((operation.alias.as_deref(), method, path)) {
            return refuse(format!("`{method} {path}` is declared twice"));
        }
        check_operation_alias(manifest, operation).or_else(refuse)?;
        if let Some(seconds) = operation.cache_seconds {
            // The effect of a call must not depend on whether its reply was kept.
            if (operation.method, operation.access) != (Method::Get, AccessManifest::Read) {
                return refuse(format!(
                    "`{method} {path}` has cached replies, which is for `GET` operations with access `read`"
                ));
            }
            if !(1..=LONGEST_CACHE).contains(&seconds) {
                return refuse(format!("`{path}` is cached for {seconds} seconds, not 1 to {LONGEST_CACHE}"));
            }
        }
        if let Some(unknown) = operation
            .invalidates
            .iter()
            .find(|target| !manifest.operations.iter().any(|known| known.path == **target))
        {
            return refuse(format!(
                "`{method} {path}` invalidates `{}`, which is no operation's path",
                shorten(unknown)
            ));
        }
    }
    Ok(())
}

/// Tells whether a name may be the segment below `/api/platform/` that leads to a driver.
fn is_prefix(text: &str) -> bool {
    text.len() <= 32
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-')
        && !RESERVED_TYPES.contains(&text)
}

/// Checks that the other prefixes could be served. Those of other drivers are not looked at.
fn check_aliases(manifest: &Manifest) -> Result<(), String> {
    if manifest.aliases.len() > MOST_ALIASES {
        return Err(format!("{} aliases are more than {MOST_ALIASES}", manifest.aliases.len()));
    }
    let mut prefixes = HashSet::from([manifest.database_type.as_str()]);
    for alias in &manifest.aliases {
        let prefix = shorten(&alias.prefix);
        if !is_prefix(&alias.prefix) {
            return Err(format!("`{prefix}` can't be the prefix of an alias"));
        }
        if !prefixes.insert(&alias.prefix) {
            return Err(format!("the prefix `{prefix}` is declared twice"));
        }
        if let Some((code, status)) = alias.statuses.iter().find(|(_, status)| !(400..600).contains(*status))
        {
            return Err(format!("`{prefix}` gives {} the status {status}, not 400 to 599", code.as_str()));
        }
        check_headers(alias).map_err(|reason| format!("`{prefix}` {reason}"))?;
    }
    Ok(())
}

/// Checks that an alias may have the request headers that it asks for.
fn check_headers(alias: &Alias) -> Result<(), String> {
    let all = || alias.headers.iter().chain(&alias.connection_headers);
    if all().count() > MOST_HEADERS {
        return Err(format!("asks for more than {MOST_HEADERS} request headers"));
    }
    for name in all() {
        // Only small letters pass, because names are compared in small letters.
        match HeaderName::from_lowercase(name.as_bytes()) {
            Ok(header) if PRIVATE_HEADERS.contains(&header) => {
                return Err(format!("asks for the request header `{name}`, which is not a driver's to see"));
            }
            Ok(_) => {}
            Err(_) => return Err(format!("asks for the request header `{}`, which is none", shorten(name))),
        }
    }
    match alias.connection_headers.iter().find(|name| alias.headers.contains(name)) {
        Some(name) => Err(format!("asks for the request header `{name}` for two things")),
        None => Ok(()),
    }
}

/// Checks that an operation fits the prefix that it is under.
fn check_operation_alias(manifest: &Manifest, operation: &OperationManifest) -> Result<(), String> {
    let name = format!("`{} {}`", operation.method.as_str(), operation.path);
    let alias = match &operation.alias {
        None => None,
        Some(prefix) => match manifest.aliases.iter().find(|alias| alias.prefix == *prefix) {
            Some(alias) => Some(alias),
            None => {
                return Err(format!(
                    "{name} is under the alias `{}`, which is not declared",
                    shorten(prefix)
                ));
            }
        },
    };
    let Some(media_type) = &operation.media_type else { return Ok(()) };
    if !alias.is_some_and(|alias| alias.envelope == Envelope::Bare) {
        return Err(format!("{name} answers with {}, which only a bare alias can", shorten(media_type)));
    }
    if media_type.len() > LONGEST_NAME
        || !media_type.contains('/')
        || HeaderValue::from_str(media_type).is_err()
    {
        return Err(format!("{name} has the media type `{}`, which is none", shorten(media_type)));
    }
    Ok(())
}

/// Checks that a driver's version of the contract agrees with the host's: their `MAJOR.MINOR` must be the same.
pub(super) fn check_version(driver: &str) -> Result<(), PluginError> {
    let minor = |version: &str| version.rsplit_once('.').map(|(minor, _)| minor.to_owned());
    if minor(driver) == minor(API_VERSION) {
        Ok(())
    } else {
        Err(PluginError::WrongVersion { driver: shorten(driver), host: API_VERSION.to_owned() })
    }
}

/// Makes a driver's text fit for one line of the log.
fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(LONGEST_NAME).flat_map(char::escape_debug).collect();
    if text.chars().count() > LONGEST_NAME {
        short.push('…');
    }
    short
}

fn is_path_template(path: &str) -> bool {
    let plain = |text: &str| {
        !text.is_empty()
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter))
    };
    path == "/"
        || path.len() <= 256
            && path.strip_prefix('/').is_some_and(|rest| {
                rest.split('/').all(|segment| {
                    plain(
                        segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(segment),
                    )
                })
            })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifest(operations: serde_json::Value) -> Manifest {
        serde_json::from_value(json!({
            "api_version": "0.1.0", "type": "thing", "name": "Thing", "version": "1", "options": {},
            "operations": operations,
        }))
        .unwrap()
    }

    #[test]
    fn manifests_that_lie_are_refused_by_name() {
        let operation = |path: &str| json!({"method": "GET", "path": path, "access": "read"});
        let refused = |operations| check_manifest(&manifest(operations)).unwrap_err().to_string();
        assert!(refused(json!([operation("/a"), operation("/a")])).contains("declared twice"));
        assert!(refused(json!([operation("a")])).contains("not a path template"));
        check_manifest(&manifest(json!([operation("/")]))).unwrap();
        assert!(refused(json!([operation("/a//b")])).contains("not a path template"));
        assert!(refused(json!([operation("/{}")])).contains("not a path template"));
        assert!(refused(json!([operation("/connections/{id}")])).contains("the host's own"));
        assert!(refused(json!(vec![operation("/a"); 2000])).contains("more than"));
        let mut stale = operation("/a");
        stale["invalidates"] = json!(["/b"]);
        assert!(refused(json!([stale])).contains("no operation's path"));
        let cached = |change: serde_json::Value| {
            let mut cached = operation("/a");
            cached["cache_seconds"] = json!(30);
            cached.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            json!([cached])
        };
        for change in [json!({"method": "POST"}), json!({"access": "admin"}), json!({"access": "per_call"})] {
            assert!(refused(cached(change)).contains("has cached replies"));
        }
        for seconds in [0, LONGEST_CACHE + 1] {
            assert!(refused(cached(json!({"cache_seconds": seconds}))).contains("not 1 to"));
        }
        check_manifest(&manifest(cached(json!({})))).unwrap();
        let mut reserved = manifest(json!([]));
        reserved.database_type = "projects".into();
        assert!(check_manifest(&reserved).is_err());
        check_manifest(&manifest(json!([operation("/a"), operation("/a/{b}")]))).unwrap();
    }

    fn with_aliases(aliases: serde_json::Value, operations: serde_json::Value) -> Result<(), PluginError> {
        let aliases = serde_json::from_value(aliases).unwrap();
        check_manifest(&Manifest { aliases, ..manifest(operations) })
    }

    #[test]
    fn aliases_are_prefixes_of_their_own() {
        let bare = json!({"prefix": "old-thing", "envelope": "bare", "statuses": {"TIMEOUT": 408}});
        let operation = json!({"method": "GET", "path": "/a", "access": "read"});
        let under = |alias: &str, media_type: Option<&str>| {
            let mut operation = operation.clone();
            operation["alias"] = json!(alias);
            operation["media_type"] = json!(media_type);
            json!([operation])
        };
        with_aliases(json!([bare]), under("old-thing", Some("text/plain; charset=utf-8"))).unwrap();
        // One path may stand under two prefixes.
        let [mut both, other] = [under("old-thing", None), json!(operation)];
        both.as_array_mut().unwrap().push(other);
        with_aliases(json!([bare]), both.clone()).unwrap();
        both[1]["alias"] = json!("old-thing");

        let refused = |aliases, operations| with_aliases(aliases, operations).unwrap_err().to_string();
        assert!(refused(json!([bare]), both).contains("`GET /a` is declared twice"));
        for prefix in ["projects", "Old", "-", "a/b", ""] {
            assert!(refused(json!([{"prefix": prefix}]), json!([])).contains("can't be the prefix"));
        }
        for prefixes in [["thing", "x"], ["x", "x"]] {
            let aliases = prefixes.map(|prefix| json!({"prefix": prefix}));
            assert!(refused(json!(aliases), json!([])).contains("is declared twice"));
        }
        for status in [200, 302, 399, 600] {
            let aliases = json!([{"prefix": "x", "statuses": {"TIMEOUT": status}}]);
            assert!(refused(aliases, json!([])).contains("gives TIMEOUT the status"));
        }
        for (headers, reason) in [
            (json!(["Upper-Case"]), "which is none"),
            (json!(["a b"]), "which is none"),
            (json!(["authorization"]), "not a driver's to see"),
            (json!(["cookie"]), "not a driver's to see"),
            (json!(["x-named"]), "for two things"),
            (json!(["a", "b", "c", "d", "e", "f", "g", "h"]), "more than 8 request headers"),
        ] {
            let aliases = json!([{"prefix": "x", "headers": headers, "connection_headers": ["x-named"]}]);
            assert!(refused(aliases, json!([])).contains(reason), "{headers}");
        }
        let aliases = json!([{"prefix": "x", "headers": ["x-a"], "connection_headers": ["x-named"]}]);
        with_aliases(aliases, json!([])).unwrap();
        let many: Vec<_> = (0..9).map(|number| json!({"prefix": format!("x{number}")})).collect();
        assert!(refused(json!(many), json!([])).contains("more than 8"));
        assert!(refused(json!([bare]), under("other", None)).contains("`other`, which is not declared"));
        assert!(refused(json!([bare]), under("old-thing", Some("text"))).contains("which is none"));
        assert!(refused(json!([bare]), under("old-thing", Some("a/b\n"))).contains("which is none"));
        let enveloped = json!([{"prefix": "old-thing"}]);
        assert!(refused(enveloped, under("old-thing", Some("text/plain"))).contains("only a bare alias"));
        let mut own = json!([operation]);
        own[0]["media_type"] = json!("text/plain");
        assert!(refused(json!([bare]), own).contains("only a bare alias"));
    }
}
