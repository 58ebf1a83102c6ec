//! The route table.

use crate::{
    Access,
    handler::{ErasedHandler, Handler, OperationSchemas, erase},
};
use std::time::Duration;

/// Who decides what a call of an operation may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationAccess {
    /// Always this much is needed.
    Needs(Access),
    /// Anyone who may read may call; the driver looks at [`Context::granted`](crate::Context::granted) and the call.
    PerCall,
}

/// HTTP methods that an operation can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads; answers `HEAD` too.
    Get,
    /// Creates, or does something.
    Post,
    /// Changes what is there.
    Put,
    /// Changes part of what is there.
    Patch,
    /// Deletes.
    Delete,
}

impl Method {
    /// As in a request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// One row of the route table.
pub struct Operation<D> {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) alias: Option<&'static str>,
    pub(crate) access: OperationAccess,
    pub(crate) summary: &'static str,
    pub(crate) cache: Option<Duration>,
    pub(crate) invalidates: Vec<&'static str>,
    pub(crate) schemas: fn() -> OperationSchemas,
    pub(crate) handler: ErasedHandler<D>,
}

/// A driver's route table, in the order written. An operation's place in it is its number on the border.
pub struct Operations<D> {
    rows: Vec<Operation<D>>,
}

impl<D: 'static> Default for Operations<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D: 'static> Operations<D> {
    /// An empty table.
    pub fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// An operation at `GET path`. A path is relative to the project: `/keys/{key}`; a parameter fills one segment.
    pub fn get<A>(self, path: &'static str, handler: impl Handler<D, A>) -> Undeclared<D> {
        self.add(Method::Get, path, handler)
    }
    /// An operation at `POST path`.
    pub fn post<A>(self, path: &'static str, handler: impl Handler<D, A>) -> Undeclared<D> {
        self.add(Method::Post, path, handler)
    }
    /// An operation at `PUT path`.
    pub fn put<A>(self, path: &'static str, handler: impl Handler<D, A>) -> Undeclared<D> {
        self.add(Method::Put, path, handler)
    }
    /// An operation at `PATCH path`.
    pub fn patch<A>(self, path: &'static str, handler: impl Handler<D, A>) -> Undeclared<D> {
        self.add(Method::Patch, path, handler)
    }
    /// An operation at `DELETE path`.
    pub fn delete<A>(self, path: &'static str, handler: impl Handler<D, A>) -> Undeclared<D> {
        self.add(Method::Delete, path, handler)
    }

    fn add<A, H: Handler<D, A>>(self, method: Method, path: &'static str, handler: H) -> Undeclared<D> {
        let operation = Operation {
            method,
            path,
            alias: None,
            access: OperationAccess::Needs(Access::Admin),
            summary: "",
            cache: None,
            invalidates: Vec::new(),
            schemas: H::schemas,
            handler: erase(handler, path),
        };
        Undeclared { rows: self.rows, operation }
    }

    /// One line for people: what the last operation does.
    pub fn summary(self, summary: &'static str) -> Self {
        self.change_last(|operation| operation.summary = summary)
    }

    /// The last operation's replies may be served again for this long: whole seconds, up to a day. It must be a `GET`
    /// that is open to [`read`](Undeclared::read); a host refuses to load a driver that caches another.
    pub fn cache(self, time_to_live: Duration) -> Self {
        self.change_last(|operation| operation.cache = Some(time_to_live))
    }

    /// Paths of operations whose cached replies a call of the last operation makes stale, on the same connection.
    pub fn invalidates(self, paths: impl IntoIterator<Item = &'static str>) -> Self {
        self.change_last(|operation| operation.invalidates.extend(paths))
    }

    /// As [`cache`](Self::cache), for those among the rows so far that are a `GET` of one of these paths.
    pub fn cache_each(mut self, paths: &[&str], time_to_live: Duration) -> Self {
        let rows = self.rows.iter_mut();
        for row in rows.filter(|row| row.method == Method::Get && paths.contains(&row.path)) {
            row.cache = Some(time_to_live);
        }
        self
    }

    /// As [`invalidates`](Self::invalidates), for all among the rows so far that may write.
    pub fn each_write_invalidates(mut self, paths: &[&'static str]) -> Self {
        let rows = self.rows.iter_mut();
        for row in rows.filter(|row| row.access != OperationAccess::Needs(Access::Read)) {
            row.invalidates.extend_from_slice(paths);
        }
        self
    }

    /// Puts the operations that `add` adds under an alias of the [description](crate::Description::alias) instead of the
    /// driver's type. They are operations of their own: one path may mean something under each prefix.
    pub fn alias(mut self, prefix: &'static str, add: impl FnOnce(Self) -> Self) -> Self {
        let added = add(Self::new()).rows.into_iter();
        self.rows.extend(added.map(|operation| Operation { alias: Some(prefix), ..operation }));
        self
    }

    /// The rows, in order.
    pub fn into_rows(self) -> Vec<Operation<D>> {
        self.rows
    }

    fn change_last(mut self, change: impl FnOnce(&mut Operation<D>)) -> Self {
        if let Some(operation) = self.rows.last_mut() {
            change(operation);
        }
        self
    }
}

/// An operation whose access is still to be declared: the table goes on only after that.
#[must_use = "declare the operation's access: read(), write(), admin() or per_call()"]
pub struct Undeclared<D> {
    rows: Vec<Operation<D>>,
    operation: Operation<D>,
}

impl<D: 'static> Undeclared<D> {
    /// Leaves the database as it was: open to viewers.
    pub fn read(self) -> Operations<D> {
        self.declare(OperationAccess::Needs(Access::Read))
    }
    /// Changes data: open to developers.
    pub fn write(self) -> Operations<D> {
        self.declare(OperationAccess::Needs(Access::Write))
    }
    /// Changes the server or drops whole databases: open to admins.
    pub fn admin(self) -> Operations<D> {
        self.declare(OperationAccess::Needs(Access::Admin))
    }
    /// Depends on the call: open to viewers, and the driver holds each caller to what was granted.
    pub fn per_call(self) -> Operations<D> {
        self.declare(OperationAccess::PerCall)
    }

    fn declare(self, access: OperationAccess) -> Operations<D> {
        let Self { mut rows, mut operation } = self;
        operation.access = access;
        rows.push(operation);
        Operations { rows }
    }
}
