use serde::{Deserialize, Serialize};

use crate::governance::Money;
use crate::{Target, Timestamp};

/// Attempts that a journal keeps; of more, the ones in the middle go.
const MOST_ATTEMPTS: usize = 100;

/// One call of a job, or one that was passed over: a line of its journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Where it went, as `provider/model`.
    pub target: String,
    /// The name of the provider's key that it used; none for a provider without keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The HTTP status that the provider answered; none where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The error's type: the provider's own where it gave one. None for a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// When it began, by the worker's clock.
    pub started_at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Why there was no call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Whether a call that failed may have cost money: the provider had the request, and no error was its answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_be_billed: bool,
    /// Tokens of the prompt, those read from a cache included, as its provider counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens of the answer, those of thinking included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// What it has cost; none for one without a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
}

impl Attempt {
    /// One that was passed over at `at`, and why.
    pub fn skipped(target: &Target, key: Option<&str>, why: impl Into<String>, at: Timestamp) -> Self {
        Self {
            target: target.to_string(),
            key: key.map(str::to_owned),
            status: None,
            error_type: None,
            started_at: at,
            duration_ms: 0,
            skipped: Some(why.into()),
            may_be_billed: false,
            input_tokens: None,
            output_tokens: None,
            cost: None,
        }
    }
}

/// A job's attempts, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Journal(Vec<Attempt>);

impl Journal {
    /// Adds one. A journal that is full loses one of its middle: how it began and how it ended say most.
    pub fn push(&mut self, attempt: Attempt) {
        if self.0.len() >= MOST_ATTEMPTS {
            self.0.remove(MOST_ATTEMPTS / 2);
        }
        self.0.push(attempt);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Journal {
    type Item = &'a Attempt;
    type IntoIter = std::slice::Iter<'a, Attempt>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(number: u64) -> Attempt {
        let at = Timestamp::from_millis(number);
        Attempt::skipped(&"a/b".parse().unwrap(), Some("one"), "cooldown", at)
    }

    #[test]
    fn members_without_a_value_are_absent() {
        let text = r#"{"target":"a/b","key":"one","started_at":"1970-01-01T00:00:00.007Z","duration_ms":0,"skipped":"cooldown"}"#;
        assert_eq!(serde_json::to_string(&attempt(7)).unwrap(), text);
        assert_eq!(serde_json::from_str::<Attempt>(text).unwrap(), attempt(7));
        let costs = Attempt { input_tokens: Some(3), cost: Some(Money::from_nanos(1500)), ..attempt(7) };
        let text = serde_json::to_string(&costs).unwrap();
        assert!(text.ends_with(r#","input_tokens":3,"cost":1.5e-6}"#), "{text}");
        assert_eq!(serde_json::from_str::<Attempt>(&text).unwrap(), costs);
    }

    #[test]
    fn a_journal_is_bounded_and_keeps_both_ends() {
        let mut journal = Journal::default();
        for number in 0..1000 {
            journal.push(attempt(number));
        }
        let times: Vec<_> = journal.into_iter().map(|attempt| attempt.started_at.as_millis()).collect();
        assert_eq!((times.len(), times[0], times[49], times[99]), (100, 0, 49, 999));
    }
}
