//! The connections to a cluster, and where in it a command goes: to the node that its key, its route or the node's own
//! word names. `map.rs` knows who serves which slot, `redirect.rs` reads where a node sends a command on and `follow.rs` goes there, `many.rs`
//! knows of commands for several nodes, `node.rs` has the connections.

mod follow;
mod many;
mod map;
mod node;
mod redirect;

use crate::{
    errors,
    options::{Address, Target},
    packed::Packed,
    resp::OWN_ANSWERS,
    route::{Join, Primary, Route, Spread},
};
use follow::Sent;
use futures_util::{StreamExt, TryStreamExt, stream};
use map::{Map, slot};
use node::{Node, Nodes};
use redis::Value;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use studio_plugin_api::{DriverError, Network, sync::lock};

/// So many nodes are asked at once for what all of them answer.
const ASKED_AT_ONCE: usize = 16;
/// So many times the bound all nodes together may answer to one command.
const TOGETHER: u64 = 4;
/// So long a node may take to say who serves which slot, and so many are asked at once.
const MAP_TIMEOUT: Duration = Duration::from_secs(2);
const MAPS_AT_ONCE: usize = 4;

/// Connections to a cluster's nodes.
pub(crate) struct Cluster {
    nodes: Nodes,
    seeds: Vec<Address>,
    map: Mutex<Arc<Map>>,
    /// Held while the map is asked for, so that it is asked once for all who want it.
    asking: tokio::sync::Mutex<()>,
    open: AtomicBool,
}

impl Cluster {
    /// Asks the seeds for the map. Connections are made when a command needs them.
    pub(super) async fn open(
        target: &Target,
        seeds: Vec<Address>,
        network: Network,
    ) -> Result<Self, DriverError> {
        let cluster = Self {
            nodes: Nodes::new(target.login.clone(), target.tls.clone(), network),
            seeds,
            map: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            open: AtomicBool::new(true),
        };
        cluster.refresh(&cluster.map()).await?;
        Ok(cluster)
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// All primaries, as the nodes tell now.
    pub(super) async fn primaries(&self) -> Result<Vec<Primary>, DriverError> {
        self.refresh(&self.map()).await?;
        Ok(self.map().primaries().to_vec())
    }

    /// Sends commands to where the route leads. To many nodes goes one command, with one answer.
    pub(super) async fn ask(
        &self,
        commands: Packed,
        route: Route<'_>,
        most: u64,
    ) -> Result<Vec<Value>, DriverError> {
        let place = match route {
            Route::Key(key) => Place::Slot(slot(key)),
            Route::Node(primary) => Place::Node(primary),
            Route::Any => Place::Any,
            Route::Many(Spread::BySlot { step, shared, join }) => {
                return Ok(vec![self.by_slot(&commands, (step, shared), join, most).await?]);
            }
            Route::Many(Spread::Primaries(join)) => {
                return Ok(vec![self.by_node(&commands, join, most, false).await?]);
            }
            Route::Many(Spread::Nodes(join)) => {
                return Ok(vec![self.by_node(&commands, join, most, true).await?]);
            }
        };
        self.send(commands, place, most).await
    }

    /// Each slot's keys from their own primary. All of these are there before the first is asked for anything.
    async fn by_slot(
        &self,
        command: &Packed,
        (step, shared): (usize, usize),
        join: Join,
        most: u64,
    ) -> Result<Value, DriverError> {
        let parts = many::split(command, step, shared);
        let most = share(most, parts.len());
        for part in &parts {
            self.node_at(Place::Slot(part.slot)).await?;
        }
        let answers = stream::iter(parts).map(async |part| {
            let answers = self.send(part.command, Place::Slot(part.slot), most).await?;
            Ok::<_, DriverError>((part.keys, answers.into_iter().next().ok_or_else(errors::lost)?))
        });
        many::join_parts(join, answers.buffered(ASKED_AT_ONCE).try_collect().await?)
    }

    /// The answers of all primaries, or of all nodes. All of them are there before the first is asked for anything; but
    /// a replica that is down has nothing to tell, unless something is to be done on all.
    async fn by_node(
        &self,
        command: &Packed,
        join: Join,
        most: u64,
        replicas_too: bool,
    ) -> Result<Value, DriverError> {
        self.refresh(&self.map()).await?;
        let map = self.map();
        let primaries = self.connect_each(map.primaries().iter().map(|primary| &*primary.address)).await;
        let mut nodes = primaries.into_iter().collect::<Result<Vec<_>, _>>()?;
        if replicas_too && join == Join::All {
            let replicas = self.connect_each(map.replicas()).await;
            nodes.append(&mut replicas.into_iter().collect::<Result<Vec<_>, _>>()?);
        } else if replicas_too {
            let replicas = self.connect_each(map.replicas()).await;
            nodes.extend(replicas.into_iter().filter_map(Result::ok));
        }
        let most = share(most, nodes.len());
        let answers = stream::iter(nodes).map(async |node| {
            let answer =
                node.ask(command.clone(), most).await?.into_iter().next().ok_or_else(errors::lost)?;
            Ok::<_, DriverError>((node.address().to_string(), answer))
        });
        many::join_answers(join, answers.buffered(ASKED_AT_ONCE).try_collect().await?)
    }

    async fn connect_each<'a>(
        &self,
        addresses: impl IntoIterator<Item = &'a Address>,
    ) -> Vec<Result<Node, DriverError>> {
        let mut nodes = Vec::new();
        for address in addresses {
            nodes.push(self.nodes.connect(address));
        }
        stream::iter(nodes).buffered(ASKED_AT_ONCE).collect().await
    }

