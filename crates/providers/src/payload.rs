//! The body of a request: text, or pieces of a job's media that are read as they are sent.

use std::io;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream};
use hermod_types::FormPart;
use reqwest::Body;

/// Most bytes that are read of a job's media at once.
const PIECE_BYTES: usize = 1 << 20;

/// Where the media of a job are read from.
pub trait MediaSource: Send + Sync {
    /// 1 to `most` bytes from `start` on; none at the end.
    ///
    /// # Errors
    /// If they cannot be read, or are gone.
    fn read(&self, start: u64, most: usize) -> BoxFuture<'_, io::Result<Bytes>>;
}

/// The body of an HTTP request to a provider.
#[derive(Debug)]
pub(crate) enum Payload {
    Text(String),
    Segments(Vec<Segment>),
}

/// A part of a body.
#[derive(Debug)]
pub(crate) enum Segment {
    Text(String),
    /// So many bytes of the job's media from `start` on.
    Media {
        start: u64,
        bytes: u64,
        encoding: Encoding,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Raw,
    /// Standard, with padding.
    Base64,
}

/// A file of the client's.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) filename: Option<String>,
    pub(crate) content_type: Option<String>,
    /// Where its bytes begin in the job's media.
    pub(crate) start: u64,
    pub(crate) bytes: u64,
}

impl Upload {
    pub(crate) fn of(part: &FormPart, start: u64, bytes: u64) -> Self {
        let (filename, content_type) = (part.filename.clone(), part.content_type.clone());
        Self { filename, content_type, start, bytes }
    }
}

/// Stands for a file in JSON that is being written: a JSON string whose content no JSON can have.
pub(crate) const FILE: &str = "\"\0\"";

impl Payload {
    /// JSON in which each [`FILE`] is the base64 of one of the `files`, in their order.
    pub(crate) fn json<'f>(json: &str, files: impl IntoIterator<Item = &'f Upload>) -> Self {
        let mut texts = json.split('\0').map(|text| Segment::Text(text.to_owned()));
        let mut segments: Vec<Segment> = texts.next().into_iter().collect();
        for (text, file) in texts.zip(files) {
            segments.push(Segment::Media {
                start: file.start,
                bytes: file.bytes,
                encoding: Encoding::Base64,
            });
            segments.push(text);
        }
        Self::Segments(segments)
    }

    /// Bytes of it.
    fn length(&self) -> u64 {
        match self {
            Self::Text(text) => size(text),
            Self::Segments(segments) => segments.iter().map(Segment::length).sum(),
        }
    }

    /// The body to send, and its `Content-Length` where that must be said.
    pub(crate) fn into_body(self, media: Option<&Arc<dyn MediaSource>>) -> (Body, Option<u64>) {
        let length = self.length();
        match self {
            Self::Text(text) => (text.into(), None),
            Self::Segments(segments) => (Body::wrap_stream(read_all(segments, media.cloned())), Some(length)),
        }
    }

    /// All of it in memory, for a provider that wants it signed.
    pub(crate) async fn collect(self, media: Option<&Arc<dyn MediaSource>>) -> io::Result<String> {
        use futures_util::TryStreamExt;
        let segments = match self {
            Self::Text(text) => return Ok(text),
            Self::Segments(segments) => segments,
        };
        let bytes: Vec<Bytes> = read_all(segments, media.cloned()).try_collect().await?;
        String::from_utf8(bytes.concat()).map_err(|_| io::Error::other("not text"))
    }
}

impl Segment {
    fn length(&self) -> u64 {
        match self {
            Self::Text(text) => size(text),
            Self::Media { bytes, encoding: Encoding::Raw, .. } => *bytes,
            Self::Media { bytes, encoding: Encoding::Base64, .. } => bytes.div_ceil(3) * 4,
        }
    }
}

