use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::{Activity, Phase};
use super::layer_answer;
use super::progress::{Progress, STALL};

/// How long an idle connection is kept: longer than the 60 s of common load balancers, so that they close first.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// A client's connection, which ends by itself when the client stalls. actix-http limits only the head of the first request
/// on a connection, and writes not at all:
///
/// - Between requests: a head must be complete 30 s after its first byte, and the first one 30 s after the connection. An
///   idle connection ends after 75 s. While a request is handled, nothing is limited here: its handler limits the body.
/// - While the client does not read: less than 8 KiB/s over 30 s ends the connection, and nothing is read from it.
///
/// Errors that actix-http answers by itself, without a body, get the body that all our errors have.
pub(crate) struct ClientStream<IO> {
    io: IO,
    activity: Rc<Activity>,
    writes: Progress,
    /// Who wants to read while a write waits.
    reader: Option<Waker>,
    /// What is left to write of an answer of our own.
    answer: Bytes,
    /// Nothing more is read: a head has stalled, or nothing came for too long.
    ended: bool,
    /// Fires at the next deadline, or before: moving it for each request would cost more than waking up early now and then.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<IO> ClientStream<IO> {
    pub(crate) fn new(io: IO) -> Self {
        Self {
            io,
            activity: Rc::new(Activity::new(Instant::now())),
            writes: Progress::default(),
            reader: None,
            answer: Bytes::new(),
            ended: false,
            timer: None,
        }
    }

    /// What the connection does, to be shared with the handlers of its requests.
    pub(crate) const fn activity(&self) -> &Rc<Activity> {
        &self.activity
    }

