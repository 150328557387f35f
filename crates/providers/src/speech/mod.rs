//! Speech at a provider with a form of its own.

mod request;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hermod_types::{CallUsage, Operation};

use crate::answer::Answer;
use crate::dialect::{Ask, Outgoing, Unsendable};
use crate::native::audio_result;
use crate::plan::Plan;
pub(crate) use request::{SpeechRequest, Voice};

/// A provider's speech.
pub(crate) trait Speech: Send + Sync {
    /// Writes the request.
    ///
    /// # Errors
    /// If something in it cannot be said.
    fn request(&self, ask: &Ask<'_>, request: &SpeechRequest<'_>) -> Result<Outgoing, Unsendable>;

    /// Reads the answer to `request`; what is wrong with it, if it is no answer.
    fn read<'a>(&self, request: &SpeechRequest<'_>, answer: &'a Answer) -> Result<Audio<'a>, String>;
}

/// What a provider has said.
#[derive(Debug)]
pub(crate) struct Audio<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    /// In OpenAI's words: `mp3`, `wav`, …
    pub(crate) format: String,
    /// The media type.
    pub(crate) content_type: String,
    /// As JSON.
    pub(crate) usage: Option<String>,
    /// What else the result has, as JSON.
    pub(crate) members: Vec<(&'static str, String)>,
}

impl Audio<'_> {
    /// Bytes that came as base64; what is wrong with it, if it is none.
    pub(crate) fn from_base64(base64: &str) -> Result<Vec<u8>, String> {
        STANDARD.decode(base64).map_err(|_| "its audio is not base64".to_owned())
    }

    /// The result.
    fn compose(&self) -> String {
        let mut out = audio_result(&self.bytes, &self.format, &self.content_type, self.usage.as_deref());
        if !self.members.is_empty() {
            out.pop();
            for (name, json) in &self.members {
                out.push_str(&format!(",\"{name}\":{json}"));
            }
            out.push('}');
        }
        out
    }
}

/// A speech request: one call.
pub(crate) struct SpeechPlan<'a> {
    provider: &'a dyn Speech,
    request: SpeechRequest<'a>,
}

impl<'a> SpeechPlan<'a> {
    /// None if the body is no speech request.
    pub(crate) fn new(body: &'a str, provider: &'a dyn Speech) -> Option<Self> {
        Some(Self { provider, request: SpeechRequest::parse(body)? })
    }
}

impl Plan for SpeechPlan<'_> {
    /// The result: audio is encoded once.
    type Reply = String;

    fn sent_as(&self) -> Operation {
        Operation::Speech
    }

    fn calls(&self) -> usize {
        1
    }

    fn request(&self, ask: &Ask<'_>, _: usize) -> Result<Outgoing, Unsendable> {
        self.provider.request(ask, &self.request)
    }

    fn read(&self, _: usize, answer: &Answer) -> Result<String, String> {
        let audio = self.provider.read(&self.request, answer)?;
        if audio.bytes.is_empty() {
            return Err("its answer is empty".to_owned());
        }
        Ok(audio.compose())
    }

    fn used(&self, _: &String, usage: CallUsage) -> CallUsage {
        let characters = self.request.input.decode().chars().count();
        CallUsage { characters: u64::try_from(characters).ok(), ..usage }
    }

    fn bytes(reply: &String) -> usize {
        reply.len()
    }

    fn compose(&self, _: &Ask<'_>, replies: Vec<String>, limit: usize) -> Option<String> {
        replies.into_iter().next().filter(|result| result.len() <= limit)
    }
}
