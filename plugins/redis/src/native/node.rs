//! The connections to a cluster's nodes. The cluster client asks for one by an address, with no place for what else it
//! takes: the host's rules, TLS, the login. Those are registered under a name, which goes through the client as the
//! user's.

use super::{
    dial,
    mux::{Failure, Mux},
};
use crate::{
    options::{Address, Tls},
    resp::OWN_ANSWERS,
};
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline, RedisConnectionInfo,
    RedisError, RedisFuture, Value, aio::ConnectionLike, cluster_async::Connect,
};
use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use studio_plugin_api::{DriverError, ErrorCode, Network};

/// The most nodes that one cluster may have: Redis itself advises against more than a thousand.
const MAX_NODES: usize = 512;
/// By this factor all nodes together may answer more to one command than a single one.
const TOGETHER: u64 = 4;
const TOO_LARGE: &str = "more bytes than";
const TOO_MANY: &str = "the cluster names more nodes than a gateway connects to";

static REGISTERED: Mutex<Option<HashMap<String, Arc<Nodes>>>> = Mutex::new(None);
static NEXT: AtomicU64 = AtomicU64::new(0);

/// What the connections to the nodes of one cluster share.
pub(super) struct Nodes {
    login: RedisConnectionInfo,
    tls: Option<Tls>,
    network: Network,
    count: AtomicUsize,
    /// Bytes that the answers to a call may have: what the largest of them was allowed so far.
    most: AtomicU64,
}

/// Keeps [`Nodes`] to be found, as long as it lives.
pub(super) struct Registered {
    name: String,
    nodes: Arc<Nodes>,
}

/// An open connection to a node.
#[derive(Clone)]
pub(super) struct Node {
    server: Mux,
    place: Arc<Place>,
}

/// One of the nodes that a cluster may have.
struct Place(Arc<Nodes>);

impl Nodes {
    pub(super) fn register(login: RedisConnectionInfo, tls: Option<Tls>, network: Network) -> Registered {
        let most = AtomicU64::new(OWN_ANSWERS);
        let nodes = Arc::new(Self { login, tls, network, count: AtomicUsize::new(0), most });
        let name = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
        registered().get_or_insert_default().insert(name.clone(), nodes.clone());
        Registered { name, nodes }
    }

    fn find(name: &str) -> Option<Arc<Self>> {
        registered().as_ref()?.get(name).cloned()
    }

    fn take_place(self: Arc<Self>) -> Option<Arc<Place>> {
        let place = Place(self);
        // A place that is not to be had is given back when it is dropped.
        (place.0.count.fetch_add(1, Ordering::Relaxed) < MAX_NODES).then(|| Arc::new(place))
    }
}

fn registered() -> MutexGuard<'static, Option<HashMap<String, Arc<Nodes>>>> {
    REGISTERED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registered {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// From now on answers may have so many bytes.
    pub(super) fn allow(&self, most: u64) {
        self.nodes.most.fetch_max(most, Ordering::Relaxed);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(all) = registered().as_mut() {
            all.remove(&self.name);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Place {
    /// A command may have gone to every node at once: all their answers are in memory together.
    fn most(&self) -> u64 {
        let most = self.0.most.load(Ordering::Relaxed);
        let nodes = self.0.count.load(Ordering::Relaxed) as u64;
        if nodes <= TOGETHER { most } else { most.saturating_mul(TOGETHER) / nodes }
    }
}

impl Node {
    async fn ask(&self, commands: Vec<u8>, wanted: usize) -> Result<Vec<Value>, RedisError> {
        // One that is given up still has the answers of those who wait on it, and takes no new questions.
        if !self.server.is_open() {
            return Err(Failure::Lost.into());
        }
        Ok(self.server.ask(commands, wanted, self.place.most()).await?)
    }
}

impl Connect for Node {
    fn connect_with_config<'a, T>(info: T, _: AsyncConnectionConfig) -> RedisFuture<'a, Self>
    where
        T: IntoConnectionInfo + Send + 'a,
    {
        Box::pin(async move {
            let info = info.into_connection_info()?;
            let gone = || RedisError::from((ErrorKind::Client, "the cluster is closed"));
            let name = info.redis_settings().username().unwrap_or_default();
            let nodes = Nodes::find(name).ok_or_else(gone)?;
            let ConnectionAddr::Tcp(host, port) = info.addr() else { return Err(gone()) };
            let address = Address { host: host.clone(), port: *port };
            let place = nodes.take_place().ok_or((ErrorKind::InvalidClientConfig, TOO_MANY))?;
            let Nodes { tls, login, network, .. } = &*place.0;
            let server = dial::dial_server(&address, tls.as_ref(), login, network).await.map_err(refused)?;
            Ok(Self { server, place })
        })
    }
}

impl ConnectionLike for Node {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let answers = self.ask(command.get_packed_command(), 1).await?;
            answers.into_iter().next().ok_or_else(|| Failure::Lost.into())
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let mut answers = self.ask(pipeline.get_packed_pipeline(), offset + count).await?;
            Ok(answers.split_off(offset))
        })
    }

    fn get_db(&self) -> i64 {
        0
    }
}

fn refused(error: DriverError) -> RedisError {
    match error.code {
        ErrorCode::Forbidden => (ErrorKind::InvalidClientConfig, "address refused", error.message).into(),
        _ => (ErrorKind::Io, "no connection to a node", error.message).into(),
    }
}

impl From<Failure> for RedisError {
    fn from(failure: Failure) -> Self {
        match failure {
            // Of a kind that the cluster client does not try again.
            Failure::TooLarge(most) => (ErrorKind::Client, TOO_LARGE, most.to_string()).into(),
            Failure::NotRedis => (ErrorKind::Parse, "no Redis protocol").into(),
            Failure::Tls(cause) => (ErrorKind::Io, "TLS failed", cause).into(),
            Failure::Lost => io::Error::from(io::ErrorKind::BrokenPipe).into(),
        }
    }
}

impl Failure {
    /// Reads what went through the cluster client, where that has a meaning beyond the error's kind.
    pub(super) fn read(error: &RedisError) -> Option<Self> {
        let most = error.detail()?.parse().ok()?;
        (error.kind() == ErrorKind::Client && error.to_string().starts_with(TOO_LARGE))
            .then_some(Self::TooLarge(most))
    }
}
