//! The transitions' Lua, each compiled in from its own file.

use std::sync::LazyLock;

use hermod_types::Shard;
use redis::{Script, ScriptInvocation};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::connection::{Call, Connection};
use crate::{QueueError, keys};

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
    cancel,
    forget,
    redeliver,
    wake,
    lead,
    claim,
    renew,
    progress,
    delay,
    park,
    open_lanes,
    hasten,
    promote,
    release,
    finish,
    put_piece,
    leave,
    cool,
    cooldowns,
    probe,
    lift,
    shards,
    stats,
    list_ids,
    trim_list,
    consumers,
    letters,
    requeue,
    repair_record,
    repair_entry,
    repair_lanes,
    given_out,
    note_check,
    webhook_put,
    webhook_remove,
    webhook_read,
    webhook_list,
    webhook_enable,
    webhook_begin,
    webhook_renew,
    webhook_leave,
    webhook_end,
    webhook_history,
    webhook_scan,
    webhook_rows,
    gov_admit,
    gov_settle,
    gov_suspend,
    gov_usage,
    gov_reset,
    gov_unwait,
    gov_permits,
    gov_states,
    definitions_put,
    definitions_keep,
    waiting_of,
    history_fold,
    history_minutes,
    history_recent,
    history_jobs,
    history_oldest,
    history_fleet,
    history_tell,
    history_calls,
    history_providers,
    history_dead,
);

/// What stands before a script: what all share, and what its kind shares.
fn source(name: &str, body: &str) -> String {
    const LIB: &str = include_str!("../lua/lib.lua");
    const EVENTS: &str = include_str!("../lua/events.lua");
    const ENDING: &str = include_str!("../lua/ending.lua");
    const GOVERNANCE: &str = include_str!("../lua/governance.lua");
    const SETTLING: &str = include_str!("../lua/settling.lua");
    const LANES: &str = include_str!("../lua/lanes.lua");
    const FEEDING: &str = include_str!("../lua/feeding.lua");
    const WEBHOOKS: &str = include_str!("../lua/webhooks.lua");
    const DEFINITIONS: &str = include_str!("../lua/definitions.lua");
    const COUNTING: &str = include_str!("../lua/counting.lua");
    const HISTORY: &str = include_str!("../lua/history.lua");
    const FLEET: &str = include_str!("../lua/fleet.lua");
    const WAITING: &str = include_str!("../lua/waiting.lua");
    let parts: &[&str] = match name {
        "claim" => &[LIB, EVENTS, LANES, FEEDING],
        "park" => &[LIB, EVENTS, LANES],
        "delay" | "release" => &[LIB, EVENTS],
        "cancel" => &[LIB, EVENTS, COUNTING, HISTORY, ENDING, LANES],
        "redeliver" => &[LIB, EVENTS, COUNTING, HISTORY, ENDING],
        "finish" => &[LIB, EVENTS, COUNTING, HISTORY, ENDING, GOVERNANCE, SETTLING],
        "gov_settle" => &[LIB, GOVERNANCE, SETTLING],
        "history_fold" | "history_minutes" | "history_recent" => &[LIB, COUNTING, HISTORY],
        "history_fleet" | "history_tell" => &[LIB, FLEET],
        "history_jobs" | "history_oldest" => &[LIB, WAITING],
        "submit" => &[LIB, COUNTING, LANES],
        "promote" | "requeue" | "open_lanes" | "hasten" | "repair_record" | "repair_lanes" => &[LIB, LANES],
        _ if name.starts_with("webhook_") => &[LIB, WEBHOOKS],
        _ if name.starts_with("gov_") => &[LIB, GOVERNANCE],
        _ if name.starts_with("definitions_") => &[LIB, DEFINITIONS],
        _ => &[LIB],
    };
    // A full Redis refuses what brings new work; all else may use what memory is left, so that accepted jobs end.
    let flags = if matches!(name, "submit" | "requeue") { "" } else { " flags=allow-oom" };
    format!("#!lua{flags}\n{}\n{body}", parts.join("\n"))
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
    let invocation = prepare(script, queue, args)?;
    let reply: Vec<u8> = connection.run(Call::Script(&invocation)).await?;
    decode(&reply)
}

