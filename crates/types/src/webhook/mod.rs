//! Webhooks: who is told of the end of a job, of what, and in which words.
//!
//! | module | |
//! |---|---|
//! | `endpoint`, `id`, `secret`, `target_url` | a receiver that an operator has registered |
//! | `event` | what it may be told of |
//! | `hook` | what a job's record says of its delivery |
//! | `history` | what became of each attempt |

mod endpoint;
mod event;
mod history;
mod hook;
mod id;
mod secret;
mod target_url;

pub use endpoint::{DisabledReason, Endpoint, EndpointState, Limits, OldSecret};
pub use event::{Ending, Event};
pub use history::{Outcome, Row};
pub use hook::{Hook, Receiver, Style};
pub use id::{EndpointId, delivery_id};
pub use secret::{InvalidSecret, SigningSecret};
pub use target_url::{InvalidUrl, PrivateNetwork, TargetUrl};
