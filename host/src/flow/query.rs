//! The query string of a request, and the headers that count as parameters.

use super::FlowError;
use crate::{connections::sealed_string::is_sealed, registry::ConnectionSelector};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use studio_plugin_api::parameters::{BYTES_PREFIX, HEADER_PREFIX};

/// A connection that a header names by its encrypted connection string.
pub(super) struct NamedConnection {
    /// The header's name.
    pub(super) header: String,
    /// Its value.
    pub(super) sealed: String,
}

/// Splits and decodes a query string (WHATWG URL, `application/x-www-form-urlencoded`), but refuses bytes that are not
/// UTF-8, which that standard would replace: nothing is lost silently.
pub(crate) fn read_query(query: &str) -> Result<Vec<(String, String)>, FlowError> {
    read_pairs(query, |name, _| Err(parameter(&name, "must be UTF-8 text")))
}

/// Does as [`read_query`], for drivers: values that are not UTF-8 go to them as bytes.
pub(super) fn read_query_with_bytes(query: &str) -> Result<Vec<(String, String)>, FlowError> {
    read_pairs(query, |name, bytes| {
        // These name the connection, which the driver does not see.
        if matches!(name.as_str(), "connection" | "connection_id") {
            return Err(parameter(&name, "must be UTF-8 text"));
        }
        Ok((format!("{BYTES_PREFIX}{name}"), STANDARD.encode(bytes)))
    })
}

fn read_pairs(
    query: &str,
    read_bytes: impl Fn(String, Vec<u8>) -> Result<(String, String), FlowError>,
) -> Result<Vec<(String, String)>, FlowError> {
    let decode = |text: &str| {
        let bytes = match text.contains('+') {
            true => percent_decode_str(&text.replace('+', " ")).collect(),
            false => percent_decode_str(text).collect(),
        };
        String::from_utf8(bytes)
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).map_err(|_| parameter("query", "parameter names must be UTF-8 text"))?;
            if name.starts_with(BYTES_PREFIX) {
                return Err(parameter(&name, "is no query parameter: bytes are percent-encoded"));
            }
            match decode(value) {
                Ok(value) => Ok((name, value)),
                Err(error) => read_bytes(name, error.into_bytes()),
            }
        })
        .collect()
}

/// Does as [`read_query`] for lenient prefixes: bytes that are not UTF-8 are replaced, as the standard says.
pub(super) fn read_query_leniently(query: &str) -> Vec<(String, String)> {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// Takes out the parameters that say which connection is meant. A lenient prefix ignores an empty one.
pub(super) fn take_selector(
    query: &mut Vec<(String, String)>,
    is_lenient: bool,
) -> Result<ConnectionSelector, FlowError> {
    let mut selector = ConnectionSelector::Primary;
    let mut given = 0;
    let mut wrong = None;
    query.retain(|(name, value)| {
        match name.as_str() {
            "connection_id" | "connection" if is_lenient && value.is_empty() => return false,
            "connection_id" => match value.parse() {
                Ok(id) => selector = ConnectionSelector::Id(id),
                Err(_) => wrong = Some(parameter("connection_id", "must be a UUID")),
            },
            "connection" if value.contains('\0') => {
                wrong = Some(parameter("connection", "must have no zero bytes"));
            }
            "connection" => selector = ConnectionSelector::Identifier(value.clone()),
            _ => return true,
        }
        given += 1;
        false
    });
    match wrong {
        Some(error) => Err(error),
        None if given > 1 => {
            Err(parameter("connection", "and `connection_id` name a connection once, by one of them"))
        }
        None => Ok(selector),
    }
}

/// Refuses parameters whose names look like a header that the host hands on.
pub(super) fn refuse_headers(query: &[(String, String)]) -> Result<(), FlowError> {
    match query.iter().find(|(name, _)| name.starts_with(HEADER_PREFIX)) {
        Some((name, _)) => Err(parameter(name, "is no query parameter: send it as a header")),
        None => Ok(()),
    }
}

/// Lists the headers of these names as the driver gets them: among the parameters.
pub(super) fn hand_on<'a>(
    names: &'a [String],
    headers: &'a HeaderMap,
) -> impl Iterator<Item = (String, String)> + 'a {
    let there = names.iter().filter_map(|name| Some((name, headers.get(name)?)));
    there.map(|(name, value)| {
        (format!("{HEADER_PREFIX}{name}"), String::from_utf8_lossy(value.as_bytes()).into_owned())
    })
}

