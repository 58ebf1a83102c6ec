//! Names of databases and collections, and who may use which.
//!
//! The rules are those of the manual's "MongoDB Limits and Thresholds", with the stricter Windows set for databases,
//! since a name must mean the same wherever the server runs.

use std::fmt;
use studio_plugin_api::prelude::*;

/// Databases in which the server keeps its users, its oplog and its cluster: for admins only.
const CLOSED: [&str; 3] = ["admin", "local", "config"];
/// The longest database name, in bytes: fewer than 64.
const MAX_DATABASE: usize = 63;
/// The longest `database.collection`, in bytes.
const MAX_NAMESPACE: usize = 255;
/// Collections of the server's own that may be dropped: the manual's way to resize the profile, and stored JavaScript.
const DROPPABLE: [&str; 2] = ["system.profile", "system.js"];

/// The name of a database as MongoDB accepts it: 1 to 63 bytes, without ``/\. "$*<>:|?`` and NUL.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("minLength" = 1, "maxLength" = 63))]
pub(crate) struct DatabaseName(String);

/// The name of a collection as MongoDB accepts it: not empty, without `$` and NUL, not beginning with a dot, and with
/// its database's name and a dot at most 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("minLength" = 1, "maxLength" = 253))]
pub(crate) struct CollectionName(String);

/// What someone wants to do with a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Read it, or what the server tells about it.
    Read,
    /// Create it, or change its documents, indexes or options.
    Write,
    /// Drop it.
    Drop,
}

/// A collection that this caller may use in this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Namespace<'a> {
    /// The database's name.
    pub(crate) database: &'a str,
    /// The collection's name.
    pub(crate) collection: &'a str,
}

impl DatabaseName {
    /// Reads a name from a body; `field` names it in the error.
    ///
    /// # Errors
    /// `VALIDATION_ERROR`.
    pub(crate) fn new(name: &str, field: &str) -> Result<Self, DriverError> {
        Self::try_from(name.to_owned()).map_err(|wrong| DriverError::field(field, wrong))
    }

    /// The name, for a caller who may look into this database.
    ///
    /// # Errors
    /// `FORBIDDEN` for `admin`, `local` and `config` below admin. Not `NOT_FOUND`: every server has them.
    pub(crate) fn open_to(&self, granted: Access) -> Result<&str, DriverError> {
        if Self::is_hidden_from(&self.0, granted) {
            let message = format!("the database `{}` is the server's own, open to admins only", self.0);
            return Err(DriverError::forbidden(message).with("database", self.0.as_str()));
        }
        Ok(&self.0)
    }

    /// Whether a list of databases leaves this name out for the caller. MongoDB keeps names unique without regard to
    /// case, so `Admin` is `admin` misspelt.
    pub(crate) fn is_hidden_from(name: &str, granted: Access) -> bool {
        granted < Access::Admin && CLOSED.iter().any(|closed| closed.eq_ignore_ascii_case(name))
    }
}

impl TryFrom<String> for DatabaseName {
    type Error = Unfit;

    fn try_from(name: String) -> Result<Self, Unfit> {
        if name.is_empty() || name.len() > MAX_DATABASE {
            return Err(Unfit("must have 1 to 63 bytes"));
        }
        if name.contains(['/', '\\', '.', ' ', '"', '$', '*', '<', '>', ':', '|', '?', '\0']) {
            return Err(Unfit("must not contain a space, NUL, or any of /\\.\"$*<>:|?"));
        }
        Ok(Self(name))
    }
}

impl CollectionName {
    /// Reads a name from a body; `field` names it in the error.
    ///
    /// # Errors
    /// `VALIDATION_ERROR`.
    pub(crate) fn new(name: &str, field: &str) -> Result<Self, DriverError> {
        Self::try_from(name.to_owned()).map_err(|wrong| DriverError::field(field, wrong))
    }

    /// The collection in its database, for this use by this caller.
    ///
    /// # Errors
    /// `FORBIDDEN` where the database is closed to the caller or the collection to this use; `VALIDATION_ERROR` for
    /// `coll` where both names together are too long.
    pub(crate) fn open_in<'a>(
        &'a self,
        database: &'a DatabaseName,
        purpose: Use,
        granted: Access,
    ) -> Result<Namespace<'a>, DriverError> {
        let database = database.open_to(granted)?;
        if database.len() + 1 + self.0.len() > MAX_NAMESPACE {
            let longest = MAX_NAMESPACE - 1 - database.len();
            let message = format!("`coll`: must have at most {longest} bytes in the database `{database}`");
            return Err(DriverError::validation("coll", message));
        }
        Ok(Namespace { database, collection: self.open_for(purpose)? })
    }

    /// The name, for this use by anyone. The server's own collections, `system.` and what follows, can be read where
    /// the server lets them, but not written: a document in `system.views` is a view, one in `system.js` a function.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub(crate) fn open_for(&self, purpose: Use) -> Result<&str, DriverError> {
        let reserved = self.0.starts_with("system.") || self.0.contains(".system.");
        let may = match purpose {
            Use::Read => true,
            Use::Write => !reserved,
            Use::Drop => !reserved || DROPPABLE.contains(&self.0.as_str()),
        };
        if may {
            return Ok(&self.0);
        }
        let message = format!(
            "the collection `{}` is the server's own: it can be read, not changed or dropped",
            self.0
        );
        Err(DriverError::forbidden(message).with("collection", self.0.as_str()))
    }
}

impl TryFrom<String> for CollectionName {
    type Error = Unfit;

    fn try_from(name: String) -> Result<Self, Unfit> {
        // One byte of database and the dot are the least that stands before it.
        if name.is_empty() || name.len() > MAX_NAMESPACE - 2 {
            return Err(Unfit(
                "must have 1 byte or more, and at most 255 with its database's name and a dot",
            ));
        }
        if name.starts_with('.') {
            return Err(Unfit("must not begin with a dot"));
        }
        if name.contains(['$', '\0']) {
            return Err(Unfit("must not contain $ or NUL"));
        }
        Ok(Self(name))
    }
}

/// Why a text is no name, and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unfit(&'static str);

impl fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

#[cfg(test)]
mod tests;
