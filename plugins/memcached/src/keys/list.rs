//! `GET /keys`: a page of the keys, in the order of their bytes.
//!
//! memcached can tell its keys only all at once: `lru_crawler metadump` walks the whole cache, in an order that changes
//! while items are used. So every page is such a walk, of which the first keys after the cursor are kept and the rest is
//! let pass. What a walk costs the server and the network grows with the cache, whatever the page; what it costs here
//! does not. In return pages are exact: a key that stays in the cache all the time is in exactly one of them.
//!
//! A walk is read to its end without a pause: some servers make others who list wait for the slowest of them.

use super::{dump::Item, glob::Glob};
use crate::{
    Memcached, errors,
    number::Whole,
    wire::{Refusal, not_memcached},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::{collections::BTreeMap, time::Duration};
use studio_plugin_api::{
    encoding::{self, Encoding},
    prelude::*,
    time::{Instant, sleep},
};

/// The most keys on a page.
const MAX_PAGE: u32 = 1000;
/// How long to try again while the server's crawler is busy with something else. Most of its own walks are short.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// `*` stands for any bytes, `?` for one, `\` takes the next as it is; by default every key. Bytes
    /// that are not UTF-8 are percent-encoded: `%AC%ED*`.
    pattern: Option<PathBytes>,
    /// Where to go on: the `cursor` of the page before.
    cursor: Option<String>,
    /// How many keys, 1 to 1000, by default 100.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

/// One key in a page.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ListedKey {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_encoding: Option<Encoding>,
    /// Seconds left; −1: no expiry.
    ttl: i64,
    /// Seconds since it was last used.
    idle_seconds: i64,
    /// Whether it was read since it was stored.
    fetched: bool,
    /// Changes with the value; null where the server keeps none.
    cas: Option<Whole>,
    /// Bytes that the whole item takes: key, value and header.
    item_size: u64,
    slab_class: u32,
}

/// A page of keys.
#[derive(Serialize, JsonSchema)]
pub(crate) struct KeyPage {
    /// In the order of their bytes.
    keys: Vec<ListedKey>,
    /// `"0"` at the end. Opaque.
    cursor: String,
    /// How many keys in the whole cache fit the pattern.
    total: u64,
    /// How many keys the server told of.
    total_scanned: u64,
}

/// `GET /keys`: one walk through the cache.
pub(crate) async fn list(
    memcached: Context<Memcached>,
    query: Query<ListQuery>,
) -> Result<Json<KeyPage>, DriverError> {
    let limit = match query.limit.unwrap_or(100) {
        limit @ 1..=MAX_PAGE => limit as usize,
        _ => return Err(DriverError::field("limit", format!("must be from 1 to {MAX_PAGE}"))),
    };
    let after = parse_cursor(query.cursor.as_deref().unwrap_or("0"))?;
    let pattern = query.pattern.as_ref().map(|pattern| pattern.0.as_slice());
    let pattern = pattern.filter(|pattern| !matches!(*pattern, b"" | b"*")).map(Glob::new);
    let now = memcached.server_time().await?;

    let start = Instant::now();
    loop {
        let mut page = Page { pattern: pattern.as_ref(), after: &after, limit, ..Page::default() };
        let answer = memcached.connection.dump(|line| page.look_at(line)).await?;
        match answer.as_deref() {
            // There is nothing to walk through.
            None | Some("NOTSTARTED no items to crawl") => return Ok(Json(page.show(now))),
            Some(line) if is_busy(line) && start.elapsed() < PATIENCE => sleep(PAUSE).await,
            Some(line) => return Err(refused(line)),
        }
    }
}

fn is_busy(line: &str) -> bool {
    line.starts_with("BUSY") || line.starts_with("ERROR locked")
}

fn refused(line: &str) -> DriverError {
    if is_busy(line) {
        let message = "the server's crawler, which lists keys, is busy with another request";
        let mut error = DriverError::query("BUSY", message);
        error.retry_after = Some(Duration::from_secs(1));
        return error;
    }
    match Refusal::parse(line) {
        Some(refusal) if refusal.text.contains("crawler disabled") => {
            DriverError::query(refusal.kind, "the server's LRU crawler, which lists keys, is switched off")
        }
        Some(refusal) => errors::from_server(&refusal),
        None => not_memcached(),
    }
}

/// The first keys after `after`, as they come by in any order.
#[derive(Default)]
struct Page<'a> {
    pattern: Option<&'a Glob>,
    after: &'a [u8],
    limit: usize,
    items: BTreeMap<Vec<u8>, Item>,
    /// Keys behind this page were let pass.
    more: bool,
    total: u64,
    total_scanned: u64,
}

