use std::fmt;
use std::str::FromStr;

use uuid::{Builder, Uuid};

use crate::Timestamp;

/// Low bits of an id that hold its shard: room for 1,024 shards.
const SHARD_BITS: u32 = 10;
const SHARD_MASK: u128 = (1 << SHARD_BITS) - 1;

/// One of the groups of keys that jobs are spread over; all keys of a job are in its shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(u16);

impl Shard {
    /// Shards are numbered from 0 to this, exclusive.
    pub const LIMIT: u16 = 1 << SHARD_BITS;

    /// The shard with this number, if it is below [`Shard::LIMIT`].
    pub const fn new(number: u16) -> Option<Self> {
        if number < Self::LIMIT { Some(Self(number)) } else { None }
    }

    pub const fn number(self) -> u16 {
        self.0
    }
}

/// How many shards jobs are spread over: 1 to [`Shard::LIMIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShardCount(u16);

impl ShardCount {
    /// One shard, which is number 0.
    pub const ONE: Self = Self(1);

    /// So many, if it is 1 to [`Shard::LIMIT`].
    pub const fn new(number: u16) -> Option<Self> {
        if 0 < number && number <= Shard::LIMIT { Some(Self(number)) } else { None }
    }

    /// As many as there must be for `shard` to be one of them.
    pub const fn with(shard: Shard) -> Self {
        Self(shard.0 + 1)
    }

    pub const fn get(self) -> u16 {
        self.0
    }

    pub fn shards(self) -> impl DoubleEndedIterator<Item = Shard> {
        (0..self.0).map(Shard)
    }
}

/// A job's id: a UUIDv7 whose lowest bits hold its [`Shard`], so that a poll needs no look-up and the
/// number of shards can grow while jobs wait.
///
/// Besides time, version, variant and shard it is 64 random bits, fresh for each id. Who knows the id of a job
/// without a virtual key may read its prompt and result, so ids of one millisecond must tell nothing of each other:
/// there is no counter in them, and the bits come from a cryptographic generator.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(Uuid);

impl JobId {
    /// A fresh id in `shard`, stamped with this machine's clock.
    pub fn new(shard: Shard) -> Self {
        Self::at(Timestamp::now().as_millis(), shard)
    }

    /// A fresh id in `shard`, stamped with this time: milliseconds since the Unix epoch.
    pub fn at(unix_millis: u64, shard: Shard) -> Self {
        // In one draw: an array of bytes would take a word of the generator for each.
        let [random @ .., _, _, _, _, _, _] = rand::random::<u128>().to_le_bytes();
        Self(Builder::from_unix_timestamp_millis(unix_millis, &random).into_uuid()).in_shard(shard)
    }

    /// The same id in another shard.
    #[must_use]
    pub fn in_shard(self, shard: Shard) -> Self {
        Self(Uuid::from_u128((self.0.as_u128() & !SHARD_MASK) | u128::from(shard.0)))
    }

    /// An id in the same shard that follows from this one and `name`.
    #[must_use]
    pub fn derive(self, name: &str) -> Self {
        Self(Uuid::new_v5(&self.0, name.as_bytes())).in_shard(self.shard())
    }

    /// The same id without hyphens, in which OpenAI's ids of Responses hold it.
    pub fn simple(self) -> impl fmt::Display {
        self.0.simple()
    }

    /// Reads what [`JobId::simple`] writes.
    pub(crate) fn from_simple(text: &str) -> Option<Self> {
        let id = (text.len() == uuid::fmt::Simple::LENGTH).then(|| Uuid::try_parse(text));
        id?.ok().map(Self)
    }

    /// The shard that its keys are in.
    pub fn shard(self) -> Shard {
        let bits = self.0.as_u128() & SHARD_MASK;
        Shard(u16::try_from(bits).unwrap_or_default())
    }

    /// When it was made: the `created_at` of its job. The epoch for an id that is not a UUIDv7.
    pub fn created_at(self) -> Timestamp {
        let (seconds, nanos) = self.0.get_timestamp().map_or((0, 0), |at| at.to_unix());
        Timestamp::from_millis(seconds.saturating_mul(1000).saturating_add(u64::from(nanos / 1_000_000)))
    }
}

/// Why a string is not a [`JobId`].
#[derive(Debug, thiserror::Error)]
#[error("a job id is a UUID in its 8-4-4-4-12 form")]
pub struct InvalidJobId;

impl FromStr for JobId {
    type Err = InvalidJobId;

    /// Takes the hyphenated form only, in either case: the others have no one spelling to log or compare.
    fn from_str(text: &str) -> Result<Self, InvalidJobId> {
        if text.len() != uuid::fmt::Hyphenated::LENGTH {
            return Err(InvalidJobId);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidJobId)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(out)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl serde::Serialize for JobId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_its_shard_and_its_time_through_text() {
        let shard = Shard::new(1023).unwrap();
        let id = JobId::new(shard);
        let back: JobId = id.to_string().parse().unwrap();
        assert_eq!((back, back.shard()), (id, shard));
        assert!(back.created_at() > Timestamp::from_millis(1_700_000_000_000));
        assert_eq!(id.to_string().to_uppercase().parse::<JobId>().unwrap(), id);
    }

    #[test]
    fn ids_of_one_millisecond_tell_nothing_of_each_other() {
        // 12 bits behind the version and 62 behind the variant, less those of the shard.
        let random_bits: u128 = ((0xfff << 64) | ((1 << 62) - 1)) & !SHARD_MASK;
        assert_eq!(random_bits.count_ones(), 64);
        let ids: Vec<u128> =
            (0..4000).map(|_| JobId::at(1_771_488_617_831, Shard::default()).0.as_u128()).collect();
        // Each bit changes from one id to the next about as often as not: a counter's upper bits would stay.
        for bit in (0..128).map(|bit| 1_u128 << bit) {
            let changes = ids.windows(2).filter(|pair| (pair[0] ^ pair[1]) & bit != 0).count();
            let expected = if random_bits & bit == 0 { 0..=0 } else { 1800..=2200 };
            assert!(expected.contains(&changes), "bit {bit:x}: {changes}");
        }
        // And their order says nothing of the order in which they were made.
        let rising = ids.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((1800..=2200).contains(&rising), "{rising}");
    }

    #[test]
    fn an_id_is_a_uuid_v7_of_the_time_given() {
        let id = JobId::at(1_771_488_617_831, Shard::default());
        assert_eq!((id.0.get_version_num(), id.0.get_variant()), (7, uuid::Variant::RFC4122));
        assert_eq!(id.created_at(), Timestamp::from_millis(1_771_488_617_831));
        assert_eq!(id.in_shard(Shard(9)).created_at(), id.created_at());
    }

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let simple = "0199d5fea2b47c3e8f1a2b3c4d5e6f70";
        for text in ["", "x", simple, &format!("{{{simple}}}"), "../../../../../../../../../../../etc/pw"] {
            assert!(text.parse::<JobId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_shard_is_bounded() {
        assert!(Shard::new(Shard::LIMIT).is_none());
        assert!(ShardCount::new(0).is_none() && ShardCount::new(Shard::LIMIT + 1).is_none());
        let last = Shard::new(1023).unwrap();
        assert_eq!(ShardCount::with(last).shards().next_back(), Some(last));
        assert_eq!(JobId::new(Shard::default()).in_shard(last).shard(), last);
    }
}
