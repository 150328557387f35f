use std::time::Duration;

use hermod_types::Target;

/// One limit, as it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What its usage is kept under, in Redis: `budget:<id>`, `tokens:<id>`, `requests:<id>`; `key:<id>` or `provider:<name>` for
    /// jobs that run.
    pub name: String,
    /// The id of its definition, which an error's `code` says.
    pub id: String,
    pub measure: Measure,
    /// In the unit of [`Limit::measure`].
    pub max: u64,
    /// That of jobs that run is [`Window::Never`].
    pub window: Window,
    pub scope: Scope,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Jobs that were admitted.
    Requests,
    /// Tokens, of prompts and of answers.
    Tokens,
    /// Billionths of a dollar.
    Cost,
    /// Jobs that run.
    Running,
}

/// When what was used is forgotten, by Redis's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Only when an operator resets it.
    Never,
    /// Windows of this length, one behind the other since it was first used.
    Rolling(Duration),
    /// In UTC.
    Calendar(Calendar),
}

/// A window that begins with the calendar's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calendar {
    Day,
    /// From Monday on.
    Week,
    Month,
    /// The month, 1 to 12, in which a year's first quarter begins.
    Quarter(u8),
    Year,
}

/// Whose calls count towards a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Customer(String),
    Team(String),
    /// A virtual key, '' for jobs without one.
    Key(String),
    /// What a virtual key sends to a provider.
    KeyProvider {
        key: String,
        provider: String,
    },
    /// What a virtual key, or everybody, sends to a model; `*` for all models, and no provider for all providers.
    Model {
        key: Option<String>,
        provider: Option<String>,
        model: String,
    },
    Provider(String),
}

impl Scope {
    /// Whether a call to `target` counts, of a job whose limits have this one among them.
    pub fn covers(&self, target: &Target) -> bool {
        match self {
            Self::Customer(_) | Self::Team(_) | Self::Key(_) => true,
            Self::KeyProvider { provider, .. } | Self::Provider(provider) => provider == target.provider(),
            Self::Model { provider, model, .. } => {
                provider.as_deref().is_none_or(|provider| provider == target.provider())
                    && (model == "*" || model == target.model())
            }
        }
    }

    /// Whether it concerns only a part of what a virtual key does, so that its other jobs need not wait for it.
    pub const fn is_narrow(&self) -> bool {
        !matches!(self, Self::Customer(_) | Self::Team(_) | Self::Key(_))
    }
}
