//! A component that attacks its sandbox harms its own call and nothing else.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use studio_gateway_tests::{
    Answer, Gateway, GatewayOptions, Plugin, Plugins, Project, eventually, process::listen, time::within,
};

/// The hostile driver, whose operations have a second.
pub fn hostile() -> Plugin {
    Plugin::component("hostile").line("limits = { operation_timeout = 1 }")
}

/// A gateway with these plugins, and an empty project.
pub async fn start_with(
    plugins: impl IntoIterator<Item = Plugin>,
    options: GatewayOptions,
) -> (Gateway, Project) {
    let gateway = Gateway::start(options.plugins(Plugins::new(plugins))).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    (gateway, project)
}

/// A gateway with the hostile driver, and a project with a connection `main` of it that has no server.
pub async fn start(options: GatewayOptions) -> (Gateway, Project) {
    let (gateway, project) = start_with([hostile()], options).await;
    connect(&project, "main", 1, json!({})).await;
    (gateway, project)
}

/// Creates a connection of the hostile driver and gives back its id.
pub async fn connect(project: &Project, identifier: &str, port: u16, options: Value) -> String {
    let body = json!({"identifier": identifier, "host": "127.0.0.1", "port": port, "options": options});
    project.connect("hostile", body).await
}

/// Calls an operation of the hostile driver by a connection.
pub async fn call(project: &Project, connection: &str, path: &str) -> Answer {
    let joint = if path.contains('?') { '&' } else { '?' };
    project.viewer.get(&project.path("hostile", &format!("{path}{joint}connection={connection}"))).await
}

/// Asserts that a session is as new.
pub async fn works_anew(project: &Project, connection: &str) {
    assert_eq!(call(project, connection, "/nothing").await.expect(200).data(), 0, "calls of this session");
}

/// Waits for a line of the log with all these words.
pub async fn logged(gateway: &Gateway, words: &[&str]) {
    eventually(&format!("a line of the log with {words:?}"), async || {
        gateway.log().lines().any(|line| words.iter().all(|word| line.contains(word)))
    })
    .await;
}

#[tokio::test]
async fn broken_session_ends_with_its_call_and_the_log_says_why() {
    let (gateway, project) = start(GatewayOptions::default()).await;
    let memory = "more memory than its limit of 64 MiB";
    for (path, words) in [
        ("/recurse", "out of stack"),
        ("/allocate?bytes=2147483000", memory),
        ("/allocate?bytes=65536", memory),
        ("/reply?bytes=1073741824", memory),
        ("/reply?bytes=70000000", memory),
        ("/panic", "panicked"),
        ("/random?length=4294967295", "broke the contract"),
    ] {
        call(&project, "main", "/nothing").await.expect(200);
        let answer = call(&project, "main", path).await;
        answer.refused(502, "DRIVER_ERROR");
        assert!(answer.message().contains(words), "{path}: {answer}");
        let request_id = answer.header("x-request-id").unwrap();
        logged(&gateway, &["hostile", "sandbox", words, request_id]).await;
        works_anew(&project, "main").await;
    }
    logged(&gateway, &["hostile", "the hostile driver panics", "misdeeds.rs"]).await;
    logged(&gateway, &["4294967295 random bytes were asked for"]).await;
}

#[tokio::test]
async fn what_does_not_end_ends_at_the_deadline() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    for path in ["/loop", "/waves", "/sleep?milliseconds=3600000", "/log?lines=100000000&bytes=100"] {
        call(&project, "main", "/nothing").await.expect(200);
        let begin = Instant::now();
        call(&project, "main", path).await.refused(504, "TIMEOUT");
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(950) && took < Duration::from_secs(3), "{path}: {took:?}");
        works_anew(&project, "main").await;
    }
}

#[tokio::test]
async fn replies_against_the_rules_are_errors_and_sessions_go_on() {
    let options = GatewayOptions::default().set("GATEWAY_MAX_REPLY_BYTES", "1000000");
    let (_gateway, project) = start(options).await;
    for (path, status, code) in [
        ("/reply?bytes=1000001", 502, "RESULT_TOO_LARGE"),
        ("/reply?bytes=50000000", 502, "RESULT_TOO_LARGE"),
        ("/reply/empty", 502, "DRIVER_ERROR"),
        ("/reply/surplus", 502, "DRIVER_ERROR"),
        ("/error?bytes=50000000", 502, "DRIVER_ERROR"),
        ("/error?bytes=1000", 400, "QUERY_ERROR"),
    ] {
        let before = call(&project, "main", "/nothing").await.expect(200).data().as_u64().unwrap();
        let answer = call(&project, "main", path).await;
        assert_eq!(answer.error_code(), code, "{path}: {answer}");
        assert!(answer.bytes.len() < 100_000, "{path}: {} bytes", answer.bytes.len());
        assert!(answer.status == status || code == "RESULT_TOO_LARGE", "{path}: {answer}");
        assert_eq!(call(&project, "main", "/nothing").await.expect(200).data(), before + 1, "{path}");
    }
    let answer = call(&project, "main", "/reply?bytes=1000000").await.expect(200);
    assert_eq!(answer.data().as_str().map(str::len), Some(999_998));
}

