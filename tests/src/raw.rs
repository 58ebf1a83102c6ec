//! HTTP/1.1 by hand, for requests that a well-behaved client would not send: `..` in a path, bytes that are no UTF-8, a
//! header twice, half a request.

use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct RawAnswer {
    /// The status; 0 when the connection was closed without one.
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    /// All after them, chunk marks included.
    pub body: Vec<u8>,
}

/// Sends bytes on a fresh connection and reads until the gateway closes it: put `connection: close` into them.
pub async fn raw_request(address: SocketAddr, request: &[u8]) -> RawAnswer {
    let mut stream = TcpStream::connect(address).await.expect("the gateway listens");
    // The gateway may answer and close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut bytes = Vec::new();
    let reading = timeout(*crate::PATIENCE, stream.read_to_end(&mut bytes)).await;
    let _ = reading.expect("the gateway answers and closes");
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    RawAnswer { status, head, body: bytes[end..].to_vec() }
}

/// Sends a `GET` of a path exactly as given.
pub async fn raw_get(address: SocketAddr, path: &str, token: &str) -> RawAnswer {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    raw_request(address, request.as_bytes()).await
}
