//! Text completions over chat, prompt by prompt: a request is one call for each prompt (and, where the provider has no `n`, for each
//! choice), and the answers are put together as OpenAI's `text_completion` has them.
//!
//! What such a request cannot say has been refused before, by [`hermod_types::cannot_serve`].

mod compose;

use std::borrow::Cow;

use hermod_types::config::{Form, LARGEST_MAX_CALLS, ProviderKind};
use hermod_types::{Operation, RawObject};
use serde_json::value::RawValue;

use crate::answer::Answer;
use crate::chat::{Chat, ChatReply, ChatRequest, Message, Part};
use crate::dialect::{Ask, Outgoing, Unsendable};
use crate::literal::Literal;
use crate::plan::Plan;

/// A provider that continues a prompt in a form of its own.
pub(crate) trait Continue: Send + Sync {
    /// The request for one prompt. What stands in `chat` is all but the prompt.
    fn request(
        &self,
        ask: &Ask<'_>,
        prompt: &Literal<'_>,
        chat: &ChatRequest<'_>,
    ) -> Result<Outgoing, Unsendable>;

    /// Reads an answer.
    fn read(&self, answer: &str) -> Result<ChatReply, String>;
}

/// Whom the prompts are given to.
#[derive(Clone, Copy)]
pub(crate) enum Writer<'a> {
    /// Each as the user's one message.
    Chat(&'a dyn Chat),
    Continue(&'a dyn Continue),
}

pub(crate) struct CompletionPlan<'a> {
    writer: Writer<'a>,
    prompts: Vec<&'a RawValue>,
    n: u64,
    echo: bool,
    has_n: bool,
    /// The client's other members that have a value, less those that the kind lacks.
    members: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> CompletionPlan<'a> {
    /// Takes the client's body apart; none if it has no such form.
    pub(crate) fn new(body: &'a str, kind: ProviderKind, writer: Writer<'a>) -> Option<Self> {
        let Form::PerPrompt { lacks, has_n, .. } = kind.form() else { return None };
        let object: RawObject<'a> = serde_json::from_str(body).ok()?;
        let member = |wanted| object.get(wanted).filter(|value| value.get() != "null");
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
        let is_passed_on = |name: &str| !["prompt", "n", "echo"].contains(&name) && !lacks.contains(&name);
        let members = object.into_members().map(|(name, value)| (name, value.get()));
        let members = members.filter(|(name, value)| *value != "null" && is_passed_on(name)).collect();
        Some(Self { writer, prompts, n, echo, has_n, members })
    }

    /// Calls for one prompt.
    fn each(&self) -> usize {
        if self.has_n { 1 } else { usize::try_from(self.n).unwrap_or(usize::MAX) }
    }

    /// What is asked besides the prompt.
    fn rest(&self) -> ChatRequest<'a> {
        let mut chat =
            ChatRequest { n: (self.has_n && self.n > 1).then_some(self.n), ..ChatRequest::default() };
        for (name, value) in &self.members {
            match name.as_ref() {
                "max_tokens" => chat.max_tokens = Some(value),
                "stop" => chat.stop = Some(value),
                "user" => chat.user = Literal::from_json(value),
                _ => chat.members.push((name.clone(), value)),
            }
        }
        chat
    }
}

