//! Servers that speak PostgreSQL and mean harm: what they send costs their own connection an error, and nobody else
//! anything.

use serde_json::json;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use studio_gateway_tests::{Answer, PostgresWorld, process::listen};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What hostile servers may add to the memory of a gateway.
const MOST_MEMORY: u64 = 300 << 20;

/// A message of PostgreSQL's protocol.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(4 + body.len()).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

fn columns(names: &[(&str, i32)]) -> Vec<u8> {
    let mut body = u16::try_from(names.len()).unwrap().to_be_bytes().to_vec();
    for (name, type_oid) in names {
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&[0; 7]);
        body.extend_from_slice(&type_oid.to_be_bytes());
        body.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
    }
    message(b'T', &body)
}

fn row(values: &[&str]) -> Vec<u8> {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        body.extend_from_slice(&i32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend_from_slice(value.as_bytes());
    }
    message(b'D', &body)
}

fn done() -> Vec<u8> {
    [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()
}

/// What a server says to a query: something, and then something else for as long as anybody listens.
#[derive(Debug, Clone, Default)]
struct Said {
    once: Vec<u8>,
    forever: Vec<u8>,
}

impl Said {
    fn once(bytes: impl Into<Vec<u8>>) -> Self {
        Self { once: bytes.into(), forever: Vec::new() }
    }
    fn forever(once: impl Into<Vec<u8>>, unit: &[u8]) -> Self {
        // Pieces that keep a reader busy.
        let count = (64 << 10) / unit.len() + 1;
        Self { once: once.into(), forever: unit.repeat(count) }
    }
}

type Script = Arc<dyn Fn(&str) -> Said + Send + Sync>;

/// A server that lets everyone in, and answers each query as the script has it. The query `login` is the login itself.
async fn start(script: impl Fn(&str) -> Said + Send + Sync + 'static) -> u16 {
    let listener = listen();
    let port = listener.local_addr().unwrap().port();
    let script: Script = Arc::new(script);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let script = script.clone();
            tokio::spawn(async move { drop(serve(stream, script).await) });
        }
    });
    port
}

async fn say(stream: &mut TcpStream, said: Said) -> std::io::Result<()> {
    stream.write_all(&said.once).await?;
    let begin = Instant::now();
    while !said.forever.is_empty() && begin.elapsed() < Duration::from_secs(60) {
        stream.write_all(&said.forever).await?;
    }
    Ok(())
}

async fn serve(mut stream: TcpStream, script: Script) -> std::io::Result<()> {
    let mut statements: HashMap<String, String> = HashMap::new();
    let mut bound = Vec::new();
    loop {
        // What comes before the login has no kind.
        let length = stream.read_u32().await? as usize;
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body).await?;
        if body.starts_with(&80_877_103_u32.to_be_bytes()) {
            stream.write_all(b"N").await?;
            continue;
        }
        break;
    }
    let login = script("login");
    match login.once.is_empty() && login.forever.is_empty() {
        true => stream.write_all(&[message(b'R', &[0; 4]), message(b'Z', b"I")].concat()).await?,
        false => say(&mut stream, login).await?,
    }
    loop {
        let kind = stream.read_u8().await?;
        let length = stream.read_u32().await? as usize;
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body).await?;
        let mut texts = body.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
        match kind {
            b'P' => {
                let (name, text) = (texts.next().unwrap(), texts.next().unwrap());
                statements.insert(name, text);
            }
            b'B' => {
                let name = texts.nth(1).unwrap();
                bound.push(statements.get(&name).cloned().unwrap_or_default());
            }
            b'S' => {
                for (index, text) in bound.iter().enumerate() {
                    let said = match text.starts_with("BEGIN") || text.starts_with("SET") {
                        true => Said::once(message(b'C', b"BEGIN\0")),
                        false => script(text),
                    };
                    let last = index + 1 == bound.len();
                    say(&mut stream, said).await?;
                    if last {
                        stream.write_all(&message(b'Z', b"I")).await?;
                    }
                }
                bound.clear();
            }
            b'Q' => {
                let text = texts.next().unwrap();
                match text.as_str() {
                    "ROLLBACK" | "DISCARD ALL" => stream.write_all(&done()).await?,
                    text => {
                        say(&mut stream, script(text)).await?;
                        stream.write_all(&message(b'Z', b"I")).await?;
                    }
                }
            }
            b'X' => return Ok(()),
            _ => {}
        }
    }
}

/// The rows of one statement.
fn rows(names: &[(&str, i32)], values: &[&[&str]]) -> Said {
    let mut bytes = columns(names);
    values.iter().for_each(|values| bytes.extend_from_slice(&row(values)));
    bytes.extend_from_slice(&message(b'C', b"SELECT 1\0"));
    Said::once(bytes)
}

fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM")).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// A gateway beside a server that works.
async fn start_world(deadline: &str) -> PostgresWorld {
    let options = PostgresWorld::options().set("GATEWAY_REQUEST_TIMEOUT", deadline);
    PostgresWorld::start_with(options, Default::default()).await
}

async fn connect(world: &PostgresWorld, identifier: &str, port: u16) {
    let body = json!({"identifier": identifier, "host": "127.0.0.1", "port": port, "username": "u", "password": "p"});
    world.alpha.connect("postgres", body).await;
}

async fn query(world: &PostgresWorld, identifier: &str) -> Answer {
    let path = world.path(&format!("/query?connection={identifier}"));
    world.alpha.developer.post(&path, json!({"query": "select 1"})).await
}

async fn expect_service(world: &PostgresWorld) {
    let begin = Instant::now();
    let answer = world.alpha.viewer.post(&world.path("/query"), json!({"query": "select 1 as n"})).await;
    assert_eq!(answer.expect(200).data()["rows"], json!([{"n": 1}]));
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

/// Catalogs with one table, whose only column has this type.
fn catalogs_with_a_type(name: String) -> impl Fn(&str) -> Said + Send + Sync {
    const JSON: i32 = 114;
    move |text: &str| {
        let named = |schema: &str, name: &str| json!({"schema": schema, "name": name});
        if text.contains("pg_relation_is_updatable") {
            let column = json!([{"number": 1, "name": "a", "type": named("public", &name), "nullable": true,
                "has_default": false, "identity": "", "generated": false, "writable": true}]);
            let columns = [
                ("id", 26),
                ("schema", 25),
                ("name", 25),
                ("kind", 25),
                ("insertable", 16),
                ("updatable", 16),
                ("columns", JSON),
            ];
            rows(&columns, &[&["1", "public", "t", "r", "t", "t", &column.to_string()]])
        } else if text.contains("as name from pg_catalog.pg_namespace namespace") {
            rows(&[("name", 25)], &[&["public"]])
        } else if text.starts_with("select")
            && text.contains("pg_catalog.")
            && !text.contains("current_database")
        {
            rows(&[("none", 25)], &[])
        } else {
            Said::default()
        }
    }
}

#[tokio::test]
async fn postgres_names_that_no_server_has_end_no_generator() {
    let mut world = start_world("3s").await;
    for (identifier, name, status) in [
        ("deep", "_".repeat(20_000), 502),
        ("deeper", "_".repeat(1_000_000), 502),
        ("long", "x".repeat(1_000_000), 502),
        ("usual", "__int4".to_owned(), 200),
    ] {
        let port = start(catalogs_with_a_type(name)).await;
        connect(&world, identifier, port).await;
        for language in ["typescript", "go", "swift", "python"] {
            let path = world.path(&format!("/generators/{language}?connection={identifier}"));
            let answer = world.alpha.viewer.get(&path).await.expect(status);
            if status == 502 {
                answer.refused(502, "DRIVER_ERROR");
            }
        }
    }
    expect_service(&world).await;
    assert!(peak(world.gateway.process().id()) < MOST_MEMORY);
}

#[tokio::test]
async fn postgres_servers_that_talk_forever_are_left_at_the_deadline() {
    let mut world = start_world("3s").await;
    let notice = message(b'N', b"SNOTICE\0Mx\0\0");
    let setting = message(b'S', b"application_name\0me\0");
    let notification = message(b'A', b"\0\0\0\x01channel\0payload\0");
    let (one, copied) = (columns(&[("a", 25)]), message(b'd', b"1\n"));
    let each: [(&str, Said); 7] = [
        ("notices", Said::forever([], &notice)),
        ("settings", Said::forever([], &setting)),
        ("notifications", Said::forever([], &notification)),
        ("copies", Said::forever(message(b'H', &[0, 0, 0]), &copied)),
        ("descriptions", Said::forever([], &one)),
        ("statements", Said::forever(one.clone(), &message(b'C', b"SELECT 0\0"))),
        ("rows", Said::forever(one.clone(), &row(&["x"]))),
    ];
    for (identifier, said) in each {
        let port = start(move |text| if text == "select 1" { said.clone() } else { Said::default() }).await;
        connect(&world, identifier, port).await;
        let begin = Instant::now();
        let answer = query(&world, identifier).await;
        assert!([504, 507].contains(&answer.status), "{identifier} {answer}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{identifier} {:?}", begin.elapsed());
        expect_service(&world).await;
    }
    let most = peak(world.gateway.process().id());
    assert!(most < MOST_MEMORY, "{} MiB", most >> 20);
}

#[tokio::test]
async fn postgres_servers_that_talk_forever_at_the_login_are_given_up() {
    let mut world = start_world("3s").await;
    let notice = message(b'N', b"SNOTICE\0Mx\0\0");
    let again = message(b'R', &3_u32.to_be_bytes());
    for (identifier, said) in [
        ("notices", Said::forever([], &notice)),
        ("settings", Said::forever([], &message(b'S', b"a\0b\0"))),
        ("passwords", Said::forever([], &again)),
        ("welcomes", Said::forever([], &message(b'R', &[0; 4]))),
        ("keys", Said::forever([], &message(b'K', &[0; 8]))),
        ("long", Said::once([b"E".as_slice(), &0x4000_0000_u32.to_be_bytes(), b"Mx"].concat())),
        ("negative", Said::once(b"E\xff\xff\xff\xff".as_slice())),
    ] {
        let port = start(move |text| if text == "login" { said.clone() } else { Said::default() }).await;
        connect(&world, identifier, port).await;
        let begin = Instant::now();
        let answer = query(&world, identifier).await;
        assert!([502, 503, 504, 507].contains(&answer.status), "{identifier} {answer}");
        assert!(begin.elapsed() < Duration::from_secs(15), "{identifier} {:?}", begin.elapsed());
        expect_service(&world).await;
    }
    let most = peak(world.gateway.process().id());
    assert!(most < MOST_MEMORY, "{} MiB", most >> 20);
}

#[tokio::test]
async fn postgres_lengths_and_counts_of_servers_are_bounded() {
    let mut world = start_world("20s").await;
    let names: Vec<String> = (0..65_535).map(|number| format!("c{}", number / 2)).collect();
    let many: Vec<(&str, i32)> = names.iter().map(|name| (name.as_str(), 25)).collect();
    let wide = [columns(&many), row(&vec![""; 65_535]).repeat(3), message(b'C', b"SELECT 1\0")].concat();
    let fields = [&b"SERROR\0C42601\0Mno\0"[..], &b"Wx\0".repeat(5_000_000), b"\0"].concat();
    let text = [&b"SERROR\0C42601\0M"[..], &b"x".repeat(20_000_000), b"\0\0"].concat();
    let nested = format!("{}1{}", "{".repeat(1_000_000), "}".repeat(1_000_000));
    let deep = format!("{}1{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let lie = |kind: u8, length: u32| Said::once([&[kind][..], &length.to_be_bytes()].concat());
    let each: [(&str, Said, &[u16]); 10] = [
        ("wide", Said::once(wide), &[200, 507]),
        ("fields", Said::once(message(b'E', &fields)), &[400]),
        ("text", Said::once(message(b'E', &text)), &[400]),
        ("nested", rows(&[("a", 1009)], &[&[&nested]]), &[200]),
        ("deep", rows(&[("a", 114)], &[&[&deep]]), &[200]),
        ("error", lie(b'E', 0x7fff_ffff), &[507]),
        ("row", lie(b'D', 0x7fff_ffff), &[507]),
        ("columns", lie(b'T', 0x7fff_ffff), &[507]),
        ("negative", lie(b'D', 0xffff_ffff), &[502, 503]),
        ("unknown", Said::once(message(b'?', b"")), &[502, 503]),
    ];
    for (identifier, said, statuses) in each {
        let port = start(move |text| if text == "select 1" { said.clone() } else { Said::default() }).await;
        connect(&world, identifier, port).await;
        let answer = query(&world, identifier).await;
        assert!(
            statuses.contains(&answer.status),
            "{identifier} {} {:.300}",
            answer.status,
            answer.to_string()
        );
        expect_service(&world).await;
    }
    let most = peak(world.gateway.process().id());
    assert!(most < 2 * MOST_MEMORY, "{} MiB", most >> 20);
}

#[tokio::test]
async fn postgres_keys_of_lists_count_as_what_they_take() {
    let options = PostgresWorld::options().set("GATEWAY_MAX_REPLY_BYTES", "1000000");
    let mut world = PostgresWorld::start_with(options, Default::default()).await;
    // Lists come first, each item with the row that it belongs to: here none of them.
    let item = |number: usize| row(&[&format!("{number}-{}", "x".repeat(1_000)), "1"]);
    let items: Vec<u8> = (0..200_000).flat_map(item).collect();
    let said = Said::once([columns(&[("key", 25), ("a", 23)]), items].concat());
    let port =
        start(move |text| if text.contains("pg_attribute") { said.clone() } else { Said::default() }).await;
    connect(&world, "keys", port).await;
    let before = peak(world.gateway.process().id());
    let answer = world.alpha.viewer.get(&world.path("/tables?connection=keys")).await;
    answer.refused(507, "RESULT_TOO_LARGE");
    let more = peak(world.gateway.process().id()) - before;
    assert!(more < 64 << 20, "{} MiB", more >> 20);
}
