//! Checks whether a server answers, by the least that its protocol asks for.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells whether somebody listens on a port.
pub fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Sends bytes on a fresh connection, and reads one line.
///
/// # Errors
/// When nobody listens, or the line does not come.
pub fn first_line(port: u16, bytes: &[u8]) -> io::Result<String> {
    let mut line = String::new();
    ask(port, bytes)?.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Tells whether an HTTP server answers a `GET` with success.
pub fn answers_http(port: u16, path: &str) -> bool {
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    let Ok(mut answer) = ask(port, request.as_bytes()) else { return false };
    let mut status = String::new();
    let read = answer.read_line(&mut status);
    // Read to its end, so that the server sees no connection break.
    let _ = answer.read_to_end(&mut Vec::new());
    read.is_ok() && status.split(' ').nth(1).is_some_and(|code| code.starts_with('2'))
}

fn ask(port: u16, bytes: &[u8]) -> io::Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(bytes)?;
    Ok(BufReader::new(stream))
}
