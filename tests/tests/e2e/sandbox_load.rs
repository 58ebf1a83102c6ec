//! Components that can't be drivers are refused when they are loaded, in one line that says why.

use serde_json::{Value, json};
use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};
use studio_gateway_tests::{Gateway, GatewayOptions, Guest, Plugin, Plugins, dist};
use tempfile::TempDir;

/// A file, and what is said of it.
struct Case {
    plugin: Plugin,
    file: String,
    words: Vec<&'static str>,
}

/// Files in a folder, each under a database type of its own.
struct Cases {
    folder: TempDir,
    cases: Vec<Case>,
}

impl Cases {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), cases: Vec::new() }
    }

    fn bytes(&mut self, database_type: &str, bytes: impl AsRef<[u8]>, words: &[&'static str]) -> PathBuf {
        let file = format!("{database_type}.wasm");
        let path = self.folder.path().join(&file);
        fs::write(&path, bytes).unwrap();
        let plugin = Plugin::component_file(database_type, &path);
        self.cases.push(Case { plugin, file, words: words.to_vec() });
        path
    }

    fn guest(&mut self, database_type: &str, make: impl FnOnce(Guest) -> Guest, words: &[&'static str]) {
        self.bytes(database_type, make(Guest::new(database_type)).encode(), words);
    }

    /// Each by itself stops the start, and together they are skipped when the settings say so.
    async fn must_be_refused(self) {
        for case in &self.cases {
            let options = GatewayOptions::default().plugins(Plugins::new([case.plugin.clone()]));
            let failed = Gateway::prepare(options).await.fails_to_start().await;
            let words = [&[case.file.as_str()], case.words.as_slice()].concat();
            failed.says(&words);
            assert!(failed.log.len() < 20_000, "{} bytes about {}", failed.log.len(), case.file);
        }
        let plugins = self.cases.iter().map(|case| case.plugin.clone()).chain([Plugin::new("probe")]);
        let options = GatewayOptions::default().plugins(Plugins::new(plugins));
        let gateway = Gateway::start(options.set("GATEWAY_ON_PLUGIN_ERROR", "skip")).await;
        let items = gateway.platform_admin().get("/api/platform/plugins").await.expect(200).items();
        assert_eq!(items.len(), self.cases.len() + 1);
        for (item, case) in items.iter().zip(&self.cases) {
            assert_eq!((&item["kind"], &item["loaded"]), (&json!("wasm"), &json!(false)), "{item}");
            let error = item["error"].as_str().unwrap();
            assert!(case.words.iter().all(|word| error.contains(word)), "no {:?} in: {error}", case.words);
        }
        assert_eq!(items.last().unwrap()["loaded"], true);
    }
}

fn imports(guest: Guest, interface: &str, function: &str) -> Guest {
    guest
        .import("$strange", interface, function, "")
        .operation("strange", "(call $strange) (call $number (i64.const 0))")
}

#[tokio::test]
async fn component_is_refused_by_the_name_of_a_missing_import() {
    let mut cases = Cases::new();
    cases.guest(
        "http",
        |guest| imports(guest, "wasi:http/outgoing-handler@0.2.0", "handle"),
        &["imports", "wasi:http/outgoing-handler@0.2.0"],
    );
    cases.guest("evil", |guest| imports(guest, "evil:thing/x", "run"), &["imports", "evil:thing/x"]);
    cases.guest("newer", |guest| imports(guest, "studio:driver/net@0.2.0", "open"), &["0.2.0", "0.1.0"]);
    cases.must_be_refused().await;
}

#[tokio::test]
async fn file_that_is_no_driver_component_is_refused() {
    let mut cases = Cases::new();
    let whole = Guest::new("cut").encode();
    cases.bytes("cut", &whole[..whole.len() / 2], &["not a WebAssembly component"]);
    cases.bytes("module", wat::parse_str("(module)").unwrap(), &["not a WebAssembly component"]);
    cases.bytes("empty", wat::parse_str("(component)").unwrap(), &["not a studio-gateway driver"]);
    let noise: Vec<u8> =
        (0..100_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    cases.bytes("noise", [b"\0asm\x0d\0\x01\0", noise.as_slice()].concat(), &["not a WebAssembly component"]);
    cases.bytes("header", b"\0asm", &["not a WebAssembly component"]);
    cases.must_be_refused().await;
}

#[tokio::test]
async fn manifest_that_lies_is_refused() {
    let operation = |path: &str| json!({"method": "GET", "path": path, "access": "read"});
    let operations = |list: Vec<Value>| move |guest: Guest| guest.manifest_field("operations", json!(list));
    let mut cases = Cases::new();
    cases.guest("twice", operations(vec![operation("/a"), operation("/a")]), &["/a", "twice"]);
    cases.guest("alike", operations(vec![operation("/{a}"), operation("/{b}")]), &["/{b}"]);
    cases.guest("path", operations(vec![operation("no path\nat all")]), &["path template"]);
    let long = "/a".repeat(1_000_000);
    cases.guest("long", operations(vec![operation(&long)]), &["path template"]);
    cases.guest("many", operations(vec![operation("/a"); 40_000]), &["40000", "1000"]);
    cases.guest("projects", |guest| guest, &["projects"]);
    cases.guest("other", |guest| guest.manifest_field("type", json!("another")), &["another", "other"]);
    cases.guest("name", |guest| guest.manifest_field("name", json!("two\nlines")), &["`name`", "one line"]);
    cases.guest("json", |guest| guest.manifest_text("{\"type\": "), &["manifest"]);
    cases.guest("list", |guest| guest.manifest_text("[]"), &["manifest"]);
    cases.guest("deep", |guest| guest.manifest_text("[".repeat(1_000_000)), &["manifest"]);
    cases.guest("text", |guest| guest.manifest_text(b"\xff\xfe".to_vec()), &["manifest"]);
    cases.guest("newer", |guest| guest.manifest_field("api_version", json!("0.2.0")), &["0.2.0", "0.1.0"]);
    cases.guest(
        "version",
        |guest| guest.manifest_field("api_version", json!("1\n".repeat(1_000_000))),
        &["API"],
    );
    // 60 MiB of zero bytes, which is text; and 100 MiB that are not there.
    let told = |length: u32| {
        format!(
            "(i32.store (i32.const 4) (i32.const {length})) (i32.store (i32.const 0) (i32.const 8192)) (return (i32.const 0))"
        )
    };
    let large = "(memory (export \"memory\") 1000)";
    cases.guest(
        "large",
        |guest| guest.memory(large).before_manifest(&told(60 << 20)),
        &["bytes", "the most"],
    );
    cases.guest(
        "absent",
        |guest| guest.before_manifest(&told(100 << 20)),
        &["manifest", "broke the contract"],
    );
    cases.must_be_refused().await;
}

#[tokio::test]
async fn component_that_takes_too_much_to_start_is_refused() {
    let endless = "(func $endless (loop $again (br $again)))";
    let mut cases = Cases::new();
    cases.guest("start", |guest| guest.fields(&format!("{endless} (start $endless)")), &["5 s"]);
    cases.guest("tell", |guest| guest.fields(endless).before_manifest("(call $endless)"), &["5 s"]);
    cases.guest("trap", |guest| guest.before_manifest("(unreachable)"), &["manifest", "panicked"]);
    cases.guest("fall", |guest| guest.fields("(func $fall (call $fall)) (start $fall)"), &["stack"]);
    let memory = |pages: u32| format!("(memory (export \"memory\") {pages})");
    cases.guest("four", |guest| guest.memory(&memory(65_536)), &["memory"]);
    cases.guest("hundred", |guest| guest.memory(&memory(1600)), &["memory", "64 MiB"]);
    cases.guest("table", |guest| guest.fields("(table 1000000 funcref)"), &["table"]);
    cases.guest("elements", |guest| guest.fields("(table 20001 funcref)"), &["table elements", "20000"]);
    cases.guest("tables", |guest| guest.fields("(table 1 funcref) (table 1 funcref)"), &["tables"]);
    cases.guest("second", |guest| guest.fields("(memory 1)"), &["memories"]);
    cases.must_be_refused().await;
}

#[tokio::test]
async fn network_is_closed_to_a_guest_that_tells_its_manifest() {
    // It traps unless the host says no.
    let guest = Guest::new("early")
        .import("$open", "studio:driver/net@0.1.0", "open", "(param i32 i32)")
        .before_manifest(
            "(call $open (i32.const 0) (i32.const 1024))
            (if (i32.eqz (i32.load8_u (i32.const 1024))) (then unreachable))",
        );
    let folder = tempfile::tempdir().unwrap();
    let plugin = Plugin::component_file("early", guest.write(folder.path().join("early.wasm")));
    let gateway = Gateway::start(GatewayOptions::default().plugins(Plugins::new([plugin]))).await;
    let items = gateway.platform_admin().get("/api/platform/plugins").await.expect(200).items();
    assert_eq!(items[0]["loaded"], true);
}

#[tokio::test]
async fn kind_and_pinned_bytes_of_a_component_must_agree() {
    let pinned = Plugin::component("hostile").line(format!("sha256 = \"{}\"", "0".repeat(64)));
    for (plugin, words) in [
        (pinned, ["hostile.wasm", "0000000000000000"]),
        (Plugin::file("hostile", dist::component("hostile")), ["hostile.wasm", "kind \"wasm\""]),
        (Plugin::component_file("probe", dist::driver("probe")), ["probe.so", "kind \"dylib\""]),
    ] {
        let options = GatewayOptions::default().plugins(Plugins::new([plugin]));
        Gateway::prepare(options).await.fails_to_start().await.says(&words);
    }
}

#[tokio::test]
async fn component_is_inspected_and_verified() {
    let file = dist::component("hostile");
    let bytes = fs::read(&file).unwrap();
    let options = GatewayOptions::default().plugins(Plugins::new([Plugin::component("hostile")]));
    let gateway = Gateway::prepare(options).await;
    let run = |command: &str| {
        let output = gateway.run_cli(&["plugin", command, file.to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let found: Value = serde_json::from_str(&run("inspect")).unwrap();
    assert_eq!((&found["kind"], &found["api_version"]), (&json!("wasm"), &json!("0.1.0")));
    assert_eq!(found["size"], bytes.len());
    assert_eq!(found["sha256"], super::plugins::sha256(&file));
    assert_eq!(found["manifest"]["type"], "hostile");
    let time = found["precompile_milliseconds"].as_u64().unwrap();
    assert!(time > 0 && u128::from(time) < Duration::from_secs(60).as_millis(), "{time}");
    let imports: Vec<&str> = found["imports"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for import in ["clocks", "log", "net", "random"] {
        assert!(imports.contains(&format!("studio:driver/{import}@0.1.0").as_str()), "{imports:?}");
    }
    let line = run("verify");
    assert!(line.contains("kind wasm") && line.contains("loads"), "{line}");

    let folder = tempfile::tempdir().unwrap();
    let evil = imports_evil(folder.path().join("evil.wasm"));
    for command in ["inspect", "verify"] {
        let output = gateway.run_cli(&["plugin", command, evil.to_str().unwrap()]);
        assert!(!output.status.success());
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains("evil.wasm") && errors.contains("evil:thing/x"), "{errors}");
    }
}

fn imports_evil(file: PathBuf) -> PathBuf {
    imports(Guest::new("evil"), "evil:thing/x", "run").write(file)
}

#[tokio::test]
async fn component_that_takes_for_ever_to_compile_is_refused_in_time() {
    let folder = tempfile::tempdir().unwrap();
    // The compiler's work grows much faster than this function.
    let loops = ["(loop (br_if 0 (local.get 0)) ".repeat(900), ")".repeat(900)].concat().repeat(20);
    let locals = "i64 ".repeat(2000);
    let function =
        format!("(func (export \"b\") (param i32) (result i32) (local {locals}) {loops} (local.get 0))");
    let file = Guest::new("bomb").fields(&function).write(folder.path().join("bomb.wasm"));
    let plugins = Plugins::new([Plugin::component_file("bomb", file)]);
    let options = GatewayOptions::default().plugins(plugins).set("GATEWAY_COMPILE_TIMEOUT", "2s");
    let begin = Instant::now();
    Gateway::prepare(options).await.fails_to_start().await.says(&["bomb.wasm", "compiling", "2 seconds"]);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}
