//! Real servers for the tests: started on free ports, stopped when dropped.
#![allow(dead_code, missing_docs)]

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use studio_driver_memcached::Memcached;
use studio_plugin_api::{
    Driver, DriverError, Outcome,
    testing::{self, TestRequest},
};

pub struct Server {
    process: Child,
    pub port: u16,
    arguments: Vec<String>,
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    pub fn start(arguments: &[&str]) -> Self {
        let port = free_port();
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let process = spawn(port, &arguments);
        Self { process, port, arguments }
    }

    pub fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn restart(&mut self) {
        self.stop();
        self.process = spawn(self.port, &self.arguments);
    }

    pub async fn session(&self) -> Session {
        Session::open(self.port, json!({})).await.unwrap()
    }

    /// The truth, beside the driver: one command, and the line that answers it.
    pub fn ask(&self, command: &str) -> String {
        ask(self.port, command).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(port: u16, arguments: &[String]) -> Child {
    let process = Command::new("memcached")
        // Root must name a user, anybody else may.
        .args(["-u", "root", "-l", "127.0.0.1", "-U", "0", "-p", &port.to_string()])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("memcached can't be run ({error}): install the Debian package memcached")
        });
    wait_until(|| ask(port, "version").is_ok_and(|line| !line.is_empty()));
    process
}

fn ask(port: u16, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

pub fn wait_until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Passes bytes on to a server, the server's in pieces of one length, and ends the connection after so many of them.
pub fn relay(server: u16, piece: usize, most: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
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

#[derive(Clone)]
pub struct Session(pub Arc<Memcached>);

impl Session {
    /// `more` goes over the connection's parts.
    pub async fn open(port: u16, more: Value) -> Result<Self, DriverError> {
        let mut parts = json!({ "host": "localhost", "port": port });
        parts.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let settings = json!({ "endpoint": { "parts": parts }, "options": {} });
        let settings = testing::settings::<Memcached>(settings)?;
        Memcached::check(&settings)?;
        let memcached = Memcached::connect(settings, testing::network(port)).await?;
        Ok(Self(Arc::new(memcached)))
    }

    pub fn is_open(&self) -> bool {
        self.0.is_open()
    }

    pub async fn send(&self, request: TestRequest) -> Result<(Outcome, Value), DriverError> {
        request.send(&self.0).await
    }

    pub async fn get(&self, path: &str) -> Result<Value, DriverError> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let request = pairs.fold(TestRequest::get(path), |request, (name, value)| request.query(name, value));
        self.send(request).await.map(|(_, payload)| payload)
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<(Outcome, Value), DriverError> {
        self.send(TestRequest::post(path, body)).await
    }

    pub async fn delete(&self, path: &str) -> Result<Outcome, DriverError> {
        self.send(TestRequest::delete(path)).await.map(|(outcome, _)| outcome)
    }
}

pub fn code(error: &DriverError) -> &'static str {
    error.code.as_str()
}

pub fn field(error: &DriverError) -> &str {
    error.details["field"].as_str().unwrap()
}

pub fn reason(error: &DriverError) -> &str {
    error.details["reason"].as_str().unwrap()
}
