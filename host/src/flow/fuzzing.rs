//! The flow's readers of a request's parts, for fuzz targets.

use super::{nesting, query};

/// Tells whether objects and arrays nest deeper than `most` levels in a JSON text.
pub fn is_deeper_than(most: usize, json: &[u8]) -> bool {
    nesting::is_deeper_than(most, json)
}

/// Splits and decodes a query string. `None` where a strict prefix refuses it.
pub fn read_query(text: &str, is_lenient: bool) -> Option<Vec<(String, String)>> {
    if is_lenient { Some(query::read_query_leniently(text)) } else { query::read_query(text).ok() }
}

/// Takes out the parameters that name the connection. `None` where those are refused.
pub fn take_selector(mut pairs: Vec<(String, String)>, is_lenient: bool) -> Option<Vec<(String, String)>> {
    query::refuse_headers(&pairs).ok()?;
    query::take_selector(&mut pairs, is_lenient).ok()?;
    Some(pairs)
}
