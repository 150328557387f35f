use crate::chat::{ChatReply, Finish, Usage, made_up_id, now};
use crate::literal::Literal;

/// More bytes than a choice has besides its text, in the result that is composed.
const AROUND_A_CHOICE: usize = 128;

/// The `text_completion` that the replies make together; none if it would be longer than `limit` bytes. Before the texts
/// of each reply stands what `echo` gives for its number: a JSON string.
pub(super) fn compose<'a>(
    model: &str,
    replies: &[ChatReply],
    echo: impl Fn(usize) -> Option<&'a str>,
    limit: usize,
) -> Option<String> {
    let first = replies.first();
    let id = made_up_id("cmpl-", first.and_then(|reply| reply.id.as_deref()));
    let created = first.and_then(|reply| reply.created).unwrap_or_else(now);
    let model = first.and_then(|reply| reply.model.as_deref()).unwrap_or(model);
    let mut out = format!(
        "{{\"id\":{},\"object\":\"text_completion\",\"created\":{created},\"model\":{},\"choices\":[",
        Literal::of(&id).as_json(),
        Literal::of(model).as_json()
    );
    let mut index = 0_u64;
    for (number, reply) in replies.iter().enumerate() {
        let echoed = echo(number).and_then(Literal::from_json);
        let echoed = echoed.as_ref().map_or("", Literal::inner);
        for choice in &reply.choices {
            let comma = if index == 0 { "" } else { "," };
            let text = choice.content.as_ref().map_or("", Literal::inner);
            if out.len() + echoed.len() + text.len() + AROUND_A_CHOICE > limit {
                return None;
            }
            // Whoever wants to call a tool has stopped writing.
            let finish = match choice.finish {
                Some(Finish::ToolCalls) => "\"stop\"".to_owned(),
                Some(finish) => format!("\"{}\"", finish.as_str()),
                None => "null".to_owned(),
            };
            out.push_str(comma);
            out.push_str("{\"text\":\"");
            out.push_str(echoed);
            out.push_str(text);
            out.push_str(&format!("\",\"index\":{index},\"logprobs\":null,\"finish_reason\":{finish}}}"));
            index += 1;
        }
    }
    out.push(']');
    if let Some(usage) = Usage::sum(replies.iter().map(|reply| reply.usage)) {
        let Usage { prompt_tokens, completion_tokens, total_tokens, .. } = usage;
        out.push_str(&format!(
            ",\"usage\":{{\"prompt_tokens\":{prompt_tokens},\"completion_tokens\":{completion_tokens},\"total_tokens\":{total_tokens}}}"
        ));
    }
    out.push('}');
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::ChatChoice;

    fn choice(text: &str, finish: Option<Finish>) -> ChatChoice {
        ChatChoice { content: Some(Literal::of(text)), finish, ..ChatChoice::default() }
    }

    #[test]
    fn a_completion_has_openais_shape() {
        let reply = ChatReply {
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
            serde_json::from_str(&compose("ours", &[ChatReply::default()], |_| None, usize::MAX).unwrap())
                .unwrap();
        assert_eq!((&done["model"], &done["choices"]), (&"ours".into(), &serde_json::json!([])));
        assert!(
            done["id"].as_str().unwrap().len() == "cmpl-".len() + 16 && done["created"].as_u64() > Some(1)
        );
        assert!(done.get("usage").is_none());
    }

    #[test]
    fn a_result_over_the_limit_is_not_put_together() {
        let reply = ChatReply {
            choices: vec![choice(&"x".repeat(100), None), choice(&"x".repeat(100), None)],
            ..ChatReply::default()
        };
        let prompt = format!("\"{}\"", "p".repeat(1000));
        let done = |limit| compose("m", std::slice::from_ref(&reply), |_| Some(&prompt), limit);
        let whole = done(10_000).unwrap().len();
        assert!((2200..2600).contains(&whole), "{whole}");
        assert!(done(2200).is_none() && done(0).is_none());
    }
}
