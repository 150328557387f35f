//! What the API and the workers need to send a webhook: the API tests an endpoint, the workers deliver.
//!
//! | module | |
//! |---|---|
//! | `sender` | one attempt, from the name's resolution to the answer's last byte, and what its answer means |
//! | `resolver` | no connection goes to an address that an endpoint may not have |
//! | `signature` | Standard Webhooks 1.0.0 |
//! | `vault` | secrets in Redis are encrypted with `HERMOD_SECRET_KEY` |
//!
//! The rules themselves, of endpoints, addresses and bodies, are in [`hermod_types::webhook`].

mod resolver;
mod sender;
mod signature;
mod vault;
mod verdict;

pub use reqwest::Certificate;
pub use resolver::{Lookup, Lookups, SystemLookup};
pub use sender::{Attempt, Message, NoSender, Sender};
pub use signature::sign;
pub use vault::{InvalidSecretKey, Vault};
pub use verdict::Verdict;
