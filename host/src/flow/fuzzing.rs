//! What the flow reads of a request, for fuzz targets.

use super::{nesting, query};

/// Whether objects and arrays nest deeper than `most` levels in a JSON text.
pub fn is_deeper_than(most: usize, json: &[u8]) -> bool {
    nesting::is_deeper_than(most, json)
}

/// Splits and decodes a query string. Nothing where a strict prefix refuses it.
pub fn read_query(text: &str, is_lenient: bool) -> Option<Vec<(String, String)>> {
    if is_lenient { Some(query::read_query_leniently(text)) } else { query::read_query(text).ok() }
}

/// Takes out what says which connection is meant. Nothing where that is refused.
pub fn take_selector(mut pairs: Vec<(String, String)>, is_lenient: bool) -> Option<Vec<(String, String)>> {
    query::refuse_headers(&pairs).ok()?;
    query::take_selector(&mut pairs, is_lenient).ok()?;
    Some(pairs)
}
