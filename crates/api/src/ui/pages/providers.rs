use askama::Template;
use hermod_queue::{Cooldown, ProviderFigures};

use super::super::respond::{Page, UiError};
use super::super::show::{Badge, count, span, span_ms};
use super::super::{Rights, Ui, form};
use super::page;
use super::summary::Summary;

#[derive(Template)]
#[template(path = "providers.html")]
struct Providers {
    summary: Summary,
    hours: u32,
    providers: Vec<Provider>,
    cooldowns: Vec<Cools>,
    /// Providers of the configuration that were not called.
    quiet: Vec<String>,
    may_act: bool,
}

struct Provider {
    provider: String,
    model: String,
    calls: String,
    errors: String,
    rate: String,
    is_bad: bool,
    p50: String,
    p95: String,
}

struct Cools {
    name: String,
    state: Badge,
    left: String,
    length: String,
    end: String,
}

impl From<&ProviderFigures> for Provider {
    fn from(figures: &ProviderFigures) -> Self {
        let tenths = (figures.errors * 1000).checked_div(figures.calls).unwrap_or_default();
        Self {
            provider: figures.provider.clone(),
            model: figures.model.clone(),
            calls: count(figures.calls),
            errors: count(figures.errors),
            rate: format!("{}.{} %", tenths / 10, tenths % 10),
            is_bad: tenths >= 50,
            p50: figures.p50_ms.map(span_ms).unwrap_or_default(),
            p95: figures.p95_ms.map(span_ms).unwrap_or_default(),
        }
    }
}

impl From<&Cooldown> for Cools {
    fn from(cooldown: &Cooldown) -> Self {
        Self {
            name: cooldown.name.clone(),
            state: if cooldown.left.is_zero() {
                Badge::new("waiting", "to be probed")
            } else {
                Badge::new("failed", "cools down")
            },
            left: if cooldown.left.is_zero() { "over".to_owned() } else { span(cooldown.left) },
            length: span(cooldown.length),
            end: form::path("/ui/confirm/end-cooldown", [("name", Some(cooldown.name.as_str()))]),
        }
    }
}

/// `GET /ui/providers`
///
/// # Errors
/// If Redis does not answer.
pub(in crate::ui) async fn providers(ui: &Ui, hours: u32, rights: Rights) -> Result<Page, UiError> {
    let summary = Summary::read(ui).await?;
    let mut figures = ui.admin.providers(hours * 60).await?;
    figures.sort_by_key(|figures| std::cmp::Reverse(figures.calls));
    let cooldowns = ui.admin.cooldowns().await?;
    let is_quiet = |name: &&String| figures.iter().all(|figures| figures.provider != **name);
    let providers = Providers {
        summary,
        hours,
        quiet: ui.config.providers.keys().filter(is_quiet).cloned().collect(),
        providers: figures.iter().map(Provider::from).collect(),
        cooldowns: cooldowns.iter().map(Cools::from).collect(),
        may_act: rights.may_act,
    };
    page("Providers", &providers)
}