fn size(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

/// What is read of segments so far.
struct Reading {
    media: Option<Arc<dyn MediaSource>>,
    segments: std::vec::IntoIter<Segment>,
    /// Of the media segment that is being read: where it goes on, how much is left, and how it is written.
    current: Option<(u64, u64, Encoding)>,
    /// Up to two bytes that do not make four letters of base64 yet.
    carry: Vec<u8>,
}

fn read_all(
    segments: Vec<Segment>,
    media: Option<Arc<dyn MediaSource>>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let reading = Reading { media, segments: segments.into_iter(), current: None, carry: Vec::new() };
    stream::try_unfold(reading, |mut reading| async move {
        Ok(reading.next().await?.map(|bytes| (bytes, reading)))
    })
}

impl Reading {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let Some((start, left, encoding)) = self.current else {
                match self.segments.next() {
                    None => return Ok(None),
                    Some(Segment::Text(text)) if text.is_empty() => continue,
                    Some(Segment::Text(text)) => return Ok(Some(text.into())),
                    Some(Segment::Media { start, bytes, encoding }) => {
                        self.current = (bytes > 0).then_some((start, bytes, encoding));
                        continue;
                    }
                }
            };
            let media = self.media.as_ref().ok_or_else(|| io::Error::other("the job has no media"))?;
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let piece = media.read(start, most).await?;
            let read = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            if read == 0 || read > left {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the media end early"));
            }
            self.current = (read < left).then_some((start + read, left - read, encoding));
            match encoding {
                Encoding::Raw => return Ok(Some(piece)),
                Encoding::Base64 => {
                    let text = self.encode(&piece, read == left);
                    if !text.is_empty() {
                        return Ok(Some(text.into()));
                    }
                }
            }
        }
    }

    /// The letters of what has come, less what is carried to the next piece.
    fn encode(&mut self, piece: &[u8], is_last: bool) -> String {
        let mut all = std::mem::take(&mut self.carry);
        all.extend_from_slice(piece);
        if !is_last {
            self.carry = all.split_off(all.len() - all.len() % 3);
        }
        STANDARD.encode(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Memory(Vec<u8>, usize);

    impl MediaSource for Memory {
        fn read(&self, start: u64, most: usize) -> BoxFuture<'_, io::Result<Bytes>> {
            let rest = self.0.get(usize::try_from(start).unwrap()..).unwrap_or_default();
            let piece = Bytes::copy_from_slice(rest.get(..most.min(self.1)).unwrap_or(rest));
            Box::pin(async { Ok(piece) })
        }
    }

    #[tokio::test]
    async fn pieces_of_any_size_make_the_same_base64() {
        let bytes: Vec<u8> = (0..=255).collect();
        for piece in [1, 2, 3, 4, 100, 1000] {
            for end in [0_u64, 1, 2, 3, 200] {
                let media: Arc<dyn MediaSource> = Arc::new(Memory(bytes.clone(), piece));
                let payload = Payload::Segments(vec![
                    Segment::Text("<".to_owned()),
                    Segment::Media { start: 5, bytes: end, encoding: Encoding::Base64 },
                    Segment::Text(">".to_owned()),
                ]);
                let length = payload.length();
                let sent = payload.collect(Some(&media)).await.unwrap();
                let wanted = STANDARD.encode(&bytes[5..5 + usize::try_from(end).unwrap()]);
                assert_eq!(sent, format!("<{wanted}>"), "{piece} {end}");
                assert_eq!(length, u64::try_from(sent.len()).unwrap());
            }
        }
    }

    #[tokio::test]
    async fn files_stand_in_json_as_base64() {
        let media: Arc<dyn MediaSource> = Arc::new(Memory(b"abcdef".to_vec(), 2));
        let file = |start, bytes| Upload { filename: None, content_type: None, start, bytes };
        let json = format!("{{\"mask\":{FILE},\"prompt\":\"\\u0000\",\"images\":[{FILE}]}}");
        let sent = Payload::json(&json, [&file(4, 2), &file(0, 3)]).collect(Some(&media)).await.unwrap();
        assert_eq!(sent, r#"{"mask":"ZWY=","prompt":"\u0000","images":["YWJj"]}"#);
    }

    #[tokio::test]
    async fn media_that_end_early_are_an_error() {
        let media: Arc<dyn MediaSource> = Arc::new(Memory(vec![b'a'; 5], 2));
        let whole = |bytes| vec![Segment::Media { start: 0, bytes, encoding: Encoding::Raw }];
        assert_eq!(Payload::Segments(whole(5)).collect(Some(&media)).await.unwrap(), "aaaaa");
        assert!(Payload::Segments(whole(6)).collect(Some(&media)).await.is_err());
        assert!(Payload::Segments(whole(1)).collect(None).await.is_err());
    }
}
