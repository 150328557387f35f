use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hermod_types::{JobId, JobStatus, Journal, Operation};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::Error;
use crate::error::{error_of, member, text};

/// Where a job is: all that its client has to keep. As a text it is `chat/completions/0199…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobRef {
    /// The endpoint that it was submitted to.
    pub operation: Operation,
    /// Its id.
    pub id: JobId,
}

/// A text that is no [`JobRef`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an endpoint's path and a job's id, such as chat/completions/0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70"
)]
pub struct InvalidJobRef;

impl fmt::Display for JobRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.operation.polled_as().path(), self.id)
    }
}

impl FromStr for JobRef {
    type Err = InvalidJobRef;

    fn from_str(text: &str) -> Result<Self, InvalidJobRef> {
        let (path, id) = text.rsplit_once('/').ok_or(InvalidJobRef)?;
        let operation = Operation::from_path(path).ok_or(InvalidJobRef)?;
        Ok(Self { operation, id: id.parse().map_err(|_| InvalidJobRef)? })
    }
}

/// A job as the API has shown it; it does not change by itself.
#[derive(Clone, Debug)]
pub struct Job {
    at: JobRef,
    status: JobStatus,
    /// Until the next poll; nothing where the API has held its answer back.
    pub(crate) poll_after: Duration,
    raw: Box<RawValue>,
}

impl Job {
    /// # Errors
    /// If it has no status that is known.
    pub(crate) fn read(at: JobRef, poll_after: Duration, raw: Box<RawValue>) -> Result<Self, Error> {
        let status = member(&raw, "status").and_then(text).and_then(|word| word.parse().ok());
        let status = status.ok_or(Error::Missing("status"))?;
        Ok(Self { at, status, poll_after, raw })
    }

    /// Where it is.
    pub fn at(&self) -> JobRef {
        self.at
    }

    /// Where in its life it is.
    pub fn status(&self) -> JobStatus {
        self.status
    }

    /// The API's JSON, as it came.
    pub fn raw(&self) -> &RawValue {
        &self.raw
    }

    /// A member of that JSON; none where it is `null`.
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        member(&self.raw, name)
    }

    /// It, unless it has failed or goes on.
    ///
    /// # Errors
    /// [`Error::Failed`] with what failed it, or [`Error::NotEnded`].
    pub fn completed(self) -> Result<Self, Error> {
        match self.status {
            JobStatus::Completed => Ok(self),
            JobStatus::Pending | JobStatus::Processing => Err(Error::NotEnded(self.at)),
            JobStatus::Failed => {
                let status_code = self.get("status_code").and_then(|code| code.get().parse().ok());
                let message =
                    self.get("error").map_or_else(|| "no message".to_owned(), |error| error_of(error).0);
                Err(Error::Failed {
                    status_code: status_code.unwrap_or_default(),
                    message,
                    job: Box::new(self),
                })
            }
        }
    }

    /// The provider's answer, read as `T`: a type of your own, or `serde_json::Value`.
    ///
    /// # Errors
    /// [`Error::Missing`] where there is none: the job has not [completed](Self::completed), or comes from a list.
    /// [`Error::Unexpected`] if it is no `T`.
    pub fn result<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let result = self.get("result").ok_or(Error::Missing("result"))?;
        serde_json::from_str(result.get()).map_err(|source| Error::Unexpected { what: "result", source })
    }

    /// What was tried: targets, keys, errors, times. None as long as the job has not ended.
    ///
    /// # Errors
    /// If they are not as expected.
    pub fn attempts(&self) -> Result<Option<Journal>, Error> {
        let Some(outcome) = self.get("result").or_else(|| self.get("error")) else { return Ok(None) };
        let attempts = member(outcome, "extra_fields").and_then(|extra| member(extra, "attempts"));
        let Some(attempts) = attempts else { return Ok(Some(Journal::default())) };
        let attempts = serde_json::from_str(attempts.get());
        attempts.map(Some).map_err(|source| Error::Unexpected { what: "attempts", source })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const ID: &str = "0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70";

    fn job(json: &str) -> Job {
        let at = format!("ocr/{ID}").parse().unwrap();
        Job::read(at, Duration::ZERO, RawValue::from_string(json.to_owned()).unwrap()).unwrap()
    }

    #[test]
    fn a_place_is_read_from_its_text() {
        for operation in Operation::public() {
            let at = JobRef { operation, id: ID.parse().unwrap() };
            assert_eq!(at.to_string().parse(), Ok(at));
        }
        for wrong in ["", ID, "chat/completions", &format!("chat/{ID}"), &format!("ocr/{ID}/content")] {
            assert_eq!(wrong.parse::<JobRef>(), Err(InvalidJobRef), "{wrong}");
        }
    }

    #[test]
    fn a_job_that_failed_says_why_and_one_that_goes_on_says_so() {
        let failed =
            job(r#"{"status":"failed","status_code":499,"error":{"error":{"message":"job was cancelled"}}}"#);
        assert_eq!(failed.completed().unwrap_err().to_string(), "the job failed with 499: job was cancelled");
        let silent = job(r#"{"status":"failed","status_code":502,"error":null}"#).completed().unwrap_err();
        assert_eq!(silent.to_string(), "the job failed with 502: no message");
        let pending = job(r#"{"status":"pending"}"#);
        assert!(pending.attempts().unwrap().is_none());
        assert!(matches!(pending.result::<Value>(), Err(Error::Missing("result"))));
        assert!(matches!(pending.completed(), Err(Error::NotEnded(_))));
    }

    #[test]
    fn a_result_is_read_as_what_it_is_asked_for() {
        let done = job(r#"{"n":1e400,"status":"completed","result":{"pages":[1,2]}}"#).completed().unwrap();
        assert_eq!(done.result::<Value>().unwrap()["pages"][1], 2);
        assert!(done.attempts().unwrap().unwrap().is_empty());
        assert_eq!(done.result::<Vec<u8>>().unwrap_err().to_string(), "result: not as expected");
        assert_eq!(done.get("n").unwrap().get(), "1e400");
    }
}
