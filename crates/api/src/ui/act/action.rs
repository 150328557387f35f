use hermod_queue::DeadFilter;
use hermod_types::JobId;

use crate::ui::Ui;
use crate::ui::form::Fields;
use crate::ui::respond::UiError;
use crate::ui::show::count;
use crate::ui::view::{DeadAsked, Nav, View};

/// Dead letters that are selected one by one.
const MOST_SELECTED: usize = 1_000;
/// Dead letters that are counted before all that match are queued again.
const MOST_COUNTED: usize = 10_000;

/// What can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Cancel(JobId),
    /// These dead letters; from a job's page, that one.
    Requeue {
        ids: Vec<JobId>,
        from_job: bool,
    },
    RequeueAll(DeadAsked),
    Pause,
    Resume,
    EndCooldown(String),
}

/// What is asked before.
pub(super) struct Question {
    pub(super) title: &'static str,
    pub(super) text: String,
    pub(super) button: &'static str,
    /// Whether something is lost by it.
    pub(super) is_grave: bool,
}

impl Action {
    /// # Errors
    /// If there is none of this name, or it lacks what it is about.
    pub(super) fn parse(name: &str, fields: &Fields) -> Result<Self, UiError> {
        let lacks = |what: &str| UiError::Invalid(format!("{what} is missing."));
        let id = |text: &str| {
            text.parse::<JobId>().map_err(|_| UiError::Invalid(format!("{text:?} is not the id of a job.")))
        };
        Ok(match name {
            "cancel" => Self::Cancel(id(fields.get("id").ok_or_else(|| lacks("id"))?)?),
            "requeue" => {
                let ids = fields.all("id").map(id).collect::<Result<Vec<_>, _>>()?;
                if ids.is_empty() {
                    return Err(UiError::Invalid("No job is selected.".to_owned()));
                }
                if ids.len() > MOST_SELECTED {
                    return Err(UiError::Invalid(format!("At most {MOST_SELECTED} jobs may be selected.")));
                }
                Self::Requeue { ids, from_job: fields.get("from") == Some("job") }
            }
            "requeue-all" => Self::RequeueAll(DeadAsked {
                reason: fields.get("reason").map(str::to_owned),
                model: fields.get("model").map(str::to_owned),
            }),
            "pause" => Self::Pause,
            "resume" => Self::Resume,
            "end-cooldown" => {
                Self::EndCooldown(fields.exact("name").ok_or_else(|| lacks("name"))?.to_owned())
            }
            _ => return Err(UiError::NotFound("There is no such action.")),
        })
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Cancel(_) => "cancel",
            Self::Requeue { .. } => "requeue",
            Self::RequeueAll(_) => "requeue-all",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::EndCooldown(_) => "end-cooldown",
        }
    }

    /// What [`Action::parse`] reads it from.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Cancel(id) => vec![("id", id.to_string())],
            Self::Requeue { ids, from_job } => {
                let ids = ids.iter().map(|id| ("id", id.to_string()));
                ids.chain(from_job.then(|| ("from", "job".to_owned()))).collect()
            }
            Self::RequeueAll(asked) => {
                let reason = asked.reason.iter().map(|reason| ("reason", reason.clone()));
                reason.chain(asked.model.iter().map(|model| ("model", model.clone()))).collect()
            }
            Self::Pause | Self::Resume => Vec::new(),
            Self::EndCooldown(name) => vec![("name", name.clone())],
        }
    }

    /// The page from which it is done.
    pub(super) fn back(&self) -> String {
        match self {
            Self::Cancel(id) => View::Job(*id).path(),
            Self::Requeue { ids, from_job: true } => {
                ids.first().map_or_else(|| Nav::Dead.path().to_owned(), |id| View::Job(*id).path())
            }
            Self::Requeue { from_job: false, .. } => Nav::Dead.path().to_owned(),
            Self::RequeueAll(asked) => View::Dead(asked.clone()).path(),
            Self::Pause | Self::Resume => Nav::Overview.path().to_owned(),
            Self::EndCooldown(_) => Nav::Providers.path().to_owned(),
        }
    }

    /// # Errors
    /// If Redis does not answer.
    pub(super) async fn question(&self, ui: &Ui) -> Result<Question, UiError> {
        let question = |title, text: String, button, is_grave| Question { title, text, button, is_grave };
        Ok(match self {
            Self::Cancel(id) => question(
                "Cancel this job?",
                format!(
                    "Job {id} ends as failed, with status 499. If it runs, its call to the provider is broken off, and may still \
                     be billed."
                ),
                "Cancel the job",
                true,
            ),
            Self::Requeue { ids, .. } if ids.len() == 1 => question(
                "Queue this job again?",
                "It runs anew under its old id, with all its attempts before it. Its client sees it as pending again.".to_owned(),
                "Queue it again",
                false,
            ),
            Self::Requeue { ids, .. } => question(
                "Queue these jobs again?",
                format!("{} jobs run anew under their old ids, with all their attempts before them.", count(ids.len() as u64)),
                "Queue them again",
                false,
            ),
            Self::RequeueAll(asked) => {
                let found = ui.admin.dead_letters_of(&asked.filter(), MOST_COUNTED).await?.len();
                let which = match (&asked.reason, &asked.model) {
                    (None, None) => "all that are dead".to_owned(),
                    (Some(reason), None) => format!("all that were given up on as {reason:?}"),
                    (None, Some(model)) => format!("all dead ones of model {model:?}"),
                    (Some(reason), Some(model)) => {
                        format!("all of model {model:?} that were given up on as {reason:?}")
                    }
                };
                question(
                    "Queue all of these again?",
                    format!(
                        "{} jobs match now: {which}. Those that match when you confirm run anew under their old ids.",
                        count(found as u64)
                    ),
                    "Queue all of them again",
                    false,
                )
            }
            Self::Pause => question(
                "Pause all workers?",
                "No worker claims anything more, within two seconds. What runs goes on, and jobs are accepted as before."
                    .to_owned(),
                "Pause",
                true,
            ),
            Self::Resume => question(
                "Resume?",
                "All workers claim jobs again, within two seconds.".to_owned(),
                "Resume",
                false,
            ),
            Self::EndCooldown(name) => question(
                "End this cooldown?",
                format!("All workers try {name} again, within two seconds. If it still fails, it cools down again."),
                "End it",
                false,
            ),
        })
    }
}

