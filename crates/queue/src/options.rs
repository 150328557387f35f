use hermod_types::webhook::Hook;
use hermod_types::{ResponseEcho, Shard, ShardCount, Timestamp};
use serde::Serialize;

/// What a submit asks for besides the call.
#[derive(Clone, Debug, Default)]
pub struct JobOptions {
    /// Who is told of the end.
    pub hook: Option<Hook>,
    /// What tells that it repeats an earlier one.
    pub repeats: Repeats,
    /// It is not started before.
    pub run_at: Option<Timestamp>,
    /// What its Response repeats of the request; none for another call.
    pub echo: Option<ResponseEcho>,
}

/// What a submit that may be repeated is known by. The names are hashes, in hexadecimal, of all that must be equal.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    /// Of an idempotency key.
    pub key: Option<IdempotencyKey>,
    /// Of a client that counts its tries.
    pub tries: Option<Tries>,
}

/// An idempotency key, and the request that came with it.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    /// Hash of owner, endpoint and key.
    pub name: String,
    /// Hash of the request.
    pub print: String,
}

/// A request of a client that sends its tries of one call with a count.
#[derive(Clone, Debug)]
pub struct Tries {
    /// Hash of owner, endpoint and request.
    pub name: String,
    /// How many tries came before.
    pub count: u64,
}

/// How `submit.lua` is shown them.
#[derive(Serialize)]
pub(crate) struct OnceArgs<'a> {
    name: String,
    print: &'a str,
}

#[derive(Serialize)]
pub(crate) struct SentArgs {
    name: String,
    count: u64,
}

impl Repeats {
    /// The shard in which all with the same name meet, if there is a name.
    pub(crate) fn shard(&self, shards: ShardCount) -> Option<Shard> {
        let name = self.key.as_ref().map(|key| &key.name).or(self.tries.as_ref().map(|tries| &tries.name))?;
        let hash = u64::from_str_radix(name.get(..15)?, 16).ok()?;
        Shard::new(u16::try_from(hash % u64::from(shards.get())).ok()?)
    }

    pub(crate) fn once(&self) -> Option<OnceArgs<'_>> {
        self.key.as_ref().map(|key| OnceArgs { name: format!("once:{}", key.name), print: &key.print })
    }

    pub(crate) fn sent(&self) -> Option<SentArgs> {
        self.tries.as_ref().map(|tries| SentArgs { name: format!("sent:{}", tries.name), count: tries.count })
    }
}
