//! Text completions from those that are asked prompt by prompt: a request is taken apart into one call for each
//! prompt (and, where the provider has no `n`, for each choice), and the answers are put together as OpenAI's
//! `text_completion` has them.
//!
//! What such a request cannot say has been refused before, by [`hermod_types::inexpressible`].

mod compose;
mod openai_form;
mod replies;

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use hermod_types::RawObject;
use hermod_types::config::{Form, LARGEST_MAX_CALLS, ProviderKind};
use serde_json::value::RawValue;

pub(crate) use compose::{Choice, Finish, Reply, Usage, whole};
pub(crate) use openai_form::{openai_reply, openai_request, stop_list};
pub use replies::Replies;

/// Calls of one request under way at once, if the provider's concurrency has room for them.
pub(crate) const MOST_AT_ONCE: usize = 8;

/// One prompt, and what else the client has asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PromptCall<'a> {
    /// The prompt: a JSON string, as the client wrote it.
    pub(crate) prompt: &'a str,
    /// How many choices to ask for at once; none for the one that is usual.
    pub(crate) n: Option<u64>,
    object: &'a RawObject<'a>,
}

impl<'a> PromptCall<'a> {
    /// The client's members that have a value, as JSON text, less those that this kind lacks and those in `without`.
    pub(crate) fn members<'t>(
        &'t self,
        kind: ProviderKind,
        without: &'t [&'t str],
    ) -> impl Iterator<Item = (&'t str, &'a str)> {
        let lacks: &[&str] = match kind.form() {
            Form::PerPrompt { lacks, .. } => lacks,
            Form::Native => &[],
        };
        let members = self.object.members().map(|(name, value)| (name, value.get()));
        members
            .filter(move |(name, value)| *value != "null" && !lacks.contains(name) && !without.contains(name))
    }
}

/// A request, taken apart.
#[derive(Debug)]
pub(crate) struct Split<'a> {
    object: RawObject<'a>,
    prompts: Vec<&'a RawValue>,
    n: u64,
    echo: bool,
    has_n: bool,
}

impl<'a> Split<'a> {
    /// Takes the client's body apart; none if it has no such form.
    pub(crate) fn of(body: &'a str, kind: ProviderKind) -> Option<Self> {
        let object: RawObject<'a> = serde_json::from_str(body).ok()?;
        let member = |wanted| {
            let found = object.members().find(|(name, _)| *name == wanted).map(|(_, value)| value);
            found.filter(|value| value.get() != "null")
        };
        let prompt = member("prompt")?;
        let prompts = match prompt.get().as_bytes().first()? {
            b'[' => serde_json::from_str(prompt.get()).ok()?,
            _ => vec![prompt],
        };
        let n = member("n").map_or(Some(1), |n| n.get().parse().ok())?;
        let echo = member("echo").is_some_and(|echo| echo.get() == "true");
        // How many are allowed was checked before; this bounds what no setting allows.
        let calls = u64::try_from(prompts.len()).ok()?.checked_mul(n)?;
        if calls > LARGEST_MAX_CALLS {
            return None;
        }
        let has_n = matches!(kind.form(), Form::PerPrompt { has_n: true, .. });
        Some(Self { object, prompts, n, echo, has_n })
    }

