//! Tells libFuzzer what came of an input, so that it keeps those with a new outcome even where the code itself is not
//! instrumented.

use std::{
    fmt::Debug,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        OnceLock,
        atomic::{AtomicU8, Ordering},
    },
};
use studio_plugin_api::DriverError;

const COUNTERS: usize = 1 << 14;

/// libFuzzer finds it by the section's name (<https://llvm.org/docs/LibFuzzer.html>), and empties it before each input.
// SAFETY: the section holds nothing but counters of one byte each, which is how libFuzzer reads it.
#[allow(unsafe_code)]
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static OUTCOMES: [AtomicU8; COUNTERS] = [const { AtomicU8::new(0) }; COUNTERS];

/// Counts an outcome. With the variable `STUDIO_FUZZ_TRACE` it is shown too.
pub(crate) fn note(outcome: impl Hash + Debug) {
    static IS_SHOWN: OnceLock<bool> = OnceLock::new();
    if *IS_SHOWN.get_or_init(|| std::env::var_os("STUDIO_FUZZ_TRACE").is_some()) {
        eprintln!("{outcome:?}");
    }
    let mut hasher = DefaultHasher::new();
    outcome.hash(&mut hasher);
    let place = usize::try_from(hasher.finish()).unwrap_or(usize::MAX) % COUNTERS;
    OUTCOMES[place].fetch_add(1, Ordering::Relaxed);
}

/// Counts what a driver said, and how large what it gave is.
pub(crate) fn note_result<T: AsRef<[u8]>>(result: &Result<T, DriverError>) {
    match result {
        Ok(given) => note(given.as_ref().len().ilog2_or_zero()),
        Err(error) => note((error.code.as_str(), words(&error.message))),
    }
}

/// What of a message does not come from the input: no numbers, and nothing in quotation marks.
pub(crate) fn words(message: &str) -> String {
    let outside = message.split(['`', '"', '\'']).step_by(2);
    outside.flat_map(str::chars).filter(|letter| letter.is_ascii_alphabetic()).take(80).collect()
}

trait Magnitude {
    fn ilog2_or_zero(self) -> u32;
}

impl Magnitude for usize {
    fn ilog2_or_zero(self) -> u32 {
        self.checked_ilog2().unwrap_or_default()
    }
}
