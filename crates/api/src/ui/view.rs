//! Which page a path and a query name.

use actix_web::{HttpRequest, HttpResponse, web};
use hermod_types::{JobId, Operation};

use super::form::{self, Fields};
use super::respond::{self, NO_JOB, Page, UiError};
use super::{Rights, Site, Ui, Viewer, act, login, pages};

/// A page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum View {
    Overview,
    Jobs(JobsAsked),
    Job(JobId),
    Dead(DeadAsked),
    Workers,
    Providers { hours: u32 },
    Keys { page: usize },
    Webhooks,
}

/// Which jobs are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct JobsAsked {
    pub(super) state: Option<State>,
    pub(super) endpoint: Option<Operation>,
    pub(super) model: Option<String>,
    /// Id or name of a virtual key; [`NO_KEY`] for jobs without one.
    pub(super) key: Option<String>,
    /// Behind this one.
    pub(super) after: Option<JobId>,
}

/// What stands for jobs without a virtual key.
pub(super) const NO_KEY: &str = "-";

/// Where jobs are, or how they have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    Waiting,
    Running,
    Sleeping,
    Ended,
    Completed,
    Failed,
    Cancelled,
}

/// Which dead letters are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct DeadAsked {
    pub(super) reason: Option<String>,
    pub(super) model: Option<String>,
}

/// A place in the list of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nav {
    Overview,
    Jobs,
    Dead,
    Workers,
    Providers,
    Keys,
    Webhooks,
}

impl State {
    pub(super) const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Running,
        Self::Sleeping,
        Self::Ended,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Sleeping => "sleeping",
            Self::Ended => "ended",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Nav {
    pub(super) const ALL: [Self; 7] =
        [Self::Overview, Self::Jobs, Self::Dead, Self::Workers, Self::Providers, Self::Keys, Self::Webhooks];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Jobs => "Jobs",
            Self::Dead => "Dead",
            Self::Workers => "Workers",
            Self::Providers => "Providers",
            Self::Keys => "Keys",
            Self::Webhooks => "Webhooks",
        }
    }

    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Overview => "/ui",
            Self::Jobs => "/ui/jobs",
            Self::Dead => "/ui/dead",
            Self::Workers => "/ui/workers",
            Self::Providers => "/ui/providers",
            Self::Keys => "/ui/keys",
            Self::Webhooks => "/ui/webhooks",
        }
    }
}

impl View {
    /// The page of a path, less its `/ui`, and of what stands behind its `?`.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn parse(path: &str, fields: &Fields) -> Result<Self, UiError> {
        let text = |name| fields.get(name).map(str::to_owned);
        Ok(match path.trim_end_matches('/') {
            "" => Self::Overview,
            "/jobs" => Self::Jobs(JobsAsked {
                state: known(fields, "state", |word| {
                    State::ALL.into_iter().find(|state| state.as_str() == word)
                })?,
                endpoint: known(fields, "endpoint", Operation::from_path)?,
                model: text("model"),
                key: text("key"),
                after: known(fields, "after", |word| word.parse().ok())?,
            }),
            "/dead" => Self::Dead(DeadAsked { reason: text("reason"), model: text("model") }),
            "/workers" => Self::Workers,
            "/providers" => {
                let hours = known(fields, "hours", |word| word.parse().ok())?.unwrap_or(1);
                Self::Providers { hours: if hours >= 24 { 24 } else { 1 } }
            }
            "/keys" => Self::Keys {
                page: known(fields, "page", |word| word.parse().ok())?.unwrap_or(1).clamp(1, 10_000),
            },
            "/webhooks" => Self::Webhooks,
            path => match path.strip_prefix("/jobs/") {
                Some(id) => Self::Job(id.parse().map_err(|_| UiError::NotFound(NO_JOB))?),
                None => return Err(UiError::NotFound("There is no such page.")),
            },
        })
    }

    /// Where it is, with all that it was asked for.
    pub(super) fn path(&self) -> String {
        let own = self.nav().path();
        match self {
            Self::Overview | Self::Workers | Self::Webhooks => own.to_owned(),
            Self::Job(id) => format!("/ui/jobs/{id}"),
            Self::Jobs(asked) => asked.path(asked.after),
            Self::Dead(asked) => {
                form::path(own, [("reason", asked.reason.as_deref()), ("model", asked.model.as_deref())])
            }
            Self::Providers { hours } => format!("{own}?hours={hours}"),
            Self::Keys { page } => format!("{own}?page={page}"),
        }
    }

    /// Where it comes again from, as events.
    pub(super) fn live_path(&self) -> String {
        let path = self.path();
        format!("/ui/live{}", path.strip_prefix("/ui").unwrap_or_default())
    }

    pub(super) const fn nav(&self) -> Nav {
        match self {
            Self::Overview => Nav::Overview,
            Self::Jobs(_) | Self::Job(_) => Nav::Jobs,
            Self::Dead(_) => Nav::Dead,
            Self::Workers => Nav::Workers,
            Self::Providers { .. } => Nav::Providers,
            Self::Keys { .. } => Nav::Keys,
            Self::Webhooks => Nav::Webhooks,
        }
    }

    /// How often it is read again while somebody looks, in seconds: the more it asks of Redis, the less often.
    pub(super) const fn seconds(&self) -> u64 {
        match self {
            Self::Overview | Self::Job(_) | Self::Workers => 2,
            Self::Jobs(_) | Self::Dead(_) | Self::Providers { .. } | Self::Keys { .. } | Self::Webhooks => 5,
        }
    }

    pub(super) async fn page(&self, ui: &Ui, rights: Rights) -> Result<Page, UiError> {
        match self {
            Self::Overview => pages::overview(ui, rights).await,
            Self::Jobs(asked) => pages::jobs(ui, asked).await,
            Self::Job(id) => pages::job(ui, *id, rights).await,
            Self::Dead(asked) => pages::dead(ui, asked, rights).await,
            Self::Workers => pages::workers(ui).await,
            Self::Providers { hours } => pages::providers(ui, *hours, rights).await,
            Self::Keys { page } => pages::keys(ui, *page).await,
            Self::Webhooks => pages::webhooks(ui).await,
        }
    }
}

