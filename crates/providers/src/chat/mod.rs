//! Text completions from those that are asked prompt by prompt: a request is taken apart into one call for each
//! prompt (and, where the provider has no `n`, for each choice), and the answers are put together as OpenAI's
//! `text_completion` has them.
//!
//! What such a request cannot say has been refused before, by [`hermod_types::inexpressible`].

mod answered;
mod compose;
mod openai_form;

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use hermod_types::RawObject;
use hermod_types::config::{Form, Kind};
use serde_json::value::RawValue;

pub use answered::Answered;
pub(crate) use compose::{Choice, Finish, Reply, Usage, compose};
pub(crate) use openai_form::{open_chat, open_request, openai_reply, openai_request, push_member, stop_list};

/// Calls of one request under way at once, if the provider has slots for them.
pub(crate) const MOST_AT_ONCE: usize = 8;

/// Members that are read here and that no chat API is sent.
const OURS: [&str; 3] = ["prompt", "n", "echo"];

/// One prompt, and what else the client has asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn<'a> {
    /// The prompt: a JSON string, as the client wrote it.
    pub(crate) prompt: &'a str,
    /// How many choices to ask for at once; none for the one that is usual.
    pub(crate) n: Option<u64>,
    object: &'a RawObject<'a>,
}

impl<'a> Turn<'a> {
    /// The client's other members that have a value, less those that this kind lacks and those in `without`.
    pub(crate) fn members<'t>(
        &'t self,
        kind: Kind,
        without: &'t [&'t str],
    ) -> impl Iterator<Item = (&'t str, &'a RawValue)> {
        let lacks: &[&str] = match kind.form() {
            Form::PerPrompt { lacks, .. } => lacks,
            Form::Native => &[],
        };
        self.object.members().filter(move |(name, value)| {
            let left_out = OURS.contains(name) || lacks.contains(name) || without.contains(name);
            !left_out && value.get() != "null"
        })
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
    pub(crate) fn of(body: &'a str, kind: Kind) -> Option<Self> {
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
        let has_n = matches!(kind.form(), Form::PerPrompt { has_n: true, .. });
        Some(Self { object, prompts, n, echo, has_n })
    }

    /// The calls to make, in the order of the choices that they give.
    fn turns(&self) -> impl Iterator<Item = Turn<'_>> {
        let (times, n) = if self.has_n { (1, self.n) } else { (self.n, 1) };
        let n = (n > 1).then_some(n);
        let times = usize::try_from(times).unwrap_or(usize::MAX);
        self.prompts.iter().flat_map(move |prompt| {
            let turn = Turn { prompt: prompt.get(), n, object: &self.object };
            std::iter::repeat_n(turn, times)
        })
    }

    /// How many calls that is.
    pub(crate) fn calls(&self) -> usize {
        self.turns().count()
    }

    /// Asks for what is not `answered` yet, `at_once` calls at a time, and puts the answers together. After a failure
    /// nothing more is asked, and what is under way is waited for: it is paid for.
    ///
    /// # Errors
    /// That of the first call that failed.
    pub(crate) async fn run<'s, E>(
        &'s self,
        model: &str,
        at_once: usize,
        answered: &Answered,
        ask: impl Fn(Turn<'s>) -> BoxFuture<'s, Result<Reply, E>>,
    ) -> Result<String, E> {
        let failed = AtomicBool::new(false);
        let missing = self.turns().enumerate().filter(|(number, _)| !answered.has(*number));
        let calls = missing.map(|(number, turn)| (number, ask(turn))).map(async |(number, call)| {
            if failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let outcome = call.await;
            failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
            outcome.map(|reply| answered.put(number, reply))
        });
        let outcomes: Vec<Result<(), E>> =
            stream::iter(calls.collect::<Vec<_>>()).buffer_unordered(at_once.max(1)).collect().await;
        outcomes.into_iter().collect::<Result<(), E>>()?;
        let replies = answered.take();
        let each = if self.has_n { 1 } else { usize::try_from(self.n).unwrap_or(usize::MAX) };
        let echoed =
            |reply: usize| self.echo.then(|| self.prompts.get(reply / each).map(|prompt| prompt.get()));
        Ok(compose(model, &replies, |reply| echoed(reply).flatten()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::Mutex;

    use super::*;

    fn turns(kind: Kind, body: &str) -> Vec<(String, Option<u64>)> {
        let split = Split::of(body, kind).unwrap();
        assert_eq!(split.calls(), split.turns().count());
        split.turns().map(|turn| (turn.prompt.to_owned(), turn.n)).collect()
    }

    #[test]
    fn a_prompt_is_a_call_and_so_is_a_choice_where_there_is_no_n() {
        let body = r#"{"prompt":["a","b\u00e9"],"n":2}"#;
        let with_n = [(r#""a""#.to_owned(), Some(2)), (r#""b\u00e9""#.to_owned(), Some(2))];
        assert_eq!(turns(Kind::Xai, body), with_n);
        let groq = turns(Kind::Groq, body);
        assert_eq!(groq.len(), 4);
        assert!(groq.iter().all(|(_, n)| n.is_none()));
        assert_eq!((groq[1].0.as_str(), groq[2].0.as_str()), (r#""a""#, r#""b\u00e9""#));
        assert_eq!(turns(Kind::Groq, r#"{"prompt":"a","n":null}"#), [(r#""a""#.to_owned(), None)]);
    }

    #[test]
    fn what_is_ours_what_it_lacks_and_nulls_are_left_out() {
        let body =
            r#"{"prompt":"a","n":1,"echo":true,"suffix":"","stop":null,"top_k":5,"user":"u","seed":1.0}"#;
        let split = Split::of(body, Kind::Groq).unwrap();
        let turn = split.turns().next().unwrap();
        let left: Vec<_> =
            turn.members(Kind::Groq, &["user"]).map(|(name, value)| (name, value.get())).collect();
        assert_eq!(left, [("top_k", "5"), ("seed", "1.0")]);
    }

    #[tokio::test]
    async fn choices_are_numbered_by_prompt_and_usage_is_summed() {
        let body = r#"{"prompt":["a","b"],"n":2,"echo":true}"#;
        let split = Split::of(body, Kind::Groq).unwrap();
        let ask = |turn: Turn<'_>| {
            let text = format!("-{}", turn.prompt.trim_matches('"'));
            let reply = Reply {
                choices: vec![Choice { text, finish: Some(Finish::Stop) }],
                usage: Some(Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }),
                ..Reply::default()
            };
            Box::pin(ready(Ok::<_, &str>(reply))) as BoxFuture<'_, _>
        };
        let answered = Answered::default();
        let done = split.run("m", 3, &answered, ask).await.unwrap();
        let done: serde_json::Value = serde_json::from_str(&done).unwrap();
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
        let split = Split::of(r#"{"prompt":["a","b","c"]}"#, Kind::Groq).unwrap();
        let (answered, asked) = (Answered::default(), Mutex::new(Vec::new()));
        let ask = |fails: &'static str| {
            let asked = &asked;
            move |turn: Turn<'_>| {
                asked.lock().unwrap().push(turn.prompt.to_owned());
                let choices = vec![Choice { text: turn.prompt.to_owned(), finish: None }];
                let reply = Reply { choices, ..Reply::default() };
                Box::pin(ready(if turn.prompt == fails { Err("no") } else { Ok(reply) })) as BoxFuture<'_, _>
            }
        };
        assert_eq!(split.run("m", 3, &answered, ask(r#""b""#)).await, Err("no"));
        asked.lock().unwrap().clear();
        let done = split.run("m", 3, &answered, ask("none")).await.unwrap();
        assert_eq!(*asked.lock().unwrap(), [r#""b""#, r#""c""#], "after a failure nothing more is asked");
        let done: serde_json::Value = serde_json::from_str(&done).unwrap();
        assert_eq!(done["choices"][1]["text"], r#""b""#);
        assert_eq!(done["choices"].as_array().unwrap().len(), 3);
    }
}
