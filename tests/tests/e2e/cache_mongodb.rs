//! Whoever asks MongoDB after a write was acknowledged never sees what was there before it, whatever is kept and shared.

use super::cache_history::{
    Callers, History, Question, Remembered, assert_used, question, run_all, run_cases, runtime,
};
use mongodb::bson::{Document, doc};
use proptest::{prelude::*, test_runner::TestCaseError};
use serde_json::{Value, json};
use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use studio_gateway_tests::{Client, GatewayOptions, MongoOptions, MongoWorld, time::within};
use tokio::{sync::RwLock, task::JoinSet};

/// The collection that has documents and indexes.
const THINGS: &str = "/collections/things";

/// What callers make and remove, and count.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Documents,
    Indexes,
    Collections,
}

/// What one caller does to a database.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The caller leaves after so many milliseconds, if any are given.
    Write(Change, Option<u64>),
    Read(Listing, Question),
    Wait(u64),
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Make(Kind),
    InsertMany(u8),
    /// The last of the kind that this caller made.
    Remove(Kind),
    /// All documents that this caller inserted and has not deleted.
    DeleteMany,
}

/// What of which list is looked at.
#[derive(Debug, Clone, Copy)]
enum Listing {
    DatabasesCollections,
    CollectionsNumber,
    CollectionsDocuments,
    IndexesNumber,
}

const LISTINGS: [Listing; 4] = [
    Listing::DatabasesCollections,
    Listing::CollectionsNumber,
    Listing::CollectionsDocuments,
    Listing::IndexesNumber,
];

fn change(callers: Callers) -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => Just(Change::Make(Kind::Documents)),
        1 => (1..5u8).prop_map(Change::InsertMany),
        2 => Just(Change::Make(Kind::Indexes)),
        2 => Just(Change::Make(Kind::Collections)),
        2 => Just(Change::Remove(Kind::Documents)),
        1 => Just(Change::DeleteMany),
        1 => Just(Change::Remove(Kind::Indexes)),
        // What a caller left goes on, whoever waits for what: see [`Caller::collections`].
        1 - callers.leaving() => Just(Change::Remove(Kind::Collections)),
    ]
}

fn step(callers: Callers) -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => change(callers).prop_map(|change| Step::Write(change, None)),
        6 * callers.leaving() => (change(callers), 0..8u64).prop_map(|(change, patience)| Step::Write(change, Some(patience))),
        12 => (prop::sample::select(LISTINGS.as_slice()), question()).prop_map(|(listing, question)| Step::Read(listing, question)),
        1 => (0..5u64).prop_map(Step::Wait),
    ]
}

/// A database that is reached through one connection only, and how many of each [`Kind`] there are in it.
struct Shop {
    connection: &'static str,
    name: String,
    histories: [History; 3],
}

impl Shop {
    /// Makes it, with one empty collection.
    async fn create(world: &MongoWorld, connection: &'static str, name: String) -> Self {
        // A collection has an index from its beginning.
        let shop = Self { connection, name, histories: [0, 1, 1].map(History::starting_at) };
        let path = world.alpha.path("mongodb", &shop.path("/collections"));
        world.alpha.admin.post(&path, json!({"name": "things"})).await.expect(201);
        shop
    }

    /// Below the project.
    fn path(&self, rest: &str) -> String {
        format!("/databases/{}{rest}?connection={}", self.name, self.connection)
    }

    /// What is counted, and where.
    fn find(&self, listing: Listing) -> (Kind, String) {
        match listing {
            Listing::DatabasesCollections => {
                (Kind::Collections, format!("/databases?connection={}", self.connection))
            }
            Listing::CollectionsNumber => (Kind::Collections, self.path("/collections")),
            Listing::CollectionsDocuments => (Kind::Documents, self.path("/collections")),
            Listing::IndexesNumber => (Kind::Indexes, self.path(&format!("{THINGS}/indexes"))),
        }
    }

    /// The number in such a list; one that is never right where it is missing.
    fn number(&self, listing: Listing, list: &Value) -> i64 {
        let list = list.as_array().unwrap();
        let of = |name: &str, pointer: &str| {
            let item = list.iter().find(|item| item["name"] == name);
            item.and_then(|item| item.pointer(pointer)?.as_i64()).unwrap_or(-1)
        };
        match listing {
            Listing::DatabasesCollections => of(&self.name, "/collections"),
            Listing::CollectionsDocuments => of("things", "/info/count"),
            Listing::CollectionsNumber | Listing::IndexesNumber => list.len().try_into().unwrap(),
        }
    }

    /// Waits until what is answered, kept or not, is what there is: a write may happen after its caller left.
    async fn comes_to_rest(&self, world: &MongoWorld) {
        let database = world.truth.database(&self.name);
        let things = database.collection::<Document>("things");
        within(Duration::from_secs(5), "what is answered is what there is", async || {
            let mut answered = Vec::new();
            for listing in LISTINGS {
                let (kind, path) = self.find(listing);
                let list = world.alpha.admin.get(&world.alpha.path("mongodb", &path)).await.data();
                answered.push((kind, self.number(listing, &list)));
            }
            let numbers = [
                things.count_documents(doc! {}).await.unwrap().try_into().unwrap(),
                things.list_index_names().await.unwrap().len(),
                database.list_collection_names().await.unwrap().len(),
            ];
            answered.iter().all(|(kind, number)| usize::try_from(*number) == Ok(numbers[*kind as usize]))
        })
        .await;
    }
}

