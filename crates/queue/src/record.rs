use hermod_types::{JobId, Target, Ttl};
use serde::{Deserialize, Serialize};

use crate::apart;

/// A job to be accepted.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its id, which makes submitting it twice harmless.
    pub id: JobId,
    /// The targets to try, in order; never empty.
    pub targets: Vec<Target>,
    /// What the provider gets, less the model's name: a JSON object.
    pub body: String,
    /// How long its result is kept.
    pub ttl: Ttl,
    /// Id of the virtual key that it was submitted with.
    pub owner: Option<String>,
}

/// The first line of a record's `request`; the body follows untouched.
#[derive(Serialize, Deserialize)]
struct Header {
    targets: Vec<Target>,
    ttl: Ttl,
}

impl NewJob {
    /// Whether its body is kept apart from its record.
    pub(crate) fn is_large(&self) -> bool {
        self.body.len() >= apart::LARGE
    }

    /// The `request` of its record.
    pub(crate) fn request(&self) -> String {
        #[derive(Serialize)]
        struct HeaderRef<'a> {
            targets: &'a [Target],
            ttl: Ttl,
        }
        // Strings and an integer have no way to fail to be written to memory, and JSON escapes newlines.
        let header = HeaderRef { targets: &self.targets, ttl: self.ttl };
        let mut request = serde_json::to_string(&header).unwrap_or_default();
        let body = if self.is_large() { "" } else { &self.body };
        request.reserve_exact(body.len() + 1);
        request.push('\n');
        request.push_str(body);
        request
    }

    /// Reads a record's `request` back. One whose body is apart has an empty one.
    pub(crate) fn from_request(id: JobId, request: &str, owner: &str) -> Option<Self> {
        let (header, body) = request.split_once('\n')?;
        let Header { targets, ttl } = serde_json::from_str(header).ok()?;
        let owner = (!owner.is_empty()).then(|| owner.to_owned());
        (!targets.is_empty()).then(|| Self { id, targets, body: body.to_owned(), ttl, owner })
    }
}

#[cfg(test)]
mod tests {
    use hermod_types::Shard;

    use super::*;

    #[test]
    fn a_request_comes_back_as_it_went_in() {
        let job = NewJob {
            id: JobId::new(Shard::default()),
            targets: vec!["a/b\\\"c".parse().unwrap(), "d/e/f".parse().unwrap()],
            body: "{\"prompt\":\"x\",\n \"n\":1.50}".to_owned(),
            ttl: Ttl::from_seconds(60).unwrap(),
            owner: Some("vk-1".to_owned()),
        };
        let back = NewJob::from_request(job.id, &job.request(), "vk-1").unwrap();
        assert_eq!(
            (back.targets, back.body, back.ttl, back.owner),
            (job.targets, job.body, job.ttl, job.owner)
        );
    }

    #[test]
    fn a_request_that_is_none_is_told() {
        for request in
            ["", "{}", "{}\n{}", "{\"targets\":[],\"ttl\":1}\n{}", "{\"targets\":[\"a/b\"],\"ttl\":0}\n{}"]
        {
            assert!(NewJob::from_request(JobId::new(Shard::default()), request, "").is_none(), "{request}");
        }
    }
}
