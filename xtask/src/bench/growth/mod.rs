//! `cargo xtask bench growth`: the cost of a request as connections, answers, projects and tokens grow.

mod output;
mod scene;

use super::{
    Bench,
    load::{Load, Series, write_script},
};
use crate::{gateway::Gateway, process::interrupted};
use anyhow::{Result, bail};
use scene::{PROJECTS, Scene, VALUE_KEY};
use serde_json::json;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// After so long, no round but the first is begun.
const LONGEST: Duration = Duration::from_secs(600);
/// Connections that load is made with, where it is not they that grow.
const CONNECTIONS: u32 = 16;
/// The same, for answers that may be large: a few at once, so that those cut off at a round's end hardly count.
const FEW_CONNECTIONS: u32 = 4;

/// Something that grows, and the requests that show what it costs.
struct Axis<'a> {
    /// The name in files.
    name: &'static str,
    /// What one of it is.
    unit: &'static str,
    /// The request.
    request: &'static str,
    /// Whether it is the answer that grows, so that the cost of each of its parts is of interest.
    is_answer: bool,
    points: Vec<Point<'a>>,
}

/// One size of it.
struct Point<'a> {
    size: u64,
    gateway: &'a Gateway,
    connections: u32,
    path: String,
    body: Option<String>,
    /// Another token than the gateway's own.
    token: Option<String>,
    /// More of wrk's script.
    script: String,
}

impl<'a> Point<'a> {
    /// Makes one of a request by `GET`.
    fn get(size: u64, gateway: &'a Gateway, connections: u32, path: &str) -> Self {
        let (path, script) = (path.to_owned(), String::new());
        Self { size, gateway, connections, path, body: None, token: None, script }
    }

    /// Makes one of a request by `POST`.
    fn post(size: u64, gateway: &'a Gateway, connections: u32, path: &str, body: String) -> Self {
        Self { body: Some(body), ..Self::get(size, gateway, connections, path) }
    }
}

/// What was measured of an axis.
struct Curve {
    name: &'static str,
    unit: &'static str,
    request: &'static str,
    is_answer: bool,
    sizes: Vec<(u64, Series)>,
}

/// Measures, prints, and writes tables and plots into a folder.
pub fn measure(bench: &Bench, folder: &Path) -> Result<()> {
    let deadline = Instant::now() + LONGEST;
    println!("setting up {PROJECTS} projects");
    let scene = Scene::set_up(bench)?;
    let axes = axes(&scene)?;
    let mut curves = Vec::new();
    for axis in &axes {
        let curve = bench.grow(axis, deadline)?;
        output::print(&curve);
        curves.push(curve);
    }
    output::write(folder, &curves)
}

/// A raw command that reads a key.
fn read(key: &str) -> String {
    json!({ "command": ["GET", key] }).to_string()
}

/// Lists everything that grows.
fn axes(scene: &Scene) -> Result<Vec<Axis<'_>>> {
    let Scene { few, many, .. } = scene;
    const COMMAND: &str = "/api/platform/redis/default/command";
    let small =
        |size, gateway, connections| Point::post(size, gateway, connections, COMMAND, read(VALUE_KEY));
    let mut tokens = Vec::new();
    for length in [10, 750, 3_000, 12_000] {
        let token = scene.token_of(length)?;
        tokens.push(Point { token: Some(token.clone()), ..small(token.len() as u64, few, CONNECTIONS) });
    }
    let rows = |count: u64| {
        let query = format!("select n as id, 'Name ' || n as name from generate_series(1, {count}) n");
        let path = "/api/platform/postgres/default/query";
        Point::post(count, few, FEW_CONNECTIONS, path, json!({ "query": query }).to_string())
    };
    let page = |count: u64| {
        Point::get(count, few, CONNECTIONS, &format!("/api/platform/redis/default/keys?count={count}"))
    };
    let value =
        |bytes: u64| Point::post(bytes, few, FEW_CONNECTIONS, COMMAND, read(&scene::value_key(bytes)));
    Ok(vec![
        Axis {
            name: "connections",
            unit: "connection",
            request: "POST /command GET",
            is_answer: false,
            points: [1, 16, 64, 512].map(|count| small(count.into(), few, count)).into(),
        },
        Axis {
            name: "rows",
            unit: "row",
            request: "POST /query of PostgreSQL",
            is_answer: true,
            points: [1, 10, 100, 1_000, 10_000, 100_000].map(rows).into(),
        },
        Axis {
            name: "keys",
            unit: "key",
            request: "GET /keys?count=",
            is_answer: true,
            points: [1, 10, 100, 1_000].map(page).into(),
        },
        Axis {
            name: "bytes",
            unit: "byte",
            request: "POST /command GET",
            is_answer: true,
            points: scene::VALUE_SIZES.map(value).into(),
        },
        Axis {
            name: "registered",
            unit: "registered connection",
            request: "POST /command GET",
            is_answer: false,
            points: vec![
                small(scene.registered(few)?, few, CONNECTIONS),
                Point { path: scene::command_path(0), ..small(scene.registered(many)?, many, CONNECTIONS) },
            ],
        },
        Axis {
            name: "projects",
            unit: "active project",
            request: "POST /command GET",
            is_answer: false,
            points: [1, 10, 100, PROJECTS as u64]
                .map(|count| Point { script: scene::in_turn(count), ..small(count, many, CONNECTIONS) })
                .into(),
        },
        Axis {
            name: "token",
            unit: "token byte",
            request: "POST /command GET",
            is_answer: false,
            points: tokens,
        },
    ])
}

impl Bench<'_> {
    /// Measures all sizes of an axis in turns.
    fn grow(&self, axis: &Axis, deadline: Instant) -> Result<Curve> {
        let mut sizes: Vec<_> = axis.points.iter().map(|point| (point.size, Series::default())).collect();
        let mut scripts = Vec::new();
        for (number, point) in axis.points.iter().enumerate() {
            let file = self.folder.join(format!("{}-{number}.lua", axis.name));
            let token = point.token.as_deref().unwrap_or(point.gateway.token());
            scripts.push(write_script(&file, token, point.body.as_deref(), &point.script)?);
        }
        for round in 0..self.rounds {
            if round > 0 && Instant::now() > deadline {
                println!("{}: {round} of {} rounds, for want of time", axis.name, self.rounds);
                break;
            }
            for ((point, script), (_, series)) in axis.points.iter().zip(&scripts).zip(&mut sizes) {
                if interrupted() {
                    bail!("interrupted");
                }
                let load = Load { connections: point.connections, ..self.load.clone() };
                let url = format!("{}{}", point.gateway.address, point.path);
                let arguments = ["-s", script];
                if round == 0 {
                    // One round warms up before any counts.
                    Load { seconds: (load.seconds / 3).max(1), ..load.clone() }.run(&url, &arguments)?;
                }
                load.measure(point.gateway.id(), &url, &arguments, series)?;
            }
        }
        let Axis { name, unit, request, is_answer, .. } = *axis;
        Ok(Curve { name, unit, request, is_answer, sizes })
    }
}
