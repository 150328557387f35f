//! A conversation as `contents`: <https://ai.google.dev/api/caching#Content>
//!
//! Thoughts are not sent back: what a model wants to see again of them is in its signatures.

use std::borrow::Cow;
use std::collections::HashMap;

use hermod_types::{Document, RawObject, media_type_of};
use serde::Deserialize;

use super::Host;
use crate::chat::{AssistantMessage, ChatRequest, Message, Part, ToolCall};
use crate::dialect::Unsendable;
use crate::literal::{Literal, data_url};

/// Stands in for the signature of a call that no Gemini 3 has made, which would be refused without one:
/// <https://ai.google.dev/gemini-api/docs/thought-signatures>
const NO_SIGNATURE: &str = "\"skip_thought_signature_validator\"";

/// A conversation, as JSON.
pub(super) struct Conversation {
    /// Parts; none where nobody has instructed the model.
    pub(super) system: Option<String>,
    pub(super) contents: String,
}

/// # Errors
/// With the path of what cannot be said.
pub(super) fn conversation(
    host: Host,
    wants_signatures: bool,
    chat: &ChatRequest<'_>,
) -> Result<Conversation, Unsendable> {
    let mut writer = Writer {
        host,
        wants_signatures,
        contents: String::new(),
        calls: HashMap::new(),
        called: 0,
        results: Vec::new(),
    };
    let mut system = String::new();
    for (place, message) in chat.messages.iter().enumerate() {
        match message {
            Message::Tool { call_id, parts, is_error } => {
                writer.result(place, call_id, parts, *is_error)?;
                continue;
            }
            Message::System(parts) => write_texts(&mut system, place, parts)?,
            Message::User(parts) => {
                writer.finish_results();
                let parts = writer.parts(place, parts)?;
                writer.turn("user", &parts);
            }
            Message::Assistant(said) => {
                writer.finish_results();
                let parts = writer.said(place, said)?;
                writer.turn("model", &parts);
            }
        }
    }
    writer.finish_results();
    if writer.contents.is_empty() && !system.is_empty() {
        // It answers nothing but a turn of somebody.
        writer.turn("user", &std::mem::take(&mut system));
    }
    let system = (!system.is_empty()).then(|| format!("[{system}]"));
    Ok(Conversation { system, contents: format!("[{}]", writer.contents) })
}

struct Writer<'m> {
    host: Host,
    wants_signatures: bool,
    contents: String,
    /// The calls so far by id, each with its place and its name: the last of an id counts.
    calls: HashMap<Cow<'m, str>, (usize, &'m Literal<'m>)>,
    called: usize,
    /// Results that stand one behind the other, each with the place of its call: they are one turn, in the order of the calls.
    results: Vec<(usize, String)>,
}

impl<'m> Writer<'m> {
    fn turn(&mut self, role: &str, parts: &str) {
        if parts.is_empty() {
            return;
        }
        separate(&mut self.contents);
        self.contents.push_str(&format!("{{\"role\":\"{role}\",\"parts\":["));
        self.contents.push_str(parts);
        self.contents.push_str("]}");
    }

