use serde::{Deserialize, Serialize};

use crate::record::StoredRequest;

/// One of the queues of a shard. Each has all keys of its own, and the same scripts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// Jobs of clients.
    #[default]
    Jobs,
    /// Deliveries of webhooks: each is a job here.
    Deliveries,
}

impl Lane {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Jobs, Self::Deliveries];
}

/// What the records of a lane ask for.
pub trait Payload: Clone + Sized + Send + Sync + 'static {
    /// The lane whose records are read so.
    const LANE: Lane;

    /// Reads a record's `request`; none where it is no such thing. `owner`: the id of the virtual key.
    #[doc(hidden)]
    fn from_stored(stored: &str, owner: Option<String>) -> Option<StoredRequest<Self>>;
}
