//! The sandbox's border: a driver as a WebAssembly component of the world in `wit/`.
//!
//! One instance holds one session. Its calls come one at a time, and a host call that waits puts the whole instance to
//! sleep, so the executor here has almost nothing to do. A driver author needs none of it:
//! [`export_driver!`](crate::export_driver) writes the exports.

mod convert;
mod export;
mod log;
mod network;

// Generated code: its items are documented in `wit/`.
#[doc(hidden)]
#[allow(missing_docs, unsafe_code, unsafe_op_in_unsafe_fn, clippy::all, clippy::pedantic)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit/0.1.0",
        world: "driver",
        pub_export_macro: true,
        default_bindings_module: "studio_plugin_api::component::bindings",
    });
}

#[doc(hidden)]
pub use export::Component;

use bindings::studio::driver::clocks;

/// Reads the host's monotonic clock.
pub(crate) fn monotonic_nanoseconds() -> u64 {
    clocks::monotonic()
}

/// Reads the host's time of day.
pub(crate) fn since_unix_epoch() -> std::time::Duration {
    let now = clocks::now();
    std::time::Duration::from_secs(now.seconds)
        .saturating_add(std::time::Duration::from_nanos(now.nanoseconds.into()))
}

/// Lets the instance sleep.
pub(crate) fn sleep(time: std::time::Duration) {
    clocks::sleep(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}

/// Gives random bytes to crates that ask the `getrandom` crate, which knows no source on this target. That crate calls
/// this function when it is built with `--cfg getrandom_backend="custom"`.
///
/// # Safety
/// `destination` points to `length` bytes that may be written.
#[cfg(target_os = "unknown")]
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    destination: *mut u8,
    length: usize,
) -> Result<(), getrandom::Error> {
    // SAFETY: the caller promises it.
    let destination = unsafe {
        std::ptr::write_bytes(destination, 0, length);
        std::slice::from_raw_parts_mut(destination, length)
    };
    for part in destination.chunks_mut(65536) {
        let bytes = bindings::studio::driver::random::bytes(
            u32::try_from(part.len()).map_err(|_| getrandom::Error::UNSUPPORTED)?,
        );
        if bytes.len() != part.len() {
            return Err(getrandom::Error::UNSUPPORTED);
        }
        part.copy_from_slice(&bytes);
    }
    Ok(())
}
