//! Numbers in the server's answers: the same field is an int here, a long or a double there.

use bson::{Bson, Document};

/// A count or a size; `None` where the field is no number, or is negative.
pub(crate) fn read(document: &Document, field: &str) -> Option<u64> {
    of(document.get(field)?)
}

/// The same of a value.
pub(crate) fn of(value: &Bson) -> Option<u64> {
    match value {
        Bson::Int32(number) => u64::try_from(*number).ok(),
        Bson::Int64(number) => u64::try_from(*number).ok(),
        // As far as a double counts by one, the conversion is exact.
        Bson::Double(number) if *number >= 0.0 && *number < 9_007_199_254_740_992.0 =>
        {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Some(*number as u64)
        }
        _ => None,
    }
}
