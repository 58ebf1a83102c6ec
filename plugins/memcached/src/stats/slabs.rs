//! `GET /slabs`: how the memory is divided, and what is in each part.

use super::Stats;
use crate::Memcached;
use std::collections::BTreeSet;
use studio_plugin_api::prelude::*;

/// The slab classes that have memory.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SlabsAnswer {
    slabs: Vec<SlabClass>,
    /// Bytes in all of them.
    total_malloced: u64,
}

/// One slab class: items of about one size, and the memory for them.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SlabClass {
    class: u32,
    /// Bytes for an item.
    chunk_size: u64,
    total_pages: u64,
    total_chunks: u64,
    used_chunks: u64,
    free_chunks: u64,
    /// Bytes that its items asked for.
    memory_requested: u64,
    /// How many items are in it.
    items: u64,
    items_hot: u64,
    items_warm: u64,
    items_cold: u64,
    /// Seconds since the item that is next to go was last used.
    age_seconds: u64,
    /// Items that went to make room.
    evicted: u64,
    /// Those of them that nobody had ever read.
    evicted_unfetched: u64,
    /// Items that found no room.
    out_of_memory: u64,
    /// Expired items whose room was used again.
    reclaimed: u64,
    get_hits: u64,
    cmd_set: u64,
}

/// `GET /slabs`.
pub(crate) async fn slabs(memcached: Context<Memcached>) -> Result<Json<SlabsAnswer>, DriverError> {
    let limit = memcached.max_reply_bytes();
    let slabs = memcached.connection.stats("slabs", limit).await?;
    let items = memcached.connection.stats("items", limit).await?;
    Ok(Json(merge(&slabs, &items)))
}

fn merge(slabs: &Stats, items: &Stats) -> SlabsAnswer {
    let classes: BTreeSet<u32> =
        slabs.0.iter().filter_map(|(name, _)| name.split_once(':')?.0.parse().ok()).collect();
    let slabs_of = |class| {
        let slab = |name: &str| slabs.number(&format!("{class}:{name}"));
        let item = |name: &str| items.number(&format!("items:{class}:{name}"));
        SlabClass {
            class,
            chunk_size: slab("chunk_size"),
            total_pages: slab("total_pages"),
            total_chunks: slab("total_chunks"),
            used_chunks: slab("used_chunks"),
            free_chunks: slab("free_chunks"),
            memory_requested: item("mem_requested"),
            items: item("number"),
            items_hot: item("number_hot"),
            items_warm: item("number_warm"),
            items_cold: item("number_cold"),
            age_seconds: item("age"),
            evicted: item("evicted"),
            evicted_unfetched: item("evicted_unfetched"),
            out_of_memory: item("outofmemory"),
            reclaimed: item("reclaimed"),
            get_hits: slab("get_hits"),
            cmd_set: slab("cmd_set"),
        }
    };
    SlabsAnswer {
        slabs: classes.into_iter().map(slabs_of).collect(),
        total_malloced: slabs.number("total_malloced"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(lines: &[&str]) -> Stats {
        let mut stats = Stats::default();
        for line in lines {
            stats.add(line).unwrap();
        }
        stats
    }

    #[test]
    fn classes_have_their_memory_and_their_items() {
        let slabs = stats(&[
            "STAT 10:chunk_size 752",
            "STAT 2:chunk_size 120",
            "STAT 2:used_chunks 3",
            "STAT total_malloced 9",
        ]);
        let answer = merge(&slabs, &stats(&["STAT items:2:number 3", "STAT items:2:evicted 1"]));
        let classes: Vec<_> =
            answer.slabs.iter().map(|slab| (slab.class, slab.chunk_size, slab.items)).collect();
        assert_eq!(classes, [(2, 120, 3), (10, 752, 0)]);
        assert_eq!((answer.slabs[0].used_chunks, answer.slabs[0].evicted, answer.total_malloced), (3, 1, 9));
    }
}
