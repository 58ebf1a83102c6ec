//! Components written by hand, for cases that no toolchain would make: a core module in WebAssembly text, and around it
//! the exports that the driver world asks for.

use serde_json::{Value, json};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The beginning of the names of the world's exports.
const EXPORT: &str = "studio:driver/guest@0.1.0#";
/// The place in memory where the manifest's text begins; below it is room for answers.
const TEXT: usize = 4096;
/// Bytes of a page of memory.
const PAGE: usize = 65_536;

/// The parts that every guest has: memory for the bytes that the host hands over, and answers.
///
/// `$reply` makes an answer of a text, and `$number` of a number.
const COMMON: &str = r#"
(global $free (mut i32) (i32.const 0))
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $place i32)
  (if (i32.eqz (global.get $free)) (then (global.set $free (global.get $heap))))
  (local.set $place (global.get $free))
  (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)) (i32.const -8)))
  (local.get $place))
(func $reply (param $text i32) (param $length i32) (result i32)
  (i32.store8 (i32.const 16) (i32.const 0))
  (i32.store8 (i32.const 20) (i32.const 0))
  (i32.store (i32.const 24) (local.get $text))
  (i32.store (i32.const 28) (local.get $length))
  (i32.store8 (i32.const 32) (i32.const 0))
  (i32.const 16))
(func $number (param $number i64) (result i32) (local $at i32)
  (local.set $at (i32.const 128))
  (loop $next
    (local.set $at (i32.sub (local.get $at) (i32.const 1)))
    (i32.store8 (local.get $at)
      (i32.wrap_i64 (i64.add (i64.const 48) (i64.rem_u (local.get $number) (i64.const 10)))))
    (local.set $number (i64.div_u (local.get $number) (i64.const 10)))
    (br_if $next (i64.ne (local.get $number) (i64.const 0))))
  (call $reply (local.get $at) (i32.sub (i32.const 128) (local.get $at))))
(func $fine (result i32)
  (i32.store8 (i32.const 64) (i32.const 0))
  (i32.const 64))
(data (i32.const 256) "{\22version\22:\221\22}")
"#;

/// A component that can be made: a driver without operations, and without faults until a test adds some.
#[derive(Debug, Clone)]
pub struct Guest {
    manifest: Value,
    text: Option<Vec<u8>>,
    told: Option<String>,
    imports: String,
    fields: String,
    memory: String,
    bodies: Vec<String>,
}

impl Guest {
    /// Begins a driver for this database type.
    pub fn new(database_type: &str) -> Self {
        let manifest = json!({
            "api_version": "0.1.0", "type": database_type, "name": "By hand", "version": "1", "default_port": 7,
            "options": {"type": "object"}, "operations": [],
        });
        let memory = "(memory (export \"memory\") $pages)".to_owned();
        let (imports, fields) = (String::new(), String::new());
        Self { manifest, text: None, told: None, imports, fields, memory, bodies: Vec::new() }
    }

    /// Sets another value of the manifest.
    pub fn manifest_field(mut self, name: &str, value: Value) -> Self {
        self.manifest[name] = value;
        self
    }

    /// Sets the manifest's text as it is.
    pub fn manifest_text(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Sets instructions that run before the manifest is told.
    pub fn before_manifest(mut self, instructions: &str) -> Self {
        self.told.get_or_insert_default().push_str(instructions);
        self
    }

    /// Adds an operation `GET /name`. Its instructions leave the address of a result: `(call $number (i64.const 1))`.
    /// They may use the locals `$a`, `$b` and `$c`, and memory from 1024 to 4096.
    pub fn operation(mut self, name: &str, instructions: &str) -> Self {
        let operation = json!({"method": "GET", "path": format!("/{name}"), "access": "read"});
        self.manifest["operations"].as_array_mut().unwrap().push(operation);
        self.bodies.push(instructions.to_owned());
        self
    }

    /// Imports a function of the world: `import("$open", "studio:driver/net@0.1.0", "open", "(param i32 i32)")`.
    pub fn import(mut self, name: &str, interface: &str, function: &str, kind: &str) -> Self {
        writeln!(self.imports, "(import \"{interface}\" \"{function}\" (func {name} {kind}))").unwrap();
        self
    }

    /// Adds more fields of the core module.
    pub fn fields(mut self, text: &str) -> Self {
        self.fields.push_str(text);
        self
    }

    /// Sets another memory: `(memory (export "memory") 65536)`.
    pub fn memory(mut self, text: &str) -> Self {
        text.clone_into(&mut self.memory);
        self
    }

    /// Encodes the component.
    pub fn encode(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.text()).unwrap_or_else(|error| panic!("{error}"));
        let mut resolve = Resolve::default();
        let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-api/wit/0.1.0");
        resolve.push_dir(contract).unwrap();
        let package = resolve.push_str("guest.wit", include_str!("guest.wit")).unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
        let mut encoder = ComponentEncoder::default();
        encoder.module(&module).unwrap();
        encoder.encode().unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Writes the component to a file.
    pub fn write(&self, file: impl Into<PathBuf>) -> PathBuf {
        let file = file.into();
        fs::write(&file, self.encode()).unwrap();
        file
    }

    fn text(&self) -> String {
        let manifest = self.text.clone().unwrap_or_else(|| self.manifest.to_string().into_bytes());
        let bytes: String = manifest.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let heap = (TEXT + manifest.len()).next_multiple_of(8);
        let memory = self.memory.replace("$pages", &(heap.div_ceil(PAGE) + 4).to_string());
        let (imports, fields, told) = (&self.imports, &self.fields, self.told.as_deref().unwrap_or_default());
        let operations: String = self
            .bodies
            .iter()
            .enumerate()
            .map(|(number, body)| {
                format!("(if (i32.eq (local.get $operation) (i32.const {number})) (then {body} return))\n")
            })
            .collect();
        let settings = "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)";
        let length = manifest.len();
        format!(
            "(module {imports} {memory} (global $heap i32 (i32.const {heap})) {COMMON} {fields}
            (data (i32.const {TEXT}) \"{bytes}\")
            (func (export \"{EXPORT}manifest\") (result i32)
              {told}
              (i32.store (i32.const 0) (i32.const {TEXT}))
              (i32.store (i32.const 4) (i32.const {length}))
              (i32.const 0))
            (func (export \"{EXPORT}check\") {settings} (call $fine))
            (func (export \"{EXPORT}open\") {settings} (call $fine))
            (func (export \"{EXPORT}call\")
              (param $operation i32) (param i32 i32 i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)
              (local $a i32) (local $b i32) (local $c i64)
              {operations}
              unreachable)
            (func (export \"{EXPORT}ping\") (result i32)
              (i32.store8 (i32.const 64) (i32.const 0))
              (i32.store (i32.const 68) (i32.const 256))
              (i32.store (i32.const 72) (i32.const 15))
              (i32.const 64))
            (func (export \"{EXPORT}close\")))"
        )
    }
}
