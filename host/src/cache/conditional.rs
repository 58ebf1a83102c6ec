//! A request's headers about kept replies: those kept here (`Cache-Control`) or by the caller (`If-None-Match`).

use http::{
    HeaderMap, HeaderValue,
    header::{CACHE_CONTROL, IF_NONE_MATCH, PRAGMA},
};
use xxhash_rust::xxh3::xxh3_128;

/// How a caller wants to be served (RFC 9111 §5.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Kept or fresh.
    Any,
    /// Fresh from the database: `no-cache`, or `max-age=0`, which browsers send on reload.
    Fresh,
    /// Fresh, and not kept: `no-store`.
    FreshAndUnkept,
}

impl Wish {
    /// Reads the wish of a request. `Pragma: no-cache` counts if there is no `Cache-Control` (RFC 9111 §5.4).
    pub fn of(headers: &HeaderMap) -> Self {
        let name = if headers.contains_key(CACHE_CONTROL) { CACHE_CONTROL } else { PRAGMA };
        let mut wish = Self::Any;
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        for directive in values.flat_map(|value| value.split(',')) {
            let directive = directive.trim();
            let is = |name: &str| directive.eq_ignore_ascii_case(name);
            if is("no-store") {
                return Self::FreshAndUnkept;
            }
            if is("no-cache") || is("max-age=0") {
                wish = Self::Fresh;
            }
        }
        wish
    }
}

/// Makes the strong entity tag of a payload: the same bytes have the same tag, in another gateway too.
pub fn entity_tag(payload: &[u8]) -> HeaderValue {
    let text = format!("\"{:x}-{:032x}\"", payload.len(), xxh3_128(payload));
    // Digits, a dash and quotes are always a valid header value.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Tells whether the caller has this very reply already (RFC 9110 §13.1.2): whether a tag of `If-None-Match` is the
/// same, weak or not.
pub fn has_already(headers: &HeaderMap, entity_tag: &HeaderValue) -> bool {
    let wanted = opaque(entity_tag.as_bytes());
    headers.get_all(IF_NONE_MATCH).into_iter().any(|value| {
        let mut rest = value.as_bytes();
        if rest.trim_ascii() == b"*" {
            return true;
        }
        while let Some((tag, after)) = next_tag(rest) {
            if tag == wanted {
                return true;
            }
            rest = after;
        }
        false
    })
}

/// Returns a tag without the mark that it is weak.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Splits off the first tag of a list, with its quotes and without the mark that it is weak; `None` at the end, and
/// where the list is malformed.
fn next_tag(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = list.iter().position(|byte| !b" \t,".contains(byte))?;
    let list = opaque(list.get(start..)?);
    let closing = list.strip_prefix(b"\"")?.iter().position(|byte| *byte == b'"')?;
    list.split_at_checked(closing + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;
    use proptest::prelude::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn caller_who_wants_a_fresh_reply_is_understood() {
        for (pairs, wish) in [
            (&[][..], Wish::Any),
            (&[(CACHE_CONTROL, "no-cache")], Wish::Fresh),
            (&[(CACHE_CONTROL, "max-stale=3,  No-Cache")], Wish::Fresh),
            (&[(CACHE_CONTROL, "max-age=0")], Wish::Fresh),
            (&[(CACHE_CONTROL, "max-age=60")], Wish::Any),
            (&[(CACHE_CONTROL, "no-cache"), (CACHE_CONTROL, "no-store")], Wish::FreshAndUnkept),
            (&[(CACHE_CONTROL, "no-store, no-cache")], Wish::FreshAndUnkept),
            (&[(PRAGMA, "no-cache")], Wish::Fresh),
            (&[(PRAGMA, "no-cache"), (CACHE_CONTROL, "max-age=60")], Wish::Any),
            (&[(CACHE_CONTROL, "x-no-cache")], Wish::Any),
        ] {
            assert_eq!(Wish::of(&headers(pairs)), wish, "{pairs:?}");
        }
    }

    #[test]
    fn tag_follows_the_bytes() {
        assert_eq!(entity_tag(b"[1]"), entity_tag(b"[1]"));
        assert_ne!(entity_tag(b"[1]"), entity_tag(b"[2]"));
        assert!(!entity_tag(b"").as_bytes().starts_with(b"W/"));
    }

    #[test]
    fn tags_are_found_in_lists_weak_or_not() {
        let tag = HeaderValue::from_static("\"a,b\"");
        for (value, found) in [
            ("\"a,b\"", true),
            ("W/\"a,b\"", true),
            ("*", true),
            (" \t* ", true),
            ("\"x\", W/\"y\" ,\"a,b\"", true),
            ("\"x\",,\"a,b\"", true),
            ("\"a\", \"b\"", false),
            ("a,b", false),
            ("\"*\"", false),
            ("\"a,b", false),
            ("w/\"a,b\"", false),
            ("", false),
        ] {
            assert_eq!(has_already(&headers(&[(IF_NONE_MATCH, value)]), &tag), found, "{value}");
        }
        let lines = headers(&[(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, "\"a,b\"")]);
        assert!(has_already(&lines, &tag));
        assert!(!has_already(&HeaderMap::new(), &tag));
    }

    proptest! {
        #[test]
        fn any_list_that_holds_the_tag_is_understood(
            before in proptest::collection::vec("(W/)?\"[!#-~]{0,5}\"", 0..4),
            weak in any::<bool>(),
            payload in any::<Vec<u8>>(),
        ) {
            let tag = entity_tag(&payload);
            let own = format!("{}{}", if weak { "W/" } else { "" }, tag.to_str().unwrap());
            let list = before.iter().chain([&own]).cloned().collect::<Vec<_>>().join(", ");
            prop_assert!(has_already(&headers(&[(IF_NONE_MATCH, &list)]), &tag));
        }

        #[test]
        fn no_text_is_too_strange(value in "[ -~]{0,30}") {
            has_already(&headers(&[(IF_NONE_MATCH, &value)]), &entity_tag(b"x"));
        }
    }
}
