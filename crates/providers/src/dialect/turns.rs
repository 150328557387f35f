//! What dialects share whose messages are blocks, in turns of two sides.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use hermod_types::Document;

use super::Unsendable;
use crate::chat::{AssistantMessage, ChatRequest, Message, Part, ReasoningDetail, ToolCall};
use crate::literal::{Literal, data_url};

/// How reasoning is marked that Anthropic has signed: `OpenRouter`'s word.
/// <https://openrouter.ai/docs/use-cases/reasoning-tokens#preserving-reasoning-blocks>
pub(crate) const CLAUDE_REASONING: &str = "anthropic-claude-v1";
/// The same for what came from Bedrock, whose encrypted blocks nobody else can read.
pub(crate) const BEDROCK_REASONING: &str = "amazon-bedrock";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The user's, and what tools have given.
    User,
    Assistant,
}

impl Side {
    fn of(message: &Message<'_>) -> Self {
        match message {
            Message::Assistant(_) => Self::Assistant,
            Message::System(_) | Message::User(_) | Message::Tool { .. } => Self::User,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// Shows `write` each turn: neighbours of one side. What says nothing is left out, and so is what the system says.
pub(super) fn each_turn(
    messages: &[Message<'_>],
    mut write: impl FnMut(Side, &[&Message<'_>]) -> Result<(), Unsendable>,
) -> Result<(), Unsendable> {
    let spoken: Vec<&Message<'_>> = messages.iter().filter(|message| says_something(message)).collect();
    for turn in spoken.chunk_by(|one, next| Side::of(one) == Side::of(next)) {
        let side = turn.first().map_or(Side::User, |message| Side::of(message));
        // Results of tools must come before anything else.
        if turn.iter().skip_while(|message| is_result(message)).any(|message| is_result(message)) {
            let mut sorted = turn.to_vec();
            sorted.sort_by_key(|message| !is_result(message));
            write(side, &sorted)?;
        } else {
            write(side, turn)?;
        }
    }
    Ok(())
}

const fn is_result(message: &Message<'_>) -> bool {
    matches!(message, Message::Tool { .. })
}

fn says_something(message: &Message<'_>) -> bool {
    match message {
        Message::System(_) => false,
        Message::User(_) | Message::Tool { .. } => true,
        Message::Assistant(said) => {
            !said.tool_calls.is_empty()
                || said.refusal.as_ref().is_some_and(|refusal| !refusal.is_empty())
                || said.parts.iter().any(|part| !is_empty(part))
        }
    }
}

/// A text of nothing, which providers refuse.
pub(super) fn is_empty(part: &Part<'_>) -> bool {
    matches!(part, Part::Text(text) if text.is_empty())
}

/// The texts that the system says, in all messages of it.
pub(super) fn system<'m, 'a>(messages: &'m [Message<'a>]) -> impl Iterator<Item = &'m Part<'a>> {
    let messages = messages.iter().filter(|message| matches!(message, Message::System(_)));
    messages.flat_map(Message::parts).filter(|part| matches!(part, Part::Text(text) if !text.is_empty()))
}

/// The `cache_control` of the parts up to which the prompt is to be cached, by the place of each in memory.
pub(super) struct Cached<'a>(HashMap<usize, &'a str>);

impl<'a> Cached<'a> {
    pub(super) fn of(chat: &ChatRequest<'a>) -> Self {
        let controls = chat.cached.iter().filter_map(|cached| {
            let part = chat.messages.get(cached.message)?.parts().get(cached.part)?;
            Some((std::ptr::from_ref(part).addr(), cached.control))
        });
        Self(controls.collect())
    }

    /// None for a part that has none.
    pub(super) fn control(&self, part: &Part<'_>) -> Option<&'a str> {
        self.0.get(&std::ptr::from_ref(part).addr()).copied()
    }
}

/// What the assistant has refused with, where it said nothing else.
pub(super) fn lone_refusal<'m, 'a>(said: &'m AssistantMessage<'a>) -> Option<&'m Literal<'a>> {
    let is_silent = said.parts.iter().all(is_empty);
    said.refusal.as_ref().filter(|refusal| is_silent && !refusal.is_empty())
}

/// What the assistant has thought that is signed, or encrypted, so that it can be shown again. `reads` tells of each kind whether the
/// provider reads what came from there; none is where that is not known.
pub(super) fn thoughts<'m, 'a>(
    said: &'m AssistantMessage<'a>,
    reads_text: &[&str],
    reads_encrypted: &[&str],
) -> impl Iterator<Item = &'m ReasoningDetail<'a>> {
    let from = said.reasoning_format.as_deref();
    let (text, encrypted) = (
        from.is_none_or(|from| reads_text.contains(&from)),
        from.is_none_or(|from| reads_encrypted.contains(&from)),
    );
    said.reasoning.iter().filter(move |detail| match detail {
        ReasoningDetail::Text { signature, .. } => text && signature.is_some(),
        ReasoningDetail::Encrypted { .. } => encrypted,
        ReasoningDetail::Summary(_) => false,
    })
}

/// The calls of tools in the conversation.
fn calls<'m, 'a>(chat: &'m ChatRequest<'a>) -> impl Iterator<Item = &'m ToolCall<'a>> {
    let said = chat.messages.iter().filter_map(|message| match message {
        Message::Assistant(said) => Some(&said.tool_calls),
        Message::System(_) | Message::User(_) | Message::Tool { .. } => None,
    });
    said.flatten()
}

/// The names of the tools that were called, each once.
pub(super) fn called<'m>(chat: &'m ChatRequest<'_>) -> Vec<&'m str> {
    let mut seen = HashSet::new();
    calls(chat).map(|call| call.name.as_json()).filter(|name| seen.insert(*name)).collect()
}

/// The id of a tool call as a provider takes it that knows letters, digits, `_` and `-` only, and up to `most` of them. An id of another
/// form becomes the same other one wherever it stands.
pub(super) fn tool_id<'l>(id: &'l Literal<'_>, most: usize) -> Cow<'l, str> {
    let inner = id.inner();
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=most).contains(&inner.len()) && inner.bytes().all(is_known) {
        return Cow::Borrowed(id.as_json());
    }
    // FNV-1a: the same in every version of ours.
    let hash = id.decode().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Cow::Owned(format!("\"call_{hash:016x}\""))
}

/// A file's data: what it is, and its base64.
pub(super) struct FileData<'l> {
    pub(super) document: Document,
    whole: Cow<'l, str>,
}

impl<'l> FileData<'l> {
    /// Of `file_data`, which is a data URL or the base64 alone.
    pub(super) fn of(data: &'l Literal<'_>, name: Option<&Literal<'_>>) -> Option<Self> {
        let whole = data.decode();
        let media_type = data_url(&whole).map(|(media_type, _)| media_type);
        let name = name.map(Literal::decode);
        let document = Document::of(media_type, name.as_deref())?;
        Some(Self { document, whole })
    }

    pub(super) fn base64(&self) -> &str {
        data_url(&self.whole).map_or(&self.whole, |(_, data)| data)
    }
}

/// Writes the JSON pieces one behind the other.
pub(super) fn put(out: &mut String, pieces: &[&str]) {
    for piece in pieces {
        out.push_str(piece);
    }
}

/// Begins another element of the array that `out` ends in.
pub(super) fn element(out: &mut String) {
    if !out.ends_with('[') {
        out.push(',');
    }
}

/// Writes a JSON string. Most of what is written so is base64, with nothing to escape.
pub(super) fn put_string(out: &mut String, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\')) {
        put(out, &["\"", text, "\""]);
    } else {
        out.push_str(Literal::of(text).as_json());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_another_form_becomes_the_same_other_one() {
        for id in ["call_1", "toolu_01A-b", &"x".repeat(64)] {
            assert_eq!(tool_id(&Literal::of(id), 64), format!("\"{id}\""));
        }
        let long = "x".repeat(65);
        for id in ["", "call:1", "é", "a b", &long] {
            let literal = Literal::of(id);
            let theirs = tool_id(&literal, 64);
            assert_eq!((theirs.len(), &theirs), (23, &tool_id(&literal, 64)), "{id}");
            assert_ne!(theirs, tool_id(&Literal::of("other:1"), 64));
        }
        assert_eq!(tool_id(&Literal::of(&long), usize::MAX), format!("\"{long}\""));
        let escaped = Literal::from_json(r#""call\u003a1""#).unwrap();
        assert_eq!(tool_id(&escaped, 64), tool_id(&Literal::of("call:1"), 64));
    }

    #[test]
    fn nothing_breaks_out_of_a_string() {
        for text in ["AAAA/+==", "\"", "\\", "a\nb", "é"] {
            let mut out = String::new();
            put_string(&mut out, text);
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
