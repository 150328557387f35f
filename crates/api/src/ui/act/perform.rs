use futures_util::{StreamExt, TryStreamExt, stream};
use hermod_queue::{Cancelled, Requeued};

use super::action::Action;
use crate::admin::Actor;
use crate::error::ApiError;
use crate::ui::Ui;
use crate::ui::form::{self, Fields};
use crate::ui::respond::{NO_JOB, UiError};
use crate::ui::show::{count, shortened};

/// Jobs that are queued again at once.
const AT_ONCE: usize = 16;

/// What was done, as the page that follows says it: words that the query carries, and nothing that anybody wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    word: &'static str,
    done: u64,
    not_done: u64,
}

impl Said {
    const fn word(word: &'static str) -> Self {
        Self { word, done: 0, not_done: 0 }
    }
}

impl Action {
    /// Does it.
    ///
    /// # Errors
    /// If Redis does not answer, or there is nothing to do it to.
    pub(super) async fn perform(&self, ui: &Ui, actor: &Actor) -> Result<Said, UiError> {
        match self {
            Self::Cancel(id) => {
                let record = ui.queue.find(*id).await.map_err(ApiError::from_find)?;
                let operation = record.ok_or(UiError::NotFound(NO_JOB))?.operation;
                let said = match ui.queue.cancel(*id, operation).await.map_err(ApiError::from_find)? {
                    Cancelled::Unknown => return Err(UiError::NotFound(NO_JOB)),
                    Cancelled::Ended => return Ok(Said::word("ended")),
                    Cancelled::Cancelled => {
                        metrics::counter!("hermod_jobs_cancelled_total").increment(1);
                        "cancelled"
                    }
                    Cancelled::AlreadyCancelled => "cancelled",
                    Cancelled::Requested { .. } => "cancel-requested",
                };
                actor.did("cancelled a job", id, "");
                Ok(Said::word(said))
            }
            Self::Requeue { ids, .. } => {
                let outcomes: Vec<_> = stream::iter(ids)
                    .map(|id| async move { Ok::<_, UiError>((id, ui.admin.requeue(*id).await?)) })
                    .buffer_unordered(AT_ONCE)
                    .try_collect()
                    .await?;
                let mut said = Said::word("requeued");
                for (id, outcome) in outcomes {
                    if outcome == Requeued::Queued {
                        actor.did("queued a dead job again", id, "");
                        said.done += 1;
                    } else {
                        said.not_done += 1;
                    }
                }
                Ok(said)
            }
            Self::RequeueAll(asked) => {
                let done = ui.admin.requeue_all(&asked.filter()).await?;
                let which =
                    [&asked.reason, &asked.model].map(|word| shortened(word.as_deref().unwrap_or("*"), 100));
                actor.did("queued dead jobs again", done.queued, &which.join(" "));
                Ok(Said { word: "requeued", done: done.queued, not_done: done.unknown + done.alive })
            }
            Self::Pause => {
                ui.admin.set_paused(true).await?;
                actor.did("paused all workers", "queue", "");
                Ok(Said::word("paused"))
            }
            Self::Resume => {
                ui.admin.set_paused(false).await?;
                actor.did("resumed all workers", "queue", "");
                Ok(Said::word("resumed"))
            }
            Self::EndCooldown(name) => {
                if !ui.admin.end_cooldown(name).await? {
                    return Ok(Said::word("no-cooldown"));
                }
                actor.did("ended a cooldown", "cooldown", &shortened(name, 200));
                Ok(Said::word("cooldown-ended"))
            }
        }
    }

    /// The page that follows.
    pub(super) fn back_with(&self, said: &Said) -> String {
        let back = self.back();
        let (done, not_done) = (said.done.to_string(), said.not_done.to_string());
        let counts = said.done + said.not_done > 0;
        let query = form::path(
            "",
            [
                ("said", Some(said.word)),
                ("done", counts.then_some(done.as_str())),
                ("not", (said.not_done > 0).then_some(not_done.as_str())),
            ],
        );
        let query = query.trim_start_matches('?');
        if back.contains('?') { format!("{back}&{query}") } else { format!("{back}?{query}") }
    }
}

/// What a query says was done: a text of ours, or nothing.
pub(in crate::ui) fn said(fields: &Fields) -> Option<String> {
    let number = |name| fields.get(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    Some(match fields.get("said")? {
        "cancelled" => "The job is cancelled.".to_owned(),
        "cancel-requested" => {
            "The job is being cancelled: its worker ends it within a second or two.".to_owned()
        }
        "ended" => "The job had ended before.".to_owned(),
        "requeued" => {
            let (done, not_done) = (number("done"), number("not"));
            let jobs = if done == 1 { "job is" } else { "jobs are" };
            let rest = match not_done {
                0 => String::new(),
                _ => format!(" {} were no longer dead, or what they need is gone.", count(not_done)),
            };
            format!("{} {jobs} queued again.{rest}", count(done))
        }
        "paused" => "Paused: within two seconds no worker claims anything.".to_owned(),
        "resumed" => "Resumed: within two seconds all workers claim jobs again.".to_owned(),
        "cooldown-ended" => "The cooldown is ended.".to_owned(),
        "no-cooldown" => "That cooldown had ended before.".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::view::DeadAsked;

    #[test]
    fn what_was_done_is_said_in_our_words() {
        let back = |action: &Action, said| action.back_with(&said);
        let path = back(&Action::Pause, Said::word("paused"));
        assert_eq!(path, "/ui?said=paused");
        let asked = DeadAsked { reason: Some("x".to_owned()), model: None };
        let path = back(&Action::RequeueAll(asked), Said { word: "requeued", done: 1200, not_done: 2 });
        assert_eq!(path, "/ui/dead?reason=x&said=requeued&done=1200&not=2");
        let text = said(&Fields::of_query("said=requeued&done=1200&not=2")).unwrap();
        assert!(text.starts_with("1,200 jobs are queued again. 2 were"), "{text}");
        for nothing in ["", "said=", "said=%3Cscript%3E", "done=1"] {
            assert_eq!(said(&Fields::of_query(nothing)), None, "{nothing}");
        }
        for word in ["cancelled", "cancel-requested", "ended", "resumed", "cooldown-ended", "no-cooldown"] {
            assert!(said(&Fields::of_query(&format!("said={word}"))).is_some(), "{word}");
        }
    }
}
