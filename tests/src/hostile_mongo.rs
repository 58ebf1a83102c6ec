//! A server that speaks MongoDB's protocol and misuses it as a test wants, which no real server does.

use crate::process::listen;
use mongodb::bson::{Document, doc};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use studio_test_servers::Certificates;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

/// The operation code of OP_MSG.
const OP_MSG: u32 = 2013;

/// The server's act on a command.
#[derive(Debug, Clone)]
pub enum Act {
    /// Answers with a document.
    Answer(Document),
    /// Answers with these bytes in the place of a document.
    AnswerBytes(Vec<u8>),
    /// Sends these bytes, which need not be a message.
    Send(Vec<u8>),
    /// Sends these bytes and hangs up.
    SendAndClose(Vec<u8>),
    /// Sends these bytes, one after the other, with this time between two.
    Drip(Vec<u8>, Duration),
    /// Says nothing.
    Silence,
}

/// The server. It ends when dropped.
pub struct HostileMongo {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    connections: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Drop for HostileMongo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl HostileMongo {
    /// Starts a server that acts on each command as `script` says, by the command's name and document; where that says
    /// nothing, it acts as [`usual`] says.
    pub async fn start(script: impl Fn(&str, &Document) -> Option<Act> + Send + Sync + 'static) -> Self {
        Self::start_with(None, script).await
    }

    /// Starts a server as [`start`](Self::start) does, by TLS.
    pub async fn start_tls(
        certificates: &Certificates,
        script: impl Fn(&str, &Document) -> Option<Act> + Send + Sync + 'static,
    ) -> Self {
        let chain = CertificateDer::pem_file_iter(&certificates.certificate_file).expect("a certificate");
        let chain = chain.collect::<Result<Vec<_>, _>>().expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(&certificates.key_file).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a certificate and its key");
        Self::start_with(Some(TlsAcceptor::from(Arc::new(config))), script).await
    }

    async fn start_with(
        tls: Option<TlsAcceptor>,
        script: impl Fn(&str, &Document) -> Option<Act> + Send + Sync + 'static,
    ) -> Self {
        let listener = listen();
        let port = listener.local_addr().expect("an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let (script, counter) = (Arc::new(script), connections.clone());
        let serving = async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let (script, tls) = (script.clone(), tls.clone());
                open.spawn(async move {
                    match tls {
                        Some(tls) => serve(tls.accept(stream).await.ok()?, &*script).await,
                        None => serve(stream, &*script).await,
                    }
                });
            }
        };
        Self { port, connections, task: tokio::spawn(serving).abort_handle() }
    }

    /// Returns how many connections it got.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Makes the answer of a good server, alone, to `hello`.
pub fn hello() -> Document {
    doc! {
        "helloOk": true, "isWritablePrimary": true, "ismaster": true, "maxBsonObjectSize": 16 << 20,
        "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000, "logicalSessionTimeoutMinutes": 30,
        "minWireVersion": 0, "maxWireVersion": 21, "readOnly": false, "ok": 1.0,
    }
}

/// Chooses the act of a good server without data.
pub fn usual(command: &str, document: &Document) -> Act {
    Act::Answer(match command {
        "hello" | "isMaster" | "ismaster" => hello(),
        "find" | "aggregate" | "listCollections" | "listIndexes" => {
            doc! { "cursor": { "firstBatch": [], "id": 0_i64, "ns": "shop.c" }, "ok": 1.0 }
        }
        "getMore" => doc! { "cursor": { "nextBatch": [], "id": 0_i64, "ns": "shop.c" }, "ok": 1.0 },
        "insert" | "delete" => doc! { "n": i32::from(document.contains_key(command)), "ok": 1.0 },
        "buildInfo" => doc! { "version": "8.0.4", "ok": 1.0 },
        "count" => doc! { "n": 0, "ok": 1.0 },
        "listDatabases" => doc! { "databases": [], "totalSize": 0, "ok": 1.0 },
        _ => doc! { "ok": 1.0 },
    })
}

/// Makes a message around the bytes of a document.
pub fn message(document: &[u8]) -> Vec<u8> {
    frame(OP_MSG, 0, u32::try_from(document.len() + 21).expect("not that long"), document)
}

/// Makes such a message with another operation, flags and length.
pub fn frame(operation: u32, flags: u32, length: u32, document: &[u8]) -> Vec<u8> {
    let numbers = [length, 1, 1, operation, flags].map(u32::to_le_bytes).concat();
    [&numbers[..], &[0], document].concat()
}

/// Makes this many documents inside each other, below `name` in one that also holds `ok`.
pub fn nested(name: &str, levels: usize, ok: f64) -> Vec<u8> {
    let mut inner = Vec::with_capacity(8 * levels);
    for level in (1..levels).rev() {
        inner.extend(u32::try_from(5 + 8 * level).expect("not that long").to_le_bytes());
        inner.extend(b"\x03a\0");
    }
    inner.extend([5, 0, 0, 0]);
    inner.resize(inner.len() + levels, 0);
    around(&[&[3], name.as_bytes(), &[0], &inner, &[1], &b"ok\0"[..], &ok.to_le_bytes()].concat())
}

/// Makes a document of these elements.
pub fn around(elements: &[u8]) -> Vec<u8> {
    let length = u32::try_from(elements.len() + 5).expect("not that long");
    [&length.to_le_bytes(), elements, &[0]].concat()
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: &(impl Fn(&str, &Document) -> Option<Act> + Send + Sync),
) -> Option<()> {
    loop {
        let mut head = [0; 16];
        stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_le_bytes(head[..4].try_into().ok()?) as usize;
        let mut body = vec![0; length.checked_sub(16)?];
        stream.read_exact(&mut body).await.ok()?;
        // The document comes after the flags and the kind of the section.
        let document = Document::from_reader(body.get(5..)?).ok()?;
        let command = document.keys().next()?.clone();
        match script(&command, &document).unwrap_or_else(|| usual(&command, &document)) {
            Act::Answer(answer) => {
                let mut bytes = Vec::new();
                answer.to_writer(&mut bytes).ok()?;
                stream.write_all(&message(&bytes)).await.ok()?;
            }
            Act::AnswerBytes(bytes) => stream.write_all(&message(&bytes)).await.ok()?,
            Act::Send(bytes) => stream.write_all(&bytes).await.ok()?,
            Act::SendAndClose(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                return None;
            }
            Act::Drip(bytes, pause) => {
                for byte in bytes {
                    stream.write_all(&[byte]).await.ok()?;
                    tokio::time::sleep(pause).await;
                }
            }
            Act::Silence => {}
        }
        stream.flush().await.ok()?;
    }
}
