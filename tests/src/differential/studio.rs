//! A Studio's data layer before both servers: the programs in `tests/studio`.

use super::{Normal, Reply, Side, Twins};
use crate::postgres_meta::PostgresMeta;
use serde::Deserialize;
use serde_json::Value;
use std::process::Stdio;
use tokio::{process::Command, time::timeout};

/// The folder of the programs.
const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/studio/main.mjs");

/// One call, and its answer.
#[derive(Debug, Deserialize)]
struct Call {
    method: String,
    path: String,
    sent: Option<Value>,
    status: u16,
    text: String,
}

impl Twins {
    /// Has a Studio do a part of its work before both servers, each on its own, and compares all answers. Returns how
    /// many calls succeeded.
    pub async fn work(&mut self, part: &str) -> usize {
        let [first, second] = &self.halves;
        let (first_calls, second_calls) = tokio::join!(run(&first.side, part), run(&second.side, part));
        let names = |calls: &[Call]| calls.iter().map(|call| call.path.clone()).collect::<Vec<_>>();
        // A later request may depend on earlier answers.
        assert_eq!(names(&first_calls), names(&second_calls), "one server was asked for other things");
        let normal = if self.shared { Normal::default() } else { Normal::default().without_ids() };
        for (one, other) in first_calls.iter().zip(&second_calls) {
            let (first, second) = (one.reply(&first.side), other.reply(&second.side));
            // A `GET` sends no SQL that could order the list that it gets.
            let normal = if one.method == "GET" { normal.unordered() } else { normal };
            let name = format!("{} {}", one.method, one.path);
            let sent = one.sent.as_ref().map(Value::to_string).unwrap_or_default();
            self.comparison.compare(&name, &sent, &normal, &first, &second);
        }
        first_calls.iter().filter(|call| call.status == 200).count()
    }
}

impl Call {
    fn reply(&self, side: &Side) -> Reply {
        Reply::new(side, self.status, self.text.clone())
    }
}

async fn run(side: &Side, part: &str) -> Vec<Call> {
    let mut command = Command::new("node");
    command
        .args([PROGRAMS, part])
        .env("STUDIO_BASE", side.base())
        .env("STUDIO_LIBRARY", PostgresMeta::library());
    if let Some(token) = side.token() {
        command.env("STUDIO_TOKEN", token);
    }
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let done =
        timeout(*crate::PATIENCE * 8, running).await.expect("a part that comes to an end").expect("node");
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{part} ended with {}: {errors}", done.status);
    let lines = String::from_utf8(done.stdout).expect("UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("a call")).collect()
}
