use askama::Template;
use askama::filters::HtmlSafe;
use hermod_queue::{Lane, Stats};

use super::super::Ui;
use super::super::respond::UiError;
use super::super::show::count;

/// How many jobs are where: the line on top of each page.
#[derive(Template)]
#[template(path = "summary.html")]
pub(super) struct Summary {
    pub(super) stats: Stats,
    counts: [(&'static str, &'static str, String); 4],
}

impl HtmlSafe for Summary {}

impl Summary {
    /// # Errors
    /// If Redis does not answer.
    pub(super) async fn read(ui: &Ui) -> Result<Self, UiError> {
        let stats = ui.admin.stats(Lane::Jobs).await?;
        Ok(Self {
            stats,
            counts: [
                ("waiting", "/ui/jobs?state=waiting", count(stats.waiting)),
                ("running", "/ui/jobs?state=running", count(stats.running)),
                ("sleeping", "/ui/jobs?state=sleeping", count(stats.delayed)),
                ("dead", "/ui/dead", count(stats.dead)),
            ],
        })
    }
}