#[tokio::test]
async fn memory_that_is_kept_counts_until_the_session_ends() {
    let (gateway, project) = start(GatewayOptions::default()).await;
    let mut kept = 0;
    let answer = loop {
        let answer = call(&project, "main", "/keep?bytes=1048576").await;
        if answer.status != 200 {
            break answer;
        }
        kept += 1;
        assert_eq!(answer.data(), kept * 1_048_576);
    };
    assert!((40..64).contains(&kept), "{kept} MiB");
    answer.refused(502, "DRIVER_ERROR");
    logged(&gateway, &["hostile", "64 MiB"]).await;
    works_anew(&project, "main").await;
}

#[tokio::test]
async fn memory_limit_is_what_plugins_toml_says() {
    let plugin = Plugin::component("hostile").line("limits = { memory = 8 }");
    let (_gateway, project) = start_with([plugin], GatewayOptions::default()).await;
    connect(&project, "main", 1, json!({})).await;
    call(&project, "main", "/reply?bytes=2000000").await.expect(200);
    let answer = call(&project, "main", "/reply?bytes=8000000").await;
    answer.refused(502, "DRIVER_ERROR");
    assert!(answer.message().contains("8 MiB"), "{answer}");
    works_anew(&project, "main").await;
}

#[tokio::test]
async fn host_has_stack_left_when_a_guest_has_none() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    let listener = listen();
    let port = listener.local_addr().unwrap().port();
    // A server that ends every handshake.
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    connect(&project, "deep", port, json!({})).await;
    let holds = async |depth: u64, rest: &str| {
        let answer = call(&project, "deep", &format!("/recurse?depth={depth}{rest}")).await;
        assert!(matches!(answer.status, 200 | 502), "{answer}");
        answer.status == 200
    };
    let (mut holding, mut breaking) = (0, 1 << 20);
    while breaking - holding > 1 {
        let middle = u64::midpoint(holding, breaking);
        if holds(middle, "").await { holding = middle } else { breaking = middle }
    }
    assert!(holding > 1000, "{holding}");
    // From the very end of the stack upwards, until there is enough for what the guest itself needs to ask.
    let mut asked = false;
    for above in (0..400).step_by(10) {
        if holds(holding - above, "&connect=true").await {
            asked = true;
            break;
        }
    }
    assert!(asked, "the host was never asked");
    works_anew(&project, "main").await;
}

#[tokio::test]
async fn misdeeds_in_opening_fail_the_call_and_pause_the_connection() {
    let options = GatewayOptions::default().set("GATEWAY_SESSIONS_CONNECT_TIMEOUT", "1s");
    let (gateway, project) = start_with([Plugin::component("hostile")], options).await;
    connect(&project, "main", 1, json!({})).await;
    for (misdeed, status, code, words) in [
        ("panic", 502, "DRIVER_ERROR", "panicked"),
        ("recurse", 502, "DRIVER_ERROR", "out of stack"),
        ("allocate", 502, "DRIVER_ERROR", "64 MiB"),
        ("loop", 503, "CONNECTION_ERROR", "in time"),
        ("sleep", 503, "CONNECTION_ERROR", "in time"),
    ] {
        connect(&project, misdeed, 1, json!({"open": misdeed})).await;
        let begin = Instant::now();
        let answer = call(&project, misdeed, "/nothing").await;
        answer.refused(status, code);
        assert!(answer.message().contains(words), "{answer}");
        assert!(begin.elapsed() < Duration::from_secs(4), "{misdeed}: {:?}", begin.elapsed());
        call(&project, "main", "/nothing").await.expect(200);
    }
    logged(&gateway, &["hostile", "sandbox", "panicked"]).await;
}

#[tokio::test]
async fn misdeeds_while_checking_settings_leave_no_connection() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    for misdeed in ["panic", "recurse", "allocate", "loop", "sleep"] {
        let body = json!({"identifier": misdeed, "host": "127.0.0.1", "options": {"check": misdeed}});
        let begin = Instant::now();
        let answer = project.owner.post(&project.connections("hostile"), body).await;
        answer.refused(502, "DRIVER_ERROR");
        assert!(begin.elapsed() < Duration::from_secs(9), "{misdeed}: {:?}", begin.elapsed());
    }
    assert_eq!(project.owner.get(&project.connections("hostile")).await.expect(200).items().len(), 1);
    call(&project, "main", "/nothing").await.expect(200);
}

