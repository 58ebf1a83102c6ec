//! Writes that replace, by users who may not do all of it and past servers that fail at any step: the old value or the
//! new one is there, whole, with what belongs to it.

use crate::redis_replacing::{Place, ask};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{RngSeed, TestRunner},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use studio_gateway_tests::{Answer, RedisDriver, RedisOptions, RedisServer, eventually, process::listen};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

const LOGIN: &str = "app-pass-1";

pub(crate) async fn start_with_user(driver: RedisDriver, rules: &str) -> Place {
    start_on(RedisOptions::new(), driver, rules).await
}

async fn start_on(options: RedisOptions, driver: RedisDriver, rules: &str) -> Place {
    let options = options.acl_user("app", &format!("on >{LOGIN} ~* &* {rules}"));
    Place::start(driver, options, json!({"username": "app", "password": LOGIN})).await
}

/// The servers that writes are tried on, each with a number of cases. Fields of a hash expire in Valkey alone.
fn servers(cases: usize) -> impl Iterator<Item = (RedisOptions, usize)> {
    [Some(RedisOptions::new()), RedisOptions::valkey()].into_iter().flatten().zip([cases, cases / 2])
}

/// Whether the server knows when a field of a hash expires.
async fn knows_fields_expiry(server: &RedisServer) -> bool {
    ask::<Vec<redis::Value>>(server, "COMMAND INFO hpexpiretime").await != [redis::Value::Nil]
}

pub(crate) async fn allow(place: &Place, rules: &str) {
    let words: Vec<_> = ["ACL", "SETUSER", "app", "nocommands"].into_iter().chain(rules.split(' ')).collect();
    place.server.run(&words).await;
}

