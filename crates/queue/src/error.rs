use deadpool_redis::{PoolError, TimeoutType};
use redis::{ErrorKind, RedisError};

/// Why Redis did not do what it was asked, by name: each is handled in its own way.
///
/// The text is for our log; clients are told only that the queue is unavailable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueueError {
    /// No connection: nothing was sent.
    #[error("Redis cannot be reached: {0}")]
    Unreachable(String),
    /// It was sent; then the connection broke, or no answer came in time. Redis may have done it.
    #[error("Redis did not answer: {0}")]
    Unanswered(String),
    /// `LOADING`: it reads its data after a restart.
    #[error("Redis is loading its data")]
    Loading,
    /// `BUSY`: a script holds it up.
    #[error("Redis is busy with a script")]
    Busy,
    /// `OOM`: `maxmemory` is reached.
    #[error("Redis is out of memory")]
    OutOfMemory,
    /// `MISCONF`: it refuses writes because it cannot persist them.
    #[error("Redis refuses writes because it cannot persist them")]
    CannotPersist,
    /// `READONLY`: a failover made it a replica; the next connection may reach the new primary.
    #[error("Redis is a read-only replica")]
    ReadOnly,
    /// `MOVED`: another node of the Cluster holds the shard by now; the next connection finds it.
    #[error("the shard has moved to another node")]
    Moved,
    /// `NOREPLICAS`, `MASTERDOWN`, `CLUSTERDOWN`: its other half is missing. `ASK`, `TRYAGAIN`: the shard is on its way to
    /// another node.
    #[error("Redis lacks its replicas, its primary or a part of the shard: {0}")]
    Degraded(String),
    /// `NOAUTH`, `WRONGPASS`, `NOPERM`: it does not let us.
    #[error("Redis denies access: {0}")]
    Denied(String),
    /// `NOGROUP`: the consumer group is gone, or was never made.
    #[error("the consumer group is missing")]
    NoGroup,
    /// All connections of a pool are in use.
    #[error("all connections for pieces are in use")]
    NoConnection,
    /// Anything else.
    #[error("unexpected answer of Redis: {0}")]
    Unexpected(String),
}

impl QueueError {
    /// Whether Redis still answers what does not write.
    pub(crate) const fn refuses_writes(&self) -> bool {
        matches!(self, Self::OutOfMemory | Self::CannotPersist | Self::ReadOnly | Self::Degraded(_))
    }

    /// Whether the connection that gave it is of no further use.
    pub(crate) const fn ends_connection(&self) -> bool {
        self.is_away() || matches!(self, Self::ReadOnly | Self::Moved | Self::Denied(_))
    }

    /// Whether sending the same again over a new connection may help at once.
    pub(crate) const fn is_worth_reconnecting(&self) -> bool {
        self.is_away() || matches!(self, Self::ReadOnly | Self::Moved)
    }

    /// Whether there is no connection, or no longer.
    pub(crate) const fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Unanswered(_))
    }

    /// Whether Redis may have done what it was asked, in spite of this error.
    pub const fn may_be_done(&self) -> bool {
        matches!(self, Self::Unanswered(_))
    }

    /// Whether a key holds something of another type than the command is for.
    pub(crate) fn is_wrong_type(&self) -> bool {
        matches!(self, Self::Unexpected(text) if text.contains("WRONGTYPE"))
    }

    /// The same of a call that was sent.
    pub(crate) fn after_sending(self) -> Self {
        if let Self::Unreachable(text) = self { Self::Unanswered(text) } else { self }
    }

    /// The same of a call that was not sent.
    pub(crate) fn before_sending(self) -> Self {
        if let Self::Unanswered(text) = self { Self::Unreachable(text) } else { self }
    }
}

impl From<RedisError> for QueueError {
    fn from(error: RedisError) -> Self {
        let text = error.to_string();
        let (kind, is_lost) = (error.kind(), error.is_io_error() || error.is_unrecoverable_error());
        let finds_nobody =
            matches!(kind, ErrorKind::ClusterConnectionNotFound | ErrorKind::MasterNameNotFoundBySentinel);
        let code = match error.code() {
            Some(code) if code != "EXECABORT" => code.to_owned(),
            // A pipeline's: its commands fail for one reason.
            _ => {
                let first = error
                    .into_server_errors()
                    .and_then(|errors| errors.first().map(|(_, error)| error.clone()));
                first.map(|error| error.code().to_owned()).unwrap_or_default()
            }
        };
        match code.as_str() {
            "LOADING" => Self::Loading,
            "BUSY" => Self::Busy,
            "OOM" => Self::OutOfMemory,
            "MISCONF" => Self::CannotPersist,
            // What a read that waits gets from a primary that becomes a replica.
            "READONLY" | "UNBLOCKED" => Self::ReadOnly,
            "MOVED" => Self::Moved,
            "NOREPLICAS" | "MASTERDOWN" | "CLUSTERDOWN" | "ASK" | "TRYAGAIN" => Self::Degraded(text),
            "NOAUTH" | "WRONGPASS" | "NOPERM" => Self::Denied(text),
            "NOGROUP" => Self::NoGroup,
            "" if kind == ErrorKind::AuthenticationFailed => Self::Denied(text),
            "" if is_lost || finds_nobody => Self::Unreachable(text),
            _ => Self::Unexpected(text),
        }
    }
}

impl From<PoolError> for QueueError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(TimeoutType::Wait) => Self::NoConnection,
            PoolError::Timeout(_) => Self::Unreachable("no connection in time".to_owned()),
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Self::Unexpected(error.to_string())
            }
        }
    }
}
