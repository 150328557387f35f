//! What was used of the limits, and who holds what of them: in Redis alone, on shard 0.
//!
//! | module | |
//! |---|---|
//! | `admit` | reserving what a job may use, before it runs |
//! | `owed` | what it has used, as its record and the outbox keep it |
//! | `settle` | counting that, once |
//! | `usage` | reading it |
//! | `ample` | which limits need not be read for each submit |
//! | `openings` | telling those that wait that there is room |
//! | `upkeep` | what the leader does: settling what was left over, and freeing what nobody holds any more |
//! | `definitions` | what is defined over HTTP |
//! | `usage_rows` | what was used, by day, key and model |

mod admit;
mod ample;
mod args;
mod definitions;
mod limits;
mod live;
mod openings;
mod owed;
mod settle;
mod stored;
mod upkeep;
mod usage;
mod usage_rows;
mod waiting;

pub use admit::{Admission, Ask};
pub use definitions::{Changes, DefinitionStore, PutDefinitions, StoredDefinitions};
pub use limits::Limits;
pub use live::{KnownDefinitions, LiveDefinitions};
pub use openings::Openings;
pub use owed::{Owed, OwedRow};
pub(crate) use settle::Settlements;
pub use stored::{Defined, MadeValue, name_of, name_of_made};
pub use upkeep::Upkeep;
pub use usage::Usage;
pub use usage_rows::{UsageRow, UsageRows};
pub use waiting::Waiting;
