//! Gives memory back to the system that is free, or that only the start used. By default, glibc keeps most of the one, and
//! the kernel all of the other.

mod files;

use files::FilePages;
use std::{fs, thread, time::Duration};

/// Bytes from which a piece of memory is given back as soon as it is free.
const LARGE: i32 = 1 << 20;
/// How often the size of the process is looked at.
const PERIOD: Duration = Duration::from_secs(3);
/// Pages by which the process must be larger than it was before its heap is searched: 8 MiB.
const GROWN: u64 = 2048;
/// Pages that a search must give back to be worth another one at the next look: 1 MiB.
const WORTH: u64 = 256;
/// Looks between two searches of a process that stays large because it uses its memory.
const MOST_LOOKS: u32 = 8;
/// Hundredths of a second of work between two looks, up to which the process counts as idle.
const LITTLE_WORK: u64 = 15;

/// Makes the allocator give back large pieces as soon as they are free. Call it while there is no other thread.
pub fn give_back_large() {
    // SAFETY: this sets two numbers of the allocator, while there is no other thread. glibc would otherwise raise them
    // to fit the largest piece that was ever freed, and keep about that much in each of its arenas: after a few replies
    // of many megabytes, hundreds of megabytes would stay.
    #[allow(unsafe_code)]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * LARGE);
    }
}

/// Gives back what the start used, and from now on what is free. Call it at the end of the start, once.
pub fn give_back_more() {
    // Without this thread the gateway works as well; it only keeps more memory.
    let _ = thread::Builder::new().name("memory".to_owned()).spawn(look_through);
}

/// Gives back pages of files after they became many, and free memory between small pieces in use at the times that
/// [`Searches`] finds worth it.
fn look_through() {
    let files = FilePages::find();
    files.forget();
    let Some(mut least) = resident_pages() else { return };
    let (mut searches, mut worked) = (Searches::new(least), work());
    loop {
        thread::sleep(PERIOD);
        let Some(mut pages) = resident_pages() else { return };
        if pages > least + GROWN {
            files.forget();
            pages = resident_pages().unwrap_or(pages);
            least = pages;
        } else {
            least = least.min(pages);
        }
        let before = std::mem::replace(&mut worked, work());
        if searches.is_due(pages, worked.saturating_sub(before) <= LITTLE_WORK) {
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
/// process does not tell so. When it becomes idle, much of it is.
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
    /// Whether the process was idle before the last look.
    is_idle: bool,
}

impl Searches {
    fn new(pages: u64) -> Self {
        Self { least: pages, last: pages, looks: 1, left: 1, is_idle: true }
    }

    /// Takes the size at a look, and whether the process was idle before it, and tells whether the heap is to be searched
    /// now.
    fn is_due(&mut self, pages: u64, is_idle: bool) -> bool {
        let was_idle = std::mem::replace(&mut self.is_idle, is_idle);
        if pages > self.last + GROWN || (is_idle && !was_idle) {
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

/// Reads how long the process has worked so far, in hundredths of a second, from proc(5).
fn work() -> u64 {
    let status = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name, which may hold anything, ends with the last parenthesis.
    let after_name = status.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split(' ').skip(12).take(2).filter_map(|time| time.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 256;

    #[test]
    fn heap_is_searched_after_growth_and_not_before() {
        let mut searches = Searches::new(40 * MIB);
        for size in [40, 45, 48, 41, 48] {
            assert!(!searches.is_due(size * MIB, false), "{size}");
        }
        assert!(searches.is_due(49 * MIB, false));
        searches.ended(49 * MIB, 41 * MIB);
        assert!(!searches.is_due(45 * MIB, false));
    }

    #[test]
    fn memory_that_is_freed_after_a_search_is_given_back_later() {
        let mut searches = Searches::new(40 * MIB);
        assert!(searches.is_due(240 * MIB, false));
        // All of it was in use; what is freed since does not change the size.
        searches.ended(240 * MIB, 240 * MIB);
        let looks = (1..).find(|_| searches.is_due(240 * MIB, false)).unwrap();
        assert!(looks <= 2);
        searches.ended(240 * MIB, 45 * MIB);
        assert!((0..100).all(|_| !searches.is_due(45 * MIB, false)));
    }

    #[test]
    fn process_that_uses_its_memory_is_searched_less_and_less() {
        let mut searches = Searches::new(40 * MIB);
        let mut count = 0;
        for _ in 0..800 {
            if searches.is_due(240 * MIB, false) {
                searches.ended(240 * MIB, 240 * MIB);
                count += 1;
            }
        }
        assert!((95..=105).contains(&count), "{count}");
        // It grows again.
        assert!(searches.is_due(280 * MIB, false));
    }

    #[test]
    fn large_process_is_searched_when_it_becomes_idle() {
        let mut searches = Searches::new(40 * MIB);
        for _ in 0..100 {
            if searches.is_due(240 * MIB, false) {
                searches.ended(240 * MIB, 240 * MIB);
            }
        }
        while searches.is_due(240 * MIB, false) {}
        assert!(searches.is_due(240 * MIB, true));
        searches.ended(240 * MIB, 240 * MIB);
        assert!(!searches.is_due(41 * MIB, true));
    }

    #[test]
    fn work_of_the_process_is_counted() {
        let before = work();
        let begun = std::time::Instant::now();
        while work() < before + 3 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{before}");
        }
    }
}
