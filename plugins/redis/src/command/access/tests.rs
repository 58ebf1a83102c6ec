use super::*;
use crate::{command::table::tests::redis_7, packed::tests::packed};

fn judge(table: &CommandTable, line: &str) -> Rule {
    rule(table, &packed(line))
}

fn assert_all(expected: Option<Access>, lines: &[&str]) {
    let table = redis_7();
    for line in lines {
        let judged = match judge(&table, line) {
            Rule::Needs(access) => Some(access),
            Rule::Never(_) => None,
        };
        assert_eq!(judged, expected, "{line}");
    }
}

#[test]
fn viewers_run_what_only_reads() {
    assert_all(
        Some(Access::Read),
        &[
            "GET k",
            "get k",
            "HGETALL h",
            "SCAN 0",
            "EXISTS k",
            "TTL k",
            "TYPE k",
            "DBSIZE",
            "OBJECT FREQ k",
            "OBJECT ENCODING k",
            "MEMORY USAGE k",
            "MEMORY DOCTOR",
            "PING",
            "ECHO x",
            "TIME",
            "COMMAND COUNT",
            "INFO server",
            "ROLE",
            "PUBSUB CHANNELS",
            "XREAD COUNT 1 STREAMS s 0",
            "XREAD COUNT 1 STREAMS block 0",
            "xread streams streams count block 0 0 0",
            "XINFO STREAM s",
            "BITFIELD_RO k",
            "GEORADIUS_RO g 1 2 3 m",
            "GEOSEARCH g",
            "RANDOMKEY",
            "ZRANGE z 0 -1",
            "CLUSTER SLOTS",
            "DUMP k",
        ],
    );
}

#[test]
fn developers_also_write() {
    assert_all(
        Some(Access::Write),
        &[
            "SET k v",
            "DEL k",
            "GETEX k",
            "GETDEL k",
            "SORT l",
            "SORT l STORE d",
            "SORT_RO l",
            "KEYS *",
            "GEORADIUS g 1 2 3 m STORE d",
            "GEORADIUS g 1 2 3 m",
            "BITFIELD k GET u8 0",
            "SCRIPT LOAD x",
            "PUBLISH c m",
            "SPUBLISH c m",
            "XREADGROUP GROUP g c STREAMS s >",
            "XREADGROUP GROUP block block NOACK COUNT 1 STREAMS block >",
            "XREADGROUP GROUP g c CLAIM 5 STREAMS block >",
            "COPY a b",
            "RENAME a b",
            "EXPIRE k 1",
            "PFADD h x",
            "FUNCTION LOAD x",
        ],
    );
}

#[test]
fn admins_also_change_the_server() {
    assert_all(
        Some(Access::Admin),
        &[
            "EVAL x 0",
            "EVALSHA x 0",
            "EVAL_RO x 0",
            "EVALSHA_RO x 0",
            "FCALL f 0",
            "FCALL_RO f 0",
            "NOSUCHCOMMAND x",
            "FLUSHALL",
            "FLUSHDB",
            "CONFIG SET a b",
            "CONFIG GET a",
            "ACL SETUSER x",
            "ACL LIST",
            "SLOWLOG GET",
            "SLOWLOG RESET",
            "SCRIPT KILL",
            "SCRIPT FLUSH",
            "CLIENT KILL x",
            "CLIENT LIST",
            "SWAPDB 0 1",
            "MOVE k 1",
            "COPY a b DB 2",
            "MIGRATE h 1 k 0 1",
            "DEBUG OBJECT k",
            "BGSAVE",
            "SAVE",
            "MODULE LOAD x",
            "RESTORE k 0 x",
            "CLUSTER RESET",
            "LATENCY RESET",
            "FUNCTION FLUSH",
        ],
    );
}