struct Caller {
    client: Client,
    base: String,
    shop: Arc<Shop>,
    name: String,
    /// The names of what this caller made and has not removed, by [`Kind`].
    own: [Vec<String>; 3],
    /// The last answers, by [`Listing`].
    remembered: [Remembered; 4],
    /// Taken alone to drop a collection, together to list or look for some: SecantusDB gives each one that it lists a
    /// UUID, and with it brings back what was dropped meanwhile.
    collections: Arc<RwLock<()>>,
}

impl Caller {
    async fn run(mut self, steps: Vec<Step>) -> Result<(), TestCaseError> {
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Write(change, patience) => {
                    self.write(change, patience, format!("{}-{number}", self.name)).await;
                }
                Step::Read(listing, question) => self.read(listing, question).await?,
                Step::Wait(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
            }
        }
        Ok(())
    }

    async fn write(&mut self, change: Change, patience: Option<u64>, name: String) {
        let collections = self.collections.clone();
        let (_alone, _together) = match change {
            Change::Remove(Kind::Collections) => (Some(collections.write().await), None),
            Change::Make(Kind::Collections) => (None, Some(collections.read().await)),
            _ => (None, None),
        };
        let documents = format!("{THINGS}/documents");
        let mut made = Vec::new();
        let (kind, change, method, path, body, status) = match change {
            Change::Make(kind) => {
                let (path, body) = match kind {
                    Kind::Documents => (documents, json!({"document": {"_id": name}})),
                    Kind::Indexes => {
                        (format!("{THINGS}/indexes"), json!({"key": {&name: 1}, "options": {"name": name}}))
                    }
                    Kind::Collections => ("/collections".to_owned(), json!({"name": name})),
                };
                made.push(name);
                (kind, 1, "POST", path, Some(body), 201)
            }
            Change::InsertMany(count) => {
                made.extend((0..count).map(|number| format!("{name}-{number}")));
                let all: Vec<_> = made.iter().map(|id| json!({"_id": id})).collect();
                (Kind::Documents, count.into(), "POST", documents, Some(json!({"documents": all})), 201)
            }
            Change::Remove(kind) => {
                let Some(name) = self.own[kind as usize].pop() else { return };
                let list = match kind {
                    Kind::Documents => documents,
                    Kind::Indexes => format!("{THINGS}/indexes"),
                    Kind::Collections => "/collections".to_owned(),
                };
                (kind, -1, "DELETE", format!("{list}/{name}"), None, 204)
            }
            Change::DeleteMany => {
                let all = mem::take(&mut self.own[Kind::Documents as usize]);
                let change = -i64::try_from(all.len()).unwrap();
                let body = json!({"filter": {"_id": {"$in": all}}});
                (Kind::Documents, change, "POST", format!("{documents}/delete-many"), Some(body), 200)
            }
        };
        let path = format!("{}{}", self.base, self.shop.path(&path));
        let (history, request) = (&self.shop.histories[kind as usize], self.client.call(method, &path, body));
        let acknowledged = match patience {
            Some(patience) => history.write_or_leave(change, request, status, patience).await,
            None => {
                history.write(change, request, status).await;
                true
            }
        };
        if acknowledged {
            self.own[kind as usize].extend(made);
        }
    }

    async fn read(&mut self, listing: Listing, question: Question) -> Result<(), TestCaseError> {
        let shop = self.shop.clone();
        let (kind, path) = shop.find(listing);
        let _together = match listing {
            Listing::IndexesNumber => None,
            _ => Some(self.collections.read().await),
        };
        let number = |list: &Value| shop.number(listing, list);
        let (path, remembered) = (format!("{}{path}", self.base), &mut self.remembered[listing as usize]);
        shop.histories[kind as usize].read(&self.client, &path, question, remembered, number).await
    }
}

#[test]
fn mongodb_readers_always_see_acknowledged_writes() {
    check(Callers::Patient);
}

#[test]
fn mongodb_readers_see_acknowledged_writes_when_callers_leave() {
    check(Callers::Leaving);
}

fn check(kind: Callers) {
    let runtime = runtime();
    let world = runtime.block_on(async {
        let world = MongoWorld::start_with(GatewayOptions::default(), MongoOptions::new()).await;
        let second = json!({"identifier": "second", "connection_string": world.server.url()});
        world.alpha.connect("mongodb", second).await;
        if kind == Callers::Leaving {
            // Most have left by then.
            let writes = ["insert", "delete", "create", "drop", "createIndexes", "dropIndexes"].as_slice();
            let late = doc! {"failCommands": writes, "blockConnection": true, "blockTimeMS": 20};
            world.server.fail("alwaysOn", late).await;
        }
        world
    });
    let cases = AtomicU64::new(0);
    let callers = proptest::collection::vec(proptest::collection::vec(step(kind), 1..25), 2..9);
    run_cases(40, &callers, &runtime, async |scripts| {
        let (case, mut callers) = (cases.fetch_add(1, Ordering::Relaxed), JoinSet::new());
        let collections = Arc::new(RwLock::new(()));
        let shops = [
            Arc::new(Shop::create(&world, "main", format!("main-{case}")).await),
            Arc::new(Shop::create(&world, "second", format!("second-{case}")).await),
        ];
        for (number, steps) in scripts.into_iter().enumerate() {
            let caller = Caller {
                client: world.alpha.admin.clone(),
                base: world.alpha.path("mongodb", ""),
                shop: shops[number % 2].clone(),
                name: number.to_string(),
                own: Default::default(),
                remembered: Default::default(),
                collections: collections.clone(),
            };
            callers.spawn(caller.run(steps));
        }
        run_all(callers).await?;
        for shop in &shops {
            shop.comes_to_rest(&world).await;
            world.truth.database(&shop.name).drop().await.unwrap();
        }
        Ok(())
    });
    assert_used(&runtime, &world.gateway, kind.results());
}
