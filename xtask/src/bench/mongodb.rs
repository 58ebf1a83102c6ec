//! The gateway with the MongoDB driver, and a loop over the same client in one process, before the same server.

use super::{
    Bench,
    load::{Series, measure_program},
};
use crate::{
    gateway::Gateway,
    process::{output_of, run},
    servers::Mongo,
    workspace::cargo,
};
use anyhow::Result;
use std::process::Command;

/// The data that are read: `find` gets the collection's first 20 documents, `get` the one with this id.
const DATABASE: &str = "bench";
const COLLECTION: &str = "people";
const ID: &str = "65a5a5a5a5a5a5a5a5a5a5a5";

/// The loop's package and program, in `xtask/peers`.
const PEER: &str = "studio-peer-mongodb";

/// Measures and prints.
pub fn measure(bench: &Bench) -> Result<()> {
    let Bench { workspace, dist, folder, load, rounds } = bench;
    run(cargo().current_dir(&workspace.root).args(["build", "--release", "--package", PEER]))?;
    let mongo = Mongo::start(workspace, &folder.join("mongodb-data"))?;
    let peer = |work: &str| {
        let mut command = Command::new(workspace.target.join("release").join(PEER));
        command.arg(format!("mongodb://127.0.0.1:{}", mongo.port));
        command.args([DATABASE, COLLECTION, ID, work, &load.seconds.to_string()]);
        command
    };
    output_of(&mut peer("load"))?;

    let gateway = Gateway::start(&bench.program("mongodb", &dist.join("plugins.toml"))?)?;
    gateway.set_up("mongodb", mongo.port)?;
    let documents =
        format!("/api/platform/mongodb/default/databases/{DATABASE}/collections/{COLLECTION}/documents");
    let find = format!("{}{documents}?limit=20&count=none", gateway.address);
    let get = format!("{}{documents}/{ID}", gateway.address);
    let collections = format!("/api/platform/mongodb/default/databases/{DATABASE}/collections");
    let collections = format!("{}{collections}", gateway.address);
    let bearer = format!("Authorization: Bearer {}", gateway.token());
    let insisting = ["-H", &bearer, "-H", "Cache-Control: no-cache"];

    // One round warms up before any counts.
    load.run(&find, &["-H", &bearer])?;
    output_of(&mut peer("find"))?;
    let [mut finds, mut gets, mut beside_finds, mut beside_gets, mut hits, mut misses] =
        std::array::from_fn(|_| Series::default());
    for round in 1..=*rounds {
        load.measure(gateway.id(), &find, &["-H", &bearer], &mut finds)?;
        measure_program(&mut peer("find"), reads_done, &mut beside_finds)?;
        load.measure(gateway.id(), &get, &["-H", &bearer], &mut gets)?;
        measure_program(&mut peer("get"), reads_done, &mut beside_gets)?;
        load.measure(gateway.id(), &collections, &["-H", &bearer], &mut hits)?;
        load.measure(gateway.id(), &collections, &insisting, &mut misses)?;
        println!("MongoDB: round {round} of {rounds} done");
    }

    bench.print_heading(load.connections);
    finds.print_beside("find 20 documents", "direct", &beside_finds);
    gets.print_beside("get by id", "direct", &beside_gets);
    hits.print_beside("collections, kept", "fresh", &misses);
    Ok(())
}

/// Finds in the loop's output the reads done, and reads a second.
fn reads_done(output: &str) -> Option<(f64, f64)> {
    let (reads, rate) = output.split_once(' ')?;
    Some((reads.parse().ok()?, rate.parse().ok()?))
}