#[tokio::test]
async fn misdeeds_when_asked_who_the_server_is_are_the_callers_error() {
    let options = GatewayOptions::default().set("GATEWAY_SESSIONS_CONNECT_TIMEOUT", "1s");
    let (_gateway, project) = start(options).await;
    for misdeed in ["panic", "recurse", "allocate", "loop", "sleep"] {
        let id = connect(&project, misdeed, 1, json!({"ping": misdeed})).await;
        let test = format!("{}/{id}/test", project.connections("hostile"));
        let begin = Instant::now();
        let answer = project.owner.post(&test, json!({})).await;
        assert!(begin.elapsed() < Duration::from_secs(4), "{misdeed}: {:?}", begin.elapsed());
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert!(text.contains("DRIVER_ERROR") || text.contains("TIMEOUT"), "{misdeed}: {answer}");
        call(&project, misdeed, "/nothing").await.expect(200);
    }
}

#[tokio::test]
async fn endless_closing_delays_neither_others_nor_the_shutdown() {
    let options = GatewayOptions::default().set("GATEWAY_SESSIONS_IDLE_TIMEOUT", "10m");
    let (mut gateway, project) = start(options).await;
    for misdeed in ["loop", "panic", "sleep", "recurse", "allocate"] {
        let id = connect(&project, misdeed, 1, json!({"close": misdeed})).await;
        call(&project, misdeed, "/nothing").await.expect(200);
        let begin = Instant::now();
        project.owner.delete(&format!("{}/{id}", project.connections("hostile"))).await.expect(204);
        call(&project, "main", "/nothing").await.expect(200);
        assert!(begin.elapsed() < Duration::from_secs(1), "{misdeed}: {:?}", begin.elapsed());
    }
    for number in 0..5 {
        let identifier = format!("loop-{number}");
        connect(&project, &identifier, 1, json!({"close": "loop"})).await;
        call(&project, &identifier, "/nothing").await.expect(200);
    }
    let begin = Instant::now();
    gateway.stop().await;
    assert!(begin.elapsed() < Duration::from_millis(2500), "the shutdown took {:?}", begin.elapsed());
}

#[tokio::test]
async fn session_that_is_closed_says_goodbye() {
    let options = GatewayOptions::default().set("GATEWAY_SESSIONS_IDLE_TIMEOUT", "200ms");
    let (gateway, project) = start(options).await;
    call(&project, "main", "/nothing").await.expect(200);
    let took = within(Duration::from_secs(10), "the session is closed", async || {
        gateway.log().contains("the hostile driver says goodbye")
    })
    .await;
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn deadline_of_one_call_is_not_anothers() {
    let plugin = Plugin::component("hostile").line("limits = { operation_timeout = 4 }");
    let (_gateway, project) = start_with([plugin], GatewayOptions::default()).await;
    for identifier in ["one", "two", "three"] {
        connect(&project, identifier, 1, json!({})).await;
        call(&project, identifier, "/nothing").await.expect(200);
    }
    let looping = call(&project, "one", "/loop");
    let later = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        // Both are under way when the first call is cut.
        tokio::join!(
            call(&project, "two", "/work?milliseconds=3000"),
            call(&project, "three", "/sleep?milliseconds=3000")
        )
    };
    let (looped, (worked, slept)) = tokio::join!(looping, later);
    looped.refused(504, "TIMEOUT");
    worked.expect(204);
    slept.expect(204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_loops_leave_their_connection_other_sessions() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    let looping = async { tokio::join!(call(&project, "main", "/loop"), call(&project, "main", "/loop")) };
    let others = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        for _ in 0..20 {
            let begin = Instant::now();
            call(&project, "main", "/nothing").await.expect(200);
            assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
        }
    };
    let ((first, second), ()) = tokio::join!(looping, others);
    first.refused(504, "TIMEOUT");
    second.refused(504, "TIMEOUT");
}

#[tokio::test]
async fn clock_of_each_session_begins_at_its_own_zero() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    let clock = async |connection: &str| {
        Duration::from_nanos(call(&project, connection, "/clock").await.expect(200).data().as_u64().unwrap())
    };
    let first = clock("main").await;
    let begin = Instant::now();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    connect(&project, "late", 1, json!({})).await;
    let late = clock("late").await;
    assert!(late < begin.elapsed() && late < Duration::from_millis(1400), "{late:?}");
    assert!(clock("main").await >= first + Duration::from_millis(1500));
}
