//! Clients that upload forms with a file, which they hold once however many of them there are.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::{Stream, StreamExt, stream};
use hermod_types::Operation;
use http_body_util::StreamBody;
use hyper::StatusCode;
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use tokio::time::{Instant, sleep_until};

use crate::exchanges::Accepted;
use crate::http::{Connection, Target};
use crate::jobs::Job;
use crate::provider::audio;
use crate::run::Run;

/// What a client sends in one go.
const CHUNK: usize = 64 << 10;
const CONTENT_TYPE: &str = "multipart/form-data; boundary=hermod-bench-boundary";
const BEFORE_PROMPT: &str = "--hermod-bench-boundary\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nbench/echo\r\n\
    --hermod-bench-boundary\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n";
const BEFORE_FILE: &str = "\r\n--hermod-bench-boundary\r\n\
    Content-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg\r\n\r\n";
const AFTER_FILE: &str = "\r\n--hermod-bench-boundary--\r\n";

type Body = StreamBody<Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>>>>>;

/// Transcriptions of a file of one size.
pub(super) struct Uploads<'a> {
    run: &'a Run<'a>,
    target: Target,
    file: Bytes,
}

impl<'a> Uploads<'a> {
    pub(super) fn new(run: &'a Run<'a>, bytes: usize) -> Self {
        Self { run, target: run.target.at(Operation::Transcription), file: audio(bytes) }
    }

    /// So many at once, each at most so many bytes a second.
    pub(super) async fn all(&self, uploads: u64, pace: Option<u32>) -> anyhow::Result<Vec<Accepted>> {
        try_join_all((0..uploads).map(|_| self.one(pace))).await
    }

    /// One, over a connection of its own.
    ///
    /// # Errors
    /// If it is not accepted.
    pub(super) async fn one(&self, pace: Option<u32>) -> anyhow::Result<Accepted> {
        let number = self.run.take_numbers(1);
        let before = format!("{BEFORE_PROMPT}{}{BEFORE_FILE}", self.run.requests.mark(number));
        let length = before.len() + self.file.len() + AFTER_FILE.len();
        let parts = stream::iter([Bytes::from(before)])
            .chain(paced(self.file.clone(), pace))
            .chain(stream::iter([Bytes::from_static(AFTER_FILE.as_bytes())]));
        let body: Body = StreamBody::new(Box::pin(parts.map(|part| Ok(Frame::data(part)))));
        let mut request = self.target.post(HeaderValue::from_static(CONTENT_TYPE), body);
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        let mut connection: Connection<Body> = self.target.connect().await?;
        let (status, answer) = connection.call(request).await?;
        let said = String::from_utf8_lossy(&answer);
        ensure!(status == StatusCode::ACCEPTED, "an upload was answered {status}: {said}");
        let id = Job::read(&answer).and_then(|job| job.parsed_id()).map_err(anyhow::Error::msg)?;
        Ok(Accepted { number, id })
    }
}

fn paced(file: Bytes, pace: Option<u32>) -> impl Stream<Item = Bytes> {
    let (started, all) = (Instant::now(), file.len());
    stream::unfold(file, move |mut left| async move {
        if left.is_empty() {
            return None;
        }
        if let Some(pace) = pace {
            let sent = u64::try_from(all - left.len()).unwrap_or_default();
            sleep_until(started + Duration::from_nanos(sent * 1_000_000_000 / u64::from(pace.max(1)))).await;
        }
        let chunk = left.split_to(CHUNK.min(left.len()));
        Some((chunk, left))
    })
}
