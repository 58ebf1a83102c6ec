//! A session's way to the server: one connection, or a cluster of them, behind the same three methods.

#[cfg(not(target_family = "wasm"))]
use crate::native;
#[cfg(any(target_family = "wasm", test))]
use crate::sandboxed;
use crate::{errors, options::Target, resp::OWN_ANSWERS, wire};
use redis::{Cmd, Pipeline, Value, cmd};
use studio_plugin_api::{DriverError, Network};

/// The most nodes that one cluster may have. Redis itself advises against more than a thousand.
pub(crate) const MAX_NODES: usize = 512;

/// Where in a cluster a command goes. A single server is every place.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(target_family = "wasm", expect(dead_code, reason = "the sandbox knows no clusters"))]
pub(crate) enum Route<'a> {
    /// Where the command's own keys are, or wherever its kind goes.
    Itself,
    /// To the primary that has this key.
    Key(&'a [u8]),
    /// To the primary that has this slot.
    Slot(u16),
}

/// One primary of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Primary {
    /// The node's own id, which outlives a change of its address.
    pub(crate) id: String,
    /// A slot that it serves, which is how it is reached.
    pub(crate) slot: u16,
}

/// An open session's connection.
pub(crate) struct Connection {
    link: Link,
}

enum Link {
    #[cfg(not(target_family = "wasm"))]
    Native(native::Link),
    #[cfg(any(target_family = "wasm", test))]
    Sandboxed(sandboxed::Link),
}