impl Page<'_> {
    fn look_at(&mut self, line: &[u8]) -> Result<(), DriverError> {
        let item = Item::parse(line).ok_or_else(not_memcached)?;
        self.total_scanned += 1;
        if !self.pattern.is_none_or(|pattern| pattern.matches(&item.key)) {
            return Ok(());
        }
        self.total += 1;
        if item.key.as_slice() > self.after {
            self.items.insert(item.key.clone(), item);
            if self.items.len() > self.limit {
                self.items.pop_last();
                self.more = true;
            }
        }
        Ok(())
    }

    fn show(self, now: i64) -> KeyPage {
        let last = self.items.last_key_value().filter(|_| self.more);
        let cursor = last.map_or_else(|| "0".to_owned(), |(key, _)| URL_SAFE_NO_PAD.encode(key));
        let keys = self.items.into_values().map(|item| show(item, now)).collect();
        KeyPage { keys, cursor, total: self.total, total_scanned: self.total_scanned }
    }
}

fn show(item: Item, now: i64) -> ListedKey {
    let (key, key_encoding) = encoding::show(item.key);
    ListedKey {
        key,
        key_encoding,
        ttl: if item.expires < 0 { -1 } else { item.expires.saturating_sub(now).max(0) },
        idle_seconds: now.saturating_sub(item.last_access).max(0),
        fetched: item.fetched,
        cas: (item.cas > 0).then_some(Whole(item.cas)),
        item_size: item.size,
        slab_class: item.slab_class,
    }
}

/// The key to go on after. No key is empty, and none is written as `0`.
fn parse_cursor(cursor: &str) -> Result<Vec<u8>, DriverError> {
    if cursor == "0" {
        return Ok(Vec::new());
    }
    let key = URL_SAFE_NO_PAD.decode(cursor).ok().filter(|key| !key.is_empty());
    key.ok_or_else(|| DriverError::field("cursor", "is not the cursor of a page before"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn line(key: &str) -> String {
        format!("key={key} exp=-1 la=10 cas=1 fetch=no cls=1 size=60")
    }

    fn page(keys: &[String], cursor: &str, limit: usize) -> KeyPage {
        let after = parse_cursor(cursor).unwrap();
        let mut page = Page { after: &after, limit, ..Page::default() };
        for key in keys {
            page.look_at(line(key).as_bytes()).unwrap();
        }
        page.show(15)
    }

    proptest! {
        #[test]
        fn pages_have_every_key_once_in_any_order_of_the_server(
            keys in prop::collection::btree_set("[a-z0]{1,5}", 0..40),
            limit in 1..12_usize,
            seed: u64,
        ) {
            let (mut seen, mut cursor, mut shift) = (Vec::new(), "0".to_owned(), seed as usize);
            loop {
                let mut shuffled: Vec<_> = keys.iter().cloned().collect();
                shift = shift.wrapping_mul(31).wrapping_add(7);
                let by = shift % shuffled.len().max(1);
                shuffled.rotate_left(by);
                let page = page(&shuffled, &cursor, limit);
                prop_assert_eq!(page.total, keys.len() as u64);
                prop_assert!(page.cursor == "0" || page.keys.len() == limit);
                seen.extend(page.keys.into_iter().map(|key| key.key));
                cursor = page.cursor;
                if cursor == "0" {
                    break;
                }
            }
            prop_assert_eq!(seen.len(), keys.len());
            prop_assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), keys);
        }
    }

    #[test]
    fn times_are_told_from_the_server_s_clock() {
        let item = |expires| Item::parse(line("a").as_bytes()).map(|item| Item { expires, ..item }).unwrap();
        let ttls = [-1, 10, 15, 20].map(|expires| show(item(expires), 15).ttl);
        assert_eq!(ttls, [-1, 0, 0, 5]);
        assert_eq!(show(item(-1), 15).idle_seconds, 5);
    }

    #[test]
    fn reasons_for_no_list_are_told() {
        let busy = refused("BUSY currently processing crawler request");
        assert_eq!((busy.details["code"].as_str(), busy.retry_after.is_some()), (Some("BUSY"), true));
        assert_eq!(refused("CLIENT_ERROR lru crawler disabled").code, ErrorCode::QueryError);
        assert_eq!(refused("ERROR metadump not allowed").code, ErrorCode::Forbidden);
        assert_eq!(refused("garbage").details["reason"], "unsupported");
        assert_eq!(parse_cursor("!").unwrap_err().details["field"], "cursor");
        assert_eq!(parse_cursor("").unwrap_err().details["field"], "cursor");
    }
}
