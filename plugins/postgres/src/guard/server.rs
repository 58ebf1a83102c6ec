//! Statements about what belongs to the whole server, not to one database: roles and who is in them, settings, whole
//! databases, the server's files and programs. They are for admins, as such operations are.
//!
//! This reads texts, also those of blocks and functions that are made here. What puts a statement together while it runs
//! is not seen: what a login may do on the server is the border.

use super::words::{Piece, Pieces};
use crate::room::{self, Room};
use std::cell::Cell;
use studio_plugin_api::DriverError;

/// Texts that are read in place.
const SHORT: usize = 64 << 10;
/// How far texts within texts are read.
const MAXIMUM_DEPTH: usize = 8;
/// What of a statement says what it is, in pieces.
const START: usize = 6;
/// How often all of a text may be looked through for what follows the starts of its statements. Outside of bodies once is
/// enough; within one a statement may begin in the midst of another, and a hostile text has nothing but beginnings.
const LOOKS: usize = 8;

/// Refuses SQL of a developer that is for admins, and gives back what is not.
///
/// # Errors
/// `FORBIDDEN`.
pub(crate) async fn check(sql: String) -> Result<String, DriverError> {
    match sql.len() <= SHORT {
        true => read(sql),
        false => room::run(Room::of(0), move |_| read(sql)).await,
    }
}

fn read(sql: String) -> Result<String, DriverError> {
    match find(&sql, Within::Nothing, MAXIMUM_DEPTH) {
        None => Ok(sql),
        Some(statement) => Err(DriverError::forbidden(format!("`{statement}` is for admins of the project"))
            .with("statement", statement)),
    }
}

/// What a text stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    /// A block or function, in whose language statements begin after some words too, and where texts may be run.
    Body,
}

/// The first statement that is for admins.
fn find(sql: &str, within: Within, depth: usize) -> Option<&'static str> {
    let mut pieces = Pieces::new(sql);
    let mut starts = true;
    let mut has_bodies = within == Within::Body;
    let left = Cell::new(LOOKS * sql.len().max(START));
    loop {
        if starts {
            let start = Start::of(pieces.clone(), &left);
            if let Some(statement) = start.is_for_admins() {
                return Some(statement);
            }
            if left.get() == 0 {
                return Some("DO");
            }
            has_bodies = within == Within::Body || start.has_bodies();
        }
        let piece = pieces.next()?;
        starts = match piece {
            Piece::Other(b';') => true,
            Piece::Word(_) if within == Within::Body => {
                ["begin", "then", "else", "loop", "execute"].iter().any(|word| piece.is(word))
            }
            _ => false,
        };
        if let Piece::Text(text) = piece
            && has_bodies
            && let Some(statement) = match depth.checked_sub(1) {
                Some(depth) => find(text, Within::Body, depth),
                None => Some("DO"),
            }
        {
            return Some(statement);
        }
    }
}

/// The first pieces of a statement, and what follows.
struct Start<'a> {
    first: [Option<Piece<'a>>; START],
    pieces: Pieces<'a>,
    /// Bytes that may still be looked through.
    left: &'a Cell<usize>,
}

impl<'a> Start<'a> {
    fn of(pieces: Pieces<'a>, left: &'a Cell<usize>) -> Self {
        let mut some = pieces.clone();
        Self { first: std::array::from_fn(|_| some.next()), pieces, left }
    }

    /// Whether the piece at a place is one of these words.
    fn has(&self, place: usize, words: &[&str]) -> bool {
        let piece = self.first.get(place).copied().flatten();
        piece.is_some_and(|piece| words.iter().any(|word| piece.is(word)))
    }

    /// Whether it makes something of texts that are run.
    fn has_bodies(&self) -> bool {
        let made = if self.has(1, &["or"]) { 3 } else { 1 };
        self.has(0, &["do"]) || self.has(0, &["create"]) && self.has(made, &["function", "procedure"])
    }

