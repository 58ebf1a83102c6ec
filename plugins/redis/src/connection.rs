//! A session's way to the server: one connection, or a cluster of them, behind the same three methods.

#[cfg(not(target_family = "wasm"))]
use crate::native;
#[cfg(any(target_family = "wasm", test))]
use crate::sandboxed;
use crate::{
    options::Target,
    packed::Packed,
    resp::OWN_ANSWERS,
    route::{Primary, Route},
    standing::Standing,
    wire,
};
use redis::{Cmd, Pipeline, Value, cmd};
#[cfg(any(target_family = "wasm", test))]
use std::iter;
use studio_plugin_api::{DriverError, Network};

/// An open session's connection.
pub(crate) struct Connection {
    link: Link,
    standing: Standing,
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
        let link = Link::Native(native::Link::open(target, network).await?);
        Ok(Self { link, standing: Standing::new(target) })
    }

    /// Opens it, logs in, and proves that the server answers.
    #[cfg(target_family = "wasm")]
    pub(crate) async fn open(target: &Target, network: Network) -> Result<Self, DriverError> {
        Self::open_sandboxed(target, network).await
    }

    /// As in a component.
    #[cfg(any(target_family = "wasm", test))]
    pub(crate) async fn open_sandboxed(target: &Target, network: Network) -> Result<Self, DriverError> {
        let link = Link::Sandboxed(sandboxed::Link::open(target, &network).await?);
        Ok(Self { link, standing: Standing::new(target) })
    }

    /// False as soon as the connection is known to be dead, or to lead elsewhere than it should.
    pub(crate) fn is_open(&self) -> bool {
        if self.standing.is_lost() {
            return false;
        }
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
        self.look_around().await?;
        let answers = match &self.link {
            #[cfg(not(target_family = "wasm"))]
            Link::Native(link) => link.ask(command.into(), route, most).await?,
            #[cfg(any(target_family = "wasm", test))]
            Link::Sandboxed(link) => link.ask_one_by_one(iter::once(command), route, most).await?,
        };
        self.watch(&answers).await;
        wire::only(answers)
    }

    /// As [`pipeline_within`](Self::pipeline_within), for commands that are packed as they are made.
    pub(crate) async fn ask(
        &self,
        commands: Packed,
        route: Route<'_>,
        most: u64,
    ) -> Result<Vec<Value>, DriverError> {
        self.look_around().await?;
        let answers = self.send(commands, route, most).await?;
        self.watch(&answers).await;
        Ok(answers)
    }

    async fn send(&self, commands: Packed, route: Route<'_>, most: u64) -> Result<Vec<Value>, DriverError> {
        match &self.link {
            #[cfg(not(target_family = "wasm"))]
            Link::Native(link) => link.ask(commands, route, most).await,
            #[cfg(any(target_family = "wasm", test))]
            Link::Sandboxed(link) => link.ask(&commands, route, most).await,
        }
    }

    /// Asks the server once in a while whether it still is what it was: one that was a primary and is a replica now
    /// answers reads as before, from data that nobody writes to.
    async fn look_around(&self) -> Result<(), DriverError> {
        if self.is_cluster() || !self.standing.is_due() {
            return Ok(());
        }
        let answers = self.send((&cmd("ROLE")).into(), Route::Any, OWN_ANSWERS).await?;
        self.watch(&answers).await;
        self.standing.note(answers.into_iter().next().unwrap_or_default())
    }

    /// Gives the session up where an answer tells that it leads elsewhere than it should. In a cluster it is the slots
    /// that change their place.
    async fn watch(&self, answers: &[Value]) {
        if self.is_cluster() {
            return;
        }
        self.standing.watch(answers);
        #[cfg(any(target_family = "wasm", test))]
        if let (true, Link::Sandboxed(link)) = (self.standing.is_lost(), &self.link) {
            link.end().await;
        }
    }

    /// As [`pipeline_within`](Self::pipeline_within), for commands that are answered shortly.
    pub(crate) async fn pipeline(
        &self,
        pipeline: Pipeline,
        route: Route<'_>,
    ) -> Result<Vec<Value>, DriverError> {
        self.pipeline_within(pipeline, route, OWN_ANSWERS).await
    }

    /// Several commands in one round trip, one answer each, with `most` bytes together. An answer may be a
    /// [`Value::ServerError`]: one command's failure is not the others'. In a cluster all of them must be at home where
    /// the route leads to; what moves away meanwhile is followed.
    pub(crate) async fn pipeline_within(
        &self,
        pipeline: Pipeline,
        route: Route<'_>,
        most: u64,
    ) -> Result<Vec<Value>, DriverError> {
        self.look_around().await?;
        let answers = match &self.link {
            #[cfg(not(target_family = "wasm"))]
            Link::Native(link) => link.ask((&pipeline).into(), route, most).await?,
            #[cfg(any(target_family = "wasm", test))]
            Link::Sandboxed(link) => link.ask_one_by_one(pipeline.cmd_iter(), route, most).await?,
        };
        self.watch(&answers).await;
        Ok(answers)
    }

    /// Several commands as one transaction (`MULTI` … `EXEC`) in one round trip. The connection is shared, but all of
    /// it is written in one piece, so nothing comes between. One answer each, as from [`pipeline`](Self::pipeline).
    ///
    /// Fails as a whole or not at all, but where the connection's user may not use `MULTI`: then the server has run the
    /// commands one by one.
    pub(crate) async fn transaction(
        &self,
        commands: &[Cmd],
        route: Route<'_>,
    ) -> Result<Vec<Value>, DriverError> {
        let mut answers = match &self.link {
            #[cfg(not(target_family = "wasm"))]
            Link::Native(link) => link.ask(between_multi_and_exec(commands), route, OWN_ANSWERS).await?,
            #[cfg(any(target_family = "wasm", test))]
            Link::Sandboxed(link) => link.transaction(commands, route, OWN_ANSWERS).await?,
        };
        let _discarded = answers.pop();
        self.watch(&answers).await;
        let exec = answers.pop().ok_or_else(|| DriverError::unexpected_answer("EXEC"))?;
        let mut answers = answers.into_iter();
        let began = answers.next().ok_or_else(|| DriverError::unexpected_answer("MULTI"))?;
        wire::check(began).map_err(|error| error.with("outcome", "unknown"))?;
        // What refused to be queued says more than the EXEC that failed over it.
        for queued in answers {
            wire::check(queued)?;
        }
        let answers =
            wire::items(wire::check(exec)?).ok_or_else(|| DriverError::unexpected_answer("EXEC"))?;
        self.watch(&answers).await;
        Ok(answers)
    }

    /// The cluster's primaries as its nodes tell now, in the order of their ids; none for a single server.
    pub(crate) async fn primaries(&self) -> Result<Vec<Primary>, DriverError> {
        match &self.link {
            #[cfg(not(target_family = "wasm"))]
            Link::Native(link) => link.primaries().await,
            #[cfg(any(target_family = "wasm", test))]
            Link::Sandboxed(_) => Ok(Vec::new()),
        }
    }
}

/// By hand: the client's own transactions lose the answers when the server refuses to begin one, and its arithmetic
/// overflows over that.
#[cfg(not(target_family = "wasm"))]
fn between_multi_and_exec(commands: &[Cmd]) -> Packed {
    let mut whole = Packed::default();
    whole.add([b"MULTI"]);
    commands.iter().for_each(|command| whole.add_command(command));
    // Where EXEC itself is refused, the connection, which all share, does not stay in the transaction.
    whole.add([b"EXEC"]);
    whole.add([b"DISCARD"]);
    whole
}
