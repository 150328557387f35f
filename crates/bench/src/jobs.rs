use bytes::Bytes;
use hermod_types::{JobId, Operation};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

/// What every prompt begins with; a tag of the run and the job's number follow.
const MARK: &str = "hermod-bench ";
/// Digits of the tag, and of the number.
const TAG_DIGITS: usize = 8;
const NUMBER_DIGITS: usize = 10;
/// The shortest prompt that has room for both.
pub(crate) const SHORTEST_PROMPT: usize = MARK.len() + TAG_DIGITS + 1 + NUMBER_DIGITS;
/// How far into a request its mark is looked for: the model's name comes before it.
pub(crate) const MARK_WITHIN: usize = 512;

/// What a JSON request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    Completion,
    Chat,
    Speech,
}

impl Asks {
    pub(crate) fn operation(self) -> Operation {
        match self {
            Self::Completion => Operation::TextCompletion,
            Self::Chat => Operation::ChatCompletion,
            Self::Speech => Operation::Speech,
        }
    }

    /// What stands before the prompt, and behind it.
    fn around(self) -> (&'static str, &'static str) {
        match self {
            Self::Completion => ("\"prompt\":\"", "\""),
            Self::Chat => ("\"messages\":[{\"role\":\"user\",\"content\":\"", "\"}]"),
            Self::Speech => ("\"voice\":\"alloy\",\"input\":\"", "\""),
        }
    }
}

/// Makes the requests of one run, each with a number in its prompt.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    tag: String,
    asks: Asks,
    model: String,
    filler: String,
}

impl Requests {
    /// Text completions of `model`, as provider/model; prompts of `prompt_bytes`.
    pub(crate) fn new(model: &str, prompt_bytes: usize) -> Self {
        Self {
            tag: format!("{:08x}", fastrand::u32(..)),
            asks: Asks::Completion,
            model: serde_json::Value::from(model).to_string(),
            filler: " words".chars().cycle().take(prompt_bytes.saturating_sub(SHORTEST_PROMPT)).collect(),
        }
    }

    /// The same run's, for something else.
    pub(crate) fn asking(&self, asks: Asks, model: &str) -> Self {
        Self { asks, model: serde_json::Value::from(model).to_string(), ..self.clone() }
    }

    /// The body of a submit.
    pub(crate) fn body(&self, number: u64) -> Bytes {
        let (before, after) = self.asks.around();
        format!("{{\"model\":{},{before}{}{}{after}}}", self.model, self.mark(number), self.filler).into()
    }

    /// The same without the model: what the provider gets after it.
    pub(crate) fn members(&self, number: u64) -> String {
        let (before, after) = self.asks.around();
        format!("{{{before}{}{}{after}}}", self.mark(number), self.filler)
    }

    /// What a prompt begins with: it tells jobs apart.
    pub(crate) fn mark(&self, number: u64) -> String {
        format!("{MARK}{} {number:010}", self.tag)
    }

    /// The number in a request that a provider received; none if it is not of this run.
    pub(crate) fn number(&self, request: &[u8]) -> Option<u64> {
        let head = request.get(..request.len().min(MARK_WITHIN))?;
        let at = head.windows(MARK.len()).position(|window| window == MARK.as_bytes())? + MARK.len();
        let rest = request.get(at..)?.strip_prefix(self.tag.as_bytes())?.strip_prefix(b" ")?;
        std::str::from_utf8(rest.get(..NUMBER_DIGITS)?).ok()?.parse().ok()
    }
}

/// What a submit says beside its body.
#[derive(Clone, Debug, Default)]
pub(crate) enum Says {
    #[default]
    Nothing,
    /// An `Idempotency-Key` of its own.
    Key,
    /// That it is the first try of an SDK.
    FirstTry,
    /// The receiver that is to be told of the end.
    Webhook(&'static str),
}

impl Says {
    /// Adds it to the headers of the submit of this number.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap, requests: &Requests, number: u64) {
        let (name, value) = match self {
            Self::Nothing => return,
            Self::Key => {
                let key = requests.mark(number).replace(' ', "-");
                // Letters, digits and hyphens are always a value.
                let Ok(key) = HeaderValue::try_from(key) else { return };
                ("idempotency-key", key)
            }
            Self::FirstTry => ("x-stainless-retry-count", HeaderValue::from_static("0")),
            Self::Webhook(name) => ("x-bf-async-webhook", HeaderValue::from_static(name)),
        };
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// What is read of an answer of the API.
#[derive(Deserialize)]
pub(crate) struct Job<'a> {
    pub(crate) id: &'a str,
    /// pending, processing, completed or failed.
    pub(crate) status: &'a str,
    /// RFC 3339, in milliseconds.
    pub(crate) completed_at: Option<&'a str>,
}

impl<'a> Job<'a> {
    pub(crate) fn read(answer: &'a [u8]) -> Result<Self, String> {
        serde_json::from_slice(answer).map_err(|error| format!("the answer is no job: {error}"))
    }

    pub(crate) fn parsed_id(&self) -> Result<JobId, String> {
        self.id.parse().map_err(|_| "the answer's id is none".to_owned())
    }

    /// When it ended, in milliseconds since the Unix epoch.
    pub(crate) fn completed_ms(&self) -> Option<u64> {
        let format = &time::format_description::well_known::Rfc3339;
        let at = time::OffsetDateTime::parse(self.completed_at?, format).ok()?;
        u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_its_length_and_its_number() {
        let requests = Requests::new("bench/echo", 100);
        let body: serde_json::Value = serde_json::from_slice(&requests.body(4711)).unwrap();
        assert_eq!(body["prompt"].as_str().unwrap().len(), 100);
        assert_eq!(requests.number(&requests.body(4711)), Some(4711));
        assert_eq!(requests.number(requests.members(12).as_bytes()), Some(12));
        assert_eq!(Requests::new("a/b", 100).number(&requests.body(1)), None, "another run's");
        assert_eq!(requests.number(b"{\"prompt\":\"x\"}"), None);
        let chat = requests.asking(Asks::Chat, "a/b").body(5);
        assert_eq!(requests.number(&chat), Some(5));
        let chat: serde_json::Value = serde_json::from_slice(&chat).unwrap();
        assert_eq!(chat["messages"][0]["content"].as_str().unwrap().len(), 100);
    }

    #[test]
    fn each_submit_has_a_key_of_its_own() {
        let requests = Requests::new("bench/echo", 100);
        let headers = |says: &Says, number| {
            let mut headers = HeaderMap::new();
            says.add_to(&mut headers, &requests, number);
            headers
        };
        let key = |number| headers(&Says::Key, number)["idempotency-key"].clone();
        assert_ne!(key(1), key(2));
        assert_eq!((key(1), headers(&Says::Nothing, 1).len()), (key(1), 0));
        assert_eq!(headers(&Says::Webhook("plain"), 1)["x-bf-async-webhook"], "plain");
        assert_eq!(headers(&Says::FirstTry, 1)["x-stainless-retry-count"], "0");
    }

    #[test]
    fn the_end_of_a_job_is_read_in_milliseconds() {
        let job = Job::read(br#"{"id":"x","status":"completed","completed_at":"1970-01-01T00:00:01.250Z"}"#);
        assert_eq!(job.unwrap().completed_ms(), Some(1250));
    }
}
