//! What only a component made by hand can try: raw calls, and what toolchains import of WASI.

use super::sandbox::{logged, start_with};
use serde_json::json;
use studio_gateway_tests::{Answer, Gateway, GatewayOptions, Guest, Plugin, Project};
use tempfile::TempDir;

/// Instructions that store an answer: a failure with this code, text and details, each an address and a length.
fn failure(code: u32, (text, text_length): (u32, u32), (details, details_length): (u32, u32)) -> String {
    format!(
        "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store8 (i32.const 20) (i32.const {code}))
        (i32.store (i32.const 24) (i32.const {text})) (i32.store (i32.const 28) (i32.const {text_length}))
        (i32.store (i32.const 32) (i32.const {details})) (i32.store (i32.const 36) (i32.const {details_length}))
        (i32.store8 (i32.const 40) (i32.const 0)) (i32.store8 (i32.const 48) (i32.const 0)) (i32.const 16)"
    )
}

/// A gateway with the guest as the driver `guest`, and a project with a connection of it.
struct Running {
    gateway: Gateway,
    project: Project,
    _folder: TempDir,
}

impl Running {
    async fn start(guest: Guest) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plugin = Plugin::component_file("guest", guest.write(folder.path().join("guest.wasm")))
            .line("limits = { operation_timeout = 2 }");
        let options = GatewayOptions::default().set("OUTSIDE", "of the sandbox");
        let (gateway, project) = start_with([plugin], options).await;
        project.connect("guest", json!({"identifier": "main", "host": "127.0.0.1"})).await;
        Self { gateway, project, _folder: folder }
    }

    async fn get(&self, path: &str) -> Answer {
        self.project.viewer.get(&self.project.path("guest", path)).await
    }

    async fn number(&self, path: &str) -> i64 {
        self.get(path).await.expect(200).data().as_i64().unwrap()
    }

    /// Asserts that this ends its session and no more.
    async fn breaks(&self, path: &str, words: &str) {
        let answer = self.get(path).await;
        answer.refused(502, "DRIVER_ERROR");
        assert!(answer.message().contains(words), "{path}: {answer}");
        assert_eq!(self.number("/one").await, 1, "after {path}");
        logged(&self.gateway, &["guest", "sandbox", answer.header("x-request-id").unwrap()]).await;
    }
}

/// A guest that can answer 1.
fn guest() -> Guest {
    Guest::new("guest").operation("one", "(call $number (i64.const 1))")
}

