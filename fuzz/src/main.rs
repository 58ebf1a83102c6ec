//! Fuzz targets: each hands an input of libFuzzer's to one border of the gateway, and panics where a promise is broken.
//!
//! `cargo xtask fuzz` runs it. The variable `STUDIO_FUZZ_TARGET` says which target; without it, all are listed.

#![no_main]
// A panic is how a finding is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod connections;
mod documents;
mod feedback;
mod identity;
mod plugins;
mod requests;
mod runtime;
mod servers;
mod sql;
mod targets;

use std::sync::OnceLock;
use targets::{TARGETS, Target};

const VARIABLE: &str = "STUDIO_FUZZ_TARGET";

static TARGET: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let Ok(wanted) = std::env::var(VARIABLE) else {
            TARGETS.iter().for_each(|(name, _)| println!("{name}"));
            std::process::exit(0);
        };
        match TARGETS.iter().find(|(name, _)| *name == wanted) {
            Some((_, target)) => drop(TARGET.set(*target)),
            None => {
                eprintln!("{VARIABLE}: there is no target `{wanted}`");
                std::process::exit(2);
            }
        }
    },
    |input: &[u8]| {
        if let Some(target) = TARGET.get() {
            target(input);
        }
    }
);