/// The same, with bytes that the script reads as they are, `ARGV[2]`.
pub(crate) async fn run_with<T: DeserializeOwned>(
    connection: &Connection,
    script: &Script,
    queue: &str,
    args: &(impl Serialize + Sync),
    bytes: &[u8],
) -> Result<T, QueueError> {
    let mut invocation = prepare(script, queue, args)?;
    invocation.arg(bytes);
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
    let invocation = prepare(script, queue, args)?;
    let reply: Vec<u8> = connection.run_once(Call::Script(&invocation)).await?;
    decode(&reply)
}

/// The call that writes a piece into a full Redis. `key` is one of the shard's.
pub(crate) fn put_piece(
    shard: Shard,
    key: &str,
    number: usize,
    piece: &[u8],
    seconds: u64,
) -> Result<ScriptInvocation<'static>, QueueError> {
    let args = PieceArgs { key, number, seconds };
    let mut invocation = prepare(&SCRIPTS.put_piece, &keys::queue(shard), &args)?;
    invocation.arg(piece);
    Ok(invocation)
}

#[derive(Serialize)]
struct PieceArgs<'a> {
    key: &'a str,
    number: usize,
    seconds: u64,
}

fn prepare<'a>(
    script: &'a Script,
    queue: &str,
    args: &impl Serialize,
) -> Result<ScriptInvocation<'a>, QueueError> {
    let mut invocation = script.prepare_invoke();
    invocation.key(queue).arg(encode(args)?);
    Ok(invocation)
}

fn encode(args: &impl Serialize) -> Result<Vec<u8>, QueueError> {
    rmp_serde::to_vec_named(args).map_err(|error| QueueError::Unexpected(format!("arguments: {error}")))
}

pub(crate) fn decode<T: DeserializeOwned>(reply: &[u8]) -> Result<T, QueueError> {
    rmp_serde::from_slice(reply).map_err(|error| QueueError::Unexpected(format!("a script's reply: {error}")))
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A text as Lua packs it: its bytes, be they UTF-8 or not.
    pub(crate) fn text(bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap();
        [&[0xdb][..], &length.to_be_bytes(), bytes].concat()
    }

    pub(crate) fn integer(value: u64) -> Vec<u8> {
        [&[0xcf][..], &value.to_be_bytes()].concat()
    }

    pub(crate) fn array(values: &[Vec<u8>]) -> Vec<u8> {
        let length = u16::try_from(values.len()).unwrap();
        [&[0xdc][..], &length.to_be_bytes(), &values.concat()].concat()
    }

    pub(crate) fn map(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let length = u16::try_from(members.len()).unwrap();
        let members: Vec<u8> = members
            .iter()
            .flat_map(|(name, value)| [text(name.as_bytes()), value.clone()].concat())
            .collect();
        [&[0xde][..], &length.to_be_bytes(), &members].concat()
    }

    #[derive(Serialize)]
    struct Args<'a> {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        absent: Option<&'a str>,
        is: bool,
        number: u64,
        list: Vec<Args<'a>>,
    }

    #[test]
    fn arguments_go_out_by_name_and_without_what_lua_cannot_read() {
        let inner = Args { text: "ü", absent: None, is: false, number: 0, list: Vec::new() };
        let args = Args { text: "x", absent: None, is: true, number: 1 << 53, list: vec![inner] };
        // This reader, like Lua's, knows no binary data.
        let read: Value = decode(&encode(&args).unwrap()).unwrap();
        let inner = json!({"text": "ü", "is": false, "number": 0, "list": []});
        assert_eq!(read, json!({"text": "x", "is": true, "number": 1_u64 << 53, "list": [inner]}));
    }

    #[test]
    fn replies_come_back() {
        // An empty table of Lua is packed as a list.
        assert!(decode::<Vec<bool>>(&[0x90]).unwrap().is_empty());
        assert_eq!(decode::<Vec<bool>>(&array(&[vec![0xc3], vec![0xc2]])).unwrap(), [true, false]);
        assert_eq!(decode::<Option<String>>(&[0xc0]).unwrap(), None);
        assert_eq!(decode::<Option<String>>(&text(b"1-0")).unwrap().as_deref(), Some("1-0"));
        assert_eq!(decode::<u64>(&integer(u64::MAX)).unwrap(), u64::MAX);
    }

    #[test]
    fn a_reply_that_is_cut_off_or_another_is_an_error() {
        for reply in [&[][..], &[0x81], &[0xc0], &text(b"x")] {
            assert!(decode::<Vec<bool>>(reply).is_err(), "{reply:?}");
        }
    }
}
