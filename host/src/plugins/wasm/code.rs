//! Native code made from a component.

use super::engine::{new_engine, not_a_component};
use crate::{
    plugins::{
        child::{ChildTask, private_copy, run_in_child},
        error::PluginError,
    },
    secrets::Keyring,
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use wasmtime::{Engine, component::Component};

/// The most bytes of a component that is compiled.
const LARGEST_COMPONENT: usize = 64 << 20;

/// A child process to compile in: large components take their time, and a small one can be made to take for ever.
pub(super) struct Compiler {
    pub(super) program: PathBuf,
    pub(super) time: Duration,
}

/// Native code made from a component, by this program and nobody else.
pub(super) struct Code(Vec<u8>);

impl Code {
    /// Compiles a component; without a `compiler`, in this process and for as long as it takes.
    pub(super) async fn compile(
        engine: &Engine,
        compiler: Option<&Compiler>,
        bytes: Vec<u8>,
    ) -> Result<Self, PluginError> {
        if bytes.len() > LARGEST_COMPONENT {
            return Err(PluginError::NotAComponent(format!(
                "it has {} bytes, and {LARGEST_COMPONENT} are the most",
                bytes.len()
            )));
        }
        let Some(Compiler { program, time }) = compiler else {
            let engine = engine.clone();
            let compiling = tokio::task::spawn_blocking(move || compile(&engine, &bytes));
            return compiling
                .await
                .map_err(|_| PluginError::NotAComponent("compiling it panicked".to_owned()))?
                .map(Self);
        };
        let copy = private_copy(&bytes)?;
        let task = ChildTask { word: "compile", doing: "compiling", time: *time };
        run_in_child(program, task, copy.path()).await.map(Self)
    }

    /// Recognizes code that [`tag`](Self::tag) has made for the same header.
    pub(super) fn from_tagged(keyring: &Keyring, header: &[u8], tagged: &[u8]) -> Option<Self> {
        keyring.check_tagged(tagged)?.strip_prefix(header).map(|code| Self(code.to_vec()))
    }

    /// Puts the code under a tag that only this gateway's key makes, over the code and the header.
    pub(super) fn tag(&self, keyring: &Keyring, header: &[u8]) -> Vec<u8> {
        keyring.tag(&[header, &self.0].concat())
    }

    /// Makes the component from the code, ready to be linked.
    pub(super) fn revive(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: deserializing runs any code that it is given, so the code must come from the engine's own compiler. A
        // value of this type does: from the compiler in this process, from a child process that is this very program,
        // or from either of these under a tag that takes the gateway's encryption key to make.
        #[allow(unsafe_code)]
        unsafe {
            Component::deserialize(engine, &self.0)
        }
    }
}

/// Compiles a file in this process, for the process that started this one.
///
/// # Errors
/// The file is no component.
pub fn compile_in_this_process(path: &Path) -> Result<Vec<u8>, PluginError> {
    let bytes = std::fs::read(path).map_err(PluginError::Unreadable)?;
    compile(&new_engine(1)?, &bytes)
}

fn compile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, PluginError> {
    engine.precompile_component(bytes).map_err(|error| not_a_component(&error))
}
