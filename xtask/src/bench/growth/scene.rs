//! The gateways, databases and projects that growth is measured with.

use super::super::Bench;
use crate::{
    gateway::{Gateway, Program},
    sample,
    servers::{Postgres, Redis},
};
use anyhow::{Context, Result, ensure};
use serde_json::json;

/// The projects of the gateway with many.
pub const PROJECTS: usize = 1_000;
/// The connections of each.
const CONNECTIONS: usize = 10;
/// The connections of the gateway with few.
const FEW: usize = 10;
/// The lengths of values that are read.
pub const VALUE_SIZES: [u64; 5] = [1 << 10, 16 << 10, 256 << 10, 4 << 20, 16 << 20];
/// The key of a value of 64 bytes.
pub const VALUE_KEY: &str = "value";
/// The keys among which pages are read, apart from those of values.
const KEYS: usize = 5_000;

/// Settings beyond those of other measurements: room for many projects, and for large answers.
const ROOM: [(&str, &str); 6] = [
    ("GATEWAY_PROJECTS_PER_ORGANIZATION", "10000"),
    ("GATEWAY_SESSIONS_MAX", "5000"),
    ("GATEWAY_BUDGET_REPLY_BYTES", "2147483648"),
    ("GATEWAY_BUDGET_PROJECT_REPLY_BYTES", "1073741824"),
    ("GATEWAY_SESSIONS_MAX_CALLS", "2000"),
    ("GATEWAY_SESSIONS_MAX_CALLS_PER_PROJECT", "2000"),
];

/// Everything that runs. Gateways end before their databases.
pub struct Scene {
    /// One project, with few connections.
    pub few: Gateway,
    /// Many projects, each with some connections.
    pub many: Gateway,
    few_program: Program,
    _redis: Redis,
    _postgres: Postgres,
}

impl Scene {
    /// Starts it all.
    pub fn set_up(bench: &Bench) -> Result<Self> {
        let redis = Redis::start(bench.workspace, None)?;
        let postgres = Postgres::start(bench.workspace, None)?;
        let keys = (0..KEYS).map(|number| (format!("key:{number}"), format!("value {number}")));
        let values = VALUE_SIZES.map(|bytes| (value_key(bytes), "v".repeat(bytes as usize)));
        let value = (VALUE_KEY.to_owned(), "v".repeat(64));
        sample::redis::set(redis.port, keys.chain(values).chain([value]))?;

        let plugins = bench.dist.join("plugins.toml");
        let program = |name: &str| {
            let mut program = bench.program(name, &plugins)?;
            program.environment.extend(ROOM.map(|(name, value)| (name, value.to_owned())));
            anyhow::Ok(program)
        };
        let few_program = program("few")?;
        let few = Gateway::start(&few_program)?;
        few.set_up("redis", redis.port)?;
        few.set_up_as("postgres", postgres.port, &sample::postgres::login())?;
        let many = Gateway::start(&program("many")?)?;
        many.create_project()?;
        for number in 2..FEW {
            connect(&few, "default", number, redis.port)?;
        }
        for project in 0..PROJECTS {
            let reference = reference(project);
            let body = json!({"organization": "default", "name": reference, "ref": reference});
            many.create("/api/platform/projects", &body)?;
            for number in 0..CONNECTIONS {
                connect(&many, &reference, number, redis.port)?;
            }
            // Its session stays open.
            let path = command_path(project);
            let (status, answer) = many.ask("POST", &path, Some(&json!({"command": ["PING"]})))?;
            ensure!(status == 200, "POST {path}: {status} {answer}");
        }
        Ok(Self { few, many, few_program, _redis: redis, _postgres: postgres })
    }

    /// Makes a token for the gateway with few connections, of a platform admin whose name has this many letters.
    pub fn token_of(&self, letters: usize) -> Result<String> {
        self.few_program.token_for(&"n".repeat(letters))
    }

    /// Counts the connections that are registered in a gateway, by what it lists.
    pub fn registered(&self, gateway: &Gateway) -> Result<u64> {
        let is_few = gateway.id() == self.few.id();
        let (reference, projects) = if is_few { ("default".to_owned(), 1) } else { (reference(0), PROJECTS) };
        let mut count = 0;
        for database_type in ["redis", "postgres"] {
            let path = format!("/api/platform/{database_type}/{reference}/connections");
            let (status, connections) = gateway.ask("GET", &path, None)?;
            ensure!(status == 200, "GET {path}: {status} {connections}");
            count += connections.as_array().with_context(|| format!("GET {path} gives no list"))?.len();
        }
        Ok((count * projects) as u64)
    }
}

/// Adds a connection to a project.
fn connect(gateway: &Gateway, reference: &str, number: usize, port: u16) -> Result<()> {
    let path = format!("/api/platform/redis/{reference}/connections");
    gateway.create(&path, &json!({"identifier": format!("more-{number}"), "host": "127.0.0.1", "port": port}))
}

fn reference(project: usize) -> String {
    format!("p{project}")
}

/// Returns the path of raw commands of one of many projects.
pub fn command_path(project: usize) -> String {
    format!("/api/platform/redis/{}/command", reference(project))
}

/// Returns the key of a value of this length.
pub fn value_key(bytes: u64) -> String {
    format!("value:{bytes}")
}

/// Writes the part of wrk's script that asks so many projects in turn.
pub fn in_turn(projects: u64) -> String {
    format!(
        "local requests, place = {{}}, 0\n\
         function init()\n\
         for number = 0, {projects} - 1 do\n\
         requests[number] = wrk.format(nil, '/api/platform/redis/p' .. number .. '/command')\n\
         end\n\
         end\n\
         function request()\n\
         place = (place + 1) % {projects}\n\
         return requests[place]\n\
         end\n"
    )
}