/// A value of each type, and another.
pub(crate) fn values() -> [(&'static str, Value, Value); 6] {
    [
        ("string", json!("old"), json!("new")),
        ("hash", json!({"a": "old", "b": "2"}), json!({"a": "new", "c": "3"})),
        ("list", json!(["old", "b"]), json!(["new", "c", "c"])),
        ("set", json!(["old", "b"]), json!(["b", "new"])),
        (
            "zset",
            json!([{"member": "old", "score": 1}, {"member": "b", "score": 2}]),
            json!([{"member": "b", "score": 3}]),
        ),
        (
            "stream",
            json!([{"id": "1-1", "fields": {"f": "old"}}]),
            json!([{"id": "2-1", "fields": {"f": "new"}}]),
        ),
    ]
}

/// Everything that a key is.
async fn whole(server: &RedisServer, key: &str) -> String {
    let kind: String = ask(server, &format!("TYPE {key}")).await;
    let mut value = match kind.as_str() {
        "string" => vec![ask(server, &format!("GET {key}")).await],
        "hash" => ask::<BTreeMap<String, String>>(server, &format!("HGETALL {key}"))
            .await
            .into_iter()
            .map(|pair| format!("{pair:?}"))
            .collect(),
        "list" => ask::<Vec<String>>(server, &format!("LRANGE {key} 0 -1")).await,
        "set" => ask::<Vec<String>>(server, &format!("SMEMBERS {key}")).await,
        "zset" => {
            vec![format!("{:?}", ask::<Vec<String>>(server, &format!("ZRANGE {key} 0 -1 WITHSCORES")).await)]
        }
        "stream" => vec![format!("{:?}", ask::<redis::Value>(server, &format!("XRANGE {key} - +")).await)],
        _ => Vec::new(),
    };
    if kind == "set" {
        value.sort();
    }
    if kind == "hash" && knows_fields_expiry(server).await {
        let times: Vec<i64> = ask(server, &format!("HPEXPIRETIME {key} FIELDS 3 a b c")).await;
        value.push(format!("{times:?}"));
    }
    if kind == "stream" {
        let groups: Vec<redis::Value> = ask(server, &format!("XINFO GROUPS {key}")).await;
        if !groups.is_empty() {
            let pending: redis::Value = ask(server, &format!("XPENDING {key} g")).await;
            value.push(format!("{groups:?} {pending:?}"));
        }
    }
    // A user who may not ask for the time itself goes by what is left, which runs down on the way.
    let time: i64 = ask(server, &format!("PEXPIRETIME {key}")).await;
    let time = if time > 0 { time / 1_000_000 } else { time };
    format!("{kind} {value:?} {time}")
}

/// One write over a key, known by what it makes of it on a server that does not fail.
#[derive(Debug, Clone)]
struct Write {
    before: usize,
    after: usize,
    method: &'static str,
    typed: bool,
    /// Whether a stream has a group that has not acknowledged an entry.
    group: bool,
}

fn writes() -> impl Strategy<Value = Write> {
    let method = prop::sample::select(vec!["PUT", "POST", "batch"]);
    (0..6usize, 0..6usize, method, any::<bool>(), any::<bool>())
        .prop_map(|(before, after, method, typed, group)| Write { before, after, method, typed, group })
}

impl Write {
    /// Makes the key that is to be replaced. It expires at a time that no double is exact for.
    async fn prepare(&self, place: &Place) {
        let (kind, value, _) = &values()[self.before];
        place.ask::<i64>("DEL k").await;
        let words: Vec<String> = match *kind {
            "string" => vec!["SET k old".into()],
            "hash" if knows_fields_expiry(&place.server).await => {
                vec!["HSET k a old b 2".into(), "HPEXPIREAT k 1999999999123 FIELDS 2 a b".into()]
            }
            "hash" => vec!["HSET k a old b 2".into()],
            "list" => vec!["RPUSH k old b".into()],
            "set" => vec!["SADD k old b".into()],
            "zset" => vec!["ZADD k 1 old 2 b".into()],
            _ if !self.group => vec!["XADD k 1-1 f old".into()],
            _ => vec![
                "XADD k 1-1 f old".into(),
                "XGROUP CREATE k g 0".into(),
                "XREADGROUP GROUP g c STREAMS k >".into(),
            ],
        };
        assert!(!value.is_null());
        for words in words {
            place.ask::<redis::Value>(&words).await;
        }
        place.ask::<i64>("PEXPIREAT k 900000000000000123").await;
    }

    async fn send(&self, place: &Place) -> Answer {
        let developer = &place.project.developer;
        let (kind, _, value) = &values()[self.after];
        let mut body = json!({"value": value});
        if self.typed || self.method != "PUT" {
            body["type"] = json!(kind);
        }
        match self.method {
            "PUT" => developer.put(&place.key("k"), body).await,
            "POST" => developer.post(&place.key("k"), body).await,
            _ => {
                body["action"] = json!("set");
                body["key"] = json!("k");
                developer.post(&place.key("batch"), json!({"operations": [body]})).await
            }
        }
    }

    fn succeeded(&self, answer: &Answer) -> bool {
        answer.status < 300 && (self.method != "batch" || answer.data()["summary"]["failed"] == 0)
    }

    /// Makes the write where nothing is in the way; gives the key as it was and as it is to be.
    async fn expected(&self, place: &Place) -> (String, String) {
        self.prepare(place).await;
        let before = whole(&place.server, "k").await;
        // The connection may have been cut a moment ago.
        eventually("a connection", async || self.send(place).await.status < 500).await;
        (before, whole(&place.server, "k").await)
    }
}

fn runner(cases: u32) -> TestRunner {
    let config = ProptestConfig { cases, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() };
    TestRunner::new(config)
}

async fn missing_rights_leave_either_the_old_or_the_new_value(driver: RedisDriver) {
    let commands = [
        "eval",
        "multi",
        "exec",
        "type",
        "pttl",
        "pexpiretime",
        "pexpire",
        "pexpireat",
        "persist",
        "del",
        "unlink",
        "set",
        "hset",
        "hdel",
        "hmget",
        "hscan",
        "hgetall",
        "rpush",
        "ltrim",
        "sadd",
        "srem",
        "sscan",
        "zadd",
        "zrem",
        "zscan",
        "xadd",
        "xdel",
        "xrange",
        "xinfo",
        "xsetid",
    ];
    let mut runner = runner(1);
    let cases = (writes(), prop::sample::subsequence(commands.to_vec(), 0..8));
    for (options, count) in servers(150) {
        let place = start_on(options, driver, "+@all").await;
        let (mut changed, mut refused) = (0, 0);
        for _ in 0..count {
            let (write, without) = cases.new_tree(&mut runner).unwrap().current();
            allow(&place, "+@all").await;
            let (before, after) = write.expected(&place).await;
            write.prepare(&place).await;
            let rules: Vec<_> = without.iter().map(|name| format!("-{name}")).collect();
            allow(&place, format!("+@all {}", rules.join(" ")).trim_end()).await;
            let answer = write.send(&place).await;
            let now = whole(&place.server, "k").await;
            if write.succeeded(&answer) {
                assert_eq!(now, after, "{write:?} without {without:?}: {answer}");
                changed += 1;
            } else {
                assert_eq!(now, before, "{write:?} without {without:?}: {answer}");
                refused += 1;
            }
        }
        let least = count.min(100) / 5;
        assert!(changed > least && refused > least, "{changed} {refused}");
    }
}

/// Before a server, it spoils the command that comes when the counter is at 0: the server is asked something that it
/// refuses in its place, or both are cut off.
async fn start_spoiler(target: u16, counter: Arc<AtomicUsize>, cuts: Arc<AtomicUsize>) -> u16 {
    let listener = listen();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
            let (counter, cuts) = (counter.clone(), cuts.clone());
            tokio::spawn(async move {
                let (from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let back =
                    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let mut commands = BufReader::new(from_client);
                while let Some(command) = read_command(&mut commands).await {
                    let left =
                        counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
                    // The first time that it is spent.
                    let spoils = left == Ok(1);
                    if spoils && cuts.load(Ordering::Acquire) == 1 {
                        break;
                    }
                    let bytes = if spoils { b"*1\r\n$7\r\nSPOILED\r\n".to_vec() } else { command };
                    if to_server.write_all(&bytes).await.is_err() {
                        break;
                    }
                }
                back.abort();
            });
        }
    });
    port
}

