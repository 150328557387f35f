//! What each kind of provider is asked, and how its answers are read.
//!
//! Calls in OpenAI's form need an address and a key only. A dialect of another form converts chat ([`Chat`]), and implements a small
//! trait for each other endpoint that its provider has. What is peculiar to a provider is in its own file; its address is in the table of
//! [`ProviderKind`], and which endpoints it has in that of [`ProviderKind::support`].

mod anthropic;
mod azure;
mod bearer;
mod bedrock;
mod cohere;
mod deepseek;
mod gemini;
mod members;
mod mistral;
mod openai_chat;
mod vertex;

use std::future::ready;

use futures_util::future::BoxFuture;
use hermod_types::Operation;
use hermod_types::config::{KeyAccess, ProviderKind};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};

use crate::CallError;
use crate::chat::{Chat, ChatReply, ChatRequest, Differences, openai_reply, openai_request};
use crate::completion::Continue;
use crate::embeddings::Embeddings;
use crate::error_form::ErrorForm;
use crate::images::Images;
use crate::multipart::Multipart;
use crate::payload::{Payload, Upload};
use crate::rerank::Rerank;
use crate::speech::Speech;
use crate::transcription::Transcribe;

/// What a request is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    /// The provider's address.
    pub(crate) base: &'a str,
    /// The model, by the name that the provider knows.
    pub(crate) model: &'a str,
    /// Whether that is another name than the client's.
    pub(crate) is_alias: bool,
    /// The key; none for a provider that has none.
    pub(crate) key: Option<&'a SecretString>,
    /// What belongs to the key.
    pub(crate) access: &'a KeyAccess,
    /// What [`Dialect::token`] gave.
    pub(crate) token: Option<&'a SecretString>,
}

/// An HTTP POST to be made.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) url: Url,
    /// `Content-Type`, and the dialect's own.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Payload,
}

impl Outgoing {
    /// Of JSON.
    pub(crate) fn new(url: &str, body: String) -> Result<Self, Unsendable> {
        Self::with(url, HeaderValue::from_static("application/json"), Payload::Text(body))
    }

    /// Of JSON in which each [`FILE`](crate::payload::FILE) stands for one of the `files`, in their order.
    pub(crate) fn with_files<'f>(
        url: &str,
        json: &str,
        files: impl IntoIterator<Item = &'f Upload>,
    ) -> Result<Self, Unsendable> {
        Self::with(url, HeaderValue::from_static("application/json"), Payload::json(json, files))
    }

    /// Of a form.
    pub(crate) fn multipart(url: &str, form: Multipart) -> Result<Self, Unsendable> {
        let (content_type, segments) = form.finish();
        let content_type = HeaderValue::from_str(&content_type).map_err(|_| Unsendable::Unreadable)?;
        Self::with(url, content_type, Payload::Segments(segments))
    }

    pub(crate) fn with(url: &str, content_type: HeaderValue, body: Payload) -> Result<Self, Unsendable> {
        let url = Url::parse(url).map_err(|_| Unsendable::Address)?;
        Ok(Self { url, headers: HeaderMap::from_iter([(CONTENT_TYPE, content_type)]), body })
    }
}

/// Why a request cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unsendable {
    /// The key is not a valid value of a header, or a part of it is missing.
    Key,
    /// The model's name would change the path.
    Model,
    /// The provider's address is not a URL.
    Address,
    /// The client's body is not what a submit lets pass.
    Unreadable,
    /// The provider has no words for this member, by its path.
    Member(String),
}

/// What a kind of provider speaks.
pub(crate) trait Dialect: ErrorForm {
    /// Where a call in OpenAI's form goes.
    fn url(&self, operation: Operation, ask: &Ask<'_>) -> Result<String, Unsendable> {
        Ok(below(ask.base, &format!("v1/{}", operation.path())))
    }

    /// Adds the headers that show who asks: `Authorization: Bearer` unless told otherwise.
    fn authorize(&self, ask: &Ask<'_>, headers: &mut HeaderMap) -> Result<(), Unsendable> {
        bearer_token(ask, headers)
    }

    /// The last word on a request that is ready to be sent: a signature, where there are such.
    fn sign(&self, _ask: &Ask<'_>, _outgoing: &mut Outgoing) -> Result<(), Unsendable> {
        Ok(())
    }

    /// What it calls otherwise in chat of OpenAI's form.
    fn differences(&self, _operation: Operation, _model: &str) -> Differences {
        Differences::NONE
    }

    /// Its chat, where that has a form of its own.
    fn chat(&self) -> Option<&dyn Chat> {
        None
    }

    /// What continues a prompt, where that is not chat.
    fn continues(&self) -> Option<&dyn Continue> {
        None
    }

    /// Its embeddings, where they have a form of their own.
    fn embeddings(&self) -> Option<&dyn Embeddings> {
        None
    }

    /// Its rerank, where that has a form of its own.
    fn rerank(&self) -> Option<&dyn Rerank> {
        None
    }

    /// Its images, where they have a form of their own.
    fn images(&self) -> Option<&dyn Images> {
        None
    }

    /// Its speech, where that has a form of its own.
    fn speech(&self) -> Option<&dyn Speech> {
        None
    }

    /// Its transcriptions, where they have a form of their own.
    fn transcribe(&self) -> Option<&dyn Transcribe> {
        None
    }

    /// Whether [`Dialect::sign`] must see the whole body: media are then read before it is called.
    fn signs_body(&self, _ask: &Ask<'_>) -> bool {
        false
    }

