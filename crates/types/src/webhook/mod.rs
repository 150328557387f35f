//! Webhooks: who is told of the end of a job, of what, and in which words.
//!
//! | module | |
//! |---|---|
//! | `endpoint`, `id`, `secret`, `target_url` | a receiver that an operator has registered |
//! | `address` | which addresses may be called |
//! | `definition` | the rules for what an operator writes |
//! | `shown`, `stored` | an endpoint as JSON: for administrators, and for Redis |
//! | `event` | what it may be told of |
//! | `hook` | what a job's record says of its delivery |
//! | `delivery` | the body that is sent |
//! | `history` | what became of each attempt |

mod address;
pub(crate) mod definition;
mod delivery;
mod endpoint;
mod event;
mod history;
mod hook;
mod id;
mod secret;
mod shown;
mod stored;
mod target_url;
#[cfg(test)]
mod tests;

pub use address::ForbiddenAddress;
pub use delivery::{Delivery, Payload, sample};
pub use endpoint::{DisabledReason, Endpoint, EndpointState, InvalidEndpoint, Limits, OldSecret};
pub use event::{Ending, Event};
pub use history::{Outcome, Row, UnknownOutcome};
pub use hook::{Hook, Receiver, Style};
pub use id::{EndpointId, delivery_id};
pub use secret::{InvalidSecret, SigningSecret};
pub use stored::UnusableEndpoint;
pub use target_url::{InvalidUrl, PrivateNetwork, TargetUrl};
