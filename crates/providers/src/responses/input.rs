//! The items of `input`, as messages of chat.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::{AssistantMessage, Message, Part, ReasoningDetail, ToolCall};
use crate::literal::Literal;

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<Literal<'a>>,
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    call_id: Option<Literal<'a>>,
    #[serde(borrow, default)]
    name: Option<Literal<'a>>,
    #[serde(borrow, default)]
    arguments: Option<Literal<'a>>,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
    #[serde(borrow, default)]
    summary: Option<Vec<Said<'a>>>,
    #[serde(borrow, default)]
    encrypted_content: Option<Literal<'a>>,
    #[serde(borrow, default)]
    extra_content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    text: Literal<'a>,
}

#[derive(Deserialize)]
struct WirePart<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Option<Literal<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Literal<'a>>,
    #[serde(borrow, default)]
    image_url: Option<Literal<'a>>,
    #[serde(borrow, default)]
    detail: Option<Literal<'a>>,
    #[serde(borrow, default)]
    input_audio: Option<Audio<'a>>,
    #[serde(borrow, default)]
    file_data: Option<Literal<'a>>,
    #[serde(borrow, default)]
    file_url: Option<Literal<'a>>,
    #[serde(borrow, default)]
    filename: Option<Literal<'a>>,
}

#[derive(Deserialize)]
struct Audio<'a> {
    #[serde(borrow)]
    data: Literal<'a>,
    #[serde(borrow)]
    format: Literal<'a>,
}

/// The messages that `input` is; none if it has what chat has not.
pub(super) fn messages(json: &str) -> Option<Vec<Message<'_>>> {
    if let Some(text) = Literal::from_json(json) {
        return Some(vec![Message::User(vec![Part::Text(text)])]);
    }
    let items: Vec<Item<'_>> = serde_json::from_str(json).ok()?;
    let mut history = History { messages: Vec::with_capacity(items.len()), turn: None };
    for item in items {
        item.read(&mut history)?;
    }
    history.end_turn();
    Some(history.messages)
}

/// Messages, and the turn of the assistant's that is not among them yet.
///
/// Its items that stand together are one message: chat has tool calls, and what was thought and said before them, in one.
struct History<'a> {
    messages: Vec<Message<'a>>,
    turn: Option<AssistantMessage<'a>>,
}

impl<'a> History<'a> {
    fn push(&mut self, message: Message<'a>) {
        self.end_turn();
        self.messages.push(message);
    }

    fn end_turn(&mut self) {
        self.messages.extend(self.turn.take().map(Message::Assistant));
    }

    /// The message that what is called belongs to.
    fn turn(&mut self) -> &mut AssistantMessage<'a> {
        self.turn.get_or_insert_default()
    }

    /// The message that what is thought or said belongs to: the next, if this one has said something and calls nothing.
    fn turn_to_speak(&mut self) -> &mut AssistantMessage<'a> {
        let has_spoken = |said: &AssistantMessage<'a>| !said.parts.is_empty() || said.refusal.is_some();
        if self.turn.as_ref().is_some_and(|said| said.tool_calls.is_empty() && has_spoken(said)) {
            self.end_turn();
        }
        self.turn()
    }
}

impl<'a> Item<'a> {
    fn read(self, history: &mut History<'a>) -> Option<()> {
        let extra_content = self.extra_content.map(|extra| Cow::Borrowed(extra.get()));
        match (self.kind.as_deref(), self.role.as_deref()) {
            (None | Some("message"), Some("assistant")) => {
                let content = content(self.content)?;
                let refusals = content.iter().filter_map(|part| part.refusal.as_ref());
                let refusal = Literal::concat(refusals);
                let parts = content.into_iter().filter(|part| part.refusal.is_none());
                let mut parts = parts.map(WirePart::read).collect::<Option<Vec<_>>>()?;
                let said = history.turn_to_speak();
                said.parts.append(&mut parts);
                said.extra_content = extra_content.or(said.extra_content.take());
                if !refusal.is_empty() {
                    said.refusal = Some(refusal);
                }
            }
            (None | Some("message"), Some(role)) => {
                let parts = parts(self.content)?;
                history.push(match role {
                    "system" | "developer" => Message::System(parts),
                    _ => Message::User(parts),
                });
            }
            (Some("function_call"), _) => history.turn().tool_calls.push(ToolCall {
                id: self.call_id?,
                name: self.name?,
                arguments: self.arguments.unwrap_or_else(|| Literal::of("")),
                extra_content,
            }),
            (Some("function_call_output"), _) => history.push(Message::Tool {
                call_id: self.call_id?,
                parts: parts(self.output)?,
                is_error: false,
            }),
            (Some("reasoning"), _) => {
                let detail = self.reasoning()?;
                history.turn_to_speak().reasoning.extend(detail);
            }
            _ => return None,
        }
        Some(())
    }

    /// What was thought: a text with what vouches for it, or what only the provider can read. The outer none is for what cannot be
    /// read.
    fn reasoning(self) -> Option<Option<ReasoningDetail<'a>>> {
        let mut said = self.summary.unwrap_or_default();
        if let Some(content) = self.content.map(RawValue::get).filter(|content| *content != "null") {
            said.append(&mut serde_json::from_str(content).ok()?);
        }
        let text = Literal::concat(said.iter().map(|said| &said.text));
        Some(match self.encrypted_content {
            Some(data) if said.is_empty() => {
                // Ids that begin so are made up by whoever wrote the response.
                let id = self.id.filter(|id| !id.inner().starts_with("rs_"));
                Some(ReasoningDetail::Encrypted { data, id })
            }
            None if text.is_empty() => None,
            signature => Some(ReasoningDetail::Text { text, signature }),
        })
    }
}

/// A text, or a list of parts.
fn content(json: Option<&RawValue>) -> Option<Vec<WirePart<'_>>> {
    match json.map(RawValue::get) {
        None | Some("null") => Some(Vec::new()),
        Some(json) => match Literal::from_json(json) {
            Some(text) => Some(vec![WirePart::of(text)]),
            None => serde_json::from_str(json).ok(),
        },
    }
}

fn parts(json: Option<&RawValue>) -> Option<Vec<Part<'_>>> {
    content(json)?.into_iter().map(WirePart::read).collect()
}

impl<'a> WirePart<'a> {
    fn of(text: Literal<'a>) -> Self {
        Self {
            kind: Cow::Borrowed("input_text"),
            text: Some(text),
            refusal: None,
            image_url: None,
            detail: None,
            input_audio: None,
            file_data: None,
            file_url: None,
            filename: None,
        }
    }

    /// None for what chat has not.
    fn read(self) -> Option<Part<'a>> {
        match self.kind.as_ref() {
            "input_text" | "output_text" | "text" => self.text.map(Part::Text),
            "refusal" => self.refusal.map(Part::Text),
            "input_image" => self.image_url.map(|url| Part::Image { url, detail: self.detail }),
            "input_audio" => {
                self.input_audio.map(|audio| Part::Audio { data: audio.data, format: audio.format })
            }
            "input_file" if self.file_data.is_some() || self.file_url.is_some() => {
                Some(Part::File { data: self.file_data, url: self.file_url, id: None, name: self.filename })
            }
            _ => None,
        }
    }
}