    fn parts(&self, message: usize, parts: &[Part<'_>]) -> Result<String, Unsendable> {
        let mut out = String::new();
        for (place, part) in parts.iter().enumerate() {
            // It refuses an empty text beside other parts.
            if !matches!(part, Part::Text(text) if text.is_empty() && parts.len() > 1) {
                separate(&mut out);
                write_part(&mut out, self.host, part, &format!("messages[{message}].content[{place}]"))?;
            }
        }
        Ok(out)
    }

    fn said(&mut self, message: usize, said: &'m AssistantMessage<'_>) -> Result<String, Unsendable> {
        let is_empty = |part: &Part<'_>| matches!(part, Part::Text(text) if text.is_empty());
        let mut out =
            if said.parts.iter().all(is_empty) { String::new() } else { self.parts(message, &said.parts)? };
        if let Some(refusal) = said.refusal.as_ref().filter(|refusal| !refusal.is_empty()) {
            separate(&mut out);
            out.push_str(&format!("{{\"text\":{}}}", refusal.as_json()));
        }
        if let Some(signature) = said.extra_content.as_deref().and_then(signature) {
            // It goes with the last text, whose part alone ends so.
            if !out.ends_with("\"}") {
                separate(&mut out);
                out.push_str("{\"text\":\"\"}");
            }
            out.pop();
            out.push_str(&format!(",\"thoughtSignature\":{}}}", signature.as_json()));
        }
        let signatures: Vec<_> =
            said.tool_calls.iter().map(|call| call.extra_content.as_deref().and_then(signature)).collect();
        let mut stand_in = self.wants_signatures && signatures.iter().all(Option::is_none);
        for (call, signature) in said.tool_calls.iter().zip(&signatures) {
            separate(&mut out);
            out.push_str(&self.call(call));
            let signature = match signature {
                Some(signature) => Some(signature.as_json()),
                None => std::mem::take(&mut stand_in).then_some(NO_SIGNATURE),
            };
            if let Some(signature) = signature {
                out.push_str(&format!(",\"thoughtSignature\":{signature}"));
            }
            out.push('}');
            self.calls.insert(call.id.decode(), (self.called, &call.name));
            self.called += 1;
        }
        Ok(out)
    }

    /// A part with a call, less its last brace.
    fn call(&self, call: &ToolCall<'_>) -> String {
        let (id, name, args) = (self.id(&call.id), call.name.as_json(), call.arguments_object());
        format!("{{\"functionCall\":{{{id}\"name\":{name},\"args\":{args}}}")
    }

    /// Vertex AI tells calls by their order.
    fn id(&self, id: &Literal<'_>) -> String {
        match self.host {
            Host::GeminiApi if !id.is_empty() => format!("\"id\":{},", id.as_json()),
            Host::GeminiApi | Host::Vertex => String::new(),
        }
    }

    fn result(
        &mut self,
        message: usize,
        call_id: &Literal<'_>,
        parts: &[Part<'_>],
        is_error: bool,
    ) -> Result<(), Unsendable> {
        let called = self.calls.get(call_id.decode().as_ref()).copied();
        let (place, name) =
            called.ok_or_else(|| Unsendable::Member(format!("messages[{message}].tool_call_id")))?;
        let mut media = String::new();
        let mut texts = Vec::new();
        for (place, part) in parts.iter().enumerate() {
            match part {
                Part::Text(text) => texts.push(text),
                Part::Image { .. } | Part::Audio { .. } | Part::File { .. } => {
                    separate(&mut media);
                    write_part(
                        &mut media,
                        self.host,
                        part,
                        &format!("messages[{message}].content[{place}]"),
                    )?;
                }
            }
        }
        let response = response(&Literal::concat(texts), is_error);
        let media = if media.is_empty() { media } else { format!(",\"parts\":[{media}]") };
        let id = self.id(call_id);
        let name = name.as_json();
        let part = format!("{{\"functionResponse\":{{{id}\"name\":{name},\"response\":{response}{media}}}}}");
        self.results.push((place, part));
        Ok(())
    }

    fn finish_results(&mut self) {
        let mut results = std::mem::take(&mut self.results);
        results.sort_by_key(|(place, _)| *place);
        let parts: Vec<String> = results.into_iter().map(|(_, part)| part).collect();
        self.turn("user", &parts.join(","));
    }
}

/// What a function has given: an object. A text that is none goes under the name that the API has for it.
fn response(text: &Literal<'_>, is_error: bool) -> String {
    let decoded = text.decode();
    let is_object = serde_json::from_str::<RawObject<'_>>(&decoded).is_ok();
    match (is_object, is_error) {
        (true, false) => decoded.into_owned(),
        (true, true) => format!("{{\"error\":{decoded}}}"),
        (false, false) => format!("{{\"output\":{}}}", text.as_json()),
        (false, true) => format!("{{\"error\":{}}}", text.as_json()),
    }
}

/// The signature of what Google's own API in OpenAI's form calls `extra_content`:
/// <https://ai.google.dev/gemini-api/docs/thought-signatures#openai>
fn signature(extra_content: &str) -> Option<Literal<'_>> {
    #[derive(Deserialize)]
    struct Extra<'a> {
        #[serde(borrow)]
        google: Google<'a>,
    }
    #[derive(Deserialize)]
    struct Google<'a> {
        #[serde(borrow)]
        thought_signature: Literal<'a>,
    }
    serde_json::from_str::<Extra<'_>>(extra_content).ok().map(|extra| extra.google.thought_signature)
}

