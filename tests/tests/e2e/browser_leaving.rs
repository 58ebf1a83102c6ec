//! A page in a real browser that no longer wants an answer: its statement ends on the server.

use super::{
    browser::{ELSEWHERE, Scene},
    postgres_calls::{at_work, is_gone},
};
use serde_json::json;
use studio_gateway_tests::{Site, eventually};

/// Takes most of a minute.
const SLOW: &str = "select pg_sleep(60)";

impl Scene {
    /// Has the page begin a slow statement, and waits until the server is at it. The page keeps a way to abort it, and
    /// what becomes of it.
    async fn begin(&self) {
        let input = json!({"caller": self.caller(), "call": self.sql(SLOW)});
        let body = "window.controller = new AbortController();
                    window.answer = ask(input.caller, input.call, window.controller.signal);";
        self.browser.run(body, input).await;
        eventually("the statement runs", async || at_work(&self.world.database, "pg_sleep").await == 1).await;
    }

    async fn is_cancelled(&self) {
        is_gone(&self.world.database, "pg_sleep").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statement_that_a_page_aborts_is_cancelled() {
    let Some(scene) = Scene::set().await else { return };
    scene.begin().await;
    let answer =
        scene.browser.run("window.controller.abort(); return await window.answer", json!(null)).await;
    assert_eq!(answer, json!({"failed": "AbortError"}));
    scene.is_cancelled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statement_of_a_page_that_is_left_is_cancelled() {
    let Some(scene) = Scene::set().await else { return };
    scene.begin().await;
    scene.browser.open(&Site::start(ELSEWHERE).await.origin).await;
    scene.is_cancelled().await;
    scene.browser.open(&scene.studio.origin).await;
    scene.begin().await;
    scene.browser.open(&scene.studio.origin).await;
    scene.is_cancelled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_tab_or_dead_browser_has_its_statement_cancelled() {
    let Some(scene) = Scene::set().await else { return };
    let first = scene.browser.tab().await;
    scene.browser.new_tab().await;
    scene.browser.open(&scene.studio.origin).await;
    scene.begin().await;
    scene.browser.close_tab().await;
    scene.is_cancelled().await;
    scene.browser.look_at(&first).await;
    scene.begin().await;
    let Scene { world, studio: _studio, browser } = scene;
    drop(browser);
    is_gone(&world.database, "pg_sleep").await;
}
