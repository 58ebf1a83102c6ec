//! The `studio-gateway` program.

use std::process::ExitCode;

/// Bytes of a piece of memory that goes back to the system as soon as it is free.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: i32 = 1 << 20;

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    give_memory_back();
    studio_gateway::cli::run()
}

/// Left to itself, glibc takes the largest piece that was ever freed for the size that is worth keeping, in each of its
/// arenas: after a few replies of many megabytes, hundreds of them would stay.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_memory_back() {
    // SAFETY: this sets two numbers of the allocator, while there is no other thread.
    #[allow(unsafe_code)]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * LARGE);
    }
}
