//! What was acknowledged is there after a power cut.

use serde_json::json;
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use studio_gateway_tests::{Client, Gateway, GatewayOptions, Plugin, Plugins, Project, Registry, eventually};
use tokio::task::JoinSet;

/// How often the gateway is killed.
const ROUNDS: u32 = 50;
/// How many write at once.
const WRITERS: u32 = 4;

/// Creates connections and deletes every third again, until the gateway is gone. Counts those that stay, and gives back
/// the identifiers that must be there and those that must not, by what was acknowledged.
async fn write_until_killed(
    client: Client,
    path: String,
    prefix: String,
    kept: Arc<AtomicU32>,
) -> (Vec<String>, Vec<String>) {
    let (mut present, mut absent) = (Vec::new(), Vec::new());
    for number in 0.. {
        let identifier = format!("{prefix}-{number}");
        let body = json!({"identifier": identifier, "host": "127.0.0.1", "password": "sw0rdfish"});
        let Ok(created) = client.try_send(client.request("POST", &path).json(&body)).await else { break };
        let id = created.expect(201).data()["id"].as_str().unwrap().to_owned();
        if number % 3 != 0 {
            present.push(identifier);
            kept.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        match client.try_send(client.request("DELETE", &format!("{path}/{id}"))).await {
            Ok(deleted) => {
                deleted.expect(204);
                absent.push(identifier);
            }
            // Deleted or not: nobody was told.
            Err(_) => break,
        }
    }
    (present, absent)
}

async fn acknowledged_writes_survive_kill9(registry: Registry) {
    let plugins = Plugins::new([Plugin::new("probe")]);
    let mut gateway =
        Gateway::start(GatewayOptions::new(registry).plugins(plugins).set("GATEWAY_LOG", "warn")).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    let path = project.connections("probe");
    let query = format!("SELECT identifier FROM {}", gateway.database.table("database_connections"));
    let (mut present, mut absent) = (HashSet::new(), HashSet::new());
    for round in 0..ROUNDS {
        let (mut writers, kept) = (JoinSet::new(), Arc::new(AtomicU32::new(0)));
        for writer in 0..WRITERS {
            let prefix = format!("r{round}-w{writer}");
            let write = write_until_killed(project.owner.clone(), path.clone(), prefix, kept.clone());
            writers.spawn(write);
        }
        eventually("writes are acknowledged", async || kept.load(Ordering::Relaxed) > 1).await;
        // A little longer every round, so that the kill comes at another point of the work.
        tokio::time::sleep(Duration::from_millis(u64::from(round) * 3)).await;
        gateway.kill9();
        for (kept, deleted) in writers.join_all().await {
            present.extend(kept);
            absent.extend(deleted);
        }
        let start = Instant::now();
        gateway.start_again().await;
        let stored: HashSet<String> = gateway.database.texts(&query).await.into_iter().collect();
        let lost: Vec<_> = present.difference(&stored).collect();
        let risen: Vec<_> = absent.intersection(&stored).collect();
        assert!(lost.is_empty(), "round {round}: acknowledged and lost: {lost:?}");
        assert!(risen.is_empty(), "round {round}: deleted and back: {risen:?}");
        if round + 1 == ROUNDS {
            println!("{} writes, last start after {:?}", present.len() + absent.len(), start.elapsed());
        }
    }
    assert!(present.len() > ROUNDS as usize, "only {} writes were acknowledged", present.len());
    // What is there is whole: it opens.
    let any = present.iter().next().unwrap();
    project.owner.get(&project.path("probe", &format!("/nothing?connection={any}"))).await.expect(200);
    gateway.stop().await;
}

on_both_registries!(acknowledged_writes_survive_kill9);
