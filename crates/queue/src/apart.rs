//! Texts too large for Lua, which would copy them several times: they are written beside the script, each under a key of its
//! own, for a while; the script then keeps it, or does not, and it expires.

use hermod_types::JobId;
use redis::Pipeline;

use crate::QueueError;
use crate::lane::{Call, Lane};

/// From so many bytes on it pays. Measured on Redis 7.0 with prompt and result of this size: 69 µs of its CPU for a job
/// instead of 109; at 4 KiB there is no difference, at 1 MB it is 1.0 ms instead of 4.8.
pub(crate) const LARGE: usize = 16 << 10;
/// How long a text waits for its script.
const STAGED_SECONDS: u64 = 600;

/// The key of the body of a job's request.
pub(crate) fn body_key(id: JobId) -> String {
    format!("{{hermod:{}}}:body:{id}", id.shard().number())
}

/// The key of a job's outcome. `token` is new for each try to write it, so that no late one overwrites another.
pub(crate) fn outcome_key(id: JobId, token: &str) -> String {
    format!("{{hermod:{}}}:outcome:{id}:{token}", id.shard().number())
}

/// Writes texts for a script to keep.
pub(crate) async fn stage(lane: &mut Lane, texts: &[(String, &str)]) -> Result<(), QueueError> {
    if texts.is_empty() {
        return Ok(());
    }
    let mut pipeline = Pipeline::with_capacity(texts.len());
    for (key, text) in texts {
        pipeline.cmd("SET").arg(key).arg(text).arg("EX").arg(STAGED_SECONDS).ignore();
    }
    lane.run(Call::Pipeline(&pipeline)).await
}

/// Reads texts that a script has kept; none for one that is gone.
pub(crate) async fn fetch(lane: &mut Lane, keys: &[String]) -> Result<Vec<Option<String>>, QueueError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = Pipeline::with_capacity(keys.len());
    for key in keys {
        pipeline.cmd("GET").arg(key);
    }
    lane.run(Call::Pipeline(&pipeline)).await
}
