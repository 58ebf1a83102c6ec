//! No change without its record: not when the caller hangs up, at whatever moment, nor when the gateway is killed.

use serde_json::{Value, json};
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};
use studio_gateway_tests::{
    AuditShape, Client, Gateway, GatewayOptions, Plugin, Plugins, Project, Registry, StudioDatabase, Token,
    eventually, people,
};
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet};
use uuid::Uuid;

/// Callers who hang up on each kind of change.
const EACH: usize = 50;
/// The longest that one of them waits before, in microseconds: about what a change takes here.
const LONGEST_WAIT: u128 = 60_000;

/// A request whose caller will not wait for the answer.
struct Hasty {
    method: &'static str,
    path: String,
    body: Value,
}

impl Hasty {
    fn new(method: &'static str, path: impl Into<String>, body: Value) -> Self {
        Self { method, path: path.into(), body }
    }

    /// Sends all of it, waits for a random moment, and hangs up.
    async fn hang_up(self, gateway: SocketAddr, token: String) {
        let Self { method, path, body } = self;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {gateway}\r\nauthorization: Bearer {token}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(gateway).await.expect("the gateway listens");
        stream.write_all(request.as_bytes()).await.expect("the gateway reads");
        let wait = Uuid::new_v4().as_u128() % LONGEST_WAIT;
        tokio::time::sleep(Duration::from_micros(u64::try_from(wait).unwrap())).await;
    }
}

/// Sends them, a few at a time, in a mixed order.
async fn hang_up_on_all(gateway: &Gateway, caller: &Client, mut requests: Vec<Hasty>) {
    requests.sort_by_cached_key(|_| Uuid::new_v4());
    let mut running = JoinSet::new();
    for request in requests {
        if running.len() >= 6 {
            running.join_next().await;
        }
        running.spawn(request.hang_up(gateway.address(), caller.token().to_owned()));
    }
    running.join_all().await;
}

async fn set(gateway: &Gateway, query: String) -> BTreeSet<String> {
    gateway.database.texts(&query).await.into_iter().collect()
}

/// What the trail says was changed: the target of each record of the action, or its project where it has no target.
async fn recorded(gateway: &Gateway, action: &str) -> BTreeSet<String> {
    let table = gateway.database.table("gateway_audit_logs");
    let query = format!(
        "SELECT COALESCE(target, project_ref) FROM {table} WHERE action = '{action}' AND result = 'ok'
         AND COALESCE(target, project_ref) NOT LIKE 'alpha%'"
    );
    let all = gateway.database.texts(&query).await;
    let once: BTreeSet<String> = all.iter().cloned().collect();
    assert_eq!(all.len(), once.len(), "{action}: two records of one change");
    once
}

/// What there is to be changed and deleted.
struct Prepared {
    members: BTreeSet<String>,
    projects: BTreeSet<String>,
    changed: BTreeSet<String>,
    deleted: BTreeSet<String>,
}

impl Prepared {
    async fn make(alpha: &Project) -> Self {
        let mut made = Self {
            members: BTreeSet::new(),
            projects: BTreeSet::new(),
            changed: BTreeSet::new(),
            deleted: BTreeSet::new(),
        };
        for number in 0..EACH {
            let user = format!("leaver-{number}");
            alpha.owner.put(&member(&user), json!({"role": "viewer"})).await.expect(200);
            made.members.insert(user);
            made.changed.insert(alpha.connect_probe(&format!("changed-{number}"), json!({})).await);
            made.deleted.insert(alpha.connect_probe(&format!("deleted-{number}"), json!({})).await);
        }
        made
    }

    async fn make_projects(&mut self, admin: &Client) {
        for number in 0..EACH {
            let reference = format!("doomed-{number}");
            let body = json!({"organization": "alpha-org", "name": "Doomed", "ref": reference});
            admin.post("/api/platform/projects", body).await.expect(201);
            self.projects.insert(reference);
        }
    }

    /// Each changing route of the host, [`EACH`] times.
    fn requests(&self) -> Vec<Hasty> {
        let mut requests = Vec::new();
        let connections = "/api/platform/probe/alpha/connections";
        for number in 0..EACH {
            let name = format!("hasty-{number}");
            let body = json!({"name": name, "slug": name});
            requests.push(Hasty::new("POST", "/api/platform/organizations", body));
            let body = json!({"organization": "alpha-org", "name": name, "ref": name});
            requests.push(Hasty::new("POST", "/api/platform/projects", body));
            requests.push(Hasty::new("PUT", member(&name), json!({"role": "owner"})));
            let body = json!({"identifier": name, "host": "127.0.0.1", "password": "sw0rdfish"});
            requests.push(Hasty::new("POST", connections, body));
        }
        for user in &self.members {
            requests.push(Hasty::new("DELETE", member(user), Value::Null));
        }
        for reference in &self.projects {
            requests.push(Hasty::new("DELETE", format!("/api/platform/projects/{reference}"), Value::Null));
        }
        for id in &self.changed {
            requests.push(Hasty::new("PUT", format!("{connections}/{id}"), json!({"username": "changed"})));
        }
        for id in &self.deleted {
            requests.push(Hasty::new("DELETE", format!("{connections}/{id}"), Value::Null));
        }
        requests
    }