fn write_texts(out: &mut String, message: usize, parts: &[Part<'_>]) -> Result<(), Unsendable> {
    for (place, part) in parts.iter().enumerate() {
        let Part::Text(text) = part else {
            return Err(Unsendable::Member(format!("messages[{message}].content[{place}]")));
        };
        if !text.is_empty() {
            separate(out);
            out.push_str(&format!("{{\"text\":{}}}", text.as_json()));
        }
    }
    Ok(())
}

/// Writes a part. `path` is where it stands in the client's request.
fn write_part(out: &mut String, host: Host, part: &Part<'_>, path: &str) -> Result<(), Unsendable> {
    let refuse = |member: &str| Err(Unsendable::Member(format!("{path}.{member}")));
    match part {
        Part::Text(text) => {
            out.push_str("{\"text\":");
            out.push_str(text.as_json());
            out.push('}');
        }
        Part::Image { url, .. } => {
            if !write_media(out, host, url) {
                return refuse("image_url.url");
            }
        }
        Part::Audio { data, format } => {
            write_inline(out, &format!("audio/{}", format.decode()), data.as_json());
        }
        Part::File { data: Some(data), name, .. } => {
            let (decoded, name) = (data.decode(), name.as_ref().map(Literal::decode));
            // Base64 without more, as OpenAI takes it, too, has no type but its name's.
            let (kind, base64) = data_url(&decoded).unwrap_or(("", &decoded));
            let document = Document::of(Some(kind), name.as_deref()).map(Document::media_type);
            match document.or(Some(kind)).filter(|kind| !kind.is_empty() && !base64.contains(':')) {
                Some(kind) => write_inline(out, kind, Literal::of(base64).as_json()),
                None => return refuse("file.file_data"),
            }
        }
        Part::File { url: Some(url), .. } => {
            if !write_media(out, host, url) {
                return refuse("file.file_url");
            }
        }
        Part::File { .. } => return refuse("file.file_id"),
    }
    Ok(())
}

/// Writes what a URL points to, or holds; false where that cannot be said.
pub(super) fn write_media(out: &mut String, host: Host, url: &Literal<'_>) -> bool {
    let text = url.decode();
    if let Some((kind, data)) = data_url(&text) {
        write_inline(out, kind, Literal::of(data).as_json());
        return true;
    }
    let is_link = ["https://", "http://", "gs://"].iter().any(|scheme| text.starts_with(scheme));
    let kind = media_type_of(&text);
    let kind = match (host, kind) {
        _ if !is_link => return false,
        (_, Some(kind)) => format!("\"mimeType\":\"{kind}\","),
        (Host::GeminiApi, None) => String::new(),
        // It takes no link without a type.
        (Host::Vertex, None) => return false,
    };
    out.push_str(&format!("{{\"fileData\":{{{kind}\"fileUri\":{}}}}}", url.as_json()));
    true
}

/// `data` is a JSON string with base64.
fn write_inline(out: &mut String, kind: &str, data: &str) {
    out.push_str(&format!("{{\"inlineData\":{{\"mimeType\":{},\"data\":", Literal::of(kind).as_json()));
    out.push_str(data);
    out.push_str("}}");
}

fn separate(out: &mut String) {
    if !out.is_empty() {
        out.push(',');
    }
}