    /// Until when the client has to go on, so far as reading is concerned.
    fn read_deadline(&self) -> Option<Instant> {
        match self.activity.phase() {
            _ if self.ended => None,
            Phase::Idle { since } => Some(since + KEEP_ALIVE),
            Phase::Head { since, .. } => Some(since + STALL),
            Phase::Handling => None,
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if Instant::now() >= deadline {
            return Poll::Ready(());
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.is_elapsed() || timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// Stops to read, as if the client had closed its side: actix-http then flushes and closes ours.
    fn end(&mut self) {
        if let Phase::Head { begun: true, .. } = self.activity.phase() {
            self.answer = layer_answer::timeout();
        }
        self.ended = true;
    }
}

impl<IO: AsyncWrite + Unpin> ClientStream<IO> {
    fn poll_write_io(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        let now = Instant::now();
        match written {
            Poll::Ready(Ok(written)) => {
                self.writes.moved(written, now);
                if let Some(reader) = self.reader.take() {
                    reader.wake();
                }
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match self.writes.wait(now) {
                Ok(deadline) if self.poll_deadline(cx, deadline).is_pending() => Poll::Pending,
                Ok(_) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Err(_) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            },
        }
    }

    fn poll_write_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.answer.is_empty() {
            let answer = self.answer.clone();
            let written = ready!(self.poll_write_io(cx, &answer))?;
            self.answer.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for ClientStream<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(Ok(()));
        }
        if this.writes.is_waiting() {
            // Answers to what it goes on to ask would pile up in memory.
            this.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buffer)?;
        if read.is_ready() {
            let bytes = buffer.filled().get(before..).unwrap_or_default();
            this.activity.received(bytes, Instant::now());
            return Poll::Ready(Ok(()));
        }
        if let Some(deadline) = this.read_deadline()
            && this.poll_deadline(cx, deadline).is_ready()
        {
            this.end();
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for ClientStream<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_write_answer(cx))?;
        if !this.activity.is_answering()
            && let Some(answer) = layer_answer::instead_of(bytes)
        {
            this.answer = answer;
            return Poll::Ready(Ok(bytes.len()));
        }
        this.poll_write_io(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_write_answer(cx))?;
        ready!(Pin::new(&mut this.io).poll_flush(cx))?;
        this.activity.flushed();
        // actix-http flushes last, so this is where it is woken for the deadline of a request that is now to come.
        if let Some(deadline) = this.read_deadline()
            && this.poll_deadline(cx, deadline).is_ready()
        {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_write_answer(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::sleep;

    use super::super::activity::BodySize;
    use super::*;

    const NO_BODY: BodySize = BodySize::Known(0);
    const REQUEST: &[u8] = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";

    fn connect() -> (ClientStream<DuplexStream>, DuplexStream) {
        let (server, client) = duplex(64 << 10);
        (ClientStream::new(server), client)
    }

    /// Reads what the client has sent, which must be something.
    async fn receive(stream: &mut ClientStream<DuplexStream>) {
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
    }

    /// The seconds until the connection is ended, less the answer that it gets then.
    async fn ends_after(stream: &mut ClientStream<DuplexStream>) -> u64 {
        let begun = Instant::now();
        while stream.read(&mut [0; 4096]).await.unwrap() > 0 {}
        stream.flush().await.unwrap();
        begun.elapsed().as_secs()
    }

    async fn answer(mut client: DuplexStream, stream: ClientStream<DuplexStream>) -> String {
        drop(stream);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_stalls_or_drips_is_answered_with_408_after_30_s() {
        let (mut stream, client) = connect();
        assert_eq!(ends_after(&mut stream).await, 30);
        assert_eq!(answer(client, stream).await, "", "nothing was asked");

        let (mut stream, client) = connect();
        let (reader, mut writer) = tokio::io::split(client);
        let drip = async {
            while writer.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            seconds = ends_after(&mut stream) => assert_eq!(seconds, 30),
            () = drip => panic!("it ends first"),
        }
        let answer = answer(reader.unsplit(writer), stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
        assert!(
            answer.contains("x-request-id: ") && answer.contains("\"code\":\"request_timeout\""),
            "{answer}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_for_75_s_and_a_second_head_has_30() {
        let (mut stream, mut client) = connect();
        client.write_all(REQUEST).await.unwrap();
        receive(&mut stream).await;
        drop(stream.activity().begin(NO_BODY));
        stream.flush().await.unwrap();
        sleep(Duration::from_secs(70)).await;
        client.write_all(b"GET").await.unwrap();
        receive(&mut stream).await;
        assert_eq!(ends_after(&mut stream).await, 30);

        let (mut stream, mut client) = connect();
        client.write_all(REQUEST).await.unwrap();
        receive(&mut stream).await;
        drop(stream.activity().begin(NO_BODY));
        assert_eq!(ends_after(&mut stream).await, 75);
        assert_eq!(answer(client, stream).await, "", "an idle connection is closed without a word");
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_behind_a_request_has_30_s_from_its_answer() {
        for (request, body) in [
            (REQUEST.to_vec(), NO_BODY),
            (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody".to_vec(), BodySize::Known(4)),
        ] {
            let (mut stream, mut client) = connect();
            client.write_all(&request).await.unwrap();
            receive(&mut stream).await;
            drop(stream.activity().begin(body));
            // The whole request and nothing else: it is idle.
            assert_eq!(ends_after(&mut stream).await, 75);

            let (mut stream, mut client) = connect();
            client.write_all(&[&request[..], b"GET /"].concat()).await.unwrap();
            receive(&mut stream).await;
            let handling = stream.activity().begin(body);
            sleep(Duration::from_secs(60)).await;
            drop(handling);
            assert_eq!(ends_after(&mut stream).await, 30);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_may_take_its_time() {
        let (mut stream, mut client) = connect();
        client.write_all(REQUEST).await.unwrap();
        receive(&mut stream).await;
        let _handling = stream.activity().begin(NO_BODY);
        let read = tokio::time::timeout(Duration::from_secs(3600), stream.read_u8()).await;
        assert!(read.is_err(), "it is still open");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_ended_after_30_s() {
        let (mut stream, client) = connect();
        let _handling = stream.activity().begin(NO_BODY);
        let begun = Instant::now();
        let error = stream.write_all(&vec![0; 1 << 20]).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, 30));
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_is_ended_below_8_kib_a_second() {
        for (bytes_a_second, is_served) in [(9 * 1024, true), (6 * 1024, false)] {
            let (mut stream, mut client) = connect();
            let _handling = stream.activity().begin(NO_BODY);
            let read = async {
                let mut buffer = vec![0; bytes_a_second];
                while client.read_exact(&mut buffer).await.is_ok() {
                    sleep(Duration::from_secs(1)).await;
                }
            };
            let answer = vec![0; 4 << 20];
            let write = async {
                let written = stream.write_all(&answer).await;
                drop(stream);
                written
            };
            let (written, ()) = tokio::join!(write, read);
            assert_eq!(written.is_ok(), is_served, "{bytes_a_second}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_read_from_a_client_that_does_not_read() {
        let (stream, mut client) = connect();
        let _handling = stream.activity().begin(NO_BODY);
        let (mut reader, mut writer) = tokio::io::split(stream);
        let write = async { writer.write_all(&vec![0; 100 << 10]).await.unwrap() };
        let read = async {
            client.write_all(REQUEST).await.unwrap();
            let early = tokio::time::timeout(Duration::from_secs(5), reader.read_u8()).await;
            assert!(early.is_err(), "its answer would pile up");
            let mut answer = vec![0; 100 << 10];
            let (asked, answered) = tokio::join!(reader.read_u8(), client.read_exact(&mut answer));
            assert_eq!((asked.unwrap(), answered.unwrap()), (b'G', 100 << 10));
        };
        tokio::join!(write, read);
    }

    #[tokio::test]
    async fn bare_errors_of_the_layer_get_our_body_and_answers_of_handlers_stay() {
        let bare = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        let (mut stream, client) = connect();
        stream.write_all(bare).await.unwrap();
        stream.flush().await.unwrap();
        let text = answer(client, stream).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(head.ends_with("GMT") && head.contains("\r\nconnection: close\r\n"), "{head}");
        assert!(
            body.contains("\"type\":\"invalid_request_error\"") && !body.contains("request_type"),
            "{body}"
        );

        let (mut stream, client) = connect();
        let _handling = stream.activity().begin(NO_BODY);
        stream.write_all(bare).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(answer(client, stream).await.as_bytes(), bare);
    }
}
