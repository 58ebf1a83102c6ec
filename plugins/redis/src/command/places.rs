//! Where in a cluster a raw command goes.
//!
//! A command with keys goes to the node that has them. One that all nodes can answer together is asked of all. The rest
//! tells of one node, or does something to one: which one is for the caller to say, since an answer of any node that
//! happens to be asked looks like the cluster's and is not.

use super::{
    names::Names,
    table::{CommandTable, FirstKey},
};
use crate::{
    packed::Packed,
    route::{Join, Spread},
};

/// Where a command goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// To the node that has the key which is this word.
    Key(usize),
    /// To the node that has its keys, which the server can tell from its words.
    Keys,
    /// To many.
    Many(Spread),
    /// To any: all nodes answer the same.
    Any,
    /// To one node, which the caller names.
    Node,
}

/// Commands for many nodes. `name|subcommand` where only that is meant.
const MANY: &[(Spread, &[&str])] = &[
    (keys(1, 0, Join::Sum), &["del", "exists", "touch", "unlink"]),
    (keys(1, 0, Join::Lists), &["mget"]),
    (keys(2, 0, Join::All), &["mset"]),
    (keys(1, 1, Join::Lists), &["json.mget"]),
    (keys(3, 0, Join::All), &["json.mset"]),
    (Spread::Primaries(Join::Sum), &["dbsize"]),
    (Spread::Primaries(Join::First), &["randomkey"]),
    (Spread::Primaries(Join::Lists), &["keys", "ft._list"]),
    (Spread::Primaries(Join::Everywhere), &["script|exists"]),
    (
        Spread::Primaries(Join::All),
        &[
            "flushall",
            "flushdb",
            "function|delete",
            "function|flush",
            "function|load",
            "function|restore",
            "memory|purge",
            "ping",
        ],
    ),
    (
        Spread::Primaries(Join::ByNode),
        &["info", "memory|doctor", "memory|malloc-stats", "memory|stats", "lastsave", "role", "time"],
    ),
    (Spread::Nodes(Join::Sum), &["latency|reset", "pubsub|numpat", "slowlog|len"]),
    (Spread::Nodes(Join::Lists), &["pubsub|channels", "pubsub|shardchannels", "slowlog|get"]),
    (Spread::Nodes(Join::Counts), &["pubsub|numsub", "pubsub|shardnumsub"]),
    (Spread::Nodes(Join::One), &["function|kill", "script|kill"]),
    (
        Spread::Nodes(Join::All),
        &[
            "acl|deluser",
            "acl|save",
            "acl|setuser",
            "config|resetstat",
            "config|rewrite",
            "config|set",
            "script|flush",
            "script|load",
            "slowlog|reset",
        ],
    ),
    (
        Spread::Nodes(Join::ByNode),
        &[
            "config|get",
            "function|stats",
            "latency|doctor",
            "latency|graph",
            "latency|histogram",
            "latency|history",
            "latency|latest",
        ],
    ),
];

/// Commands without keys that all nodes answer the same.
const ANYWHERE: &[&str] = &[
    "acl|cat",
    "acl|genpass",
    "acl|whoami",
    "cluster|info",
    "cluster|keyslot",
    "cluster|nodes",
    "cluster|replicas",
    "cluster|shards",
    "cluster|slaves",
    "cluster|slots",
    "command",
    "echo",
    "lolwut",
    "publish",
];

const fn keys(step: usize, shared: usize, join: Join) -> Spread {
    Spread::BySlot { step, shared, join }
}

/// Where the command goes, by its name and what the server says of it.
pub(super) fn place(table: &CommandTable, words: &Packed) -> Place {
    let (names, count) = (Names::of(words), words.words().len());
    let (name, full) = (names.name(), names.full());
    let listed = |names: &[&str]| names.contains(&name) || names.contains(&full);
    if let Some((spread, _)) = MANY.iter().find(|(_, names)| listed(names)) {
        return Place::Many(*spread);
    }
    if listed(ANYWHERE) {
        return Place::Any;
    }
    // The words of help are the server's, not a node's.
    if names.first() == "help" && count == 2 {
        return Place::Any;
    }
    match table.first_key(full).or_else(|| table.first_key(name)) {
        // It may have its keys at its end.
        Some(FirstKey::Word(place)) if name == "migrate" && words.word(place).is_empty() => Place::Keys,
        Some(FirstKey::Word(place)) if count > place => Place::Key(place),
        // Too few words: the server says so, whichever it is.
        Some(FirstKey::Word(_)) => Place::Any,
        Some(FirstKey::Movable) => Place::Keys,
        Some(FirstKey::None) => Place::Node,
        // The server tells of it what it is.
        None if table.is_known() => Place::Any,
        // Such servers tell nothing; most commands have their key first.
        None if count > 1 => Place::Key(1),
        None => Place::Node,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{command::table::tests::redis_7, packed::tests::packed};

    fn of(line: &str) -> Place {
        place(&redis_7(), &packed(line))
    }

    #[test]
    fn commands_that_tell_of_one_node_want_it_named() {
        for line in [
            "SCAN 0",
            "CLUSTER MYID",
            "CLUSTER COUNTKEYSINSLOT 5",
            "CLIENT LIST",
            "BGSAVE",
            "MODULE LIST",
            "ACL LIST",
        ] {
            assert_eq!(of(line), Place::Node, "{line}");
        }
    }

    #[test]
    fn commands_with_keys_go_where_these_are() {
        for (line, expected) in [
            ("GET k", Place::Key(1)),
            ("OBJECT ENCODING k", Place::Key(2)),
            ("BITOP AND d a", Place::Key(2)),
            ("EVAL x 1 k", Place::Keys),
            ("XREAD STREAMS s 0", Place::Keys),
            ("MIGRATE h 1 k 0 5", Place::Key(3)),
            ("GET", Place::Any),
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
    }

    #[test]
    fn commands_that_all_nodes_can_answer_are_asked_of_all() {
        for line in
            ["DBSIZE", "KEYS *", "FLUSHDB", "INFO", "CONFIG GET x", "RANDOMKEY", "config set a b", "MGET a b"]
        {
            assert!(matches!(of(line), Place::Many(_)), "{line}");
        }
        for line in ["ECHO a", "CLUSTER NODES", "PUBLISH c m", "NOSUCH", "XINFO HELP"] {
            assert_eq!(of(line), Place::Any, "{line}");
        }
    }
}
