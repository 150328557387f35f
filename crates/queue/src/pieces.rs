//! Large texts and media, which would hold up everything small if they went to Redis in one command, and which Lua would copy
//! several times. Each is a hash of pieces. They are written under a key that expires, and the script that keeps them renames
//! it: so what is left of a writer that died goes by itself, and no late repetition touches what is kept.
//!
//! Nothing else knows where pieces are: files, or a store for objects, could take their place here.

use bytes::Bytes;
use hermod_types::Shard;
use redis::FromRedisValue;

use crate::QueueError;
use crate::connection::Call;
use crate::pools::Pools;
use crate::script;
use crate::topology::Topology;

/// From so many bytes on a text is kept apart from its record. Measured on Redis 7.0 with prompt and result of this size: some
/// 80 µs of its CPU for a job instead of 109; at 4 KiB it does not pay, at 1 MB it is 1.0 ms instead of 4.8.
pub(crate) const LARGE: usize = 16 << 10;
/// Bytes of each piece but the last.
pub const PIECE_BYTES: usize = 256 << 10;
/// How long pieces wait for the next one, or for the script that keeps them, in seconds.
const STAGED_SECONDS: u64 = 600;

/// How many pieces so many bytes are.
pub(crate) const fn pieces_of(bytes: usize) -> usize {
    bytes.div_ceil(PIECE_BYTES)
}

/// Where pieces are.
pub(crate) struct Pieces<'a> {
    pub(crate) pools: &'a Pools,
    pub(crate) topology: &'a Topology,
}

impl Pieces<'_> {
    /// Writes a piece. Safe to repeat. All pieces of the key expire unless they are kept.
    pub(crate) async fn put(
        &self,
        shard: Shard,
        key: &str,
        number: usize,
        piece: &[u8],
    ) -> Result<(), QueueError> {
        let mut pipeline = redis::pipe();
        // Together: a connection may break between the two, and the key would stay.
        pipeline.atomic();
        pipeline.cmd("HSET").arg(key).arg(number).arg(piece).ignore();
        pipeline.cmd("EXPIRE").arg(key).arg(STAGED_SECONDS).ignore();
        self.send(shard, Call::Pipeline(&pipeline)).await
    }

    /// The same, in a Redis that is full: it lets only scripts write.
    async fn put_into_full(
        &self,
        shard: Shard,
        key: &str,
        number: usize,
        piece: &[u8],
    ) -> Result<(), QueueError> {
        let script = script::put_piece(shard, key, number, piece, STAGED_SECONDS)?;
        self.send::<Vec<u8>>(shard, Call::Script(&script)).await.map(drop)
    }

    /// Reads a piece; none where it is gone, or was never there.
    async fn get(&self, shard: Shard, key: &str, number: usize) -> Result<Option<Vec<u8>>, QueueError> {
        match self.send(shard, Call::Command(redis::cmd("HGET").arg(key).arg(number))).await {
            Err(error) if error.is_wrong_type() => self.get_of_string(shard, key, number).await.map(Some),
            piece => piece,
        }
    }

    /// The same of a text that an earlier version wrote: it is a string.
    async fn get_of_string(&self, shard: Shard, key: &str, number: usize) -> Result<Vec<u8>, QueueError> {
        let start = number.saturating_mul(PIECE_BYTES);
        let mut command = redis::cmd("GETRANGE");
        command.arg(key).arg(start).arg(start.saturating_add(PIECE_BYTES - 1));
        self.send(shard, Call::Command(&command)).await
    }

    /// Removes all pieces of a key.
    pub(crate) async fn delete(&self, shard: Shard, key: &str) -> Result<(), QueueError> {
        self.send(shard, Call::Command(redis::cmd("UNLINK").arg(key))).await
    }

    /// Lets all pieces of a key expire as if they were not kept yet.
    pub(crate) async fn expire(&self, shard: Shard, key: &str) -> Result<(), QueueError> {
        self.send(shard, Call::Command(redis::cmd("EXPIRE").arg(key).arg(STAGED_SECONDS))).await
    }

    async fn send<T: FromRedisValue>(&self, shard: Shard, call: Call<'_>) -> Result<T, QueueError> {
        // Boxed, as these futures are large, and rare.
        Box::pin(self.pools.send(self.topology, shard, call)).await
    }

    /// Writes all of a text.
    pub(crate) async fn write(&self, shard: Shard, key: &str, text: &str) -> Result<(), QueueError> {
        for (number, piece) in text.as_bytes().chunks(PIECE_BYTES).enumerate() {
            self.put(shard, key, number, piece).await?;
        }
        Ok(())
    }

    /// The same, and also into a Redis that is full.
    pub(crate) async fn write_in_any_case(
        &self,
        shard: Shard,
        key: &str,
        text: &str,
    ) -> Result<(), QueueError> {
        for (number, piece) in text.as_bytes().chunks(PIECE_BYTES).enumerate() {
            match self.put(shard, key, number, piece).await {
                Err(QueueError::OutOfMemory) => self.put_into_full(shard, key, number, piece).await?,
                outcome => outcome?,
            }
        }
        Ok(())
    }

    /// The bytes from `start` on, up to the end of the piece that they are in; none where it is gone.
    pub(crate) async fn read_on(
        &self,
        shard: Shard,
        key: &str,
        start: u64,
    ) -> Result<Option<Bytes>, QueueError> {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let piece = self.get(shard, key, start / PIECE_BYTES).await?;
        let cut = |piece| {
            let mut piece = Bytes::from(piece);
            let skipped = (start % PIECE_BYTES).min(piece.len());
            piece.split_off(skipped)
        };
        Ok(piece.map(cut).filter(|rest| !rest.is_empty()))
    }

    /// The `length` bytes from `start` on; none where not all of them are there.
    pub(crate) async fn read(
        &self,
        shard: Shard,
        key: &str,
        start: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, QueueError> {
        let mut found = Vec::new();
        while found.len() < length {
            let at = start.saturating_add(u64::try_from(found.len()).unwrap_or(u64::MAX));
            let Some(mut part) = self.read_on(shard, key, at).await? else { return Ok(None) };
            part.truncate(length - found.len());
            if found.is_empty() {
                // No copy is made of a whole piece.
                found = Vec::from(part);
                found.reserve_exact(length - found.len());
            } else {
                found.extend_from_slice(&part);
            }
        }
        Ok(Some(found))
    }
}
