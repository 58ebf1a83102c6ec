//! The sandbox's own functions, past the driver contract.

#[cfg(target_family = "wasm")]
pub(crate) use of_the_sandbox::{monotonic, open, random, sleep};
#[cfg(not(target_family = "wasm"))]
pub(crate) use outside::{monotonic, open, random, sleep};

#[cfg(target_family = "wasm")]
mod of_the_sandbox {
    use studio_plugin_api::component::bindings::studio::driver::net;
    pub(crate) use studio_plugin_api::component::bindings::studio::driver::{
        clocks::{monotonic, sleep},
        random::bytes as random,
    };

    /// Opens a stream and closes it; why not, in the host's words.
    pub(crate) fn open(tls: bool) -> Result<(), String> {
        net::open(tls).map(drop).map_err(|failure| format!("{:?}: {}", failure.reason, failure.message))
    }
}

/// A native build, which compiles and is not run.
#[cfg(not(target_family = "wasm"))]
mod outside {
    pub(crate) fn monotonic() -> u64 {
        0
    }
    pub(crate) fn sleep(_nanoseconds: u64) {}
    pub(crate) fn random(_length: u32) -> Vec<u8> {
        Vec::new()
    }
    pub(crate) fn open(_tls: bool) -> Result<(), String> {
        Err("there is no sandbox".to_owned())
    }
}