impl JobsAsked {
    /// The list, from behind this job on.
    pub(super) fn path(&self, after: Option<JobId>) -> String {
        let after = after.map(|id| id.to_string());
        form::path(
            Nav::Jobs.path(),
            [
                ("state", self.state.map(State::as_str)),
                ("endpoint", self.endpoint.map(Operation::path)),
                ("model", self.model.as_deref()),
                ("key", self.key.as_deref()),
                ("after", after.as_deref()),
            ],
        )
    }
}

/// A word that is read; none for one that is not given.
fn known<T>(fields: &Fields, name: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, UiError> {
    let invalid = |word: &str| UiError::Invalid(format!("{name} cannot be {word:?}."));
    fields.get(name).map(|word| read(word).ok_or_else(|| invalid(word))).transpose()
}

/// `GET /ui` and below.
pub(super) async fn show(http: HttpRequest, site: web::Data<Site>, viewer: Viewer) -> HttpResponse {
    let fields = Fields::of_query(http.query_string());
    let path = http.path().strip_prefix("/ui").unwrap_or_default();
    if path == "/jobs"
        && let Some(id) = fields.get("id")
    {
        return match job_id(id) {
            Some(id) => login::to(&format!("/ui/jobs/{id}")),
            None => {
                let text =
                    format!("{id:?} is not the id of a job, such as 0199f2a1-7c4e-7a10-8000-3d2c1b0a9f8e.");
                respond::failure(&UiError::Invalid(text), Some(&viewer))
            }
        };
    }
    let answer = async {
        let view = View::parse(path, &fields)?;
        let page = site.ui.page(&view, viewer.rights).await?;
        Ok((view, page))
    };
    match answer.await {
        Ok((view, page)) => respond::shown(&view, &page, &viewer, act::said(&fields).as_deref()),
        Err(error) => respond::failure(&error, Some(&viewer)),
    }
}

/// A job's id, or that of the Response that it is, as people paste them.
fn job_id(text: &str) -> Option<JobId> {
    let text = text.trim();
    if let Ok(id) = text.parse() {
        return Some(id);
    }
    let digits = text.strip_prefix("resp_").unwrap_or(text);
    let is_simple = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let part = |range| digits.get(range).filter(|_| is_simple);
    let dashed = [part(0..8)?, part(8..12)?, part(12..16)?, part(16..20)?, part(20..32)?].join("-");
    dashed.to_ascii_lowercase().parse().ok()
}

#[cfg(test)]
mod tests {
    use hermod_types::Shard;

    use super::*;

    fn parse(path_and_query: &str) -> Result<View, UiError> {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        View::parse(path.strip_prefix("/ui").unwrap(), &Fields::of_query(query))
    }

    #[test]
    fn a_page_is_where_it_says() {
        let id = JobId::new(Shard::default());
        for view in [
            View::Overview,
            View::Job(id),
            View::Jobs(JobsAsked::default()),
            View::Jobs(JobsAsked {
                state: Some(State::Failed),
                endpoint: Some(Operation::ChatCompletion),
                model: Some("a/b \"<&".to_owned()),
                key: Some(NO_KEY.to_owned()),
                after: Some(id),
            }),
            View::Dead(DeadAsked { reason: Some("x".to_owned()), model: None }),
            View::Workers,
            View::Providers { hours: 24 },
            View::Keys { page: 3 },
            View::Webhooks,
        ] {
            assert_eq!(parse(&view.path()).unwrap(), view);
            assert!(view.path().starts_with(view.nav().path()));
            assert_eq!(view.live_path().replacen("/live", "", 1), view.path());
        }
        assert_eq!(parse("/ui/").unwrap(), View::Overview);
        for state in State::ALL {
            assert!(parse(&format!("/ui/jobs?state={}", state.as_str())).is_ok());
        }
    }

    #[test]
    fn what_is_no_page_is_told() {
        for none in ["/ui/x", "/ui/jobs/x", "/ui/jobs/../x", "/ui//jobs"] {
            assert!(matches!(parse(none), Err(UiError::NotFound(_))), "{none}");
        }
        for wrong in ["/ui/jobs?state=x", "/ui/jobs?endpoint=x", "/ui/jobs?after=x", "/ui/keys?page=-1"] {
            assert!(matches!(parse(wrong), Err(UiError::Invalid(_))), "{wrong}");
        }
    }

    #[test]
    fn an_id_is_found_in_each_of_its_forms() {
        let id = JobId::new(Shard::default());
        for form in
            [id.to_string(), format!(" {id} "), id.simple().to_string(), format!("resp_{}", id.simple())]
        {
            assert_eq!(job_id(&form), Some(id), "{form}");
        }
        for other in ["", "x", "resp_", "resp_zz", "ä".repeat(16).as_str()] {
            assert_eq!(job_id(other), None, "{other}");
        }
    }
}
