//! Lists: which part of one a caller gets, and how the server's come in.

use crate::session::{Failure, Running};
use bson::RawDocumentBuf;
use mongodb::raw_batch_cursor::SessionRawBatchCursor;
use studio_plugin_api::prelude::*;

/// How many questions about the items of a list go to the server at once: half of the connections, so that a long
/// list holds nobody up.
pub(crate) const AT_ONCE: usize = 5;

/// Bytes that a document costs beside its own.
const OVERHEAD: usize = 32;

/// The most items of one reply.
const LARGEST_PAGE: usize = 1000;

/// The part of a list that a reply holds.
///
/// # Errors
/// `VALIDATION_ERROR` for `limit` where it is out of range, or absent although there are more items than fit: a part is
/// never given to someone who takes it for the whole.
pub(crate) fn take_page<T>(items: Vec<T>, limit: Option<usize>, skip: usize) -> Result<Vec<T>, DriverError> {
    let limit = match limit {
        Some(limit) if (1..=LARGEST_PAGE).contains(&limit) => limit,
        Some(limit) => {
            let message = format!("`limit`: must be from 1 to {LARGEST_PAGE}, not {limit}");
            return Err(DriverError::validation("limit", message));
        }
        None if items.len().saturating_sub(skip) > LARGEST_PAGE => {
            let message = format!(
                "`limit`: is needed where there are more than {LARGEST_PAGE} items: there are {}; ask for parts by `limit` and `skip`",
                items.len()
            );
            return Err(DriverError::validation("limit", message).with("total", items.len()));
        }
        None => LARGEST_PAGE,
    };
    Ok(items.into_iter().skip(skip).take(limit).collect())
}

/// Everything that a cursor gives, up to so many bytes of BSON: a server may go on for as long as it likes.
///
/// # Errors
/// `RESULT_TOO_LARGE`; the server's, or the connection's.
pub(crate) async fn read_all(
    mut cursor: SessionRawBatchCursor,
    running: &mut Running,
    limit: u64,
) -> Result<Vec<RawDocumentBuf>, Failure> {
    let mut all = Vec::new();
    let mut left = limit;
    let mut batches = running.batches(&mut cursor)?;
    while let Some(batch) = batches.next().await {
        for document in batch?.doc_slices()? {
            let document = document?.as_document().ok_or_else(no_document)?;
            let size = u64::try_from(document.as_bytes().len() + OVERHEAD).unwrap_or(u64::MAX);
            left = left.checked_sub(size).ok_or_else(|| DriverError::result_too_large(limit))?;
            all.push(document.to_owned());
        }
    }
    Ok(all)
}

/// How many documents a cursor gives, without keeping them.
///
/// # Errors
/// The server's, or the connection's.
pub(crate) async fn count_all(
    mut cursor: SessionRawBatchCursor,
    running: &mut Running,
) -> Result<usize, Failure> {
    let mut count = 0;
    let mut batches = running.batches(&mut cursor)?;
    while let Some(batch) = batches.next().await {
        for document in batch?.doc_slices()? {
            document?.as_document().ok_or_else(no_document)?;
            count += 1;
        }
    }
    Ok(count)
}

/// What a server that sends anything but documents gets.
pub(crate) fn no_document() -> Failure {
    let message = "the server's batch holds something that is no document";
    Failure::AfterAll(DriverError::new(ErrorCode::DriverError, message))
}

/// Nothing, where the server refuses to tell: one item's trouble is no reason to keep back the list.
///
/// # Errors
/// Any other.
pub(crate) fn unless_refused<T>(told: Result<T, DriverError>) -> Result<Option<T>, DriverError> {
    match told {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(error.code, ErrorCode::Forbidden | ErrorCode::NotFound | ErrorCode::QueryError) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_given_only_to_who_asked_for_it() {
        let items = |count| (0..count).collect::<Vec<usize>>();
        assert_eq!(take_page(items(5), None, 0).unwrap(), items(5));
        assert_eq!(take_page(items(1000), None, 0).unwrap().len(), 1000);
        assert_eq!(take_page(items(1200), Some(1000), 1000).unwrap(), (1000..1200).collect::<Vec<_>>());
        assert_eq!(take_page(items(1200), None, 200).unwrap().len(), 1000);
        assert_eq!(take_page(items(5), Some(2), 1).unwrap(), [1, 2]);
        assert!(take_page(items(5), Some(2), 5).unwrap().is_empty());
        let error = take_page(items(1001), None, 0).unwrap_err();
        assert_eq!(
            (error.details["field"].as_str(), error.details["total"].as_u64()),
            (Some("limit"), Some(1001))
        );
        for limit in [0, 1001] {
            assert_eq!(take_page(items(1), Some(limit), 0).unwrap_err().details["field"], "limit");
        }
    }
}
