//! A real browser, controlled by WebDriver (<https://www.w3.org/TR/webdriver2/>), and sites for it to visit.

use crate::{
    process::{Process, free_port, listen},
    time::{PATIENCE, within},
};
use axum::{Router, response::Html, routing::get};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// Names the browser's programs; `cargo xtask test` installs them where they can be had.
const CHROMIUM: &str = "STUDIO_TEST_CHROMIUM";
const CHROMEDRIVER: &str = "STUDIO_TEST_CHROMEDRIVER";

/// The browser's arguments: it has no screen, and sends nothing of its own over the network. It needs no sandbox, since
/// its pages are the test's; root and most containers can't have one. A page that the browser leaves is not kept: else
/// some pages would stay alive, with the requests that they made, in case that somebody goes back.
const ARGUMENTS: [&str; 15] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=BackForwardCache",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
];

/// A running browser with one tab. Dropping it kills it; its own children end when it does.
pub struct Browser {
    http: reqwest::Client,
    session: String,
    _driver: Process,
    chromium: Process,
    _folder: TempDir,
}

/// A tab of a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tab(String);

impl Browser {
    /// Tells whether there is a browser to test with; prints a line that says so where there is none.
    pub fn is_there() -> bool {
        let there = [CHROMIUM, CHROMEDRIVER].iter().all(|name| std::env::var_os(name).is_some());
        if !there {
            eprintln!("skipped: there is no browser to test with; `cargo xtask test` says why");
        }
        there
    }

    /// Starts a browser that nobody used before.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let profile = folder.path().join("profile");
        let (chromium, debugger) = start_chromium(&profile, &folder.path().join("chromium.log")).await;

        let port = free_port();
        let base = format!("http://127.0.0.1:{port}");
        let http = reqwest::Client::builder().no_proxy().timeout(*PATIENCE * 2).build().unwrap();
        let mut command = Command::new(named(CHROMEDRIVER));
        command.arg(format!("--port={port}")).current_dir(folder.path());
        let answers = async || http.get(format!("{base}/status")).send().await.is_ok();
        let log = folder.path().join("driver.log");
        let driver = Process::start_server("chromedriver", command, &log, answers).await;

        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {"debuggerAddress": debugger},
            "timeouts": {"script": PATIENCE.as_millis() as u64, "pageLoad": PATIENCE.as_millis() as u64},
        });
        let body = json!({"capabilities": {"alwaysMatch": capabilities}});
        let made = command_to(http.post(format!("{base}/session")), Some(body)).await;
        let session = format!("{base}/session/{}", made["sessionId"].as_str().expect("a session's id"));
        Self { http, session, _driver: driver, chromium, _folder: folder }
    }

    /// Goes to a page and waits until it is loaded.
    pub async fn open(&self, url: &str) {
        self.post("/url", json!({"url": url})).await;
    }

    /// Runs the body of an async function in the page, with `input` for its parameter, and gives back what it returns;
    /// panics when it throws.
    pub async fn run(&self, body: &str, input: Value) -> Value {
        let script = format!("return (async (input) => {{ {body} }})(arguments[0]);");
        self.post("/execute/sync", json!({"script": script, "args": [input]})).await
    }

    /// Finds the tab that is looked at.
    pub async fn tab(&self) -> Tab {
        let handle = command_to(self.http.get(format!("{}/window", self.session)), None).await;
        Tab(handle.as_str().expect("a handle").to_owned())
    }

    /// Makes a tab, and looks at it.
    pub async fn new_tab(&self) -> Tab {
        let made = self.post("/window/new", json!({"type": "tab"})).await;
        let tab = Tab(made["handle"].as_str().expect("a handle").to_owned());
        self.look_at(&tab).await;
        tab
    }

    /// Looks at a tab.
    pub async fn look_at(&self, tab: &Tab) {
        self.post("/window", json!({"handle": tab.0})).await;
    }

    /// Closes the tab that is looked at, which must not be the last. Look at another one then.
    pub async fn close_tab(&self) {
        command_to(self.http.delete(format!("{}/window", self.session)), None).await;
    }

    /// Finds the id of its process, and on Linux those of all its descendants.
    pub fn processes(&self) -> Vec<u32> {
        let mut found = vec![self.chromium.id()];
        let mut next = 0;
        while let Some(parent) = found.get(next) {
            found.extend(children(*parent));
            next += 1;
        }
        found
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        command_to(self.http.post(format!("{}{path}", self.session)), Some(body)).await
    }
}

/// Starts the browser, and gives the address where it takes commands.
async fn start_chromium(profile: &Path, log: &Path) -> (Process, String) {
    let mut command = Command::new(named(CHROMIUM));
    command.args(ARGUMENTS).arg(format!("--user-data-dir={}", profile.display())).arg("about:blank");
    let mut debugger = None;
    let process = Process::start_server("chromium", command, log, async || {
        let told = fs::read_to_string(profile.join("DevToolsActivePort")).unwrap_or_default();
        debugger = told.split_once('\n').map(|(port, _)| format!("127.0.0.1:{port}"));
        debugger.is_some()
    })
    .await;
    (process, debugger.expect("the port of the debugger"))
}

fn named(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} names no program")).into()
}

/// Sends a command of WebDriver, which must succeed, and gives its value.
async fn command_to(request: reqwest::RequestBuilder, body: Option<Value>) -> Value {
    let request = match &body {
        Some(body) => request.json(body),
        None => request,
    };
    let answer = request.send().await.expect("an answer of chromedriver");
    let status = answer.status();
    let mut json: Value = answer.json().await.expect("JSON of chromedriver");
    assert!(status.is_success(), "{}", json["value"]["message"].as_str().unwrap_or_default());
    json["value"].take()
}

fn children(parent: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<_>>()).collect()
}

/// A site on its own port, which makes it an origin of its own. It serves one page for as long as the test's runtime
/// lives.
pub struct Site {
    /// `http://127.0.0.1:…`, as browsers name the origin.
    pub origin: String,
}

impl Site {
    /// Starts a site.
    pub async fn start(page: &'static str) -> Self {
        let listener = listen();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/", get(async move || Html(page)));
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { origin }
    }
}

/// Waits until none of these processes is there any more.
pub async fn are_gone(processes: &[u32]) {
    within(*PATIENCE, "the browser's processes are gone", async || {
        processes.iter().all(|id| !Path::new(&format!("/proc/{id}")).exists())
    })
    .await;
}