    /// Sends commands to a place, and those on that belong elsewhere, until each has its answer.
    async fn send(&self, commands: Packed, place: Place<'_>, most: u64) -> Result<Vec<Value>, DriverError> {
        let node = self.node_at(place).await?;
        let mut answers = node.ask(commands.clone(), most).await?;
        let is_transaction = many::begins_transaction(&commands);
        let misplaced = redirect::misplaced(&answers, is_transaction, node.address());
        if !misplaced.is_empty() {
            let whole = Sent { commands: &commands, is_transaction, most, place };
            self.follow(&whole, misplaced, &mut answers).await?;
        }
        Ok(answers)
    }

    async fn node_at(&self, place: Place<'_>) -> Result<Node, DriverError> {
        let slot = match place {
            Place::Node(primary) => return self.nodes.connect(&primary.address).await,
            Place::Any => return self.any_node().await,
            Place::Slot(slot) => slot,
        };
        let map = self.map();
        let failure = match map.primary(slot) {
            Some(primary) => match self.nodes.connect(&primary.address).await {
                Ok(node) => return Ok(node),
                Err(failure) => failure,
            },
            None => errors::unavailable("no node of the cluster serves this key's slot"),
        };
        // Another may have taken its place since.
        self.refresh(&map).await?;
        match self.map().primary(slot) {
            Some(primary) if Some(primary) != map.primary(slot) => self.nodes.connect(&primary.address).await,
            _ => Err(failure),
        }
    }

    /// One that is connected to, where there is one.
    async fn any_node(&self) -> Result<Node, DriverError> {
        let map = self.map();
        let addresses = || map.primaries().iter().map(|primary| &*primary.address).chain(&self.seeds);
        if let Some(node) = addresses().find_map(|address| self.nodes.known(address)) {
            return Ok(node);
        }
        let mut failure = None;
        for address in addresses() {
            match self.nodes.connect(address).await {
                Ok(node) => return Ok(node),
                Err(error) => failure = Some(error),
            }
        }
        Err(self.lost(failure))
    }

    fn map(&self) -> Arc<Map> {
        lock(&self.map).clone()
    }

    /// Asks for the map, unless somebody has since this one was seen. The first node that answers is believed.
    async fn refresh(&self, seen: &Arc<Map>) -> Result<(), DriverError> {
        let _asking = self.asking.lock().await;
        let map = self.map();
        if !Arc::ptr_eq(&map, seen) {
            return Ok(());
        }
        let mut addresses: Vec<&Address> = map.primaries().iter().map(|primary| &*primary.address).collect();
        addresses.extend(self.seeds.iter().filter(|seed| !addresses.contains(seed)).collect::<Vec<_>>());
        addresses.sort_by_key(|address| self.nodes.known(address).is_none());
        let mut answers = Vec::new();
        for address in addresses {
            answers.push(self.ask_for_map(address));
        }
        let mut answers = stream::iter(answers).buffer_unordered(MAPS_AT_ONCE);
        let (mut failure, mut lonely) = (None, None);
        while let Some(answer) = answers.next().await {
            match answer {
                // A node that was reset, or is new, knows of nobody.
                Ok(map) if map.primaries().is_empty() => lonely = Some(map),
                Ok(map) => {
                    self.set_map(map);
                    return Ok(());
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match lonely {
            Some(map) => {
                self.set_map(map);
                Ok(())
            }
            None => Err(self.lost(failure)),
        }
    }

    fn set_map(&self, map: Map) {
        *lock(&self.map) = Arc::new(map);
    }

    async fn ask_for_map(&self, address: &Address) -> Result<Map, DriverError> {
        let answers = async {
            let node = self.nodes.connect(address).await?;
            let mut answers = Vec::new();
            for question in map::questions() {
                answers.append(&mut node.ask((&question).into(), OWN_ANSWERS).await?);
            }
            Ok::<_, DriverError>(answers)
        };
        let answers = tokio::time::timeout(MAP_TIMEOUT, answers).await;
        let mut answers = answers.map_err(|_| node::silent(address))??.into_iter();
        let (slots, nodes) = (answers.next().unwrap_or_default(), answers.next().unwrap_or_default());
        Map::read(slots, nodes, address).map_err(|error| node::of_node(error, address))
    }

    /// No node is there. The flag goes down before the caller learns of it, so that its next call finds a new session.
    fn lost(&self, failure: Option<DriverError>) -> DriverError {
        self.open.store(false, Ordering::Release);
        failure.unwrap_or_else(errors::lost)
    }
}

/// Where commands are sent first.
#[derive(Clone, Copy)]
enum Place<'a> {
    Any,
    Slot(u16),
    Node(&'a Primary),
}

/// Where a command goes to many nodes at once, all their answers are in memory together.
fn share(most: u64, nodes: usize) -> u64 {
    let nodes = nodes as u64;
    if nodes <= TOGETHER { most } else { most.saturating_mul(TOGETHER) / nodes }
}