    fn is_for_admins(&self) -> Option<&'static str> {
        let changes = self.has(0, &["create", "alter", "drop"]);
        // `mapping` may be the name of a user.
        let is_mapping = self.has(2, &["mapping"]) && self.has(3, &["for", "if"]);
        if changes && self.has(1, &["role", "user", "group"]) && !is_mapping {
            Some("CREATE, ALTER or DROP ROLE")
        } else if changes && self.has(1, &["tablespace"]) {
            Some("CREATE, ALTER or DROP TABLESPACE")
        } else if self.has(0, &["alter"]) && self.has(1, &["system"]) {
            Some("ALTER SYSTEM")
        } else if self.has(0, &["alter", "drop"]) && self.has(1, &["database"]) {
            Some("ALTER or DROP DATABASE")
        } else if self.has(0, &["drop", "reassign"]) && self.has(1, &["owned"]) {
            Some("DROP or REASSIGN OWNED")
        } else if self.has(0, &["grant", "revoke"]) && !self.is_about_objects() {
            Some("GRANT or REVOKE of a role")
        } else if self.has(0, &["comment", "security"])
            && self.has(1, &["on", "label"])
            && self.names_a_role_after_on()
        {
            Some("COMMENT or SECURITY LABEL on a role")
        } else if self.has(0, &["copy"]) && self.copies_beside_the_caller() {
            Some("COPY with a file or program of the server")
        } else if self.has(0, &["load"]) && matches!(self.first.get(1), Some(Some(Piece::Text(_)))) {
            Some("LOAD")
        } else {
            None
        }
    }

    /// What the statement is made of after its first word.
    fn rest(&self) -> impl Iterator<Item = Piece<'a>> + use<'a> {
        let (mut pieces, left) = (self.pieces.clone(), self.left);
        let bounded = std::iter::from_fn(move || {
            let before = pieces.place();
            let piece = pieces.next().filter(|_| left.get() > 0)?;
            left.set(left.get().saturating_sub(pieces.place() - before));
            Some(piece)
        });
        bounded.skip(1).take_while(|piece| *piece != Piece::Other(b';'))
    }

    /// `GRANT … ON … TO`; without `ON` roles are granted.
    fn is_about_objects(&self) -> bool {
        let mut found = self.rest().filter(|piece| ["on", "to", "from"].iter().any(|word| piece.is(word)));
        // A body has other things that begin so.
        found.next().is_none_or(|piece| piece.is("on"))
    }

    fn names_a_role_after_on(&self) -> bool {
        let mut rest = self.rest().skip_while(|piece| !piece.is("on")).skip(1);
        rest.next().is_some_and(|piece| piece.is("role") || piece.is("tablespace"))
    }

    /// `COPY … TO 'file'`, `COPY … FROM PROGRAM 'command'`, outside of parentheses.
    fn copies_beside_the_caller(&self) -> bool {
        let mut depth = 0_usize;
        let mut rest = self.rest().peekable();
        while let Some(piece) = rest.next() {
            match piece {
                Piece::Other(b'(') => depth += 1,
                Piece::Other(b')') => depth = depth.saturating_sub(1),
                _ if depth == 0 && (piece.is("to") || piece.is("from")) => {
                    return rest
                        .peek()
                        .is_some_and(|next| matches!(next, Piece::Text(_)) || next.is("program"));
                }
                _ => {}
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use studio_plugin_api::ErrorCode;

    fn is_refused(sql: &str) -> bool {
        match read(sql.to_owned()) {
            Ok(same) => {
                assert_eq!(same, sql);
                false
            }
            Err(error) => {
                assert_eq!(error.code, ErrorCode::Forbidden);
                true
            }
        }
    }

    #[test]
    fn what_is_the_servers_is_refused() {
        for sql in [
            "create role x superuser",
            "CREATE/* */Role x",
            "create user x",
            "create user mapping",
            "create user mapping superuser",
            "create group x",
            "alter role current_user set search_path = x",
            "alter user x with password 'y'",
            "alter group a add user b",
            "drop role if exists x",
            "drop user mapping",
            "select 1; ; create role x",
            "begin; alter system set work_mem = '1GB'; commit",
            "alter system reset all",
            "alter database d set work_mem = '1GB'",
            "alter database d owner to x",
            "drop database if exists d",
            "grant a to b",
            "grant a, \"on\" to b with admin option",
            "revoke a from b",
            "revoke admin option for a from b",
            "drop owned by x",
            "reassign owned by x to y",
            "create tablespace t location '/x'",
            "comment on role x is 'y'",
            "security label for p on role x is 'y'",
            "copy t from program 'sh'",
            "copy (select 1 from t) to program 'sh'",
            "copy t (a) to '/etc/x'",
            "copy t from e'/etc/x'",
            "load 'x'",
            "do $$ begin create role x; end $$",
            "do language plpgsql 'begin if true then create role x; end if; end'",
            "do $$ begin execute 'create role x'; end $$",
            "do $$ begin execute format('create role %I', 'x'); end $$",
            "do $a$ begin execute $b$ do $c$ begin alter system reset all; end $c$ $b$; end $a$",
            "create or replace function f() returns void language sql as $$ grant a to b $$",
            "create procedure f() language plpgsql as 'begin drop role x; end'",
            "select 'a'\n; create role x",
            r"select e'\\'; create role x",
            "select $$'$$; create role x",
            "select 'it''s' /* ' */ -- '\n; create role x",
        ] {
            assert!(is_refused(sql), "{sql}");
        }
    }

    #[test]
    fn what_is_the_databases_is_let_through() {
        for sql in [
            "",
            "select 1",
            "select role, user from system where grant = 'create role x'",
            "create table role (a int)",
            "create table t (a text default 'create role x; alter system')",
            "create user mapping for x server y",
            "create user mapping if not exists for x server y",
            "drop user mapping if exists for x server y",
            "create database d",
            "create extension if not exists pgcrypto",
            "grant select on t to x",
            "grant all on schema s to x with grant option",
            "revoke grant option for select (a) on t from x",
            "alter default privileges for role x grant select on tables to y",
            "set role x",
            "set local role x; reset role",
            "alter table t owner to x",
            "comment on table t is 'role'",
            "comment on column t.role is 'role'",
            "copy t from stdin",
            "copy program to stdout",
            "copy (select 1 from t) to stdout",
            "-- create role x\nselect 1 /* ; create role x */",
            "select '; create role x', $$; create role x$$, \"; create role x\"",
            r"select e'\'; create role x'",
            "do $$ begin perform 1; grant select on t to x; end $$",
            "do $$ begin raise notice 'to create a role ask'; end $$",
            "create policy p on t to x using (true)",
            "drop table role",
        ] {
            assert!(!is_refused(sql), "{sql}");
        }
    }

    #[test]
    fn texts_of_any_size_and_shape_are_read() {
        let rows = "insert into t values (1, 'it''s; create role x'), (2, $$x$$);\n".repeat(100_000);
        assert!(!is_refused(&rows));
        assert!(is_refused(&(rows + "create role x")));
        let mut nested = "select 1".to_owned();
        for level in 0..40 {
            nested = format!("do $a{level}$ {nested} $a{level}$");
        }
        assert!(is_refused(&nested));
        for beginnings in ["begin grant ", "begin copy x ", "then security label "] {
            assert!(is_refused(&format!("do $$ {} $$", beginnings.repeat(100_000))), "{beginnings}");
        }
        for hostile in ["'", "$a$", "/*", "e'\\", "(", ";"] {
            let _ = is_refused(&hostile.repeat(200_000));
        }
    }
}
