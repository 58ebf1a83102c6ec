//! Replacing a document of MongoDB's: whatever the server answers, and wherever the connection breaks, the old document or
//! the new one is there, whole, and the caller is told the truth of which.

use super::mongodb_connections::{options, parts, start};
use mongodb::bson::{Document, doc};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use studio_gateway_tests::{Act, Answer, Gateway, HostileMongo, Project, hostile_mongo::hello};

/// What becomes of one attempt to write.
#[derive(Debug, Clone)]
struct Step {
    /// Whether the server does it.
    applies: bool,
    says: Says,
}

#[derive(Debug, Clone)]
enum Says {
    Done,
    /// It was done, and the replica set has not confirmed it.
    ConcernFailed,
    /// An error of the command, or of the statement in it.
    Refuses {
        code: i32,
        of_statement: bool,
        retryable: bool,
    },
    HangsUp,
    HangsUpMidway,
    Nonsense,
}

/// The document, and what the server does with the next attempts.
#[derive(Debug, Default)]
struct Server {
    stored: Document,
    steps: Vec<Step>,
    attempts: usize,
    others: Vec<String>,
}

impl Server {
    fn act(&mut self, command: &str, asked: &Document) -> Option<Act> {
        if ["delete", "insert", "findAndModify", "aggregate", "drop"].contains(&command) {
            self.others.push(command.to_owned());
        }
        if command.eq_ignore_ascii_case("hello") || command.eq_ignore_ascii_case("ismaster") {
            let mut answer = hello();
            // Only a replica set's members take a write again.
            answer.extend(doc! {"setName": "rs0", "setVersion": 1, "secondary": false});
            return Some(Act::Answer(answer));
        }
        if command != "update" {
            return None;
        }
        let step = self.steps.get(self.attempts).cloned().unwrap_or(Step { applies: true, says: Says::Done });
        self.attempts += 1;
        if step.applies {
            let statement = asked.get_array("updates").unwrap()[0].as_document().unwrap();
            assert_eq!(statement.get_bool("multi").ok(), None);
            self.stored = statement.get_document("u").unwrap().clone();
            self.stored.insert("_id", 1);
        }
        Some(match step.says {
            Says::Done => Act::Answer(doc! {"n": 1, "nModified": 1, "ok": 1}),
            Says::ConcernFailed => Act::Answer(doc! {
                "n": 1, "nModified": 1, "ok": 1,
                "writeConcernError": {"code": 64, "codeName": "WriteConcernFailed", "errmsg": "timed out"},
            }),
            Says::Refuses { code, of_statement: true, .. } => Act::Answer(doc! {
                "n": 0, "nModified": 0, "ok": 1, "writeErrors": [{"index": 0, "code": code, "errmsg": "no"}],
            }),
            Says::Refuses { code, retryable, .. } => {
                let labels: &[&str] = if retryable { &["RetryableWriteError"] } else { &[] };
                Act::Answer(
                    doc! {"ok": 0, "code": code, "codeName": "No", "errmsg": "no", "errorLabels": labels},
                )
            }
            Says::HangsUp => Act::SendAndClose(Vec::new()),
            Says::HangsUpMidway => Act::SendAndClose(vec![60, 0, 0, 0, 1]),
            Says::Nonsense => Act::Answer(doc! {"ok": "x", "n": []}),
        })
    }
}

/// A server that says that it refused a write has not done it.
fn any_step() -> impl Strategy<Value = Step> {
    let codes = prop_oneof![
        Just(2),
        Just(13),
        Just(50),
        Just(91),
        Just(112),
        Just(121),
        Just(189),
        Just(10107),
        Just(11000),
        Just(11600),
        Just(11602),
    ];
    prop_oneof![
        2 => Just(Step { applies: true, says: Says::Done }),
        1 => Just(Step { applies: true, says: Says::ConcernFailed }),
        4 => (codes, any::<bool>(), any::<bool>()).prop_map(|(code, of_statement, retryable)| Step {
            applies: false,
            says: Says::Refuses { code, of_statement, retryable },
        }),
        2 => any::<bool>().prop_map(|applies| Step { applies, says: Says::HangsUp }),
        1 => any::<bool>().prop_map(|applies| Step { applies, says: Says::HangsUpMidway }),
        1 => any::<bool>().prop_map(|applies| Step { applies, says: Says::Nonsense }),
    ]
}

struct World {
    _gateway: Gateway,
    project: Project,
    server: Arc<Mutex<Server>>,
    _fake: HostileMongo,
}

impl World {
    async fn start() -> Self {
        let (gateway, project) = start(options()).await;
        let server = Arc::new(Mutex::new(Server::default()));
        let shared = server.clone();
        let fake =
            HostileMongo::start(move |command, asked| shared.lock().unwrap().act(command, asked)).await;
        project.connect("mongodb", parts("main", fake.port, json!({}))).await;
        Self { _gateway: gateway, project, server, _fake: fake }
    }

    async fn replace(&self, value: Value) -> Answer {
        let path = self.project.path("mongodb", "/databases/shop/collections/c/documents/1?id_type=int");
        let request = self.project.developer.request("PUT", &path).header("x-request-timeout", "10");
        self.project.developer.send(request.json(&json!({"replacement": {"v": value, "w": [value]}}))).await
    }
}

#[test]
fn mongodb_replacing_leaves_one_whole_document_and_tells_which() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::start());
    let config = Config { cases: 48, max_shrink_iters: 20, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&proptest::collection::vec(any_step(), 1..4), |steps| {
        let old = doc! {"_id": 1, "v": "old", "w": ["old"]};
        *world.server.lock().unwrap() = Server { stored: old.clone(), steps, ..Server::default() };
        let answer = runtime.block_on(world.replace(json!("new")));
        let server = world.server.lock().unwrap();
        let new = doc! {"v": "new", "w": ["new"], "_id": 1};
        prop_assert!(server.stored == old || server.stored == new, "{:?}", server.stored);
        prop_assert!(server.others.is_empty(), "{:?}", server.others);
        let is_open = answer.json()["error"]["details"]["outcome"] == "unknown";
        if answer.status == 200 {
            prop_assert_eq!(&server.stored, &new, "{}", answer);
        } else if !is_open {
            prop_assert_eq!(&server.stored, &old, "{} after {} attempts", answer, server.attempts);
        }
        Ok(())
    });
    run.unwrap();
}
