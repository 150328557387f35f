use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use actix_web::HttpResponse;
use bytes::Bytes;
use hermod_types::Operation;
use serde::Serialize;

use super::request::{Refusal, Request};
use super::{chat, completion, embeddings, images, messages, ocr, rerank, responses, speech, transcription};

/// A successful answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
}

/// What an answer says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Say {
    /// What the request said.
    Echo,
    /// So many bytes of text, of audio, of each image or vector. Calls of tools, and scores, have no text: they stay.
    Bytes(usize),
}

impl Answer {
    /// The answer to `request`.
    pub(super) fn to(request: &Request, say: Say) -> Result<Self, Refusal> {
        match request.operation {
            Operation::TextCompletion => completion::answer(request, say),
            Operation::ChatCompletion => chat::answer(request, say),
            Operation::Responses => responses::answer(request, say),
            Operation::Embedding => embeddings::answer(request, say),
            Operation::Speech => speech::answer(request, say),
            Operation::Transcription => transcription::answer(request, say),
            Operation::ImageGeneration => images::generation(request, say),
            Operation::ImageEdit | Operation::ImageVariation => images::from_images(request, say),
            Operation::Rerank => rerank::answer(request, say),
            Operation::Ocr => ocr::answer(request, say),
            Operation::Messages => messages::answer(request, say),
        }
    }

    pub(super) fn json(value: &impl Serialize) -> Result<Self, Refusal> {
        let body = serde_json::to_vec(value).map_err(|error| Refusal(error.to_string()))?;
        Ok(Self { content_type: "application/json", body: body.into() })
    }

    pub(super) fn into_response(self) -> HttpResponse {
        HttpResponse::Ok().content_type(self.content_type).body(self.body)
    }
}

impl Say {
    pub(super) fn text(self, echo: &str) -> Cow<'_, str> {
        match self {
            Self::Echo => Cow::Borrowed(echo),
            Self::Bytes(bytes) => Cow::Owned("x".repeat(bytes)),
        }
    }

    pub(super) fn bytes(self, echo: impl FnOnce() -> Result<Vec<u8>, Refusal>) -> Result<Vec<u8>, Refusal> {
        match self {
            Self::Echo => echo(),
            Self::Bytes(bytes) => Ok(vec![b'x'; bytes]),
        }
    }
}

/// What stands for tokens here.
pub(super) fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

/// The same number for the same value, in this build.
pub(super) fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// An id such as `chatcmpl-0123456789abcdef`.
pub(super) fn new_id(prefix: &str) -> String {
    format!("{prefix}{:016x}", fastrand::u64(..))
}

/// Now, in seconds since 1970.
pub(super) fn created() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}