#[test]
fn nobody_breaks_the_shared_connection_or_the_server() {
    assert_all(
        None,
        &[
            "BLPOP l 0",
            "blpop l 0",
            "BRPOPLPUSH a b 0",
            "BLMPOP 0 1 l LEFT",
            "WAIT 1 0",
            "XREAD BLOCK 0 STREAMS s $",
            "xread count 1 block 0 streams s $",
            "XREADGROUP GROUP STREAMS c BLOCK 0 STREAMS s >",
            "XREADGROUP GROUP STREAMS STREAMS NOACK block 0 STREAMS s >",
            "XREAD COUNT STREAMS BLOCK 0 STREAMS s $",
            "XREAD LATER STREAMS BLOCK 0 STREAMS s $",
            "XREADGROUP CLAIM 5 GROUP g c BLOCK 0 STREAMS s >",
            "SELECT 1",
            "AUTH x",
            "HELLO 3",
            "RESET",
            "QUIT",
            "MULTI",
            "EXEC",
            "DISCARD",
            "WATCH k",
            "CLIENT REPLY OFF",
            "CLIENT TRACKING ON",
            "CLIENT SETNAME x",
            "CLIENT NO-EVICT on",
            "CLIENT PAUSE 1000",
            "SUBSCRIBE c",
            "PSUBSCRIBE *",
            "SSUBSCRIBE c",
            "UNSUBSCRIBE",
            "MONITOR",
            "SYNC",
            "PSYNC ? -1",
            "REPLCONF x",
            "ASKING",
            "READONLY",
            "READWRITE",
            "SHUTDOWN",
            "SHUTDOWN NOSAVE",
            "FAILOVER",
            "REPLICAOF NO ONE",
            "SLAVEOF h 1",
            "DEBUG SLEEP 1",
            "DEBUG SEGFAULT",
            "DEBUG",
            "SCRIPT DEBUG YES",
        ],
    );
}

#[test]
fn a_viewer_never_gets_what_the_server_flags_as_more() {
    let table = redis_7();
    for line in include_str!("../commands-7.0.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let name = words.next().unwrap().replace('|', " ");
        let flags: Vec<_> = words.collect();
        let harmful = ["write", "admin"].iter().any(|flag| flags.contains(flag));
        if harmful {
            assert_ne!(judge(&table, &name), Rule::Needs(Access::Read), "{line}");
        }
    }
}

#[test]
fn without_the_server_s_table_only_admins_run_commands() {
    let table = CommandTable::unavailable();
    assert_eq!(judge(&table, "GET k"), Rule::Needs(Access::Admin));
    assert_eq!(judge(&table, "BLPOP l 0"), Rule::Never(BLOCKS));
}

#[test]
fn a_bar_in_a_name_does_not_borrow_a_subcommand_s_flags() {
    assert_eq!(judge(&redis_7(), "memory|usage k"), Rule::Needs(Access::Admin));
}

#[test]
fn no_list_says_two_things_of_one_command() {
    let never = NEVER.iter().flat_map(|(_, names)| names.iter());
    let exceptions = EXCEPTIONS.iter().flat_map(|(_, names)| names.iter());
    assert_eq!(LISTED.len(), never.clone().count() + exceptions.clone().count());
    for name in never.chain(exceptions) {
        let command = name.split('|').next().unwrap();
        assert_eq!(LISTED.get(command).unwrap_or(&LISTED[name]), &LISTED[name], "{name}");
    }
}

#[test]
fn commands_that_only_read_are_told_from_those_that_may_write() {
    let table = redis_7();
    let only_reads = |line: &str| super::only_reads(&table, &packed(line));
    for line in ["KEYS *", "keys *", "SORT_RO l"] {
        assert!(only_reads(line), "{line}");
    }
    let may_write = [
        "SET k v",
        "SORT l",
        "SORT l STORE d",
        "GEORADIUS g 1 2 3 m",
        "BITFIELD k GET u8 0",
        "XREADGROUP GROUP g c STREAMS s >",
        "PUBLISH c m",
        "SCRIPT LOAD x",
        "EVAL_RO x 0",
        "FCALL_RO f 0",
        "CONFIG GET a",
        "NOSUCHCOMMAND x",
        "keys|x",
    ];
    for line in may_write {
        assert!(!only_reads(line), "{line}");
    }
    let unknown = CommandTable::unavailable();
    assert!(!super::only_reads(&unknown, &packed("KEYS *")), "the server did not say so");
}