impl Connection {
    /// Opens it, logs in, and proves that the server answers.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) async fn open(target: &Target, network: Network) -> Result<Self, DriverError> {
        Ok(Self { link: Link::Native(native::Link::open(target, network).await?) })
    }

    /// Opens it, logs in, and proves that the server answers.
    #[cfg(target_family = "wasm")]
    pub(crate) async fn open(target: &Target, network: Network) -> Result<Self, DriverError> {
        Self::open_sandboxed(target, network).await
    }

    /// As in a component.
    #[cfg(any(target_family = "wasm", test))]
    pub(crate) async fn open_sandboxed(target: &Target, network: Network) -> Result<Self, DriverError> {
        Ok(Self { link: Link::Sandboxed(sandboxed::Link::open(target, &network).await?) })
    }

    /// False as soon as the connection is known to be dead.
    pub(crate) fn is_open(&self) -> bool {
        match &self.link {
            #[cfg(not(target_family = "wasm"))]
            Link::Native(link) => link.is_open(),
            #[cfg(any(target_family = "wasm", test))]
            Link::Sandboxed(link) => link.is_open(),
        }
    }

    /// Whether a cluster is behind it.
    pub(crate) fn is_cluster(&self) -> bool {
        match &self.link {
            #[cfg(not(target_family = "wasm"))]
            Link::Native(link) => link.is_cluster(),
            #[cfg(any(target_family = "wasm", test))]
            Link::Sandboxed(_) => false,
        }
    }

    /// One command that is answered shortly; its answer, or the server's error as an error.
    pub(crate) async fn query(&self, command: &Cmd, route: Route<'_>) -> Result<Value, DriverError> {
        self.query_within(command, route, OWN_ANSWERS).await
    }

    /// One command, whose answer may have `most` bytes as the server sends it, with some room for what is no data. A
    /// server that begins to send more than that has lost the connection.
    pub(crate) async fn query_within(
        &self,
        command: &Cmd,
        route: Route<'_>,
        most: u64,
    ) -> Result<Value, DriverError> {
        wire::check(match &self.link {
            #[cfg(not(target_family = "wasm"))]
            Link::Native(link) => link.query(command, route, most).await?,
            #[cfg(any(target_family = "wasm", test))]
            Link::Sandboxed(link) => link.query(command, route, most).await?,
        })
    }

    /// As [`pipeline_within`](Self::pipeline_within), for commands that are answered shortly.
    pub(crate) async fn pipeline(
        &self,
        pipeline: Pipeline,
        route: Route<'_>,
    ) -> Result<Vec<Value>, DriverError> {
        self.pipeline_within(pipeline, route, OWN_ANSWERS).await
    }

    /// Several commands in one round trip, one answer each, with `most` bytes together. An answer may be a [`Value::ServerError`]: one command's
    /// failure is not the others'. In a cluster all of them must be at home where the route leads.
    pub(crate) async fn pipeline_within(
        &self,
        pipeline: Pipeline,
        route: Route<'_>,
        most: u64,
    ) -> Result<Vec<Value>, DriverError> {
        match &self.link {
            #[cfg(not(target_family = "wasm"))]
            Link::Native(link) => link.pipeline(pipeline, route, most).await,
            #[cfg(any(target_family = "wasm", test))]
            Link::Sandboxed(link) => link.pipeline(&pipeline, route, most).await,
        }
    }

    /// Several commands as one transaction (`MULTI` … `EXEC`) in one round trip. The connection is shared, but all of
    /// it is written in one piece, so nothing comes between. One answer each, as from [`pipeline`](Self::pipeline).
    ///
    /// Fails as a whole or not at all, but where the connection's user may not use `MULTI`: then the server has run the
    /// commands one by one.
    pub(crate) async fn transaction(
        &self,
        pipeline: Pipeline,
        route: Route<'_>,
    ) -> Result<Vec<Value>, DriverError> {
        let mut answers = match &self.link {
            #[cfg(not(target_family = "wasm"))]
            Link::Native(link) => {
                link.pipeline(between_multi_and_exec(&pipeline), route, OWN_ANSWERS).await?
            }
            #[cfg(any(target_family = "wasm", test))]
            Link::Sandboxed(link) => link.transaction(&pipeline, route, OWN_ANSWERS).await?,
        };
        let _discarded = answers.pop();
        let exec = answers.pop().ok_or_else(|| errors::unexpected("EXEC"))?;
        let mut answers = answers.into_iter();
        let began = answers.next().ok_or_else(|| errors::unexpected("MULTI"))?;
        wire::check(began).map_err(|error| error.with("outcome", "unknown"))?;
        // What refused to be queued says more than the EXEC that failed over it.
        for queued in answers {
            wire::check(queued)?;
        }
        wire::items(wire::check(exec)?).ok_or_else(|| errors::unexpected("EXEC"))
    }

    /// The cluster's primaries, in the order of their slots; none for a single server.
    pub(crate) async fn primaries(&self) -> Result<Vec<Primary>, DriverError> {
        if !self.is_cluster() {
            return Ok(Vec::new());
        }
        let mut question = cmd("CLUSTER");
        question.arg("SLOTS");
        let ranges = wire::items(self.query(&question, Route::Slot(0)).await?)
            .ok_or_else(|| errors::unexpected("CLUSTER SLOTS"))?;
        let mut primaries: Vec<Primary> = Vec::new();
        for range in ranges {
            let primary = read_primary(range).ok_or_else(|| errors::unexpected("CLUSTER SLOTS"))?;
            let has_room = primaries.len() < MAX_NODES;
            match primaries.iter_mut().find(|known| known.id == primary.id) {
                Some(known) => known.slot = known.slot.min(primary.slot),
                None if has_room => primaries.push(primary),
                None => return Err(errors::unexpected("CLUSTER SLOTS")),
            }
        }
        primaries.sort_by_key(|primary| primary.slot);
        Ok(primaries)
    }
}

/// By hand: the client's own transactions lose the answers when the server refuses to begin one, and its arithmetic
/// overflows over that.
#[cfg(not(target_family = "wasm"))]
fn between_multi_and_exec(pipeline: &Pipeline) -> Pipeline {
    let mut whole = Pipeline::with_capacity(pipeline.len() + 3);
    whole.add_command(cmd("MULTI"));
    for command in pipeline.cmd_iter() {
        whole.add_command(command.clone());
    }
    // Where EXEC itself is refused, the connection, which all share, does not stay in the transaction.
    whole.add_command(cmd("EXEC")).add_command(cmd("DISCARD"));
    whole
}

fn read_primary(range: Value) -> Option<Primary> {
    let mut parts = wire::items(range)?.into_iter();
    let slot = u16::try_from(wire::integer(&parts.next()?)?).ok()?;
    let _last_slot = parts.next()?;
    let mut node = wire::items(parts.next()?)?.into_iter();
    let (_host, _port) = (node.next()?, node.next()?);
    Some(Primary { id: wire::text(node.next()?)?, slot })
}
