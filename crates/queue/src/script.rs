//! The transitions' Lua, each compiled in from its own file.

use std::sync::LazyLock;

use redis::Script;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::QueueError;
use crate::connection::{Call, Connection};

macro_rules! scripts {
    ($($name:ident),* $(,)?) => {
        /// The scripts; `Script` itself loads one again that Redis has lost.
        pub(crate) struct Scripts { $(pub(crate) $name: Script),* }

        /// Hashed once for the whole process.
        pub(crate) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
            $($name: Script::new(&source(stringify!($name), include_str!(concat!("../lua/", stringify!($name), ".lua"))))),*
        });
    };
}

scripts!(
    submit,
    wake,
    lead,
    claim,
    renew,
    progress,
    delay,
    promote,
    release,
    finish,
    leave,
    cool,
    cooldowns,
    probe,
    lift,
    shards,
    stats,
    consumers,
    letters,
    requeue,
    repair_record,
    repair_entry,
    given_out,
);

/// A full Redis refuses what brings new work; all else may use what memory is left, so that accepted jobs end.
fn source(name: &str, body: &str) -> String {
    let flags = if matches!(name, "submit" | "requeue") { "" } else { " flags=allow-oom" };
    format!("#!lua{flags}\n{}\n{body}", include_str!("../lua/lib.lua"))
}

/// Runs a script on the shard of `queue`, with arguments that it reads by their names; see `lua/lib.lua`.
///
/// # Errors
/// If Redis does not answer, or not as expected.
pub(crate) async fn run<T: DeserializeOwned>(
    connection: &Connection,
    script: &Script,
    queue: &str,
    args: &(impl Serialize + Sync),
) -> Result<T, QueueError> {
    let args = encode(args)?;
    let mut invocation = script.prepare_invoke();
    invocation.key(queue).arg(args);
    let reply: Vec<u8> = connection.run(Call::Script(&invocation)).await?;
    decode(&reply)
}

/// The same for what must not be sent twice: a connection that breaks in between is an error.
pub(crate) async fn run_once<T: DeserializeOwned>(
    connection: &Connection,
    script: &Script,
    queue: &str,
    args: &(impl Serialize + Sync),
) -> Result<T, QueueError> {
    let args = encode(args)?;
    let mut invocation = script.prepare_invoke();
    invocation.key(queue).arg(args);
    let reply: Vec<u8> = connection.run_once(Call::Script(&invocation)).await?;
    decode(&reply)
}

fn encode(args: &impl Serialize) -> Result<Vec<u8>, QueueError> {
    rmp_serde::to_vec_named(args).map_err(|error| QueueError::Unexpected(format!("arguments: {error}")))
}

fn decode<T: DeserializeOwned>(reply: &[u8]) -> Result<T, QueueError> {
    rmp_serde::from_slice(reply).map_err(|error| QueueError::Unexpected(format!("a script's reply: {error}")))
}
