//! Memory that is free goes back to the system. Left to itself, glibc keeps most of it.

use std::{fs, thread, time::Duration};

/// Bytes of a piece of memory that goes back as soon as it is free.
const LARGE: i32 = 1 << 20;
/// How often the size of the process is looked at.
const PERIOD: Duration = Duration::from_secs(3);
/// By how many pages it must have grown for its heap to be looked through: 32 MiB.
const GROWN: u64 = 8192;

/// Makes the allocator give back what is free, from now on. To be called while there is no other thread.
pub fn give_back() {
    // SAFETY: this sets two numbers of the allocator, while there is no other thread. glibc would take the largest piece
    // that was ever freed for the size that is worth keeping, in each of its arenas: after a few replies of many
    // megabytes, hundreds of them would stay.
    #[allow(unsafe_code)]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * LARGE);
    }
    // Without this thread the gateway works as well; it only keeps more memory.
    let _ = thread::Builder::new().name("memory".to_owned()).spawn(look_through);
}

/// Gives back what is free between small pieces in use. Finding it takes a moment, which is worth it only after the
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