/// Finds the header that names a connection, among these. An empty one does not count. The first of the names always
/// does; the others only if their value looks encrypted, since callers use them for other things too.
pub(super) fn find_sealed_string(names: &[String], headers: &HeaderMap) -> Option<NamedConnection> {
    let mut there = names.iter().enumerate().filter_map(|(place, name)| {
        let text = headers.get(name)?.to_str().unwrap_or("?");
        (!text.is_empty() && (place == 0 || is_sealed(text)))
            .then(|| NamedConnection { header: name.clone(), sealed: text.to_owned() })
    });
    there.next()
}

/// Refuses a path with nothing where a name belongs.
pub(super) fn empty_name(field: &str) -> FlowError {
    let message = "is empty: a path has no place for a name without a byte. Where the database has one, operations that \
        take names in their body reach it";
    parameter(field, message)
}

fn parameter(field: &str, message: &str) -> FlowError {
    FlowError::Parameter { field: field.to_owned(), message: format!("`{field}` {message}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_decoded_and_invalid_utf8_is_refused() {
        let pairs = read_query("a=1&b=x+y%2B&c&a=%C3%A9&&=v").unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "x y+"), ("c", ""), ("a", "é"), ("", "v")]);
        let refused = |pairs| matches!(pairs, Err(FlowError::Parameter { .. }));
        assert!(matches!(read_query("p=%FF"), Err(FlowError::Parameter { field, .. }) if field == "p"));
        let pairs = read_query_with_bytes("a=%C3%A9&p=%AC%ED*").unwrap();
        let bytes = ("bytes:p".to_owned(), "rO0q".to_owned());
        assert_eq!(pairs, [("a".to_owned(), "é".to_owned()), bytes]);
        for bad in ["%FF=1", "connection=%FF", "connection_id=%FF", "bytes:p=rO0q", "bytes%3Ap=a"] {
            assert!(refused(read_query_with_bytes(bad)), "{bad}");
        }
    }

    #[test]
    fn lenient_prefixes_replace_bytes_that_are_no_text() {
        let pairs = read_query_leniently("a=%FF&b=1+2&c&%=%");
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("a", "\u{FFFD}"), ("b", "1 2"), ("c", ""), ("%", "%")]);
    }

    #[test]
    fn named_headers_are_handed_on_and_no_parameter_can_forge_them() {
        let mut headers = HeaderMap::new();
        headers.insert("x-name", "café".parse().unwrap());
        headers.insert("x-other", "no".parse().unwrap());
        let handed: Vec<_> = hand_on(&["x-name".to_owned(), "x-absent".to_owned()], &headers).collect();
        assert_eq!(handed, [("header:x-name".to_owned(), "café".to_owned())]);
        assert!(refuse_headers(&read_query("a=1").unwrap()).is_ok());
        assert!(matches!(
            refuse_headers(&read_query("header%3Ax-name=1").unwrap()),
            Err(FlowError::Parameter { field, .. }) if field == "header:x-name"
        ));
    }

    #[test]
    fn first_filled_header_wins_and_a_plain_header_must_be_sealed() {
        let names = ["x-sealed".to_owned(), "old".to_owned()];
        let find = |pairs: &[(&'static str, &str)]| {
            let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            find_sealed_string(&names, &headers.collect()).map(|named| (named.header, named.sealed))
        };
        let found = |header: &str, sealed: &str| Some((header.to_owned(), sealed.to_owned()));
        assert_eq!(find(&[]), None);
        assert_eq!(find(&[("x-sealed", "")]), None);
        assert_eq!(find(&[("x-sealed", "rubbish")]), found("x-sealed", "rubbish"));
        assert_eq!(find(&[("old", "postgresql://a@b/c")]), None);
        assert_eq!(find(&[("x-sealed", ""), ("old", "U2FsdGVkX18x")]), found("old", "U2FsdGVkX18x"));
        assert_eq!(find(&[("x-sealed", "x"), ("old", "U2FsdGVkX18x")]), found("x-sealed", "x"));
    }

    #[test]
    fn connection_parameter_is_single_and_hidden_from_the_driver() {
        let select = |query: &str| {
            let mut pairs = read_query(query).unwrap();
            take_selector(&mut pairs, false).map(|selector| (selector, pairs.len()))
        };
        assert_eq!(select("x=1").unwrap(), (ConnectionSelector::Primary, 1));
        assert_eq!(
            select("connection=main&x=1").unwrap(),
            (ConnectionSelector::Identifier("main".into()), 1)
        );
        assert!(select("connection_id=7").is_err() && select("connection_id=").is_err());
        let mut empty = read_query("connection=&connection_id&x=1").unwrap();
        assert_eq!(take_selector(&mut empty, true).unwrap(), ConnectionSelector::Primary);
        assert_eq!(empty.len(), 1);
        assert!(select("connection=a&connection=b").is_err());
    }
}
