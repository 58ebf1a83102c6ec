//! Gives free memory back to the system. By default, glibc keeps most of it.

use std::{fs, thread, time::Duration};

/// Bytes from which a piece of memory is given back as soon as it is free.
const LARGE: i32 = 1 << 20;
/// How often the size of the process is looked at.
const PERIOD: Duration = Duration::from_secs(3);
/// Pages by which the process must be larger than it was before its heap is searched: 32 MiB.
const GROWN: u64 = 8192;
/// Pages that a search must give back to be worth another one at the next look: 1 MiB.
const WORTH: u64 = 256;
/// Looks between two searches of a process that stays large because it uses its memory.
const MOST_LOOKS: u32 = 8;

/// Makes the allocator give back free memory from now on. Call it while there is no other thread.
pub fn give_back() {
    // SAFETY: this sets two numbers of the allocator, while there is no other thread. glibc would otherwise raise them
    // to fit the largest piece that was ever freed, and keep about that much in each of its arenas: after a few replies
    // of many megabytes, hundreds of megabytes would stay.
    #[allow(unsafe_code)]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * LARGE);
    }
    // Without this thread the gateway works as well; it only keeps more memory.
    let _ = thread::Builder::new().name("memory".to_owned()).spawn(look_through);
}

/// Gives back free memory between small pieces in use, at the times that [`Searches`] finds worth it.
fn look_through() {
    let Some(pages) = resident_pages() else { return };
    let mut searches = Searches::new(pages);
    loop {
        thread::sleep(PERIOD);
        let Some(pages) = resident_pages() else { return };
        if searches.is_due(pages) {
            // SAFETY: glibc may be asked for this at any time, by any thread.
            #[allow(unsafe_code)]
            unsafe {
                libc::malloc_trim(0);
            }
            searches.ended(pages, resident_pages().unwrap_or(pages));
        }
    }
}

/// Decides when the heap is searched for free memory. A search takes a moment, which is worth it after the process grew,
/// and again as long as it stays large: memory that was in use at one search may be free at the next, and the size of the
/// process does not tell so.
#[derive(Debug)]
struct Searches {
    /// The smallest size that was seen.
    least: u64,
    /// The smallest size since the last search.
    last: u64,
    /// Looks from one search to the next.
    looks: u32,
    /// Looks until the next search.
    left: u32,
}

impl Searches {
    fn new(pages: u64) -> Self {
        Self { least: pages, last: pages, looks: 1, left: 1 }
    }

    /// Takes the size at a look, and tells whether the heap is to be searched now.
    fn is_due(&mut self, pages: u64) -> bool {
        if pages > self.last + GROWN {
            (self.looks, self.left) = (1, 1);
        }
        self.least = self.least.min(pages);
        self.last = self.last.min(pages);
        if pages <= self.least + GROWN {
            return false;
        }
        self.left = self.left.saturating_sub(1);
        self.left == 0
    }

    /// Takes the sizes before and after a search.
    fn ended(&mut self, before: u64, after: u64) {
        self.looks = match before.saturating_sub(after) > WORTH {
            true => 1,
            false => (self.looks * 2).min(MOST_LOOKS),
        };
        (self.left, self.last) = (self.looks, after);
    }
}

/// Reads how many pages of memory the process has, from proc(5).
fn resident_pages() -> Option<u64> {
    fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 256;

    #[test]
    fn heap_is_searched_after_growth_and_not_before() {
        let mut searches = Searches::new(40 * MIB);
        for size in [40, 60, 72, 41, 72] {
            assert!(!searches.is_due(size * MIB), "{size}");
        }
        assert!(searches.is_due(73 * MIB));
        searches.ended(73 * MIB, 41 * MIB);
        assert!(!searches.is_due(60 * MIB));
    }

    #[test]
    fn memory_that_is_freed_after_a_search_is_given_back_later() {
        let mut searches = Searches::new(40 * MIB);
        assert!(searches.is_due(240 * MIB));
        // All of it was in use; what is freed since does not change the size.
        searches.ended(240 * MIB, 240 * MIB);
        let looks = (1..).find(|_| searches.is_due(240 * MIB)).unwrap();
        assert!(looks <= 2);
        searches.ended(240 * MIB, 45 * MIB);
        assert!((0..100).all(|_| !searches.is_due(45 * MIB)));
    }

    #[test]
    fn process_that_uses_its_memory_is_searched_less_and_less() {
        let mut searches = Searches::new(40 * MIB);
        let mut count = 0;
        for _ in 0..800 {
            if searches.is_due(240 * MIB) {
                searches.ended(240 * MIB, 240 * MIB);
                count += 1;
            }
        }
        assert!((95..=105).contains(&count), "{count}");
        // It grows again.
        assert!(searches.is_due(280 * MIB));
    }
}
