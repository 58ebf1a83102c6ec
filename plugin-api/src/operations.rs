//! The route table.

use crate::{
    Access,
    handler::{ErasedHandler, Handler, OperationSchemas, erase},
};
use std::time::Duration;

/// The rule that decides the access of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationAccess {
    /// Every call needs this access.
    Needs(Access),
    /// A caller who may read may call; the driver looks at [`Context::granted`](crate::Context::granted) and the call.
    PerCall,
}

/// HTTP methods that an operation can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads; answers `HEAD` too.
    Get,
    /// Creates something, or does something.
    Post,
    /// Changes something that exists.
    Put,
    /// Changes a part of something that exists.
    Patch,
    /// Deletes.
    Delete,
}

impl Method {
    /// Returns the method's name, as in a request line.
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
    /// Makes an empty table.
    pub fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds an operation at `GET path`. A path is relative to the project: `/keys/{key}`; a parameter fills one
    /// segment.
    pub fn get<A>(self, path: &'static str, handler: impl Handler<D, A>) -> Undeclared<D> {
        self.add(Method::Get, path, handler)
    }
    /// Adds an operation at `POST path`.
    pub fn post<A>(self, path: &'static str, handler: impl Handler<D, A>) -> Undeclared<D> {
        self.add(Method::Post, path, handler)
    }
    /// Adds an operation at `PUT path`.
    pub fn put<A>(self, path: &'static str, handler: impl Handler<D, A>) -> Undeclared<D> {
        self.add(Method::Put, path, handler)
    }
    /// Adds an operation at `PATCH path`.
    pub fn patch<A>(self, path: &'static str, handler: impl Handler<D, A>) -> Undeclared<D> {
        self.add(Method::Patch, path, handler)
    }
    /// Adds an operation at `DELETE path`.
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

    /// Sets the summary of the last operation: one line for people.
    pub fn summary(self, summary: &'static str) -> Self {
        self.change_last(|operation| operation.summary = summary)
    }

    /// Lets the last operation's replies be served again for this long: whole seconds, up to a day. It must be a `GET`
    /// that is open to [`read`](Undeclared::read); a host refuses to load a driver that caches another.
    pub fn cache(self, time_to_live: Duration) -> Self {
        self.change_last(|operation| operation.cache = Some(time_to_live))
    }

    /// Makes a call of the last operation turn the cached replies of these paths' operations stale, on the same
    /// connection.
    pub fn invalidates(self, paths: impl IntoIterator<Item = &'static str>) -> Self {
        self.change_last(|operation| operation.invalidates.extend(paths))
    }

    /// Does what [`cache`](Self::cache) does, for those of the rows so far that are a `GET` of one of these paths.
    pub fn cache_each(mut self, paths: &[&str], time_to_live: Duration) -> Self {
        let rows = self.rows.iter_mut();
        for row in rows.filter(|row| row.method == Method::Get && paths.contains(&row.path)) {
            row.cache = Some(time_to_live);
        }
        self
    }

    /// Does what [`invalidates`](Self::invalidates) does, for those of the rows so far that may write.
    pub fn each_write_invalidates(mut self, paths: &[&'static str]) -> Self {
        let rows = self.rows.iter_mut();
        for row in rows.filter(|row| row.access != OperationAccess::Needs(Access::Read)) {
            row.invalidates.extend_from_slice(paths);
        }
        self
    }

    /// Puts the operations that `add` adds under an alias of the [description](crate::Description::alias) instead of the
    /// driver's type. They are separate operations: one path may lead to another operation under each prefix.
    pub fn alias(mut self, prefix: &'static str, add: impl FnOnce(Self) -> Self) -> Self {
        let added = add(Self::new()).rows.into_iter();
        self.rows.extend(added.map(|operation| Operation { alias: Some(prefix), ..operation }));
        self
    }

    /// Returns the rows, in order.
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

/// An operation whose access is not declared yet: declaring it gives the table back.
#[must_use = "declare the operation's access: read(), write(), admin() or per_call()"]
pub struct Undeclared<D> {
    rows: Vec<Operation<D>>,
    operation: Operation<D>,
}

impl<D: 'static> Undeclared<D> {
    /// Declares that the operation leaves the database as it was: open to viewers.
    pub fn read(self) -> Operations<D> {
        self.declare(OperationAccess::Needs(Access::Read))
    }
    /// Declares that the operation changes data: open to developers.
    pub fn write(self) -> Operations<D> {
        self.declare(OperationAccess::Needs(Access::Write))
    }
    /// Declares that the operation changes the server or drops whole databases: open to admins.
    pub fn admin(self) -> Operations<D> {
        self.declare(OperationAccess::Needs(Access::Admin))
    }
    /// Declares that the access depends on the call: open to viewers, and the driver enforces each caller's rights.
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
