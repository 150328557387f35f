use std::io;
use std::ops::Range;

use actix_web::body::SizedStream;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use hermod_queue::{OutcomeReader, OutcomeRef, PIECE_BYTES, QueueError, StoredOutcome};
use hermod_types::{MediaEncoding, MediaPart};

use crate::error::ApiError;
use crate::memory::{MemoryBudget, Room};
use crate::result_stream::broken_off;
use crate::unescape::unescape;

/// What is read at one time: a piece, as it is stored.
const IN_MEMORY: u64 = PIECE_BYTES as u64;

/// Some encoders leave bits in the last character that mean nothing.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// A result that has media in it.
pub(crate) enum Source {
    Inline(Bytes),
    Stored(OutcomeReader, StoredOutcome),
}

impl Source {
    pub(crate) fn new(outcome: OutcomeRef<'_>, reader: &OutcomeReader) -> Self {
        match outcome {
            OutcomeRef::Inline(json) => Self::Inline(Bytes::copy_from_slice(json.as_bytes())),
            OutcomeRef::Stored(stored) => Self::Stored(reader.clone(), stored.clone()),
        }
    }

    /// The `length` bytes from `start` on; none if they are not there, or not any more.
    async fn read(&self, start: u64, length: u64) -> Result<Option<Bytes>, QueueError> {
        match self {
            Self::Inline(json) => {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                let part = json.get(place(start)..place(start.saturating_add(length)));
                Ok(part.map(|part| json.slice_ref(part)))
            }
            Self::Stored(reader, outcome) => Ok(reader.read(outcome, start, length).await?.map(Bytes::from)),
        }
    }
}

/// Media that are decoded while they are sent.
pub(crate) struct MediaStream {
    source: Source,
    encoding: MediaEncoding,
    /// Where in the result the text is that is still to be read.
    text: Range<u64>,
    /// What was read of it and cannot be decoded without what follows.
    rest: Vec<u8>,
    /// Bytes to pass over before the first that is wanted.
    skipped: u64,
    /// Bytes that are still wanted.
    wanted: u64,
    /// For one piece, until all is sent.
    room: Room,
}

impl MediaStream {
    /// The bytes in `range` of some media.
    pub(crate) fn new(source: Source, part: &MediaPart, range: Range<u64>, memory: &MemoryBudget) -> Self {
        let end = part.at.saturating_add(part.length);
        let (text, skipped) = match part.encoding {
            // Four characters are three bytes.
            MediaEncoding::Base64 => {
                let before = |bytes: u64| part.at.saturating_add(bytes.saturating_mul(4)).min(end);
                (before(range.start / 3)..before(range.end.div_ceil(3)), range.start % 3)
            }
            // Nothing tells where a byte is in a text with escapes.
            MediaEncoding::JsonText => (part.at..end, range.start),
        };
        Self {
            source,
            encoding: part.encoding,
            text,
            rest: Vec::new(),
            skipped,
            wanted: range.end.saturating_sub(range.start),
            room: memory.room(part.length),
        }
    }