#[tokio::test]
async fn memory_and_tables_do_not_grow_beyond_their_limits() {
    let grow = "(call $number (i64.extend_i32_s (memory.grow (i32.const 1))))";
    let refused = "(if (i32.ne (memory.grow (i32.const 65000)) (i32.const -1)) (then unreachable))";
    let creep = "(loop $more
          (local.set $a (i32.add (local.get $a) (i32.const 1)))
          (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
        (call $number (i64.extend_i32_u (local.get $a)))";
    let table = "(if (i32.ne (table.grow $table (ref.null func) (i32.const 1000000)) (i32.const -1)) (then unreachable))
        (loop $more
          (local.set $a (i32.add (local.get $a) (i32.const 100)))
          (br_if $more (i32.ne (table.grow $table (ref.null func) (i32.const 100)) (i32.const -1))))
        (call $number (i64.extend_i32_u (local.get $a)))";
    let running = Running::start(
        guest()
            .fields("(table $table 10 funcref)")
            .operation("grow", &format!("{refused} {grow}"))
            .operation("creep", creep)
            .operation("table", table)
            .operation("trap", &format!("{refused} unreachable")),
    )
    .await;
    assert!(running.number("/grow").await >= 0, "what is within the limit is given after a refusal");
    let creeping = running.number("/creep").await;
    assert!((1000..=1024).contains(&creeping), "{creeping} pages");
    let elements = running.number("/table").await;
    assert!((19_000..=20_100).contains(&elements), "{elements} elements");
    running.breaks("/trap", "64 MiB").await;
    assert!(running.number("/creep").await > 900, "a new session has its own");
}

#[tokio::test]
async fn answers_that_lie_about_memory_break_the_session_only() {
    let reply = |text: u32, length: u32| format!("(call $reply (i32.const {text}) (i32.const {length}))");
    let running = Running::start(
        guest()
            .operation("outside", &reply(4_000_000_000, 10))
            .operation("across", &reply(65_536, 1 << 30))
            .operation("around", &reply(4_294_967_290, 100))
            .operation("result", "(i32.const -8)")
            .operation("askew", "(i32.const 17)")
            .operation("outcome", "(drop (call $number (i64.const 1))) (i32.store8 (i32.const 20) (i32.const 77)) (i32.const 16)")
            .operation("variant", "(drop (call $number (i64.const 1))) (i32.store8 (i32.const 16) (i32.const 2)) (i32.const 16)")
            .operation("code", &failure(99, (256, 1), (256, 0)))
            .fields("(data (i32.const 1024) \"\\ff\\fe\")")
            .operation("message", &failure(1, (1024, 2), (256, 0)))
            .operation("long", &failure(1, (256, 4_000_000_000), (256, 0))),
    )
    .await;
    for path in
        ["/outside", "/across", "/around", "/result", "/askew", "/outcome", "/variant", "/code", "/long"]
    {
        running.breaks(path, "broke the contract").await;
    }
    running.breaks("/message", "broke the contract").await;
}

#[tokio::test]
async fn errors_with_details_that_are_no_object_are_the_drivers_fault() {
    let running = Running::start(
        guest()
            .fields("(data (i32.const 1024) \"[1] not json\")")
            .operation("list", &failure(1, (256, 9), (1024, 3)))
            .operation("text", &failure(1, (256, 9), (1028, 8)))
            .operation("none", &failure(1, (256, 9), (1024, 0))),
    )
    .await;
    for path in ["/list", "/text"] {
        let answer = running.get(path).await;
        answer.refused(502, "DRIVER_ERROR");
        assert!(answer.message().contains("details"), "{answer}");
    }
    assert_eq!(running.get("/none").await.message(), "{\"version");
    assert_eq!(running.number("/one").await, 1);
}

#[tokio::test]
async fn forged_handles_reach_nothing() {
    let net = "studio:driver/net@0.1.0";
    let mut guest = guest()
        .import("$open", net, "open", "(param i32 i32)")
        .import("$read", net, "[method]byte-stream.read", "(param i32 i32 i32 i32 i32)")
        .import("$write", net, "[method]byte-stream.write", "(param i32 i32 i32 i32)")
        .import("$shutdown", net, "[method]byte-stream.shutdown", "(param i32 i32)")
        .import("$drop", net, "[resource-drop]byte-stream", "(param i32)");
    let mut paths = Vec::new();
    for handle in ["0", "1", "7", "-2147483648", "-1"] {
        for (function, arguments) in [
            ("read", "(i32.const 8) (i32.const 0) (i32.const 0) (i32.const 1024)"),
            ("write", "(i32.const 256) (i32.const 8) (i32.const 1024)"),
            ("shutdown", "(i32.const 1024)"),
            ("drop", ""),
        ] {
            let name = format!("{function}-{}", paths.len());
            let call =
                format!("(call ${function} (i32.const {handle}) {arguments}) (call $number (i64.const 1))");
            guest = guest.operation(&name, &call);
            paths.push(format!("/{name}"));
        }
    }
    let running = Running::start(guest).await;
    for path in paths {
        running.breaks(&path, "").await;
    }
}

/// The length of the list that a function without parameters answers.
fn length(function: &str) -> String {
    format!("(call {function} (i32.const 1024)) (call $number (i64.load32_u (i32.const 1028)))")
}

#[tokio::test]
async fn what_toolchains_import_gives_nothing_away() {
    let running = Running::start(
        guest()
            .import("$environment", "wasi:cli/environment@0.2.0", "get-environment", "(param i32)")
            .import("$arguments", "wasi:cli/environment@0.2.0", "get-arguments", "(param i32)")
            .import("$folders", "wasi:filesystem/preopens@0.2.0", "get-directories", "(param i32)")
            .import("$socket", "wasi:sockets/tcp-create-socket@0.2.0", "create-tcp-socket", "(param i32 i32)")
            .import("$network", "wasi:sockets/instance-network@0.2.0", "instance-network", "(result i32)")
            .import("$resolve", "wasi:sockets/ip-name-lookup@0.2.0", "resolve-addresses", "(param i32 i32 i32 i32)")
            .import("$exit", "wasi:cli/exit@0.2.0", "exit", "(param i32)")
            .import("$now", "wasi:clocks/monotonic-clock@0.2.0", "now", "(result i64)")
            .import("$random", "wasi:random/random@0.2.0", "get-random-bytes", "(param i64 i32)")
            .fields("(data (i32.const 2048) \"localhost\")")
            .operation("environment", &length("$environment"))
            .operation("arguments", &length("$arguments"))
            .operation("folders", &length("$folders"))
            // 100 and the error code, or less.
            .operation(
                "socket",
                "(call $socket (i32.const 0) (i32.const 1024))
                (call $number (i64.add (i64.mul (i64.load8_u (i32.const 1024)) (i64.const 100)) (i64.load8_u (i32.const 1028))))",
            )
            .operation(
                "resolve",
                "(call $resolve (call $network) (i32.const 2048) (i32.const 9) (i32.const 1024))
                (call $number (i64.add (i64.mul (i64.load8_u (i32.const 1024)) (i64.const 100)) (i64.load8_u (i32.const 1028))))",
            )
            .operation("exit", "(call $exit (i32.const 0)) (call $number (i64.const 1))")
            .operation("now", "(call $number (call $now))")
            .operation("random", "(call $random (i64.const 4294967296) (i32.const 1024)) (call $number (i64.const 1))")
            .operation("networks", "(loop $more (drop (call $network)) (br $more)) (call $number (i64.const 1))"),
    )
    .await;
    for path in ["/environment", "/arguments", "/folders"] {
        assert_eq!(running.number(path).await, 0, "{path}");
    }
    // `access-denied`, the second of its kind.
    assert_eq!(running.number("/socket").await, 101);
    let looked_up = running.number("/resolve").await;
    assert!(looked_up >= 100, "{looked_up}");
    assert!(running.number("/now").await < 60_000_000_000, "since the session began");
    running.breaks("/exit", "").await;
    running.breaks("/random", "").await;
    running.breaks("/networks", "").await;
}

#[tokio::test]
async fn standard_output_is_in_the_log_under_the_drivers_name() {
    let stream = |name: &str| {
        format!(
            "(local.set $a (call ${name}))
            (call $write (local.get $a) (i32.const 2048) (i32.const 32) (i32.const 1024))
            (call $number (i64.load8_u (i32.const 1024)))"
        )
    };
    let flood = "(local.set $a (call $stdout))
        (loop $more (call $write (local.get $a) (i32.const 2048) (i32.const 2000) (i32.const 1024)) (br $more))
        unreachable";
    let running = Running::start(
        guest()
            .import("$stdout", "wasi:cli/stdout@0.2.0", "get-stdout", "(result i32)")
            .import("$stderr", "wasi:cli/stderr@0.2.0", "get-stderr", "(result i32)")
            .import(
                "$write",
                "wasi:io/streams@0.2.0",
                "[method]output-stream.blocking-write-and-flush",
                "(param i32 i32 i32 i32)",
            )
            .fields("(data (i32.const 2048) \"the guest says so\\nand some more\\n\\n\")")
            .operation("stdout", &stream("stdout"))
            .operation("stderr", &stream("stderr"))
            .operation("flood", flood),
    )
    .await;
    assert_eq!(running.number("/stdout").await, 0);
    logged(&running.gateway, &["guest", "stdout", "INFO", "the guest says so"]).await;
    logged(&running.gateway, &["guest", "stdout", "INFO", "and some more"]).await;
    assert_eq!(running.number("/stderr").await, 0);
    logged(&running.gateway, &["guest", "stderr", "WARN", "the guest says so"]).await;
    running.get("/flood").await.refused(504, "TIMEOUT");
    assert_eq!(running.number("/one").await, 1);
    assert!(running.gateway.log().len() < 4 << 20, "{} bytes of log", running.gateway.log().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guest_that_sleeps_through_wasi_keeps_nobody_from_computing() {
    // Out of its first share, and then asleep for an hour.
    let sleep = "(local.set $c (i64.add (call $now) (i64.const 20000000)))
        (loop $more (br_if $more (i64.lt_u (call $now) (local.get $c))))
        (call $block (call $later (i64.const 3600000000000)))
        (call $number (i64.const 1))";
    let compute = "(local.set $c (i64.add (call $now) (i64.const 50000000)))
        (loop $more (br_if $more (i64.lt_u (call $now) (local.get $c))))
        (call $number (i64.const 1))";
    let clock = "wasi:clocks/monotonic-clock@0.2.0";
    let running = Running::start(
        guest()
            .import("$now", clock, "now", "(result i64)")
            .import("$later", clock, "subscribe-duration", "(param i64) (result i32)")
            .import("$block", "wasi:io/poll@0.2.0", "[method]pollable.block", "(param i32)")
            .operation("sleep", sleep)
            .operation("compute", compute),
    )
    .await;
    for number in 0..4 {
        running
            .project
            .connect("guest", json!({"identifier": format!("s{number}"), "host": "127.0.0.1"}))
            .await;
    }
    let asleep: Vec<_> = (0..4)
        .map(|number| {
            let (viewer, path) = (
                running.project.viewer.clone(),
                running.project.path("guest", &format!("/sleep?connection=s{number}")),
            );
            tokio::spawn(async move { viewer.get(&path).await })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    let begin = std::time::Instant::now();
    assert_eq!(running.number("/compute").await, 1);
    assert!(begin.elapsed() < std::time::Duration::from_millis(900), "{:?}", begin.elapsed());
    for call in asleep {
        call.await.unwrap().refused(504, "TIMEOUT");
    }
}
