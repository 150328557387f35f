//! What messages hold.

use serde_json::value::RawValue;

use super::{Fault, Kind, first_fault, object_of};
use crate::shape::string_of;
use crate::{Document, RawObject};

/// Whose message it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It may carry media.
    User,
    Tool,
    /// It is text.
    Other,
}

pub(super) fn fault(of: Kind, messages: &str) -> Option<Fault> {
    first_fault(messages, |message| {
        let message = object_of(message)?;
        let given = |name| message.get(name).filter(|value| value.get() != "null");
        let role = match string_of(message.get("role"))?.as_ref() {
            "user" => Role::User,
            "tool" => Role::Tool,
            "function" => return Some(old(of, "role")),
            _ => Role::Other,
        };
        if given("function_call").is_some() {
            return Some(old(of, "function_call"));
        }
        if role == Role::Tool && given("tool_call_id").is_none() {
            return Some(Fault::at("tool_call_id", format!("{} needs to know which call it is", of.kind)));
        }
        if given("audio").is_some() {
            return Some(Fault::at("audio", format!("{} has no audio of an earlier answer", of.kind)));
        }
        let calls = given("tool_calls").and_then(|calls| tool_calls(of, calls.get()));
        calls.map(|fault| fault.below("tool_calls")).or_else(|| {
            // What is one string is text.
            let parts = given("content").filter(|content| content.get().starts_with('['))?;
            let fault = first_fault(parts.get(), |part| self::part(of, role, &object_of(part)?));
            fault.map(|fault| fault.below("content"))
        })
    })
}

/// The older form of tools, which has no ids.
fn old(of: Kind, path: &str) -> Fault {
    Fault::at(path, format!("{} takes `tool_calls` and the role `tool`", of.kind))
}

fn tool_calls(of: Kind, calls: &str) -> Option<Fault> {
    first_fault(calls, |call| {
        let call = object_of(call)?;
        let message = || format!("{} knows calls of functions alone", of.kind);
        call.get("function").is_none().then(|| Fault::at("type", message()))
    })
}

fn part(of: Kind, role: Role, part: &RawObject<'_>) -> Option<Fault> {
    let said = string_of(part.get("type"))?;
    if matches!(said.as_ref(), "text" | "refusal") {
        return None;
    }
    let kind = of.kind;
    let check = match said.as_ref() {
        "image_url" => image,
        "input_audio" => audio,
        "file" => file,
        other => return Some(Fault::at("type", format!("{kind} takes no `{other:.64}`"))),
    };
    let takes_media = match role {
        Role::User => true,
        Role::Tool => of.limits.tool_media,
        Role::Other => false,
    };
    if !takes_media {
        return Some(Fault::at("type", format!("{kind} takes text alone in a message of this role")));
    }
    let inside = part.get(&said)?;
    check(of, inside).map(|fault| fault.below(&said))
}

/// The media type of a `data:` URL in base64.
pub(in super::super) fn data_type(url: &str) -> Option<&str> {
    let head = url.strip_prefix("data:")?.split_once(',')?.0.strip_suffix(";base64")?;
    head.split(';').next()
}

fn image(of: Kind, image: &RawValue) -> Option<Fault> {
    let kind = of.kind;
    let object = object_of(image)?;
    let Some(url) = string_of(object.get("url")) else {
        return Some(Fault::at("url", format!("{kind} takes an image by its URL")));
    };
    image_url(of, &url).map(|message| Fault::at("url", message))
}

/// What is wrong with an image's URL.
pub(in super::super) fn image_url(of: Kind, url: &str) -> Option<String> {
    let kind = of.kind;
    let is_remote = ["https://", "http://", "gs://"].iter().any(|scheme| url.starts_with(scheme));
    match data_type(url) {
        Some(media_type) if of.limits.images.contains(&media_type) => None,
        Some(media_type) => Some(format!("{kind} takes no images of {media_type:.64}")),
        None if of.limits.image_urls && is_remote => None,
        None if of.limits.image_urls => Some(format!("{kind} takes images as https and data URLs")),
        None => Some(format!("{kind} takes images as data URLs only")),
    }
}

pub(in super::super) fn audio(of: Kind, audio: &RawValue) -> Option<Fault> {
    let kind = of.kind;
    if of.limits.audio.is_empty() {
        return Some(Fault::new(format!("{kind} takes no audio")));
    }
    let object = object_of(audio)?;
    let format = string_of(object.get("format")).unwrap_or_default();
    let message = || format!("{kind} takes audio as {}", of.limits.audio.join(", "));
    (!of.limits.audio.contains(&format.as_ref())).then(|| Fault::at("format", message()))
}

fn file(of: Kind, file: &RawValue) -> Option<Fault> {
    let kind = of.kind;
    let object = object_of(file)?;
    let text = |name| string_of(object.get(name));
    if let Some(data) = text("file_data") {
        if of.limits.documents.is_empty() {
            return Some(Fault::new(format!("{kind} takes no files")));
        }
        let fault = document(of, data_type(&data), text("filename").as_deref());
        return fault.map(|message| Fault::at("file_data", message));
    }
    if text("file_url").is_some() {
        return file_url(of).map(|message| Fault::at("file_url", message));
    }
    let Some(id) = text("file_id") else {
        return Some(Fault::new(format!("{kind} needs the data of a file")));
    };
    let is_its_own = of.limits.file_ids.is_some_and(|beginning| id.starts_with(beginning));
    (!is_its_own).then(|| Fault::at("file_id", format!("{kind} has no file of this id")))
}

/// What is wrong with a file of this media type and name.
pub(in super::super) fn document(of: Kind, media_type: Option<&str>, name: Option<&str>) -> Option<String> {
    if of.limits.documents.is_empty() {
        return Some(format!("{} takes no files", of.kind));
    }
    let document = Document::of(media_type, name);
    let is_taken = document.is_some_and(|document| of.limits.documents.contains(&document));
    let names: Vec<_> = of.limits.documents.iter().map(|document| document.extension()).collect();
    (!is_taken).then(|| format!("{} takes files that are {}", of.kind, names.join(", ")))
}

/// What is wrong with a file that is given by its URL.
pub(in super::super) fn file_url(of: Kind) -> Option<String> {
    (!of.limits.file_urls).then(|| format!("{} takes no files by URL", of.kind))
}