    /// The calls to make, in the order of the choices that they give.
    fn prompt_calls(&self) -> impl Iterator<Item = PromptCall<'_>> {
        let (times, n) = if self.has_n { (1, self.n) } else { (self.n, 1) };
        let n = (n > 1).then_some(n);
        let times = usize::try_from(times).unwrap_or(usize::MAX);
        self.prompts.iter().flat_map(move |prompt| {
            let call = PromptCall { prompt: prompt.get(), n, object: &self.object };
            std::iter::repeat_n(call, times)
        })
    }

    /// How many calls that is.
    pub(crate) fn calls(&self) -> usize {
        self.prompt_calls().count()
    }

    /// Bytes that the echoed prompts alone have in the result.
    pub(crate) fn echoed_bytes(&self) -> usize {
        if !self.echo {
            return 0;
        }
        let once: usize = self.prompts.iter().map(|prompt| prompt.get().len()).sum();
        once.saturating_mul(usize::try_from(self.n).unwrap_or(usize::MAX))
    }

    /// Asks for what is not in `replies` yet, `at_once` calls at a time. After a failure nothing more is asked, and what is
    /// under way is waited for: it is paid for.
    ///
    /// # Errors
    /// That of the first call that failed.
    pub(crate) async fn run<'s, E>(
        &'s self,
        at_once: usize,
        replies: &Replies,
        ask: impl Fn(PromptCall<'s>) -> BoxFuture<'s, Result<Reply, E>>,
    ) -> Result<(), E> {
        let failed = AtomicBool::new(false);
        let missing = self.prompt_calls().enumerate().filter(|(number, _)| !replies.has(*number));
        let calls = missing.map(|(number, call)| (number, ask(call))).map(async |(number, call)| {
            if failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let outcome = call.await;
            failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
            outcome.map(|reply| replies.put(number, reply))
        });
        let outcomes: Vec<Result<(), E>> =
            stream::iter(calls.collect::<Vec<_>>()).buffer_unordered(at_once.max(1)).collect().await;
        outcomes.into_iter().collect()
    }

    /// The `text_completion` that the replies make together; none if it would be longer than `limit` bytes.
    pub(crate) fn compose(&self, model: &str, replies: &[Reply], limit: usize) -> Option<String> {
        let each = if self.has_n { 1 } else { usize::try_from(self.n).unwrap_or(usize::MAX) };
        let echoed =
            |reply: usize| self.echo.then(|| self.prompts.get(reply / each).map(|prompt| prompt.get()));
        compose::compose(model, replies, |reply| echoed(reply).flatten(), limit)
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::Mutex;

    use super::*;

    fn calls(kind: ProviderKind, body: &str) -> Vec<(String, Option<u64>)> {
        let split = Split::of(body, kind).unwrap();
        split.prompt_calls().map(|call| (call.prompt.to_owned(), call.n)).collect()
    }

    fn composed(split: &Split<'_>, replies: &Replies) -> serde_json::Value {
        let done = split.compose("m", &replies.take(), usize::MAX).unwrap();
        serde_json::from_str(&done).unwrap()
    }

    #[test]
    fn calls_are_bounded_and_echoed_prompts_are_counted_before_any() {
        for (n, is_one) in [("65536", true), ("65537", false), ("18446744073709551615", false), ("-1", false)]
        {
            let body = format!(r#"{{"prompt":"a","n":{n}}}"#);
            for kind in [ProviderKind::Groq, ProviderKind::Xai] {
                assert_eq!(Split::of(&body, kind).is_some(), is_one, "{kind} {n}");
            }
        }
        let bytes = |body| Split::of(body, ProviderKind::Groq).unwrap().echoed_bytes();
        assert_eq!(bytes(r#"{"prompt":["ab","c"],"n":3,"echo":true}"#), 21);
        assert_eq!(bytes(r#"{"prompt":["ab","c"],"n":3}"#), 0);
    }

    #[test]
    fn a_prompt_is_a_call_and_so_is_a_choice_where_there_is_no_n() {
        let body = r#"{"prompt":["a","b\u00e9"],"n":2}"#;
        let with_n = [(r#""a""#.to_owned(), Some(2)), (r#""b\u00e9""#.to_owned(), Some(2))];
        assert_eq!(calls(ProviderKind::Xai, body), with_n);
        let groq = calls(ProviderKind::Groq, body);
        assert_eq!(groq.len(), 4);
        assert!(groq.iter().all(|(_, n)| n.is_none()));
        assert_eq!((groq[1].0.as_str(), groq[2].0.as_str()), (r#""a""#, r#""b\u00e9""#));
        assert_eq!(calls(ProviderKind::Groq, r#"{"prompt":"a","n":null}"#), [(r#""a""#.to_owned(), None)]);
    }

    #[test]
    fn what_is_ours_what_it_lacks_and_nulls_are_left_out() {
        let body =
            r#"{"prompt":"a","n":1,"echo":true,"suffix":"","stop":null,"top_k":5,"user":"u","seed":1.0}"#;
        let split = Split::of(body, ProviderKind::Groq).unwrap();
        let call = split.prompt_calls().next().unwrap();
        let left: Vec<_> = call.members(ProviderKind::Groq, &["user", "prompt", "n", "echo"]).collect();
        assert_eq!(left, [("top_k", "5"), ("seed", "1.0")]);
    }

    #[tokio::test]
    async fn choices_are_numbered_by_prompt_and_usage_is_summed() {
        let body = r#"{"prompt":["a","b"],"n":2,"echo":true}"#;
        let split = Split::of(body, ProviderKind::Groq).unwrap();
        let ask = |call: PromptCall<'_>| {
            let text = format!("-{}", call.prompt.trim_matches('"'));
            let reply = Reply {
                choices: vec![Choice { text, finish: Some(Finish::Stop) }],
                usage: Some(Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }),
                ..Reply::default()
            };
            Box::pin(ready(Ok::<_, &str>(reply))) as BoxFuture<'_, _>
        };
        let replies = Replies::default();
        split.run(3, &replies, ask).await.unwrap();
        let done = composed(&split, &replies);
        let texts: Vec<_> =
            done["choices"].as_array().unwrap().iter().map(|c| c["text"].as_str().unwrap()).collect();
        assert_eq!(texts, ["a-a", "a-a", "b-b", "b-b"]);
        let indices: Vec<_> =
            done["choices"].as_array().unwrap().iter().map(|c| c["index"].as_u64().unwrap()).collect();
        assert_eq!(indices, [0, 1, 2, 3]);
        assert_eq!(done["usage"]["total_tokens"], 12);
    }

    #[tokio::test]
    async fn what_was_answered_is_not_asked_again() {
        let split = Split::of(r#"{"prompt":["a","b","c"]}"#, ProviderKind::Groq).unwrap();
        let (replies, asked) = (Replies::default(), Mutex::new(Vec::new()));
        let ask = |fails: &'static str| {
            let asked = &asked;
            move |call: PromptCall<'_>| {
                asked.lock().unwrap().push(call.prompt.to_owned());
                let choices = vec![Choice { text: call.prompt.to_owned(), finish: None }];
                let reply = Reply { choices, ..Reply::default() };
                Box::pin(ready(if call.prompt == fails { Err("no") } else { Ok(reply) })) as BoxFuture<'_, _>
            }
        };
        assert_eq!(split.run(3, &replies, ask(r#""b""#)).await, Err("no"));
        asked.lock().unwrap().clear();
        split.run(3, &replies, ask("none")).await.unwrap();
        assert_eq!(*asked.lock().unwrap(), [r#""b""#, r#""c""#], "after a failure nothing more is asked");
        let done = composed(&split, &replies);
        assert_eq!(done["choices"][1]["text"], r#""b""#);
        assert_eq!(done["choices"].as_array().unwrap().len(), 3);
    }
}
