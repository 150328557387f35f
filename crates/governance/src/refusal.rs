use hermod_types::{ErrorBody, Timestamp};

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

impl Refusal {
    /// One of no limit.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None, retry_at: None }
    }

    /// The body of the answer, and of a job that ends by it.
    pub fn to_body(&self) -> ErrorBody {
        let kind = self.kind.as_str();
        ErrorBody::refusal(kind, self.kind.status(), self.code.as_deref().unwrap_or(kind), &self.message)
    }

    /// Whole seconds from `now` until it may be tried again.
    pub fn retry_after(&self, now: Timestamp) -> Option<u64> {
        let at = self.retry_at?.as_millis();
        Some(at.saturating_sub(now.as_millis()).div_ceil(1000).max(1))
    }
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
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::AccessBlocked,
        Self::ProviderBlocked,
        Self::ModelBlocked,
        Self::RateLimited,
        Self::TokenLimited,
        Self::RequestLimited,
        Self::ConcurrencyLimited,
        Self::QueueLimited,
        Self::BudgetExceeded,
    ];

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
