//! A way in for the fuzz targets (`fuzz/`), which see nothing else of this crate's inside.

use crate::resp::{Budget, Replies, Reply};

/// Reads a server's bytes, in pieces of this size, as replies to one call that may have `most` bytes, and shows each; its
/// last one says why it broke off, if it did.
pub fn read_replies(bytes: &[u8], piece: usize, most: u64) -> Vec<String> {
    let (mut replies, mut budget) = (Replies::default(), Budget::new(most));
    let mut shown = Vec::new();
    for mut piece in bytes.chunks(piece.max(1)) {
        while !piece.is_empty() {
            match replies.next(&mut piece, &mut budget, true) {
                Ok(Some(Reply::Answer(value))) => shown.push(format!("{value:?}")),
                Ok(Some(Reply::PassedOver)) => shown.push("passed over".to_owned()),
                Ok(None) => {}
                Err(broken) => {
                    shown.push(format!("{broken:?}"));
                    return shown;
                }
            }
        }
    }
    shown
}

/// Reads the first reply in these bytes as the client library does, and shows it.
pub fn read_first_by_library(bytes: &[u8]) -> Option<String> {
    redis::parse_redis_value(bytes).ok().map(|value| format!("{value:?}"))
}
