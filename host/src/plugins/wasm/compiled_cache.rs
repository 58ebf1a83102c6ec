//! Compiled code on disk, so that a start need not compile.
//!
//! Compiled code is native code: an attacker who can change a file here could run anything in the gateway. So each file
//! carries a tag, made with this gateway's encryption key, over the code and the hashes of its component and engine. A
//! file that was changed, cut short, moved, or made under another key or by another engine is compiled anew and
//! replaced.

use super::code::Code;
use crate::secrets::Keyring;
use sha2::{Digest, Sha256};
use std::{
    fs,
    hash::{Hash, Hasher},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    sync::Arc,
};
use wasmtime::{Engine, component::Component};

/// Compiled code on disk.
#[derive(Clone)]
pub struct CompiledCache {
    folder: PathBuf,
    keyring: Arc<Keyring>,
}

impl CompiledCache {
    /// Makes a cache in this folder, which is created when it is needed.
    pub fn new(folder: PathBuf, keyring: Arc<Keyring>) -> Self {
        Self { folder, keyring }
    }

    /// Loads the code of the component with this hash, if this gateway has compiled it before.
    pub(super) fn load(&self, engine: &Engine, sha256: &str) -> Option<Component> {
        let (file, header) = self.file_and_header(engine, sha256);
        let bytes = fs::read(&file).ok()?;
        let Some(code) = Code::from_tagged(&self.keyring, &header, &bytes) else {
            tracing::warn!(file = %file.display(), "compiled code is not as this gateway left it; compiling anew");
            return None;
        };
        code.revive(engine)
            .inspect_err(
                |error| tracing::warn!(file = %file.display(), %error, "compiled code can't be used"),
            )
            .ok()
    }

    /// Keeps a component's code. When that fails, the next start compiles again.
    pub(super) fn store(&self, engine: &Engine, sha256: &str, code: &Code) {
        let (file, header) = self.file_and_header(engine, sha256);
        let write = || -> io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            let mut new = tempfile::NamedTempFile::new_in(&self.folder)?;
            new.write_all(&code.tag(&self.keyring, &header))?;
            new.persist(&file)?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::warn!(file = %file.display(), %error, "compiled code can't be kept; every start will compile");
        }
    }

    /// Gives the file of a component's code, and the header that the code must begin with.
    fn file_and_header(&self, engine: &Engine, sha256: &str) -> (PathBuf, Vec<u8>) {
        let mut hasher = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let engine = format!("{:016x}", hasher.finish());
        let file = self.folder.join(format!("{sha256}-{engine}.compiled"));
        (file, format!("studio-gateway compiled component {sha256} {engine}\n").into_bytes())
    }
}

/// A hasher for the engine, which tells its version and settings only to a `Hasher`.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        first.iter_mut().zip(self.0.clone().finalize()).for_each(|(place, byte)| *place = byte);
        u64::from_be_bytes(first)
    }
}
