//! The reasons why a file is not a driver.

use super::kind::PluginKind;

/// Why a file is not a driver that this gateway can run. The message does not name the file; its holder does.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The file can't be read.
    #[error("the file can't be read: {0}")]
    Unreadable(std::io::Error),
    /// The private copy could not be made, or the trial not be started.
    #[error("the driver could not be tried: {0}")]
    NoTrial(std::io::Error),
    /// The bytes are not those that were pinned.
    #[error("its SHA-256 is {actual}, and plugins.toml pins {pinned}")]
    WrongHash {
        /// The hash in plugins.toml.
        pinned: String,
        /// The hash of the file's bytes.
        actual: String,
    },
    /// The file is of the other kind.
    #[error("it is of kind \"{actual}\", and plugins.toml says otherwise")]
    WrongKind {
        /// The file's kind.
        actual: PluginKind,
    },
    /// The system's loader refused it.
    #[error("it is not a library that can be loaded: {0}")]
    NotLoadable(String),
    /// It is a library or a component, but has no driver's entry points.
    #[error("it is not a studio-gateway driver")]
    NotADriver,
    /// It is no WebAssembly component, or one that does not compile.
    #[error("it is not a WebAssembly component that can be run: {0}")]
    NotAComponent(String),
    /// It imports something that the sandbox does not have.
    #[error("it imports what the sandbox does not give: {0}")]
    Import(String),
    /// The sandbox can't be made on this machine.
    #[error("the sandbox for WebAssembly can't be made: {0}")]
    NoSandbox(String),
    /// It was built against another version of the contract.
    #[error(
        "it was built against driver API {driver}, and this gateway speaks {host}: rebuild it for that version"
    )]
    WrongVersion {
        /// The driver's version.
        driver: String,
        /// The gateway's version.
        host: String,
    },
    /// Its version has the same name, but another layout.
    #[error("its binary interface differs from this gateway's: {0}")]
    Incompatible(String),
    /// Its manifest can't be read, or breaks the rules.
    #[error("its manifest is refused: {0}")]
    Manifest(String),
    /// The trial refused it, in these words.
    #[error("{0}")]
    TrialFailed(String),
    /// The process that tried or compiled it died.
    #[error("the process that was {doing} it crashed ({status})")]
    Crashed {
        /// The process's task.
        doing: &'static str,
        /// How the process ended.
        status: String,
    },
    /// It takes too long over a task.
    #[error("it does not finish {doing} within {seconds} seconds")]
    Hung {
        /// The task.
        doing: &'static str,
        /// The seconds that it may take.
        seconds: u64,
    },
    /// An alias of it leads to another driver.
    #[error("its alias `{prefix}` leads to the driver of type `{other}` already")]
    PrefixTaken {
        /// The alias's prefix.
        prefix: String,
        /// That driver's type.
        other: String,
    },
    /// Its own start function failed.
    #[error("it does not start: {0}")]
    NotStarted(String),
    /// Its `settings` in plugins.toml do not fit its options.
    #[error("its settings in plugins.toml are refused: {0}")]
    Settings(String),
    /// Its `limits` in plugins.toml do not fit its operations.
    #[error("its limits in plugins.toml are refused: {0}")]
    Limits(String),
    /// Its `cache` in plugins.toml does not fit its operations.
    #[error("its cache in plugins.toml is refused: {0}")]
    Cache(String),
}

/// Cuts a text to its beginning, of at most that many bytes.
pub(super) fn beginning(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

/// Puts somebody else's text on one line, and cuts it to at most that many characters.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(most).collect()
}
