//! What clients of a run send, and what they make of the answers: submits, and polls.

use std::cell::RefCell;

use bytes::Bytes;
use hermod_types::JobId;
use http_body_util::Full;
use hyper::{Request, StatusCode};

use crate::http::Target;
use crate::jobs::{Job, Says};
use crate::load::Exchange;
use crate::run::Run;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    /// The number in its prompt.
    pub(crate) number: u64,
    pub(crate) id: JobId,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a result, stored at this time in milliseconds since the Unix epoch.
    Completed(u64),
    Failed,
}

/// Submits, each with a number of its own.
pub(crate) struct Submits<'a> {
    run: &'a Run<'a>,
    target: &'a Target,
    says: Says,
    first: u64,
    ids: RefCell<Vec<Option<JobId>>>,
}

impl<'a> Submits<'a> {
    /// So many of them.
    pub(crate) fn new(run: &'a Run<'a>, target: &'a Target, count: u64) -> Self {
        Self::saying(Says::default(), run, target, count)
    }

    /// The same, whose headers say more.
    pub(crate) fn saying(says: Says, run: &'a Run<'a>, target: &'a Target, count: u64) -> Self {
        let ids = RefCell::new(vec![None; usize::try_from(count).unwrap_or_default()]);
        Self { run, target, says, first: run.take_numbers(count), ids }
    }

    /// Those that were accepted.
    pub(crate) fn accepted(self) -> Vec<Accepted> {
        let numbered = (self.first..).zip(self.ids.into_inner());
        numbered.filter_map(|(number, id)| Some(Accepted { number, id: id? })).collect()
    }

    /// The number in the prompt of the request of this index.
    pub(crate) fn number(&self, index: u64) -> u64 {
        self.first + index
    }
}

impl Exchange for Submits<'_> {
    fn request(&self, index: u64) -> Request<Full<Bytes>> {
        let number = self.number(index);
        let mut request = self.target.submit(self.run.requests.body(number));
        self.says.add_to(request.headers_mut(), &self.run.requests, number);
        request
    }

    fn answer(&self, index: u64, status: StatusCode, body: &[u8]) -> Result<(), String> {
        if status != StatusCode::ACCEPTED {
            return Err(unexpected(status, body));
        }
        let id = Job::read(body)?.parsed_id()?;
        if let Some(slot) = self.ids.borrow_mut().get_mut(usize::try_from(index).unwrap_or(usize::MAX)) {
            *slot = Some(id);
        }
        Ok(())
    }
}

/// Polls of each id in turn, and from the first again.
pub(crate) struct Polls<'a> {
    pub(crate) target: &'a Target,
    pub(crate) ids: &'a [JobId],
    pub(crate) ends: RefCell<Vec<Option<End>>>,
    /// Whether answers are jobs, and are read.
    pub(crate) read: bool,
}

impl Polls<'_> {
    fn index(&self, number: u64) -> usize {
        usize::try_from(number).unwrap_or_default() % self.ids.len().max(1)
    }
}

impl Exchange for Polls<'_> {
    fn request(&self, number: u64) -> Request<Full<Bytes>> {
        self.ids.get(self.index(number)).map_or_else(Request::default, |id| self.target.poll(id))
    }

    fn answer(&self, number: u64, status: StatusCode, body: &[u8]) -> Result<(), String> {
        if status != StatusCode::OK && status != StatusCode::ACCEPTED {
            return Err(unexpected(status, body));
        }
        if !self.read {
            return Ok(());
        }
        let job = Job::read(body)?;
        let end = match (job.status, job.completed_ms()) {
            ("completed", Some(at)) => Some(End::Completed(at)),
            ("failed", _) => Some(End::Failed),
            _ => None,
        };
        if let Some(slot) = self.ends.borrow_mut().get_mut(self.index(number)) {
            *slot = end;
        }
        Ok(())
    }
}

pub(crate) fn unexpected(status: StatusCode, body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(300).collect();
    format!("{status}: {text}")
}
