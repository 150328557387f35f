use std::time::Duration;

use hermod_types::Operation;
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{member, text};
use crate::{Client, Error, Job, JobRef};

/// Jobs that the API gives at once.
const PAGE: usize = 100;

/// Which jobs are listed; all by default. The API says which value it does not take.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// `pending`, `processing`, `completed` or `failed`.
    pub status: Option<String>,
    /// The endpoint.
    pub operation: Option<Operation>,
    /// The model that was asked for, with its provider or without.
    pub model: Option<String>,
    /// A time, as RFC 3339; the moment itself is not included.
    pub created_after: Option<String>,
    /// The same.
    pub created_before: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Box<RawValue>>,
    has_more: bool,
    last_id: Option<String>,
}

impl JobFilter {
    fn query(&self) -> Vec<(&'static str, &str)> {
        let given = [
            ("endpoint", self.operation.map(|operation| operation.polled_as().path())),
            ("status", self.status.as_deref()),
            ("model", self.model.as_deref()),
            ("created_after", self.created_after.as_deref()),
            ("created_before", self.created_before.as_deref()),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl Client {
    /// The jobs of the client's virtual key, or of all with an administrator's login: the newest first, `most` at most. They
    /// have an `endpoint` and a `model`, and neither result nor error: [`Client::get`] reads those.
    ///
    /// # Errors
    /// [`Error::Refused`] with 400 if the filter is not taken, with 401 without a key or login; or if there is no answer.
    pub async fn list(&self, filter: &JobFilter, most: usize) -> Result<Vec<Job>, Error> {
        let (mut jobs, mut after) = (Vec::new(), None::<String>);
        while jobs.len() < most {
            let limit = (most - jobs.len()).min(PAGE).to_string();
            let request = self
                .request(Method::GET, "/v1/async/jobs", &[])
                .query(&[("include", "endpoint,model"), ("limit", limit.as_str())])
                .query(&filter.query())
                .query(&after.as_ref().map(|after| [("after", after)]));
            let page = request.send().await?;
            let page: Page = serde_json::from_str(page.get())
                .map_err(|source| Error::Unexpected { what: "list of jobs", source })?;
            let room = most - jobs.len();
            for job in page.data.into_iter().take(room) {
                jobs.push(listed(job)?);
            }
            if !page.has_more {
                break;
            }
            after = Some(page.last_id.ok_or(Error::Missing("last_id"))?);
        }
        Ok(jobs)
    }
}

fn listed(job: Box<RawValue>) -> Result<Job, Error> {
    let id = member(&job, "id").and_then(text).and_then(|id| id.parse().ok());
    let id = id.ok_or(Error::Missing("id"))?;
    let operation = member(&job, "endpoint").and_then(text).and_then(|path| Operation::from_path(&path));
    let operation = operation.ok_or(Error::Missing("endpoint"))?;
    Job::read(JobRef { operation, id }, Duration::ZERO, job)
}
