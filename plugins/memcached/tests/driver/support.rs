//! Sessions of the driver with servers of a test's own.
#![allow(missing_docs)]

use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
};
use studio_driver_memcached::Memcached;
use studio_plugin_api::{DriverError, testing};
use studio_test_servers::{MemcachedOptions, MemcachedServer, listener};

pub type Session = testing::Session<Memcached>;

/// A memcached with these arguments: `start(&["-m", "8"])`.
pub fn start(arguments: &[&str]) -> MemcachedServer {
    let options = arguments.iter().fold(MemcachedOptions::new(), |options, one| options.argument(*one));
    MemcachedServer::start(options).unwrap()
}

/// A session with a memcached that asks for nothing.
pub async fn session(memcached: &MemcachedServer) -> Session {
    open(memcached.port, json!({})).await.unwrap()
}

/// Opens one. `more` goes over the connection's parts.
pub async fn open(port: u16, more: Value) -> Result<Session, DriverError> {
    let mut parts = json!({ "host": "localhost", "port": port });
    parts.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let settings = json!({ "endpoint": { "parts": parts }, "options": {} });
    Session::open(settings, testing::network(port)).await
}

/// Passes bytes on to a server, the server's in pieces of one length, and ends the connection after so many of them.
pub fn relay(server: u16, piece: usize, most: usize) -> u16 {
    let listener = listener().unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let mut upstream = TcpStream::connect(("127.0.0.1", server)).unwrap();
            client.set_nodelay(true).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            thread::spawn(move || {
                let (mut buffer, mut left) = (vec![0; piece], most);
                while let Ok(read @ 1..) = upstream.read(&mut buffer) {
                    let passed = read.min(left);
                    left -= passed;
                    if client.write_all(&buffer[..passed]).is_err() || left == 0 {
                        break;
                    }
                }
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = upstream.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    port
}
