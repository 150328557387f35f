//! Many jobs at once: `/v1/async/jobs`.

mod bulk;
mod list;
mod query;

pub(crate) use bulk::poll;
pub(crate) use list::list;
