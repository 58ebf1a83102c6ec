//! Who may run which command.
//!
//! The server's own flags decide, after a list of exceptions:
//!
//! 1. What would break the connection that all callers share, or the server for everyone, is for no one ([`NEVER`],
//!    and whatever the server flags as blocking or as subscribing).
//! 2. Commands whose flags do not tell the whole have a rule of their own ([`EXCEPTIONS`]).
//! 3. `admin`, or dangerous and not read-only: admins. `write`: developers. `readonly`: viewers.
//! 4. A command without any of these flags (`SCRIPT LOAD`): developers. One that the server does not list: admins, since
//!    it may be any command under another name.
//!
//! Scripts are for admins, the read-only forms too: a script can do whatever the connection's Redis user may, look into
//! other databases and run without end included, and its text does not tell.

use super::{
    names::Names,
    table::{CommandTable, Flags},
};
use crate::packed::Packed;
use std::{collections::HashMap, sync::LazyLock};
use studio_plugin_api::Access;

/// What a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// This much.
    Needs(Access),
    /// No one may, for this reason.
    Never(&'static str),
}

const SHARED: &str = "it would change the state of the connection that all callers share";
const BLOCKS: &str = "it would block the connection that all callers share";
const SUBSCRIBES: &str = "it would take over the connection that all callers share, and no answer of HTTP could carry what comes after";
const SERVER: &str = "it would take the server from under everyone";

/// Commands for no one, and why. `name|subcommand` where only that is meant. They are listed even where the server's flags
/// would do, so that they hold on servers that do not tell their flags.
const NEVER: &[(&str, &[&str])] = &[
    (
        SHARED,
        &[
            "asking",
            "auth",
            "client|caching",
            "client|no-evict",
            "client|no-touch",
            "client|reply",
            "client|setinfo",
            "client|setname",
            "client|tracking",
            "discard",
            "exec",
            "hello",
            "multi",
            "quit",
            "readonly",
            "readwrite",
            "replconf",
            "reset",
            "script|debug",
            "select",
            "unwatch",
            "watch",
        ],
    ),
    (
        BLOCKS,
        &[
            "blmove",
            "blmpop",
            "blpop",
            "brpop",
            "brpoplpush",
            "bzmpop",
            "bzpopmax",
            "bzpopmin",
            "wait",
            "waitaof",
        ],
    ),
    (
        SUBSCRIBES,
        &[
            "monitor",
            "psubscribe",
            "psync",
            "punsubscribe",
            "ssubscribe",
            "subscribe",
            "sunsubscribe",
            "sync",
            "unsubscribe",
        ],
    ),
    (SERVER, &["client|pause", "failover", "replicaof", "shutdown", "slaveof"]),
];

/// Commands whose flags say too much or too little, with what they take.
const EXCEPTIONS: &[(Access, &[&str])] = &[
    (
        // They read, or tell about the server or this connection, but have no `readonly` flag.
        Access::Read,
        &[
            "acl|cat",
            "acl|whoami",
            "client|getname",
            "client|id",
            "cluster|countkeysinslot",
            "cluster|getkeysinslot",
            "cluster|info",
            "cluster|keyslot",
            "cluster|myid",
            "cluster|nodes",
            "cluster|shards",
            "cluster|slots",
            "command",
            "command|count",
            "command|docs",
            "command|getkeys",
            "command|getkeysandflags",
            "command|info",
            "command|list",
            "echo",
            "info",
            "lastsave",
            "memory|doctor",
            "memory|stats",
            "ping",
            "pubsub|channels",
            "pubsub|numpat",
            "pubsub|numsub",
            "pubsub|shardchannels",
            "pubsub|shardnumsub",
            "role",
            "time",
        ],
    ),
    (
        // KEYS only reads, but visits every key while all others wait. SORT is flagged as dangerous for the same
        // reason; it may also store. The others would count as subscribing.
        Access::Write,
        &["keys", "publish", "sort", "sort_ro", "spublish"],
    ),
    (
        // They reach beyond the data of this database, or end what others run.
        Access::Admin,
        &[
            "eval",
            "eval_ro",
            "evalsha",
            "evalsha_ro",
            "fcall",
            "fcall_ro",
            "flushall",
            "flushdb",
            "function|delete",
            "function|flush",
            "function|kill",
            "function|restore",
            "migrate",
            "move",
            "restore-asking",
            "script|flush",
            "script|kill",
            "swapdb",
        ],
    ),
];

