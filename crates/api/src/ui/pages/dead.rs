use askama::Template;
use hermod_queue::{DeadGroup, DeadLetter};

use super::super::respond::{Page, UiError};
use super::super::show::{JobLink, Moment, count};
use super::super::view::{DeadAsked, View};
use super::super::{Rights, Ui, form};
use super::page;
use super::summary::Summary;

/// Dead letters of one page.
const SHOWN: usize = 200;

#[derive(Template)]
#[template(path = "dead.html")]
struct Dead {
    summary: Summary,
    may_act: bool,
    groups: Vec<Group>,
    letters: Vec<Letter>,
    model: String,
    is_filtered: bool,
    requeue_all: String,
    note: String,
}

struct Group {
    reason: String,
    count: String,
    oldest: Moment,
    newest: Moment,
    is_chosen: bool,
    path: String,
    requeue: String,
}

struct Letter {
    id: String,
    link: JobLink,
    reason: String,
    model: String,
    endpoint: &'static str,
    key: String,
    at: Moment,
    starts: usize,
    requeue: String,
}

/// `GET /ui/dead`
///
/// # Errors
/// If Redis does not answer.
pub(in crate::ui) async fn dead(ui: &Ui, asked: &DeadAsked, rights: Rights) -> Result<Page, UiError> {
    let summary = Summary::read(ui).await?;
    let groups = ui.admin.dead_groups().await?;
    let letters = ui.admin.dead_letters_of(&asked.filter(), SHOWN + 1).await?;
    let rules = ui.governance.rules.current();
    let has_more = letters.len() > SHOWN;
    let requeue_all = |asked: &DeadAsked| {
        form::path(
            "/ui/confirm/requeue-all",
            [("reason", asked.reason.as_deref()), ("model", asked.model.as_deref())],
        )
    };
    let group = |group: DeadGroup| {
        let only = DeadAsked { reason: Some(group.reason.clone()), model: None };
        Group {
            is_chosen: asked.reason.as_ref() == Some(&group.reason),
            reason: group.reason,
            count: count(group.count),
            oldest: Moment::at_ms(group.oldest_ms),
            newest: Moment::at_ms(group.newest_ms),
            path: View::Dead(only.clone()).path(),
            requeue: requeue_all(&only),
        }
    };
    let letter = |letter: &DeadLetter| Letter {
        id: letter.id.to_string(),
        link: JobLink::to(letter.id),
        reason: letter.reason.clone(),
        model: letter.model.clone().unwrap_or_default(),
        endpoint: letter.operation.map_or("", hermod_types::Operation::path),
        key: rules.name_of(letter.owner.as_deref()).to_owned(),
        at: Moment::at_ms(letter.at_ms),
        starts: letter.history.lines().count(),
        requeue: format!("/ui/confirm/requeue?id={}", letter.id),
    };
    let dead = Dead {
        summary,
        may_act: rights.may_act,
        groups: groups.into_iter().map(group).collect(),
        letters: letters.iter().take(SHOWN).map(letter).collect(),
        model: asked.model.clone().unwrap_or_default(),
        is_filtered: *asked != DeadAsked::default(),
        requeue_all: requeue_all(asked),
        note: if has_more { format!("The newest {SHOWN} are shown.") } else { String::new() },
    };
    page("Dead", &dead)
}
