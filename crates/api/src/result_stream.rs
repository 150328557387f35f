use std::io;

use actix_web::body::SizedStream;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use hermod_queue::{OutcomeReader, PIECE_BYTES, QueueError, StoredOutcome};

use crate::error::ApiError;
use crate::memory::{MemoryBudget, Room};

/// What is in memory of one answer: a piece, as it is stored. A client on a slow line keeps this much, and not the whole result.
const IN_MEMORY: u64 = PIECE_BYTES as u64;

/// A large outcome between the parts of the answer around it, read from Redis as the client takes it.
pub(crate) struct ResultParts {
    pub(crate) head: String,
    pub(crate) outcome: StoredOutcome,
    pub(crate) tail: &'static str,
}

/// An answer that is under way.
struct Reading {
    reader: OutcomeReader,
    outcome: StoredOutcome,
    tail: &'static str,
    /// The piece that is read already.
    next: Option<Vec<u8>>,
    /// Where the piece after that begins.
    position: u64,
    /// For one piece, until all is sent: actix-http keeps a copy of it until the client has taken it.
    _room: Room,
}

impl ResultParts {
    fn bytes(&self) -> u64 {
        let around = self.head.len() + self.tail.len();
        self.outcome.bytes + u64::try_from(around).unwrap_or_default()
    }

    /// As much of the answer as there is to a HEAD.
    pub(crate) fn size_only(&self) -> SizedStream<impl Stream<Item = io::Result<Bytes>> + use<>> {
        SizedStream::new(self.bytes(), stream::empty())
    }

    /// The answer. Its first piece is read at once, while the status can still say that there is none.
    ///
    /// # Errors
    /// If there is no room for a piece, if the outcome has expired, or if Redis does not answer.
    pub(crate) async fn stream(
        self,
        reader: OutcomeReader,
        memory: &MemoryBudget,
    ) -> Result<SizedStream<impl Stream<Item = io::Result<Bytes>> + use<>>, ApiError> {
        let bytes = self.bytes();
        Ok(SizedStream::new(bytes, Box::pin(self.pieces(reader, memory).await?)))
    }

    /// The same, piece by piece.
    ///
    /// # Errors
    /// As [`ResultParts::stream`].
    pub(crate) async fn pieces(
        self,
        reader: OutcomeReader,
        memory: &MemoryBudget,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + use<>, ApiError> {
        let Self { head, outcome, tail } = self;
        let mut room = memory.room(outcome.bytes);
        let position = outcome.bytes.min(IN_MEMORY);
        room.grow_to(position)?;
        let first = reader.read(&outcome, 0, position).await.map_err(ApiError::from_find)?;
        let first = first.ok_or(ApiError::JobNotFound)?;
        if !first.starts_with(b"{") {
            let error = QueueError::Unexpected("an outcome that is not JSON".to_owned());
            return Err(ApiError::Internal(error));
        }
        let reading = Reading { reader, outcome, tail, next: Some(first), position, _room: room };
        let head = stream::once(async { Ok(Bytes::from(head)) });
        let pieces = stream::try_unfold(reading, |mut reading| async {
            Ok(reading.piece().await?.map(|piece| (piece, reading)))
        });
        Ok(head.chain(pieces))
    }
}

impl Reading {
    /// The next piece; the last one goes with the tail, which would otherwise wait in a packet of its own.
    ///
    /// # Errors
    /// If it cannot be had. The connection is then closed, so that the client sees that its answer is not whole.
    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        let mut piece = match self.next.take() {
            Some(first) => first,
            None if self.position == self.outcome.bytes => return Ok(None),
            None => {
                let length = IN_MEMORY.min(self.outcome.bytes - self.position);
                let piece = self.reader.read(&self.outcome, self.position, length).await;
                self.position += length;
                match piece {
                    Ok(Some(piece)) => piece,
                    Ok(None) => return Err(broken_off("it has expired")),
                    Err(error) => return Err(broken_off(&error.to_string())),
                }
            }
        };
        if self.position == self.outcome.bytes {
            piece.extend_from_slice(self.tail.as_bytes());
        }
        Ok(Some(Bytes::from(piece)))
    }
}

pub(crate) fn broken_off(cause: &str) -> io::Error {
    tracing::warn!(cause, "a result broke off while it was sent");
    io::Error::other("the result cannot be read any more")
}