impl Plan for CompletionPlan<'_> {
    type Reply = ChatReply;

    fn sent_as(&self) -> Operation {
        match self.writer {
            Writer::Chat(_) => Operation::ChatCompletion,
            Writer::Continue(_) => Operation::TextCompletion,
        }
    }

    fn calls(&self) -> usize {
        self.prompts.len().saturating_mul(self.each())
    }

    fn request(&self, ask: &Ask<'_>, number: usize) -> Result<Outgoing, Unsendable> {
        let prompt = self.prompts.get(number / self.each().max(1)).map_or("\"\"", |prompt| prompt.get());
        let prompt = Literal::from_json(prompt).unwrap_or_else(|| Literal::of(""));
        let mut chat = self.rest();
        match self.writer {
            Writer::Chat(writer) => {
                chat.messages = vec![Message::User(vec![Part::Text(prompt)])];
                writer.request(ask, &chat)
            }
            Writer::Continue(writer) => writer.request(ask, &prompt, &chat),
        }
    }

    fn read(&self, _: usize, answer: &Answer) -> Result<ChatReply, String> {
        match self.writer {
            Writer::Chat(writer) => writer.read(answer.text()?),
            Writer::Continue(writer) => writer.read(answer.text()?),
        }
    }

    fn bytes(reply: &ChatReply) -> usize {
        reply.bytes()
    }

    fn compose(&self, ask: &Ask<'_>, replies: Vec<ChatReply>, limit: usize) -> Option<String> {
        let each = self.each().max(1);
        let echoed =
            |reply: usize| self.echo.then(|| self.prompts.get(reply / each).map(|prompt| prompt.get()));
        compose::compose(ask.model, &replies, |reply| echoed(reply).flatten(), limit)
    }

    fn least_bytes(&self) -> usize {
        if !self.echo {
            return 0;
        }
        let once: usize = self.prompts.iter().map(|prompt| prompt.get().len()).sum();
        once.saturating_mul(usize::try_from(self.n).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{ChatChoice, Finish, Usage};
    use crate::dialect::test_ask;

    struct Nobody;

    impl Continue for Nobody {
        fn request(&self, _: &Ask<'_>, _: &Literal<'_>, _: &ChatRequest<'_>) -> Result<Outgoing, Unsendable> {
            Err(Unsendable::Key)
        }

        fn read(&self, _: &str) -> Result<ChatReply, String> {
            Ok(ChatReply::default())
        }
    }

    fn plan(kind: ProviderKind, body: &str) -> Option<CompletionPlan<'_>> {
        CompletionPlan::new(body, kind, Writer::Continue(&Nobody))
    }

    #[test]
    fn calls_are_bounded_and_echoed_prompts_are_counted_before_any() {
        for (n, is_one) in [("65536", true), ("65537", false), ("18446744073709551615", false), ("-1", false)]
        {
            let body = format!(r#"{{"prompt":"a","n":{n}}}"#);
            for kind in [ProviderKind::Groq, ProviderKind::Xai] {
                assert_eq!(plan(kind, &body).is_some(), is_one, "{kind} {n}");
            }
        }
        let bytes = |body| plan(ProviderKind::Groq, body).unwrap().least_bytes();
        assert_eq!(bytes(r#"{"prompt":["ab","c"],"n":3,"echo":true}"#), 21);
        assert_eq!(bytes(r#"{"prompt":["ab","c"],"n":3}"#), 0);
    }

    #[test]
    fn a_prompt_is_a_call_and_so_is_a_choice_where_there_is_no_n() {
        let body = r#"{"prompt":["a","b\u00e9"],"n":2}"#;
        let calls = |kind, body| {
            let plan = plan(kind, body).unwrap();
            (plan.calls(), plan.rest().n)
        };
        assert_eq!(calls(ProviderKind::Xai, body), (2, Some(2)));
        assert_eq!(calls(ProviderKind::Groq, body), (4, None));
        assert_eq!(calls(ProviderKind::Groq, r#"{"prompt":"a","n":null}"#), (1, None));
    }

    #[test]
    fn what_is_ours_what_it_lacks_and_nulls_are_left_out() {
        let body =
            r#"{"prompt":"a","n":1,"echo":true,"suffix":"","stop":null,"top_k":5,"user":"u","seed":1.0}"#;
        let rest = plan(ProviderKind::Groq, body).unwrap().rest();
        let left: Vec<_> = rest.members.iter().map(|(name, value)| (name.as_ref(), *value)).collect();
        assert_eq!(left, [("top_k", "5"), ("seed", "1.0")]);
        assert_eq!((rest.stop, rest.user), (None, Some(Literal::of("u"))));
    }

    #[test]
    fn choices_are_numbered_by_prompt_and_usage_is_summed() {
        let plan = plan(ProviderKind::Groq, r#"{"prompt":["a","b"],"n":2,"echo":true}"#).unwrap();
        let reply = |number: usize| ChatReply {
            choices: vec![ChatChoice {
                content: Some(Literal::of(&format!("-{number}"))),
                finish: Some(Finish::Stop),
                ..ChatChoice::default()
            }],
            usage: Some(Usage::of(1, 2)),
            ..ChatReply::default()
        };
        let done = plan.compose(&test_ask("m"), (0..4).map(reply).collect(), usize::MAX).unwrap();
        let done: serde_json::Value = serde_json::from_str(&done).unwrap();
        let of = |member: &str| -> Vec<serde_json::Value> {
            done["choices"].as_array().unwrap().iter().map(|choice| choice[member].clone()).collect()
        };
        assert_eq!(of("text"), ["a-0", "a-1", "b-2", "b-3"]);
        assert_eq!(of("index"), [0, 1, 2, 3]);
        assert_eq!(done["usage"]["total_tokens"], 12);
    }
}
