use std::time::Duration;

use hermod_types::webhook::Hook;
use hermod_types::{ResponseEcho, Shard, ShardCount, Timestamp};
use serde::Serialize;

use crate::clock::millis;

/// What a submit asks for besides the call.
#[derive(Clone, Debug, Default)]
pub struct JobOptions {
    /// Who is told of the end.
    pub hook: Option<Hook>,
    /// What tells that it repeats an earlier one.
    pub repeats: Repeats,
    /// It is not started before; none for at once.
    pub start: Option<Start>,
    /// What its Response repeats of the request; none for another call.
    pub echo: Option<ResponseEcho>,
    /// Its place among its owner's jobs, and that of its owner among the others.
    pub share: Share,
}

/// Who of the jobs that wait is next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Its place among its owner's own jobs: 1 to 5, 1 first.
    pub priority: u8,
    /// Its owner's share of the starts, beside those of other owners.
    pub weight: f64,
    /// Jobs of its owner that may wait; none for no limit.
    pub max_waiting: Option<u64>,
    /// How long it may wait for its limits, where its client or its key says so.
    pub max_wait: Option<Duration>,
    /// Whether they have admitted it already, before the submit.
    pub is_admitted: bool,
}

impl Share {
    /// The priority of a job whose client asks for none.
    pub const USUAL_PRIORITY: u8 = 3;
}

impl Default for Share {
    fn default() -> Self {
        Self {
            priority: Self::USUAL_PRIORITY,
            weight: 1.0,
            max_waiting: None,
            max_wait: None,
            is_admitted: false,
        }
    }
}

impl Share {
    /// The `share` of a record, as `lanes.lua` reads it; none for the usual one. Its longest wait counts from when the job was accepted,
    /// `delay` before its waits begin.
    pub(crate) fn field(&self, delay: Duration) -> Option<String> {
        let Self { priority, weight, max_wait, .. } = *self;
        #[expect(clippy::float_cmp, reason = "the usual weight is exactly that")]
        let is_usual = priority == Self::USUAL_PRIORITY && weight == 1.0 && max_wait.is_none();
        let wait =
            max_wait.map_or_else(|| "-".to_owned(), |wait| millis(wait.saturating_add(delay)).to_string());
        (!is_usual).then(|| format!("{priority} {weight} {wait}"))
    }

    /// Reads priority and longest wait of a record's `share`; the usual ones where there is none.
    pub(crate) fn read(field: Option<&str>) -> (u8, Option<Duration>) {
        let mut parts = field.unwrap_or_default().split(' ');
        let priority = parts.next().and_then(|priority| priority.parse().ok());
        let wait = parts.nth(1).and_then(|wait| wait.parse().ok()).map(Duration::from_millis);
        (priority.unwrap_or(Self::USUAL_PRIORITY), wait)
    }
}

/// The earliest start of a job. What lies in the past is at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this time.
    At(Timestamp),
    /// So long after Redis has taken it, by Redis's clock.
    After(Duration),
}

/// What a submit that may be repeated is known by. The names are hashes, in hexadecimal, of all that must be equal.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    /// Where all that may repeat each other meet; none for a submit that repeats nothing.
    pub place: Option<Place>,
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

/// Where submits meet that may repeat each other: what decides their shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    hash: u64,
    may_repeat: bool,
}

impl Place {
    /// That of a hash. `may_repeat`: whether there may have been an earlier submit. Then no other shard will do while the node of
    /// this one is away.
    pub fn of(hash: &[u8], may_repeat: bool) -> Self {
        let first = hash.first_chunk().copied().unwrap_or_default();
        Self { hash: u64::from_le_bytes(first), may_repeat }
    }

    /// Its shard, where there are so many.
    pub(crate) fn shard(self, shards: ShardCount) -> Shard {
        let number = self.hash % u64::from(shards.get());
        u16::try_from(number).ok().and_then(Shard::new).unwrap_or_default()
    }

    pub(crate) const fn may_repeat(self) -> bool {
        self.may_repeat
    }
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
    pub(crate) fn once(&self) -> Option<OnceArgs<'_>> {
        self.key.as_ref().map(|key| OnceArgs { name: key.field(), print: &key.print })
    }

    pub(crate) fn sent(&self) -> Option<SentArgs> {
        self.tries.as_ref().map(|tries| SentArgs { name: tries.field(), count: tries.count })
    }
}

impl IdempotencyKey {
    /// The end of its key in Redis.
    pub(crate) fn field(&self) -> String {
        format!("once:{}", self.name)
    }
}

impl Tries {
    /// Likewise.
    pub(crate) fn field(&self) -> String {
        format!("sent:{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_stored_where_it_is_not_the_usual_one() {
        let usual = Share { max_waiting: Some(7), is_admitted: true, ..Share::default() };
        assert_eq!((usual.field(Duration::ZERO), Share::read(None)), (None, (3, None)));
        for (share, field) in [
            (Share { priority: 1, ..usual }, "1 1 -"),
            (Share { weight: 0.25, ..usual }, "3 0.25 -"),
            (Share { max_wait: Some(Duration::from_secs(2)), ..usual }, "3 1 2000"),
        ] {
            assert_eq!(share.field(Duration::ZERO).as_deref(), Some(field));
            assert_eq!(Share::read(Some(field)), (share.priority, share.max_wait));
        }
        assert_eq!(Share::read(Some("x")), (3, None), "it is somebody else's writing");
    }
}