impl DeadAsked {
    pub(in crate::ui) fn filter(&self) -> DeadFilter {
        DeadFilter { reason: self.reason.clone(), model: self.model.clone() }
    }
}

#[cfg(test)]
mod tests {
    use hermod_types::Shard;

    use super::*;
    use crate::ui::form::path;

    #[test]
    fn an_action_is_read_from_what_its_form_has() {
        let id = || JobId::new(Shard::default());
        let asked = DeadAsked { reason: Some("a \"b\"".to_owned()), model: Some("x/y".to_owned()) };
        for action in [
            Action::Cancel(id()),
            Action::Requeue { ids: vec![id()], from_job: true },
            Action::Requeue { ids: vec![id(), id()], from_job: false },
            Action::RequeueAll(asked),
            Action::RequeueAll(DeadAsked::default()),
            Action::Pause,
            Action::Resume,
            Action::EndCooldown(" a/b <key>\n ".to_owned()),
        ] {
            let fields = action.fields();
            let query = path("", fields.iter().map(|(name, value)| (*name, Some(value.as_str()))));
            let fields = Fields::of_query(query.trim_start_matches('?'));
            assert_eq!(Action::parse(action.name(), &fields).unwrap(), action);
            assert!(action.back().starts_with("/ui"));
        }
    }

    #[test]
    fn what_an_action_lacks_is_told() {
        for (name, query) in
            [("cancel", ""), ("cancel", "id=x"), ("requeue", ""), ("requeue", "id=x"), ("end-cooldown", "")]
        {
            assert!(
                matches!(Action::parse(name, &Fields::of_query(query)), Err(UiError::Invalid(_))),
                "{name}"
            );
        }
        assert!(matches!(Action::parse("drop", &Fields::default()), Err(UiError::NotFound(_))));
        let many = "id=0199f2a1-7c4e-7a10-8000-3d2c1b0a9f8e&".repeat(MOST_SELECTED + 1);
        assert!(Action::parse("requeue", &Fields::of_query(&many)).is_err());
    }
}
