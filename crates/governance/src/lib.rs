//! Who may use what, and how much of it: virtual keys, limits, budgets and prices.
//!
//! Nothing here does I/O. [`Rules`] are the definitions of a moment; what was used of a limit is in Redis alone, so that no edit,
//! reload or restart can change it.
//!
//! | module | |
//! |---|---|
//! | `rules` | the definitions, put together: who a key is, what it may use, which limits a call must pass |
//! | `limit` | one limit, and the windows in which it counts |
//! | `charge` | what a job is expected to use, and what it has used |
//! | `estimate` | what a job may use at most |
//! | `prices` | what a call costs |
//! | `refusal` | what a client is told that may not, or not any more |

mod charge;
mod estimate;
mod limit;
mod live;
mod prices;
mod refusal;
mod rules;

pub use charge::{CallCharge, Charge, Estimate};
pub use estimate::estimate;
pub use limit::{Calendar, Limit, Measure, Scope, Window};
pub use live::LiveRules;
pub use prices::{InvalidPrices, Price, PriceTable, PricedCall, Prices};
pub use refusal::{Refusal, RefusalKind};
pub use rules::{KeySettings, Rules};
