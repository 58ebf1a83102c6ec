//! All differences between the two databases.
//!
//! Every query of the registry is written once, in PostgreSQL's SQL, but for the audit trail's, which each database
//! takes in the form that costs it least. For SQLite, the few phrases that it does not know are replaced by its own.
//! These rules keep this file small:
//!
//! - Only text, integers and booleans are exchanged (`sqlx::Any` knows no UUIDs or times): ids, times and every column
//!   that an older Studio may have declared otherwise are read with `CAST(… AS TEXT)`.
//! - Parameters are text or integers; if a gateway's column has another type, the query casts (`CAST($1 AS uuid)`).
//! - If an older Studio chose the type, it is looked up; see `rows.rs`.
//! - A column that a Studio's table may lack is written `[p.status]`, and is NULL if it is missing.

use std::fmt::Write;

use sqlx::AssertSqlSafe;

use crate::role::Role;

/// The database in use, one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// A file that belongs to the gateway alone.
    Sqlite,
    /// A server, perhaps with a Studio's tables in schema `platform`.
    Postgres,
}

/// Pairs of a phrase in the queries and its replacement for SQLite, which reads `CAST(x AS uuid)` as a number.
const SQLITE_PHRASES: &[(&str, &str)] = &[
    (" AS uuid)", " AS TEXT)"),
    ("CAST(CAST($1 AS jsonb) ->> ", "CAST($1 ->> "),
    ("clock_timestamp()", "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"),
    // `BEGIN IMMEDIATE` has locked the whole file already.
    (" FOR NO KEY UPDATE", ""),
    ("SELECT jsonb_array_elements_text(CAST($2 AS jsonb))", "SELECT value FROM json_each($2)"),
];

/// The placeholder in queries for the list of known role names.
const KNOWN_ROLES: &str = "(known roles)";

impl Dialect {
    /// Translates `query` for this database. It must be a constant of the gateway without any value in it.
    pub(super) fn sql(self, query: &str) -> AssertSqlSafe<String> {
        let mut query = self.columns_that_may_lack(&query.replace(KNOWN_ROLES, &known_roles()));
        if self == Self::Sqlite {
            for (postgres, sqlite) in SQLITE_PHRASES {
                query = query.replace(postgres, sqlite);
            }
        }
        AssertSqlSafe(query)
    }

    /// Writes `[p.status]` so that it is NULL if the table has no such column. The gateway's own file has all columns.
    fn columns_that_may_lack(self, query: &str) -> String {
        let mut rest = query;
        let mut written = String::with_capacity(query.len() + 64);
        while let Some((before, after)) = rest.split_once('[')
            && let Some((column, after)) = after.split_once(']')
        {
            written.push_str(before);
            match (self, column.split_once('.')) {
                (Self::Postgres, Some((row, name))) => {
                    // Writing to a String cannot fail.
                    let _ = write!(written, "(to_jsonb({row}) ->> '{name}')");
                }
                _ => written.push_str(column),
            }
            rest = after;
        }
        written + rest
    }

    /// Starts a transaction that writes. SQLite takes the write lock at once, so that concurrent writers wait here and
    /// do not fail at their first write.
    pub(super) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// Takes the lock named by $1 and $2 until the transaction ends. SQLite has locked the whole file already. It is
    /// not a row's lock, since the gateway may have no right to change the row.
    pub(super) fn lock_name(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => {
                Some("SELECT CAST(pg_advisory_xact_lock(hashtext($1), hashtext($2)) AS text) AS locked")
            }
        }
    }

    /// Starts a transaction that can change nothing. The mode is not set for the whole connection: with a pooler, the
    /// connection serves another client after the transaction.
    pub(super) fn begin_to_look(self) -> &'static str {
        match self {
            // SQLite has no such mode; the queries of such a transaction only read.
            Self::Sqlite => "BEGIN",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// Gives the statements that every new database connection runs first.
    pub(super) fn session_setup(self) -> &'static str {
        match self {
            // FULL: with WAL, a commit is on the disk before it is acknowledged.
            Self::Sqlite => "PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL",
            // `public` and `extensions` contain functions that an older Studio's triggers and defaults may call. Times
            // are printed in a form that does not depend on the server's settings.
            Self::Postgres => {
                "SET search_path TO platform, public, extensions; SET TimeZone TO 'UTC'; SET DateStyle TO 'ISO'"
            }
        }
    }

    /// Gives the table of applied migrations. In PostgreSQL it has its schema, so that another program's
    /// `_sqlx_migrations` in the same database is never touched.
    pub(super) fn migrations_table(self) -> &'static str {
        match self {
            Self::Sqlite => "gateway_migrations",
            Self::Postgres => "platform.gateway_migrations",
        }
    }

    /// Gives a query that returns one row if the table of applied migrations exists. It needs no right on the schema.
    pub(super) fn find_migrations_table(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT 1 AS found FROM sqlite_master WHERE name = 'gateway_migrations'",
            Self::Postgres => {
                "SELECT 1 AS found FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = 'platform' AND c.relname = 'gateway_migrations'"
            }
        }
    }
}

fn known_roles() -> String {
    let mut list = String::from("(");
    for (name, _) in Role::STORED {
        let separator = if list.len() > 1 { ", " } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(list, "{separator}'{name}'");
    }
    list + ")"
}
