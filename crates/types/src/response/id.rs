use std::fmt;
use std::str::FromStr;

use crate::JobId;

/// What the id of each Response of `OpenAI` begins with.
const PREFIX: &str = "resp_";

/// A Response's id: its job's in `OpenAI`'s form, `resp_` and 32 hexadecimal digits. `OpenAI`'s own are longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseId(pub JobId);

/// Why a string is no [`ResponseId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a response id of ours is resp_ and 32 hexadecimal digits")]
pub struct InvalidResponseId;

impl FromStr for ResponseId {
    type Err = InvalidResponseId;

    fn from_str(text: &str) -> Result<Self, InvalidResponseId> {
        text.strip_prefix(PREFIX).and_then(JobId::from_simple).map(Self).ok_or(InvalidResponseId)
    }
}

impl fmt::Display for ResponseId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{PREFIX}{}", self.0.simple())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shard;

    #[test]
    fn it_is_its_jobs_id() {
        let job = JobId::new(Shard::new(7).unwrap());
        let text = ResponseId(job).to_string();
        assert_eq!((text.len(), text.starts_with("resp_"), text.contains('-')), (37, true, false));
        assert_eq!(text.parse(), Ok(ResponseId(job)));
    }

    #[test]
    fn nothing_else_is_one() {
        let job = JobId::new(Shard::default());
        let openais = format!("resp_{}{}", job.simple(), job.simple());
        for text in ["", "resp_", "resp_x", &job.to_string(), &format!("resp_{job}"), &openais, "msg_1"] {
            assert!(text.parse::<ResponseId>().is_err(), "{text}");
        }
    }
}
