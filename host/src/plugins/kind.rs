//! The two kinds of driver files.

use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter};

/// Tells how a driver is shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginKind {
    /// A native library, trusted.
    Dylib,
    /// A WebAssembly component, sandboxed.
    Wasm,
}

impl PluginKind {
    /// Gives the extension of its files.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Dylib => std::env::consts::DLL_EXTENSION,
            Self::Wasm => "wasm",
        }
    }
}

impl Display for PluginKind {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Dylib => "dylib",
            Self::Wasm => "wasm",
        })
    }
}