    /// What to show instead of the key, where that must be got first. Asked before the calls of each request.
    fn token<'a>(
        &'a self,
        _ask: Ask<'a>,
        _client: &'a Client,
    ) -> BoxFuture<'a, Result<Option<SecretString>, CallError>> {
        Box::pin(ready(Ok(None)))
    }

    /// The provider has refused the token of this request: the next gets another.
    fn forget(&self, _ask: Ask<'_>) {}
}

/// The dialect of a kind.
pub(crate) fn of(kind: ProviderKind) -> Box<dyn Dialect> {
    match kind {
        ProviderKind::OpenAi
        | ProviderKind::Compatible
        | ProviderKind::Vllm
        | ProviderKind::Ollama
        | ProviderKind::LlamaCpp
        | ProviderKind::Sgl
        | ProviderKind::Tgi
        | ProviderKind::Together
        | ProviderKind::Fireworks
        | ProviderKind::OpenRouter
        | ProviderKind::Nebius
        | ProviderKind::Parasail
        | ProviderKind::ElevenLabs
        | ProviderKind::Voyage
        | ProviderKind::Jina => Box::new(bearer::Bearer),
        ProviderKind::Azure => Box::new(azure::Azure),
        ProviderKind::DeepSeek => Box::new(deepseek::DeepSeek),
        ProviderKind::Mistral => Box::new(mistral::Mistral),
        ProviderKind::HuggingFace => Box::new(openai_chat::HUGGING_FACE),
        ProviderKind::Groq => Box::new(openai_chat::GROQ),
        ProviderKind::Xai => Box::new(openai_chat::XAI),
        ProviderKind::Cerebras => Box::new(openai_chat::CEREBRAS),
        ProviderKind::Perplexity => Box::new(openai_chat::PERPLEXITY),
        ProviderKind::Anthropic => Box::new(anthropic::Anthropic),
        ProviderKind::Cohere => Box::new(cohere::Cohere),
        ProviderKind::Gemini => Box::new(gemini::Gemini),
        ProviderKind::Bedrock => Box::new(bedrock::Bedrock),
        ProviderKind::Vertex => Box::<vertex::Vertex>::default(),
    }
}

/// Chat of OpenAI's form, for what is not the client's own chat request.
pub(crate) struct OpenAiForm<'a> {
    pub(crate) dialect: &'a dyn Dialect,
    /// In place of the dialect's own.
    pub(crate) path: Option<&'a str>,
    pub(crate) has_n: bool,
}

impl Chat for OpenAiForm<'_> {
    fn request(&self, ask: &Ask<'_>, chat: &ChatRequest<'_>) -> Result<Outgoing, Unsendable> {
        let url = match self.path {
            Some(path) => at_path(ask.base, path),
            None => self.dialect.url(Operation::ChatCompletion, ask)?,
        };
        let differences = self.dialect.differences(Operation::ChatCompletion, ask.model);
        let mut outgoing = Outgoing::new(&url, openai_request(ask.model, chat, differences))?;
        self.dialect.authorize(ask, &mut outgoing.headers)?;
        Ok(outgoing)
    }

    fn read(&self, answer: &str) -> Result<ChatReply, String> {
        openai_reply(answer)
    }

    fn has_n(&self) -> bool {
        self.has_n
    }
}

/// A path that is configured, below a base.
pub(crate) fn at_path(base: &str, path: &str) -> String {
    format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/'))
}

/// `base`, which may end in a slash or already in its `/v1`, without either.
pub(crate) fn root(base: &str) -> &str {
    let base = base.trim_end_matches('/');
    base.strip_suffix("/v1").unwrap_or(base).trim_end_matches('/')
}

/// What a segment of a path may hold as it is: RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A model's name as one segment of a path. `.` and `..` are refused: a URL's parser folds them, `%2e` as well.
pub(crate) fn path_segment(model: &str) -> Result<String, Unsendable> {
    match model {
        "." | ".." => Err(Unsendable::Model),
        _ => Ok(utf8_percent_encode(model, SEGMENT).to_string()),
    }
}

/// The path below `base`, which may end in a slash or already in its `/v1`.
pub(crate) fn below(base: &str, path: &str) -> String {
    format!("{}/{path}", root(base))
}

/// `Authorization: Bearer`, if there is a key.
pub(crate) fn bearer_token(ask: &Ask<'_>, headers: &mut HeaderMap) -> Result<(), Unsendable> {
    let Some(key) = ask.key else { return Ok(()) };
    secret_header(headers, AUTHORIZATION, &format!("Bearer {}", key.expose_secret()))
}

/// A header that is never shown.
pub(crate) fn secret_header(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: &str,
) -> Result<(), Unsendable> {
    let mut value = HeaderValue::from_str(value).map_err(|_| Unsendable::Key)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

/// A request of JSON with `Authorization: Bearer`.
pub(crate) fn post(ask: &Ask<'_>, url: &str, body: String) -> Result<Outgoing, Unsendable> {
    let mut outgoing = Outgoing::new(url, body)?;
    bearer_token(ask, &mut outgoing.headers)?;
    Ok(outgoing)
}

#[cfg(test)]
pub(crate) fn test_ask(model: &str) -> Ask<'_> {
    Ask {
        base: "http://localhost",
        model,
        is_alias: false,
        key: None,
        access: &KeyAccess::Plain,
        token: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_may_end_as_it_likes() {
        for base in ["http://vllm:8000", "http://vllm:8000/", "http://vllm:8000/v1", "http://vllm:8000/v1/"] {
            assert_eq!(below(base, "v1/completions"), "http://vllm:8000/v1/completions");
        }
        assert_eq!(below("https://host/openai", "v1/completions"), "https://host/openai/v1/completions");
    }
}