/// The subcommands of DEBUG that only look; the others crash, stop or rewrite the server.
const HARMLESS_DEBUG: &[&str] =
    &["digest", "digest-value", "htstats", "htstats-key", "listpack", "object", "sdslen", "ziplist"];

/// What the lists say, by name.
static LISTED: LazyLock<HashMap<&str, Rule>> = LazyLock::new(|| {
    let exceptions =
        EXCEPTIONS.iter().flat_map(|(access, names)| names.iter().map(|name| (*name, Rule::Needs(*access))));
    let never =
        NEVER.iter().flat_map(|(reason, names)| names.iter().map(|name| (*name, Rule::Never(reason))));
    exceptions.chain(never).collect()
});

/// What the command takes, by its name and arguments.
pub(crate) fn rule(table: &CommandTable, words: &Packed) -> Rule {
    let names = Names::of(words);
    let (name, full) = (names.name(), names.full());
    let listed = [LISTED.get(full), LISTED.get(name)];

    if let Some(never) = listed.into_iter().flatten().find(|rule| matches!(rule, Rule::Never(_))) {
        return *never;
    }
    if name == "debug" && !HARMLESS_DEBUG.contains(&names.first()) {
        return Rule::Never(SERVER);
    }
    if matches!(name, "xread" | "xreadgroup") {
        return match reads_blocking(words) {
            true => Rule::Never(BLOCKS),
            false if name == "xread" => Rule::Needs(Access::Read),
            false => Rule::Needs(Access::Write),
        };
    }
    if copies_elsewhere(name, words) {
        return Rule::Needs(Access::Admin);
    }
    if !table.is_known() {
        return Rule::Needs(Access::Admin);
    }
    if let Some(exception) = listed.into_iter().flatten().next() {
        return *exception;
    }
    flags_of(table, &names).map_or(Rule::Needs(Access::Admin), by_flags)
}

/// Whether the server says that the command only reads, although it takes more than a viewer's role. Scripts are not
/// among them: they are for admins.
pub(crate) fn only_reads(table: &CommandTable, words: &Packed) -> bool {
    rule(table, words) == Rule::Needs(Access::Write)
        && flags_of(table, &Names::of(words)).is_some_and(|flags| flags.readonly && !flags.write)
}

fn flags_of(table: &CommandTable, names: &Names) -> Option<Flags> {
    let (name, full) = (names.name(), names.full());
    // A name with `|` is how the table writes a subcommand; as a word of a command it is no name at all.
    if name.contains('|') { None } else { table.get(full).or_else(|| table.get(name)) }
}

fn by_flags(flags: Flags) -> Rule {
    if flags.blocking {
        Rule::Never(BLOCKS)
    } else if flags.pubsub {
        Rule::Never(SUBSCRIBES)
    } else if flags.admin || (flags.dangerous && !flags.readonly) {
        Rule::Needs(Access::Admin)
    } else if flags.readonly && !flags.write {
        Rule::Needs(if flags.dangerous { Access::Write } else { Access::Read })
    } else {
        Rule::Needs(Access::Write)
    }
}

/// Whether XREAD or XREADGROUP would wait for entries. What follows STREAMS are names, and so are the two after GROUP,
/// whatever they are.
fn reads_blocking(words: &Packed) -> bool {
    let mut rest = words.words().skip(1);
    while let Some(option) = rest.next() {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        let values = if is("streams") {
            return false;
        } else if is("block") {
            return true;
        } else if is("noack") {
            0
        } else if is("count") || is("claim") {
            1
        } else if is("group") {
            2
        } else {
            // An option of another server, with a value of any kind behind it.
            return rest.any(|word| word.eq_ignore_ascii_case(b"block"));
        };
        rest.by_ref().take(values).for_each(drop);
    }
    false
}

/// `COPY … DB n` writes into another database than the connection's.
fn copies_elsewhere(name: &str, words: &Packed) -> bool {
    name == "copy" && words.words().skip(3).any(|word| word.eq_ignore_ascii_case(b"db"))
}

#[cfg(test)]
mod tests;
