//! Gives free memory back to the system. By default, glibc keeps most of it.

use std::{fs, thread, time::Duration};

/// Bytes from which a piece of memory is given back as soon as it is free.
const LARGE: i32 = 1 << 20;
/// How often the size of the process is looked at.
const PERIOD: Duration = Duration::from_secs(3);
/// Pages by which the process must have grown before its heap is looked through: 32 MiB.
const GROWN: u64 = 8192;

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

/// Gives back free memory between small pieces in use. The search takes a moment, which is worth it only after the
/// process grew.
fn look_through() {
    let Some(mut known) = resident_pages() else { return };
    loop {
        thread::sleep(PERIOD);
        let Some(pages) = resident_pages() else { return };
        known = known.min(pages);
        if pages > known + GROWN {
            // SAFETY: glibc may be asked for this at any time, by any thread.
            #[allow(unsafe_code)]
            unsafe {
                libc::malloc_trim(0);
            }
            known = resident_pages().unwrap_or(pages);
        }
    }
}

/// Reads how many pages of memory the process has, from proc(5).
fn resident_pages() -> Option<u64> {
    fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()
}
