//! Each page: what it reads, and the template that shows it.

mod content;
mod dead;
mod job;
mod jobs;
mod keys;
mod overview;
mod providers;
mod summary;
mod timeline;
mod webhooks;
mod workers;

pub(super) use content::content;
pub(super) use dead::dead;
pub(super) use job::job;
pub(super) use jobs::jobs;
pub(super) use keys::keys;
pub(super) use overview::overview;
pub(super) use providers::providers;
pub(super) use webhooks::webhooks;
pub(super) use workers::workers;

use askama::Template;

use super::respond::{Page, UiError};

/// A page of this template.
fn page(title: impl Into<String>, template: &impl Template) -> Result<Page, UiError> {
    Ok(Page { title: title.into(), html: template.render()? })
}
