use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// More bytes than a choice has besides its text, in the result that is composed.
const AROUND_A_CHOICE: usize = 128;

/// What one call has answered.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) id: Option<String>,
    /// When it was made, in seconds since 1970.
    pub(crate) created: Option<u64>,
    /// By the provider's name.
    pub(crate) model: Option<String>,
    /// As many as were asked for.
    pub(crate) choices: Vec<Choice>,
    pub(crate) usage: Option<Usage>,
}

/// One completion.
#[derive(Debug)]
pub(crate) struct Choice {
    /// It may be empty.
    pub(crate) text: String,
    pub(crate) finish: Option<Finish>,
}

/// Why a completion ended, in OpenAI's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Finish {
    /// The model had no more to say, or came to a stop sequence.
    Stop,
    /// It was cut off at the limit of tokens.
    Length,
    /// It was withheld.
    ContentFilter,
}

impl Finish {
    /// Reads the word of an API in OpenAI's form. A model that wants to call a tool has stopped writing.
    pub(crate) fn from_word(word: &str) -> Self {
        match word {
            "length" | "model_length" | "max_tokens" => Self::Length,
            "content_filter" => Self::ContentFilter,
            _ => Self::Stop,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    pub(crate) total_tokens: u64,
}

impl Usage {
    /// From a provider that counts what came in and what went out.
    pub(crate) fn of(prompt_tokens: u64, completion_tokens: u64) -> Self {
        let total_tokens = prompt_tokens.saturating_add(completion_tokens);
        Self { prompt_tokens, completion_tokens, total_tokens }
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
        self.total_tokens = self.total_tokens.saturating_add(other.total_tokens);
    }
}

/// The `text_completion` that the replies make together; none if it would be longer than `limit` bytes. Before the texts
/// of each reply stands what `echo` gives for its number: a JSON string.
pub(super) fn compose<'a>(
    model: &str,
    replies: &[Reply],
    echo: impl Fn(usize) -> Option<&'a str>,
    limit: usize,
) -> Option<String> {
    let first = replies.first();
    let id = first.and_then(|reply| reply.id.as_deref()).filter(|id| !id.is_empty());
    let id = id.map_or_else(|| format!("{:016x}", fastrand::u64(..)), |id| bare(id).to_owned());
    let created = first.and_then(|reply| reply.created).unwrap_or_else(now);
    let model = first.and_then(|reply| reply.model.as_deref()).unwrap_or(model);
    let mut out = format!(
        "{{\"id\":{},\"object\":\"text_completion\",\"created\":{created},\"model\":{},\"choices\":[",
        json(&format!("cmpl-{id}")),
        json(model)
    );
    let mut index = 0_u64;
    for (number, reply) in replies.iter().enumerate() {
        let echoed = echo(number).and_then(|prompt| prompt.strip_suffix('"')).unwrap_or("\"");
        for choice in &reply.choices {
            let comma = if index == 0 { "" } else { "," };
            let text = json(&choice.text);
            // Both are JSON strings: one without its last quote, the other without its first.
            let text = text.strip_prefix('"').unwrap_or("\"");
            let finish = serde_json::to_string(&choice.finish).unwrap_or_default();
            if out.len() + echoed.len() + text.len() + AROUND_A_CHOICE > limit {
                return None;
            }
            out.push_str(comma);
            out.push_str("{\"text\":");
            out.push_str(echoed);
            out.push_str(text);
            out.push_str(&format!(",\"index\":{index},\"logprobs\":null,\"finish_reason\":{finish}}}"));
            index += 1;
        }
    }
    out.push(']');
    if replies.iter().any(|reply| reply.usage.is_some()) {
        let mut sum = Usage::default();
        replies.iter().filter_map(|reply| reply.usage).for_each(|usage| sum += usage);
        out.push_str(&format!(",\"usage\":{}", serde_json::to_string(&sum).unwrap_or_default()));
    }
    out.push('}');
    Some(out)
}

/// A count or a time that an API may write as any number. What is below 0 is 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the fraction is dropped on purpose, and `as` keeps what does not fit at the nearest bound"
)]
pub(crate) const fn whole(number: f64) -> u64 {
    number as u64
}

/// A provider's id without the prefix that tells what it is of.
fn bare(id: &str) -> &str {
    ["chatcmpl-", "cmpl-"].into_iter().find_map(|prefix| id.strip_prefix(prefix)).unwrap_or(id)
}

/// Writing a str to memory has no way to fail.
fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_has_openais_shape() {
        let choice = |text: &str, finish| Choice { text: text.to_owned(), finish };
        let reply = Reply {
            id: Some("chatcmpl-1".to_owned()),
            created: Some(7),
            model: Some("theirs".to_owned()),
            choices: vec![choice("a\"\n", Some(Finish::ContentFilter)), choice("", None)],
            usage: None,
        };
        assert_eq!(
            compose("ours", &[reply], |_| Some(r#""say \u00e9:""#), usize::MAX).unwrap(),
            r#"{"id":"cmpl-1","object":"text_completion","created":7,"model":"theirs","choices":[{"text":"say \u00e9:a\"\n","index":0,"logprobs":null,"finish_reason":"content_filter"},{"text":"say \u00e9:","index":1,"logprobs":null,"finish_reason":null}]}"#
        );
    }

    #[test]
    fn what_a_provider_does_not_say_is_made_up_for() {
        let done: serde_json::Value =
            serde_json::from_str(&compose("ours", &[Reply::default()], |_| None, usize::MAX).unwrap())
                .unwrap();
        assert_eq!((&done["model"], &done["choices"]), (&"ours".into(), &serde_json::json!([])));
        assert!(
            done["id"].as_str().unwrap().len() == "cmpl-".len() + 16 && done["created"].as_u64() > Some(1)
        );
        assert!(done.get("usage").is_none());
    }

    #[test]
    fn a_result_over_the_limit_is_not_put_together() {
        let choice = || Choice { text: "x".repeat(100), finish: None };
        let reply = Reply { choices: vec![choice(), choice()], ..Reply::default() };
        let prompt = format!("\"{}\"", "p".repeat(1000));
        let done = |limit| compose("m", std::slice::from_ref(&reply), |_| Some(&prompt), limit);
        let whole = done(10_000).unwrap().len();
        assert!((2200..2600).contains(&whole), "{whole}");
        assert!(done(2200).is_none() && done(0).is_none());
    }
}