    /// The body of an answer. Its first bytes are read at once, while the status can still say that there are none.
    ///
    /// # Errors
    /// If there is no room, if the result has expired, or if Redis does not answer.
    pub(crate) async fn start(
        mut self,
    ) -> Result<SizedStream<impl Stream<Item = io::Result<Bytes>> + use<>>, ApiError> {
        let size = self.wanted;
        self.room.grow_to(IN_MEMORY.min(self.text.end - self.text.start))?;
        let first = self.next().await?;
        let later = stream::try_unfold(self, async |mut media| {
            let next = media.next().await.map_err(|error| broken_off(&error.to_string()))?;
            Ok(next.map(|bytes| (bytes, media)))
        });
        let all = stream::iter(first.map(Ok)).chain(later);
        Ok(SizedStream::new(size, Box::pin(all)))
    }

    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        while self.wanted > 0 {
            // Up to the end of the piece, so that each is read once.
            let length = (IN_MEMORY - self.text.start % IN_MEMORY).min(self.text.end - self.text.start);
            if length == 0 {
                let what = "media that end early".to_owned();
                return Err(ApiError::Internal(QueueError::Unexpected(what)));
            }
            let text = self.source.read(self.text.start, length).await.map_err(ApiError::from_find)?;
            self.text.start += length;
            self.rest.extend_from_slice(&text.ok_or(ApiError::JobNotFound)?);
            let mut bytes = Bytes::from(self.decode()?);
            let skipped = self.skipped.min(length_of(&bytes));
            self.skipped -= skipped;
            drop(bytes.split_to(usize::try_from(skipped).unwrap_or(usize::MAX)));
            bytes.truncate(usize::try_from(self.wanted).unwrap_or(usize::MAX));
            self.wanted -= length_of(&bytes);
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// Decodes as much of what was read as is whole.
    fn decode(&mut self) -> Result<Vec<u8>, ApiError> {
        let mut bytes = Vec::with_capacity(self.rest.len());
        let decoded = match self.encoding {
            MediaEncoding::Base64 => {
                let whole = self.rest.len() - self.rest.len() % 4;
                let text = self.rest.get(..whole).unwrap_or_default();
                let decoded = BASE64.decode_vec(text, &mut bytes);
                // The provider's fault, which trying again does not mend.
                decoded.map_err(|_| ApiError::NoContent("the result's content is not base64"))?;
                whole
            }
            MediaEncoding::JsonText => unescape(&self.rest, &mut bytes),
        };
        self.rest.drain(..decoded);
        Ok(bytes)
    }
}

fn length_of(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use hermod_types::{Operation, media_of};
    use proptest::prelude::*;

    use super::*;

    /// The bytes in `range` of the only media of a result.
    fn read(result: &str, operation: Operation, range: Range<u64>) -> Result<Vec<u8>, ApiError> {
        let part = media_of(operation, result).remove(0).unwrap();
        let source = Source::Inline(Bytes::copy_from_slice(result.as_bytes()));
        let mut media = MediaStream::new(source, &part, range, &MemoryBudget::new(0, 1 << 20));
        let mut read = Vec::new();
        // Nothing is waited for.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        while let Some(bytes) = runtime.block_on(media.next())? {
            assert!(bytes.len() <= PIECE_BYTES);
            read.extend_from_slice(&bytes);
        }
        Ok(read)
    }

    fn speech(text: &str) -> String {
        format!(r#"{{"audio":"{text}","response_format":"mp3","extra_fields":{{}}}}"#)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_part_of_audio_is_that_of_the_whole(size in 1..900_000_usize, from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
            let audio: Vec<u8> = (0_u64..).flat_map(u64::to_le_bytes).take(size).collect();
            let (from, to) = (from.index(size), to.index(size));
            let range = from.min(to)..from.max(to) + 1;
            let part = read(&speech(&BASE64.encode(&audio)), Operation::Speech, range.start as u64..range.end as u64);
            prop_assert!(part.unwrap() == audio[range]);
        }

        #[test]
        fn any_part_of_a_text_is_that_of_the_whole(count in 1..60_000_usize, from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
            let text = "a\u{e9}\"\u{1f600}\n\\".repeat(count);
            let ascii: String = serde_json::to_string(&text).unwrap().replace('\u{1f600}', "\\ud83d\\uDE00");
            let (from, to) = (from.index(text.len()), to.index(text.len()));
            let range = from.min(to)..from.max(to) + 1;
            let result = format!(r#"{{"text":{ascii}}}"#);
            let part = read(&result, Operation::Transcription, range.start as u64..range.end as u64);
            prop_assert!(part.unwrap() == text.as_bytes()[range]);
        }
    }

    #[test]
    fn what_is_no_base64_is_told_and_loose_ends_are_not() {
        assert!(matches!(read(&speech("QU$D"), Operation::Speech, 0..3), Err(ApiError::NoContent(_))));
        assert!(matches!(read(&speech("Q==="), Operation::Speech, 0..1), Err(ApiError::NoContent(_))));
        assert_eq!(read(&speech("QR=="), Operation::Speech, 0..1).unwrap(), b"A");
    }
}
