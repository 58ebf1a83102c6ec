//! Listing keys, against a real server.

use crate::support::{Session, session, start};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
};
use studio_plugin_api::{
    Driver,
    testing::{code, field},
};
use studio_test_servers::MemcachedServer;

/// Stores keys of these names, with values of different sizes, so that several slab classes have some.
fn fill(server: &MemcachedServer, names: impl Iterator<Item = String>) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    for (index, name) in names.enumerate() {
        let value = "v".repeat(index % 7 * 100);
        write!(stream, "set {name} 0 0 {} noreply\r\n{value}\r\n", value.len()).unwrap();
    }
    stream.write_all(b"version\r\n").unwrap();
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"VERSION");
}

async fn all_pages(memcached: &Session, query: &str) -> Vec<Value> {
    let (mut keys, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let page = memcached.get(&format!("/keys?{query}&cursor={cursor}")).await.unwrap();
        keys.extend(page["keys"].as_array().unwrap().clone());
        page["cursor"].as_str().unwrap().clone_into(&mut cursor);
        if cursor == "0" {
            assert_eq!(page["total"], keys.len());
            return keys;
        }
    }
}

#[tokio::test]
async fn five_thousand_keys_are_listed_once_each_and_in_order() {
    let server = start(&[]);
    fill(&server, (0..4000).map(|number| format!("user:{number}")));
    fill(&server, (0..1000).map(|number| format!("session:{number}")));
    let memcached = session(&server).await;
    for (query, count) in [
        ("limit=1000", 5000),
        ("limit=999&pattern=*", 5000),
        ("limit=1000&pattern=user:*", 4000),
        ("pattern=session:1??", 100),
        ("pattern=*9:9", 0),
    ] {
        let keys = all_pages(&memcached, query).await;
        let names: Vec<_> = keys.iter().map(|key| key["key"].as_str().unwrap()).collect();
        assert_eq!(names.len(), count, "{query}");
        assert!(names.is_sorted() && names.iter().collect::<BTreeSet<_>>().len() == count, "{query}");
    }
    let page = memcached.get("/keys?limit=10&pattern=user:*").await.unwrap();
    assert_eq!((page["keys"].as_array().unwrap().len(), &page["total"]), (10, &json!(4000)));
    assert_eq!(page["total_scanned"], 5000);
    assert_ne!(page["cursor"], "0");
    assert_eq!(memcached.get("/keys").await.unwrap()["keys"].as_array().unwrap().len(), 100);
    assert!(memcached.is_open());
}

#[tokio::test]
async fn pages_continue_past_deleted_keys_and_before_new_ones() {
    let server = start(&[]);
    fill(&server, ["a", "c", "e", "g"].map(str::to_owned).into_iter());
    let memcached = session(&server).await;
    let first = memcached.get("/keys?limit=2").await.unwrap();
    memcached.delete("/keys/c").await.unwrap();
    memcached.post("/keys/b", json!({ "value": "before the page" })).await.unwrap();
    memcached.post("/keys/d", json!({ "value": "in the page" })).await.unwrap();
    let cursor = first["cursor"].as_str().unwrap();
    let second = memcached.get(&format!("/keys?limit=3&cursor={cursor}")).await.unwrap();
    let names: Vec<_> = second["keys"].as_array().unwrap().iter().map(|key| key["key"].clone()).collect();
    assert_eq!((names, &second["cursor"]), (vec![json!("d"), json!("e"), json!("g")], &json!("0")));
}

#[tokio::test]
async fn listed_key_has_its_facts() {
    let server = start(&[]);
    let memcached = session(&server).await;
    assert_eq!(
        memcached.get("/keys").await.unwrap(),
        json!({ "keys": [], "cursor": "0", "total": 0, "total_scanned": 0 })
    );
    let (_, written) = memcached.post("/keys/k", json!({ "value": "v", "ttl": 100 })).await.unwrap();
    let key = memcached.get("/keys").await.unwrap()["keys"][0].clone();
    assert_eq!((&key["key"], &key["cas"], &key["fetched"]), (&json!("k"), &written["cas"], &json!(false)));
    assert!((90..=101).contains(&key["ttl"].as_i64().unwrap()), "{key}");
    assert!(key["idle_seconds"].as_i64().unwrap() < 10, "{key}");
    assert!(key["item_size"].as_u64().unwrap() > 40 && key["slab_class"].as_u64().unwrap() > 0, "{key}");
    server.ask("get k").unwrap();
    assert_eq!(memcached.get("/keys").await.unwrap()["keys"][0]["fetched"], true);
    for (query, wrong) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("cursor=!", "cursor"),
        ("cursor=", "cursor"),
        ("count=1", "count"),
    ] {
        assert_eq!(field(&memcached.get(&format!("/keys?{query}")).await.unwrap_err()), wrong);
    }
}

#[tokio::test]
async fn server_that_does_not_list_says_so_and_the_session_goes_on() {
    for (argument, code_wanted) in
        [(["-o", "no_lru_crawler"].as_slice(), "QUERY_ERROR"), (&["-X"], "FORBIDDEN")]
    {
        let server = start(argument);
        let memcached = session(&server).await;
        memcached.post("/keys/k", json!({ "value": "v" })).await.unwrap();
        assert_eq!(code(&memcached.get("/keys").await.unwrap_err()), code_wanted, "{argument:?}");
        assert!(memcached.is_open());
        assert_eq!(memcached.get("/keys/k").await.unwrap()["value"], "v");
    }
}

#[test]
fn listings_at_the_same_time_are_all_whole() {
    // An item that the maintainer moves between two lists just then is missed by the crawler.
    let server = start(&["-o", "no_lru_maintainer"]);
    fill(&server, (0..20_000).map(|number| format!("a-rather-long-name-of-a-key:{number}")));
    // The server has one crawler: whoever comes second waits, or is sent away and comes again.
    let list = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let memcached = runtime.block_on(session(&server));
        for _ in 0..10 {
            assert_eq!(runtime.block_on(memcached.get("/keys?limit=1")).unwrap()["total"], 20_000);
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(list))));
}
