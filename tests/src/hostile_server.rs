//! A test's own server that sends the bytes that the test wants, of any length; and the memory that a gateway uses
//! meanwhile.

use crate::gateway::Gateway;
use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};
use studio_test_servers::ports::listener_at;

/// The most bytes that it sends on one connection, so that a gateway that reads all of them ends a test all the same.
const MOST: usize = 1500 << 20;

/// A hostile server. It listens as long as it lives.
pub struct HostileServer {
    /// Where it listens.
    pub port: u16,
    connections: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl HostileServer {
    /// Starts a server that answers each read of a client's bytes, as text, as `manners` say.
    pub fn start(manners: impl Fn(&str) -> Says + Clone + Send + 'static) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, manners)
    }

    /// Starts one as [`start`](Self::start) does, at another address; at `0.0.0.0`, every address of this machine
    /// reaches it.
    pub fn start_at(address: Ipv4Addr, manners: impl Fn(&str) -> Says + Clone + Send + 'static) -> Self {
        let listener = listener_at(address).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, stopped) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, stop) = (connections.clone(), stopped.clone());
        thread::spawn(move || {
            while let Ok((stream, from)) = listener.accept() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                if !from.ip().is_loopback() {
                    continue;
                }
                count.fetch_add(1, Ordering::Relaxed);
                let manners = manners.clone();
                thread::spawn(move || serve(stream, &manners));
            }
        });
        Self { port, connections, stopped }
    }

    /// Returns how often it was connected to.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for HostileServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// The answer of a hostile server.
#[derive(Debug, Clone)]
pub struct Says {
    once: Vec<u8>,
    again: Vec<u8>,
    pause: Duration,
}

impl Says {
    /// Makes an answer of these bytes.
    pub fn once(bytes: impl Into<Vec<u8>>) -> Self {
        Self { once: bytes.into(), again: Vec::new(), pause: Duration::ZERO }
    }

    /// Adds these bytes after that, again and again, until the client hangs up.
    pub fn then_forever(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        self.again = bytes.repeat((64 << 10) / bytes.len() + 1);
        self
    }

    /// Makes the answer slow: 64 KiB at a time with a pause between them.
    pub fn slowly(mut self) -> Self {
        self.pause = Duration::from_millis(20);
        self
    }
}

fn serve(mut stream: TcpStream, manners: &impl Fn(&str) -> Says) {
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        let says = manners(&String::from_utf8_lossy(&buffer[..count]));
        if stream.write_all(&says.once).is_err() {
            return;
        }
        let mut sent = 0;
        while !says.again.is_empty() && sent < MOST {
            if stream.write_all(&says.again).is_err() {
                return;
            }
            sent += says.again.len();
            thread::sleep(says.pause);
        }
    }
}

/// The memory of a gateway's process from one moment on.
pub struct Memory {
    folder: String,
    before: u64,
    /// The pages of the program's files, which the gateway forgets now and then and has again when it uses them.
    files_before: u64,
}

impl Memory {
    /// Begins to watch.
    pub fn watch(gateway: &mut Gateway) -> Self {
        let folder = format!("/proc/{}", gateway.process().id());
        // Sets the peak back to the memory that is resident now.
        fs::write(format!("{folder}/clear_refs"), "5").unwrap();
        let (before, files_before) = (Self::read(&folder, "VmHWM:"), Self::read(&folder, "RssFile:"));
        Self { folder, before, files_before }
    }

    /// Returns by how many mebibytes the peak was above the memory at the beginning, pages of files left out.
    pub fn grown(&self) -> u64 {
        let files = Self::read(&self.folder, "RssFile:").saturating_sub(self.files_before);
        Self::read(&self.folder, "VmHWM:").saturating_sub(self.before + files) >> 10
    }

    fn read(folder: &str, name: &str) -> u64 {
        let status = fs::read_to_string(format!("{folder}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}
