//! A guest's byte streams: plain or TLS over TCP.

use futures_util::task::noop_waker;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// Streams that one instance may have open at once.
const MOST_STREAMS: usize = 4;
/// The fewest and the most bytes that one read has room for, even if the guest asks for more. Guests ask for much, and
/// mostly little comes: the room grows with what came last.
const ROOM: (usize, usize) = (4 << 10, 256 << 10);

/// A stream to the connection's server.
pub struct ByteStream {
    io: Io,
    /// Room for the next read.
    room: usize,
    /// Bytes that were read when the stream was looked at between calls.
    ahead: Vec<u8>,
    ended: bool,
    /// Set when the guest has ended its direction.
    is_shut: bool,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl ByteStream {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self::new(Io::Plain(stream))
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self::new(Io::Tls(Box::new(stream)))
    }

    fn new(io: Io) -> Self {
        Self { io, room: ROOM.0, ahead: Vec::new(), ended: false, is_shut: false }
    }

    /// Waits for bytes and takes at most `most` of them; none at the stream's end.
    pub(super) async fn read(&mut self, most: u32) -> io::Result<Vec<u8>> {
        let most = (most as usize).min(self.room);
        if !self.ahead.is_empty() {
            let rest = self.ahead.split_off(most.min(self.ahead.len()));
            return Ok(std::mem::replace(&mut self.ahead, rest));
        }
        if most == 0 || self.ended {
            return Ok(Vec::new());
        }
        let mut bytes = Vec::with_capacity(most);
        // `read_buf` alone would make more room, and fill that too.
        let read = match &mut self.io {
            Io::Plain(stream) => stream.take(most as u64).read_buf(&mut bytes).await,
            Io::Tls(stream) => stream.take(most as u64).read_buf(&mut bytes).await,
        };
        self.ended |= !matches!(read, Ok(1..));
        self.room = (bytes.len() * 4).clamp(ROOM.0, ROOM.1);
        read.map(|_| bytes)
    }

    /// Writes all bytes.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = match &mut self.io {
            Io::Plain(stream) => stream.write_all(bytes).await,
            Io::Tls(stream) => async { stream.write_all(bytes).await.and(stream.flush().await) }.await,
        };
        self.ended |= written.is_err();
        written
    }

    /// Ends the stream in this direction.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        self.is_shut = true;
        match &mut self.io {
            Io::Plain(stream) => stream.shutdown().await,
            Io::Tls(stream) => stream.shutdown().await,
        }
    }

    /// Tells whether the server may still hear and answer, as far as is known without asking. Bytes that arrived
    /// meanwhile are kept for the next read.
    fn is_open(&mut self) -> bool {
        if self.ended || self.is_shut {
            return false;
        }
        if !self.ahead.is_empty() {
            return true;
        }
        let mut room = [0; 512];
        let mut buffer = ReadBuf::new(&mut room);
        let waker = noop_waker();
        let mut context = Context::from_waker(&waker);
        let polled = match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(&mut context, &mut buffer),
            Io::Tls(stream) => Pin::new(stream).poll_read(&mut context, &mut buffer),
        };
        self.ahead.extend_from_slice(buffer.filled());
        self.ended = match polled {
            Poll::Pending => false,
            Poll::Ready(result) => result.is_err() || self.ahead.is_empty(),
        };
        !self.ended
    }
}

/// The streams that an instance holds, each under its handle's number.
#[derive(Default)]
pub(super) struct Streams {
    places: Vec<Option<ByteStream>>,
}

impl Streams {
    /// Tells whether there is room for one more.
    pub(super) fn has_room(&self) -> bool {
        self.places.iter().flatten().count() < MOST_STREAMS
    }

    pub(super) fn insert(&mut self, stream: ByteStream) -> u32 {
        let free = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
        match self.places.get_mut(free) {
            Some(place) => *place = Some(stream),
            None => self.places.push(Some(stream)),
        }
        // There are no more than a few.
        u32::try_from(free).unwrap_or(u32::MAX)
    }

    pub(super) fn get(&mut self, number: u32) -> Option<&mut ByteStream> {
        self.places.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn remove(&mut self, number: u32) {
        if let Some(place) = self.places.get_mut(number as usize) {
            *place = None;
        }
    }

    /// Tells whether all streams may still be used.
    pub(super) fn are_open(&mut self) -> bool {
        self.places.iter_mut().flatten().all(ByteStream::is_open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn room_of_a_read_follows_what_came_last() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut stream = ByteStream::plain(stream);
        let sent: Vec<u8> = (0..1 << 20).map(|number: u32| number.to_le_bytes()[1]).collect();
        let (mut arrived, mut rooms) = (Vec::new(), Vec::new());
        let sending = async { server.write_all(&sent).await.unwrap() };
        let reading = async {
            while arrived.len() < sent.len() {
                rooms.push(stream.room);
                let bytes = stream.read(u32::MAX).await.unwrap();
                assert!(!bytes.is_empty() && bytes.len() <= *rooms.last().unwrap());
                arrived.extend(bytes);
            }
        };
        tokio::join!(sending, reading);
        assert!(arrived == sent, "all came as it was sent");
        assert_eq!(rooms[0], ROOM.0);
        assert!(
            rooms.iter().any(|room| *room > ROOM.0) && rooms.iter().all(|room| *room <= ROOM.1),
            "{rooms:?}"
        );
        server.write_all(b"short").await.unwrap();
        assert_eq!(stream.read(64 << 10).await.unwrap(), b"short");
        assert_eq!(stream.room, ROOM.0);
    }
}
