use hermod_types::Timestamp;

/// What a client is told that may not, or not any more: the contract's table of refusals.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub kind: RefusalKind,
    /// Bifrost's text, as far as there is one.
    pub message: String,
    /// The id of the limit.
    pub code: Option<String>,
    /// From when on it may be tried again; none where nobody can say.
    pub retry_at: Option<Timestamp>,
}

/// The `type` of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    AccessBlocked,
    ProviderBlocked,
    ModelBlocked,
    RateLimited,
    TokenLimited,
    RequestLimited,
    ConcurrencyLimited,
    QueueLimited,
    BudgetExceeded,
}

impl RefusalKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessBlocked => "access_blocked",
            Self::ProviderBlocked => "provider_blocked",
            Self::ModelBlocked => "model_blocked",
            Self::RateLimited => "rate_limited",
            Self::TokenLimited => "token_limited",
            Self::RequestLimited => "request_limited",
            Self::ConcurrencyLimited => "concurrency_limited",
            Self::QueueLimited => "queue_limited",
            Self::BudgetExceeded => "budget_exceeded",
        }
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::AccessBlocked | Self::ProviderBlocked | Self::ModelBlocked => 403,
            Self::BudgetExceeded => 402,
            Self::RateLimited
            | Self::TokenLimited
            | Self::RequestLimited
            | Self::ConcurrencyLimited
            | Self::QueueLimited => 429,
        }
    }
}
