use super::{queue::BYTES, *};
use crate::packed::tests::packed;
use futures_util::{FutureExt, future::join_all};
use std::{
    io,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex};

const MOST: u64 = 1 << 20;

/// A stream whose writes are counted.
struct Counted {
    stream: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What the server is told, so many bytes of it.
async fn heard(server: &mut DuplexStream, bytes: usize) -> String {
    let mut heard = vec![0; bytes];
    server.read_exact(&mut heard).await.unwrap();
    String::from_utf8(heard).unwrap()
}

fn bytes(lines: &[&str]) -> String {
    lines.iter().map(|line| String::from_utf8(packed(line).into_bytes()).unwrap()).collect()
}

#[tokio::test]
async fn commands_that_gather_are_written_at_once() {
    let (stream, mut server) = duplex(1 << 16);
    let writes = Arc::new(AtomicUsize::new(0));
    let mux = Mux::new(Counted { stream, writes: writes.clone() });
    for round in 1..4 {
        let asked = join_all((0..50).map(|number| mux.ask(packed(&format!("GET {number}")), MOST)));
        let answered = async {
            let lines: Vec<_> = (0..50).map(|number| format!("GET {number}")).collect();
            let expected = bytes(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(heard(&mut server, expected.len()).await, expected);
            for number in 0..50 {
                server.write_all(format!(":{number}\r\n").as_bytes()).await.unwrap();
            }
        };
        let (answers, ()) = tokio::join!(asked, answered);
        for (number, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.unwrap(), [Value::Int(number as i64)]);
        }
        assert_eq!(writes.load(Ordering::Relaxed), round);
    }
}

#[tokio::test]
async fn who_left_before_the_writing_is_not_asked_for() {
    let (stream, mut server) = duplex(8);
    let mux = Mux::new(stream);
    let mut first = Box::pin(mux.ask(packed("GET first"), MOST));
    assert!((&mut first).now_or_never().is_none());
    // The task writes as much as there is room for.
    tokio::task::yield_now().await;
    let mut gone = Box::pin(mux.ask(packed("SET gone x"), MOST));
    let mut third = Box::pin(mux.ask(packed("GET third"), MOST));
    assert!((&mut gone).now_or_never().is_none() && (&mut third).now_or_never().is_none());
    drop(gone);
    let expected = bytes(&["GET first", "GET third"]);
    assert_eq!(heard(&mut server, expected.len()).await, expected);
    let answering = async { server.write_all(b"+a\r\n+b\r\n").await.unwrap() };
    let (first, third, ()) = tokio::join!(first, third, answering);
    assert_eq!(first.unwrap(), [Value::SimpleString("a".into())]);
    assert_eq!(third.unwrap(), [Value::SimpleString("b".into())]);
}

#[tokio::test]
async fn callers_wait_while_much_is_to_be_written() {
    let big = packed(&format!("SET k {}", "x".repeat(BYTES)));
    let commands = [packed("GET first"), big, packed("GET third")];
    let expected: Vec<_> = commands.iter().flat_map(|command| command.as_bytes()).copied().collect();
    let expected = String::from_utf8(expected).unwrap();
    for is_read in [true, false] {
        let (stream, mut server) = duplex(8);
        let mux = Mux::new(stream);
        let mut asked = Vec::new();
        for command in &commands {
            let mut ask = Box::pin(mux.ask(command.clone(), MOST));
            assert!((&mut ask).now_or_never().is_none());
            tokio::task::yield_now().await;
            asked.push(ask);
        }
        if is_read {
            let reading = async {
                assert!(heard(&mut server, expected.len()).await == expected);
                server.write_all(b"+OK\r\n+OK\r\n+OK\r\n").await.unwrap();
            };
            let (answers, ()) = tokio::join!(join_all(asked), reading);
            assert!(answers.into_iter().all(|answer| answer.unwrap() == [Value::Okay]));
            assert!(mux.is_open());
        } else {
            drop(server);
            for answer in join_all(asked).await {
                assert!(matches!(answer, Err(Failure::Lost)), "{answer:?}");
            }
            assert!(!mux.is_open());
            assert!(matches!(mux.ask(packed("GET late"), MOST).await, Err(Failure::Lost)));
        }
    }
}

#[tokio::test]
async fn answers_beyond_their_bound_spare_those_behind() {
    let (stream, mut server) = duplex(1 << 16);
    let mux = Mux::new(stream);
    let asked = join_all([mux.ask(packed("GET big"), 10), mux.ask(packed("GET small"), MOST)]);
    let answering = async {
        heard(&mut server, bytes(&["GET big", "GET small"]).len()).await;
        let big = format!("${}\r\n{}\r\n+a\r\n", 1 << 20, "x".repeat(1 << 20));
        server.write_all(big.as_bytes()).await.unwrap();
    };
    let (answers, ()) = tokio::join!(asked, answering);
    assert!(matches!(&answers[0], Err(Failure::TooLarge(10))), "{answers:?}");
    assert_eq!(answers[1].as_ref().unwrap(), &[Value::SimpleString("a".into())]);
    assert!(!mux.is_open());
}

#[tokio::test]
async fn the_connection_ends_with_its_last_handle() {
    let (stream, mut server) = duplex(64);
    let mux = Mux::new(stream);
    drop((mux.clone(), mux));
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn nothing_is_read_before_the_first_question() {
    let (stream, mut server) = duplex(64);
    server.write_all(b"-ERR max number of clients reached\r\n").await.unwrap();
    let mux = Mux::new(stream);
    tokio::task::yield_now().await;
    assert!(mux.is_open());
    let answers = mux.ask(packed("PING"), MOST).await.unwrap();
    assert!(matches!(&answers[..], [Value::ServerError(error)] if error.code() == "ERR"), "{answers:?}");
}
