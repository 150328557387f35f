use std::collections::BTreeMap;

use actix_web::web::Query;
use hermod_queue::{JobQuery, Owner};
use hermod_types::{InvalidRequest, Operation, Timestamp};

const MOST: usize = 100;
const USUAL: usize = 20;

/// What a request for a list asks for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) query: JobQuery,
    /// What else is said of each job.
    pub(super) include: Include,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Include {
    pub(super) endpoint: bool,
    pub(super) model: bool,
}

/// Reads the part of the URL behind `?`. What it does not know it passes over.
///
/// # Errors
/// If a value is not what it should be, or is given twice.
pub(super) fn read(owner: Owner, text: &str) -> Result<Asked, InvalidRequest> {
    let pairs = Query::<Vec<(String, String)>>::from_query(text);
    let pairs = pairs
        .map_err(|error| InvalidRequest { message: format!("unreadable query: {error}"), param: None })?;
    let mut given = BTreeMap::new();
    for (name, value) in pairs.into_inner() {
        if given.insert(name.clone(), value).is_some() {
            return Err(invalid(&name, "may be given once"));
        }
    }
    let mut given = Given(given);
    let number = |text: &str| text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
    let limit = given.take("limit", &format!("must be a number from 1 to {MOST}"), number)?;
    let query = JobQuery {
        owner,
        status: given
            .take("status", "must be pending, processing, completed or failed", |text| text.parse().ok())?,
        operation: given.take(
            "endpoint",
            "must be the path of an endpoint, such as chat/completions, or its type, such as chat_completion",
            operation,
        )?,
        model: given
            .take("model", "must name a model", |text| (!text.is_empty()).then(|| text.to_owned()))?,
        created_after: given.time("created_after")?,
        created_before: given.time("created_before")?,
        after: given.take("after", "must be the id of a job", |text| text.parse().ok())?,
        limit: limit.unwrap_or(USUAL),
    };
    let include = given.take("include", "may have endpoint and model, with a comma between them", include)?;
    Ok(Asked { query, include: include.unwrap_or_default() })
}

fn operation(text: &str) -> Option<Operation> {
    let path = text.trim_start_matches('/');
    Operation::from_path(path.strip_prefix("v1/async/").unwrap_or(path))
        .or_else(|| Operation::from_record_type(text))
}

fn include(text: &str) -> Option<Include> {
    let mut include = Include::default();
    for name in text.split(',') {
        match name {
            "endpoint" => include.endpoint = true,
            "model" => include.model = true,
            _ => return None,
        }
    }
    Some(include)
}

fn invalid(param: &str, what: &str) -> InvalidRequest {
    InvalidRequest { message: format!("{param} {what}"), param: Some(param.to_owned()) }
}

struct Given(BTreeMap<String, String>);

impl Given {
    fn take<T>(
        &mut self,
        name: &str,
        rule: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, InvalidRequest> {
        let Some(text) = self.0.remove(name) else { return Ok(None) };
        read(&text).map(Some).ok_or_else(|| invalid(name, rule))
    }

    fn time(&mut self, name: &str) -> Result<Option<Timestamp>, InvalidRequest> {
        self.take(name, "must be a time of RFC 3339, such as 2026-02-19T08:10:17Z", Timestamp::from_rfc3339)
    }
}

#[cfg(test)]
mod tests {
    use hermod_types::JobStatus;

    use super::*;

    #[test]
    fn filters_are_read_as_a_url_writes_them() {
        let asked = read(
            Owner::Anybody,
            "status=failed&endpoint=%2Fv1%2Fasync%2Fchat%2Fcompletions&model=a%2Fb&created_after=2026-02-19T10:10:17%2B02:00\
             &limit=100&include=model,endpoint&other=x",
        );
        let Asked { query, include } = asked.unwrap();
        assert_eq!(
            (query.status, query.operation),
            (Some(JobStatus::Failed), Some(Operation::ChatCompletion))
        );
        assert_eq!((query.model.as_deref(), query.limit), (Some("a/b"), 100));
        assert_eq!(query.created_after.map(Timestamp::as_millis), Some(1_771_488_617_000));
        assert!(include.endpoint && include.model);
        let plain = read(Owner::Anybody, "").unwrap();
        assert!(plain.query.limit == USUAL && !plain.include.model);
        assert_eq!(
            read(Owner::Anybody, "endpoint=ocr").unwrap().query.operation,
            read(Owner::Anybody, "endpoint=rerank").unwrap().query.operation.map(|_| Operation::Ocr)
        );
    }

    #[test]
    fn a_wrong_value_is_told_by_its_name() {
        for text in [
            "limit=0",
            "limit=101",
            "limit=-1",
            "limit=ten",
            "limit=",
            "status=done",
            "status=cancelled",
            "endpoint=chat",
            "model=",
            "created_after=yesterday",
            "created_before=1771488617",
            "after=last",
            "include=result",
            "include=",
            "limit=5&limit=5",
        ] {
            let error = read(Owner::Anybody, text).unwrap_err();
            let name = text.split('=').next().unwrap();
            assert_eq!(error.param.as_deref(), Some(name), "{text}");
            assert!(error.message.starts_with(name), "{text}: {}", error.message);
        }
    }
}
