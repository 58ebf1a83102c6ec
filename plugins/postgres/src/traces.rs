//! What a text of SQL may leave behind that `DISCARD ALL` does not take away: looked for by its words, wherever they stand,
//! since one too many costs a connection and one too few somebody's secret.

/// The words of what stays in a connection: a setting of one's own, whose name is never forgotten; the seed; libraries;
/// connections that the server opened for it; and texts put together, which may be any of these.
const STAY: [&str; 17] = [
    "set_config",
    "setseed",
    "load",
    "execute",
    "plperl",
    "plperlu",
    "plpythonu",
    "plpython2u",
    "plpython3u",
    "pltcl",
    "pltclu",
    "plv8",
    "pg_backup_start",
    "pg_start_backup",
    "pg_create_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_replication_origin_session_setup",
];

/// How much of a text may stand between `SET` and its `=`, in bytes.
const LONGEST_SETTING: usize = 256;

/// What a text may leave behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traces {
    /// Something in the connection that cleaning does not take away.
    pub(crate) stay: bool,
    /// It is about a whole database, or about what sessions begin with: connections that are open are in its way, or not
    /// as they would be opened now.
    pub(crate) concern_others: bool,
    /// Other names of what there is.
    pub(crate) rename: bool,
    /// Something that is there from now on, is another, or is gone.
    pub(crate) define: bool,
}

impl Traces {
    /// Looks at a text.
    pub(crate) fn of(sql: &str) -> Self {
        let mut seen = Seen::default();
        let mut traces = Self::default();
        let bytes = sql.as_bytes();
        let mut place = 0;
        while let Some(rest) = bytes.get(place..).filter(|rest| !rest.is_empty()) {
            let length = rest.iter().take_while(|byte| is_of_word(**byte)).count();
            if length == 0 {
                place += 1;
                continue;
            }
            let word = rest.get(..length).unwrap_or_default();
            let after = rest.get(length..).unwrap_or_default();
            traces.take(word, after, &mut seen);
            place += length;
        }
        traces.concern_others = seen.database && (seen.create || seen.alter || seen.drop)
            || seen.alter && seen.role && seen.setting;
        traces.define = seen.create || seen.alter || seen.drop;
        traces
    }

    fn take(&mut self, word: &[u8], after: &[u8], seen: &mut Seen) {
        let is = |other: &str| word.eq_ignore_ascii_case(other.as_bytes());
        // Few words begin so; all others are told by one look.
        match word.first().map(u8::to_ascii_lowercase) {
            Some(b'a') => seen.alter |= is("alter"),
            Some(b'c') => seen.create |= is("create"),
            Some(b'd') => {
                seen.drop |= is("drop");
                seen.database |= is("database");
                self.stay |= word.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"dblink"));
            }
            Some(b's') => {
                seen.setting |= is("set");
                self.stay |= is("set") && sets_what_stays(after) || STAY.iter().any(|other| is(other));
            }
            Some(b'r') => {
                seen.setting |= is("reset");
                seen.role |= is("role");
                self.rename |= is("rename");
            }
            Some(b'u') => {
                seen.role |= is("user");
                // A name with escapes may be any.
                self.stay |= is("u") && after.starts_with(b"&\"");
            }
            Some(b'e' | b'l' | b'p') => self.stay |= STAY.iter().any(|other| is(other)),
            _ => {}
        }
    }
}

/// The words that mean something together.
#[derive(Default)]
struct Seen {
    alter: bool,
    create: bool,
    database: bool,
    drop: bool,
    role: bool,
    setting: bool,
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

/// Whether what follows a `SET` sets the seed, or a setting with a dot in its name.
fn sets_what_stays(after: &[u8]) -> bool {
    let after = after.get(..LONGEST_SETTING).unwrap_or(after);
    let end = after.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(after.len());
    let name = after.get(..end).unwrap_or_default().to_ascii_lowercase();
    let name = String::from_utf8_lossy(&name);
    let words = name.split(|letter: char| letter.is_ascii_whitespace());
    words
        .take_while(|word| *word != "to")
        .any(|word| word.contains('.') || word == "seed" || word == "\"seed\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_in_a_connection_is_found_wherever_it_stands() {
        for sql in [
            "select Set_Config('a.b', 'x', true)",
            "set a.b = 1",
            "SET LOCAL \"a.b\" TO 'x'",
            "set session a . b = 1",
            "begin; set\n local a.b to 1",
            "set seed to 0.5",
            "select pg_catalog.setseed(1)",
            "load 'x'",
            "do $$ begin execute 'x'; end $$",
            "select dblink_connect('x')",
            "select U&\"set\\005fconfig\"('a.b', 'x', true)",
            "do language plpython3u $$ GD['x'] = 1 $$",
        ] {
            assert!(Traces::of(sql).stay, "{sql}");
        }
        for sql in [
            "",
            "select 1",
            "set work_mem = '1.5GB'",
            "set timezone to 'a.b'",
            "update t set a = 1.5 where x.y = 2",
            "select payload, download_seed, loaded, asset_config from dataset",
            "set local role x",
            "select u & 1",
            "set",
        ] {
            assert!(!Traces::of(sql).stay, "{sql}");
        }
    }

    #[test]
    fn what_concerns_other_sessions_is_found_by_its_words_together() {
        for sql in [
            "create database x template y",
            "DROP DATABASE x",
            "alter database x rename to y",
            "alter role x set work_mem = '1MB'",
            "alter user x in database y reset all",
        ] {
            assert!(Traces::of(sql).concern_others, "{sql}");
        }
        for sql in ["create table x ()", "set role x", "alter role x login", "select 'database'"] {
            assert!(!Traces::of(sql).concern_others, "{sql}");
        }
        assert!(Traces::of("alter type x rename to y").rename && !Traces::of("alter type x").rename);
    }
}