    /// Compares what was done with what the trail says, and gives how many changes there were.
    async fn compare(&self, gateway: &Gateway, known: &BTreeSet<String>) -> usize {
        let table = |name: &str| gateway.database.table(name);
        let text = |column: &str, rest: String| format!("SELECT CAST({column} AS TEXT) FROM {rest}");
        let organizations = format!("{} WHERE slug LIKE 'hasty-%'", table("organizations"));
        let projects = table("projects");
        let members = table("project_members");
        let connections = table("database_connections");
        let kept = set(gateway, text("ref", projects.clone())).await;
        let staying = set(gateway, text("user_id", members.clone())).await;
        let ids = set(gateway, text("id", connections.clone())).await;
        let gone = |all: &BTreeSet<String>, now: &BTreeSet<String>| all.difference(now).cloned().collect();
        let hasty = |all: &BTreeSet<String>| -> BTreeSet<String> {
            all.iter().filter(|name| name.starts_with("hasty-")).cloned().collect()
        };
        let doomed = |all: BTreeSet<String>| -> BTreeSet<String> {
            all.into_iter().filter(|name| !name.starts_with("doomed-")).collect()
        };
        let prepared =
            |all: BTreeSet<String>| -> BTreeSet<String> { all.difference(known).cloned().collect() };
        let changed = format!("{connections} WHERE username = 'changed'");
        let made: BTreeSet<String> = ids.difference(known).cloned().collect();
        let pairs: [(&str, BTreeSet<String>, BTreeSet<String>); 8] = [
            (
                "organization.create",
                set(gateway, text("slug", organizations)).await,
                recorded(gateway, "organization.create").await,
            ),
            ("project.create", hasty(&kept), doomed(recorded(gateway, "project.create").await)),
            ("project.delete", gone(&self.projects, &kept), recorded(gateway, "project.delete").await),
            ("member.put", hasty(&staying), hasty(&recorded(gateway, "member.put").await)),
            ("member.remove", gone(&self.members, &staying), recorded(gateway, "member.remove").await),
            ("connection.create", made, prepared(recorded(gateway, "connection.create").await)),
            (
                "connection.change",
                set(gateway, text("id", changed)).await,
                recorded(gateway, "connection.change").await,
            ),
            ("connection.delete", gone(&self.deleted, &ids), recorded(gateway, "connection.delete").await),
        ];
        let mut count = 0;
        for (action, done, told) in pairs {
            println!("{action}: {} changes, {} records", done.len(), told.len());
            assert_eq!(done, told, "{action}");
            count += done.len();
        }
        count
    }
}

fn member(user: &str) -> String {
    format!("/api/platform/projects/alpha/members/{user}")
}

async fn start(registry: Registry) -> (Gateway, Project, Prepared, BTreeSet<String>) {
    let options = GatewayOptions::new(registry).plugins(Plugins::new([Plugin::new("probe")]));
    let gateway = Gateway::start(options).await;
    let alpha = Project::create_empty(&gateway, "alpha").await;
    let mut prepared = Prepared::make(&alpha).await;
    prepared.make_projects(&gateway.platform_admin()).await;
    let known = prepared.changed.union(&prepared.deleted).cloned().collect();
    (gateway, alpha, prepared, known)
}

async fn caller_who_hangs_up_leaves_no_change_without_its_record(registry: Registry) {
    let (mut gateway, _, prepared, known) = start(registry).await;
    let admin = gateway.platform_admin();
    hang_up_on_all(&gateway, &admin, prepared.requests()).await;
    // What is under way goes on to its end, and what it leaves is on disk.
    gateway.stop().await;
    let count = prepared.compare(&gateway, &known).await;
    assert!(count > 0, "none of them came so far");
}

async fn killed_gateway_leaves_no_change_without_its_record(registry: Registry) {
    let (mut gateway, _, prepared, known) = start(registry).await;
    let (admin, address) = (gateway.platform_admin(), gateway.address());
    let mut requests = prepared.requests();
    requests.sort_by_cached_key(|_| Uuid::new_v4());
    while !requests.is_empty() {
        let now: Vec<Hasty> = requests.drain(..requests.len().min(80)).collect();
        let mut running = JoinSet::new();
        for request in now {
            running.spawn(request.hang_up(address, admin.token().to_owned()));
        }
        let wait = LONGEST_WAIT / 2 + Uuid::new_v4().as_u128() % (5 * LONGEST_WAIT);
        tokio::time::sleep(Duration::from_micros(u64::try_from(wait).unwrap())).await;
        gateway.kill9();
        // Callers of the dead may fail.
        while running.join_next().await.is_some() {}
        gateway.start_again().await;
    }
    prepared.compare(&gateway, &known).await;
}

