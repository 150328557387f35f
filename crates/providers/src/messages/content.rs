//! Blocks of content, as messages and parts of chat.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::{AssistantMessage, Message, Part, ReasoningDetail, ToolCall};
use crate::literal::Literal;

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Option<Literal<'a>>,
    #[serde(borrow, default)]
    source: Option<Source<'a>>,
    #[serde(borrow, default)]
    title: Option<Literal<'a>>,
    #[serde(borrow, default)]
    context: Option<Literal<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Literal<'a>>,
    #[serde(borrow, default)]
    signature: Option<Literal<'a>>,
    /// Of what was thought and is redacted.
    #[serde(borrow, default)]
    data: Option<Literal<'a>>,
    #[serde(borrow, default)]
    id: Option<Literal<'a>>,
    #[serde(borrow, default)]
    name: Option<Literal<'a>>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    extra_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_use_id: Option<Literal<'a>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    is_error: Option<bool>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    media_type: Option<Literal<'a>>,
    #[serde(borrow, default)]
    data: Option<Literal<'a>>,
    #[serde(borrow, default)]
    url: Option<Literal<'a>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// Adds what a message says: several of chat's, where it has tools' results. None if chat has no such thing.
pub(super) fn message<'a>(role: &str, content: &'a str, messages: &mut Vec<Message<'a>>) -> Option<()> {
    if role == "system" {
        messages.push(Message::System(parts(content)?));
        return Some(());
    }
    let blocks = blocks(content)?;
    if role == "assistant" {
        let mut said = AssistantMessage::default();
        for block in blocks {
            block.said(&mut said)?;
        }
        messages.push(Message::Assistant(said));
        return Some(());
    }
    let mut parts = Vec::new();
    for block in blocks {
        if block.kind == "tool_result" {
            // What was said before it keeps its place.
            if !parts.is_empty() {
                messages.push(Message::User(std::mem::take(&mut parts)));
            }
            messages.push(block.result()?);
        } else {
            block.part(&mut parts)?;
        }
    }
    if !parts.is_empty() {
        messages.push(Message::User(parts));
    }
    Some(())
}

/// The parts that a text or a list of blocks is.
pub(super) fn parts(json: &str) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    for block in blocks(json)? {
        block.part(&mut parts)?;
    }
    Some(parts)
}

fn blocks(json: &str) -> Option<Vec<Block<'_>>> {
    match Literal::from_json(json) {
        Some(text) => Some(vec![Block::of(text)]),
        None => serde_json::from_str(json).ok(),
    }
}

impl<'a> Block<'a> {
    fn of(text: Literal<'a>) -> Self {
        Self {
            kind: Cow::Borrowed("text"),
            text: Some(text),
            source: None,
            title: None,
            context: None,
            thinking: None,
            signature: None,
            data: None,
            id: None,
            name: None,
            input: None,
            extra_content: None,
            tool_use_id: None,
            content: None,
            is_error: None,
        }
    }

    /// Adds it to a turn of the assistant's.
    fn said(self, said: &mut AssistantMessage<'a>) -> Option<()> {
        match self.kind.as_ref() {
            "thinking" => said.reasoning.push(ReasoningDetail::Text {
                text: self.thinking?,
                signature: self.signature.filter(|signature| !signature.is_empty()),
            }),
            "redacted_thinking" => {
                said.reasoning.push(ReasoningDetail::Encrypted { data: self.data?, id: None });
            }
            "tool_use" => said.tool_calls.push(ToolCall {
                id: self.id?,
                name: self.name?,
                arguments: Literal::of(self.input?.get()),
                extra_content: self.extra_content.map(|extra| Cow::Borrowed(extra.get())),
            }),
            _ => {
                let extra_content = self.extra_content.map(|extra| Cow::Borrowed(extra.get()));
                said.extra_content = extra_content.or(said.extra_content.take());
                self.part(&mut said.parts)?;
            }
        }
        Some(())
    }

    fn result(self) -> Option<Message<'a>> {
        let parts = match self.content.map(RawValue::get) {
            None | Some("null") => Vec::new(),
            Some(content) => parts(content)?,
        };
        let is_error = self.is_error.unwrap_or_default();
        Some(Message::Tool { call_id: self.tool_use_id?, parts, is_error })
    }

    /// Adds it to what is said. A document that is a text is one.
    fn part(self, parts: &mut Vec<Part<'a>>) -> Option<()> {
        match (self.kind.as_ref(), self.source) {
            ("text", _) => parts.push(Part::Text(self.text?)),
            ("image", Some(source)) => parts.push(Part::Image { url: source.address()?, detail: None }),
            ("document", Some(source)) => match source.kind.as_ref() {
                "base64" => {
                    let data = Some(source.address()?);
                    parts.extend(self.context.map(Part::Text));
                    parts.push(Part::File { data, url: None, id: None, name: self.title });
                }
                "url" => {
                    parts.extend(self.context.map(Part::Text));
                    parts.push(Part::File { data: None, url: source.url, id: None, name: self.title });
                }
                "text" | "content" => {
                    parts.extend([self.title, self.context].into_iter().flatten().map(Part::Text));
                    match source.content {
                        Some(content) => parts.append(&mut self::parts(content.get())?),
                        None => parts.push(Part::Text(source.data?)),
                    }
                }
                _ => return None,
            },
            _ => return None,
        }
        Some(())
    }
}

impl<'a> Source<'a> {
    /// Its URL, of `data:` where it is here.
    fn address(&self) -> Option<Literal<'a>> {
        match self.kind.as_ref() {
            "base64" => {
                let (head, middle) = (Literal::of("data:"), Literal::of(";base64,"));
                Some(Literal::concat([&head, self.media_type.as_ref()?, &middle, self.data.as_ref()?]))
            }
            "url" => self.url.clone(),
            _ => None,
        }
    }
}