async fn read_command(from: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Vec<u8>> {
    let mut command = Vec::new();
    from.read_until(b'\n', &mut command).await.ok().filter(|count| *count > 0)?;
    let count: usize = std::str::from_utf8(&command[1..]).ok()?.trim().parse().ok()?;
    for _ in 0..count {
        let start = command.len();
        from.read_until(b'\n', &mut command).await.ok()?;
        let length: usize = std::str::from_utf8(&command[start + 1..]).ok()?.trim().parse().ok()?;
        let start = command.len();
        command.resize(start + length + 2, 0);
        from.read_exact(&mut command[start..]).await.ok()?;
    }
    Some(command)
}

async fn broken_write_leaves_either_the_old_or_the_new_value(driver: RedisDriver) {
    for (options, count) in servers(100) {
        breaks_off(driver, options, count).await;
    }
}

async fn breaks_off(driver: RedisDriver, options: RedisOptions, count: usize) {
    let server = RedisServer::start(options.acl_user("app", &format!("on >{LOGIN} ~* &* +@all"))).await;
    let (counter, cuts) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let port = start_spoiler(server.port, counter.clone(), cuts.clone()).await;
    let place = Place::with(driver, server, port, json!({"username": "app", "password": LOGIN})).await;
    let mut runner = runner(1);
    let cases = (writes(), 1..14usize, prop::bool::weighted(0.2), any::<bool>());
    let (mut changed, mut refused) = (0, 0);
    for _ in 0..count {
        let (write, at, cut, scripts) = cases.new_tree(&mut runner).unwrap().current();
        allow(&place, if scripts { "+@all" } else { "+@all -eval" }).await;
        let (before, after) = write.expected(&place).await;
        write.prepare(&place).await;
        cuts.store(usize::from(cut), Ordering::Release);
        counter.store(at, Ordering::Release);
        let answer = write.send(&place).await;
        counter.store(0, Ordering::Release);
        let now = whole(&place.server, "k").await;
        let case = format!("{write:?}, command {at}, cut {cut}, scripts {scripts}: {answer}");
        if write.succeeded(&answer) {
            assert_eq!(now, after, "{case}");
            changed += 1;
        } else {
            assert!(now == before || now == after, "{case}: {before} became {now} in place of {after}");
            refused += 1;
        }
    }
    assert!(changed > 10 && refused > 10, "{changed} {refused}");
}

on_both_kinds!(
    missing_rights_leave_either_the_old_or_the_new_value,
    broken_write_leaves_either_the_old_or_the_new_value,
);