on_both_registries!(
    caller_who_hangs_up_leaves_no_change_without_its_record,
    killed_gateway_leaves_no_change_without_its_record,
);

#[tokio::test]
async fn hang_up_leaves_no_unrecorded_change_in_a_studios_database() {
    let studio = StudioDatabase::create(AuditShape::Present).await;
    let options = GatewayOptions::new(Registry::Postgres)
        .plugins(Plugins::new([Plugin::new("probe")]))
        .set("DATABASE_URL", &studio.url(&studio.owner));
    let gateway = Gateway::start(options).await;
    let owner = gateway.client(&Token::user(people::OWNER));
    let mut requests = Vec::new();
    for number in 0..40 {
        let name = format!("hasty-{number}");
        let body = json!({"organization": "acme", "name": name, "ref": name});
        requests.push(Hasty::new("POST", "/api/platform/projects", body));
        let body = json!({"identifier": name, "host": "127.0.0.1"});
        requests.push(Hasty::new("POST", "/api/platform/probe/shop/connections", body));
    }
    hang_up_on_all(&gateway, &owner, requests).await;
    // Two who wait for their answers, so that there is something to count on the slowest machine.
    let body = json!({"organization": "acme", "name": "patient", "ref": "hasty-not"});
    owner.post("/api/platform/projects", body).await.expect(201);
    let body = json!({"identifier": "patient", "host": "127.0.0.1"});
    owner.post("/api/platform/probe/shop/connections", body).await.expect(201);
    let count = async |query: &str| {
        studio.database.text(&format!("SELECT CAST(COUNT(*) AS text) FROM {query}")).await
    };
    let pairs = [
        ("platform.projects WHERE ref LIKE 'hasty-%'", "project.create"),
        ("platform.database_connections", "connection.create"),
    ];
    for (changes, action) in pairs {
        let records = format!("platform.gateway_audit_logs WHERE action = '{action}' AND result = 'ok'");
        // All of them are over soon, and then both numbers stay.
        tokio::time::sleep(Duration::from_millis(500)).await;
        eventually("as many records as changes", async || count(changes).await == count(&records).await)
            .await;
        assert_ne!(count(changes).await, "0", "{action}");
    }
}

#[tokio::test]
async fn write_to_a_database_is_recorded_when_its_caller_hangs_up() {
    let options = GatewayOptions::default().plugins(Plugins::new([Plugin::new("probe")]));
    let mut gateway = Gateway::start(options).await;
    let alpha = Project::create_empty(&gateway, "alpha").await;
    alpha.connect_probe("main", json!({})).await;
    let path = |number: usize| format!("/api/platform/probe/alpha/counters/c{number}?after=20");
    let requests = (0..100).map(|number| Hasty::new("POST", path(number), Value::Null)).collect();
    hang_up_on_all(&gateway, &alpha.developer, requests).await;
    let mut written = 0;
    for number in 0..100 {
        let answer = alpha.viewer.get(&format!("/api/platform/probe/alpha/counters/c{number}")).await;
        written += usize::from(answer.status == 200);
    }
    gateway.stop().await;
    let table = gateway.database.table("gateway_audit_logs");
    let query = format!("SELECT result FROM {table} WHERE action LIKE 'probe: POST /counters%'");
    let records = gateway.database.texts(&query).await;
    println!("{written} writes, {} records", records.len());
    assert!(written > 0 && records.len() >= written, "{written} writes, {} records", records.len());
    // Whoever leaves before the end is not told how it ended, and the trail does not know.
    assert!(records.iter().all(|result| result == "cancelled" || result == "ok"), "{records:?}");
    assert!(records.iter().any(|result| result == "cancelled"));
}

#[tokio::test]
async fn test_of_a_connection_is_recorded_when_its_caller_hangs_up() {
    let options = GatewayOptions::default().plugins(Plugins::new([Plugin::new("probe")]));
    let gateway = Gateway::start(options).await;
    let alpha = Project::create_empty(&gateway, "alpha").await;
    let id = alpha.connect_probe("main", json!({"connect": "hang"})).await;
    let path = format!("{}/{id}/test", alpha.connections("probe"));
    let requests = (0..5).map(|_| Hasty::new("POST", path.clone(), Value::Null)).collect();
    hang_up_on_all(&gateway, &alpha.admin, requests).await;
    let table = gateway.database.table("gateway_audit_logs");
    let query = format!("SELECT result FROM {table} WHERE action = 'connection.test' AND target = '{id}'");
    eventually("a record of the test", async || {
        gateway.database.texts(&query).await.iter().any(|result| result == "cancelled")
    })
    .await;
}
