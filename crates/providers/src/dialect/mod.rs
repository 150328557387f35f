//! How each kind of provider is asked for a text completion, and how its answer is read.
//!
//! A [`Native`] dialect says where the client's own members go; the answer passes through as it came. A
//! [`Chat`] dialect writes the request for one prompt and reads one answer; taking a request apart and
//! putting the answers together is [`crate::chat`]'s. What is peculiar to a provider is in its own file, and
//! where it is, is in the table of [`Kind`].

mod anthropic;
mod azure;
mod bearer;
mod bedrock;
mod cerebras;
mod cohere;
mod deepseek;
mod gemini;
mod groq;
mod huggingface;
mod mistral;
mod perplexity;
mod vertex;
mod xai;

use std::fmt;
use std::future::ready;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hermod_types::ErrorDetail;
use hermod_types::config::{KeyAccess, Kind};
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::chat::{Reply, Turn};
use crate::{CallError, openai};

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
    /// What [`Chat::token`] gave.
    pub(crate) token: Option<&'a SecretString>,
}

/// An HTTP POST of JSON to be made.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// Why a key cannot be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnusableKey;

/// A provider that has text completions in OpenAI's form.
pub(crate) trait Native: fmt::Debug + Send + Sync {
    /// Where the request goes.
    fn url(&self, ask: &Ask<'_>) -> String;

    /// Adds the headers that show who asks: `Authorization: Bearer` unless told otherwise.
    fn authorize(&self, ask: &Ask<'_>, headers: &mut HeaderMap) -> Result<(), UnusableKey> {
        bearer_token(ask, headers)
    }

    /// Reads the error out of an answer.
    fn error(&self, answer: &str) -> Option<ErrorDetail> {
        openai::error(answer)
    }
}

/// A provider that is asked prompt by prompt, in another form.
pub(crate) trait Chat: fmt::Debug + Send + Sync {
    /// The request for one prompt. It asks for several choices only where [`Turn::n`] says so.
    fn request(&self, ask: &Ask<'_>, turn: &Turn<'_>) -> Result<Outgoing, UnusableKey>;

    /// Reads an answer; what is wrong with it, if it is no answer.
    fn read(&self, answer: &str) -> Result<Reply, String>;

    /// Reads the error out of an answer.
    fn error(&self, answer: &str) -> Option<ErrorDetail> {
        openai::error(answer)
    }

    /// The status that an error deserves by what it says, where a provider's own misleads.
    fn status(&self, status: u16, _error: &ErrorDetail) -> u16 {
        status
    }

    /// An error's type, where it is in the headers.
    fn error_type<'h>(&self, _headers: &'h HeaderMap) -> Option<&'h str> {
        None
    }

    /// The wait that an error asks for in its body.
    fn wait(&self, _answer: &str) -> Option<Duration> {
        None
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

/// The dialect of a provider.
#[derive(Debug)]
pub(crate) enum Dialect {
    Native(Box<dyn Native>),
    Chat(Box<dyn Chat>),
}

impl Dialect {
    /// What this kind speaks.
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::OpenAi
            | Kind::Vllm
            | Kind::Ollama
            | Kind::LlamaCpp
            | Kind::Sgl
            | Kind::Tgi
            | Kind::Together
            | Kind::Fireworks
            | Kind::OpenRouter
            | Kind::Nebius
            | Kind::Parasail => Self::Native(Box::new(bearer::Bearer)),
            Kind::Azure => Self::Native(Box::new(azure::Azure)),
            Kind::DeepSeek => Self::Native(Box::new(deepseek::DeepSeek)),
            Kind::Mistral => Self::Chat(Box::new(mistral::Mistral)),
            Kind::HuggingFace => Self::Chat(Box::new(huggingface::HuggingFace)),
            Kind::Groq => Self::Chat(Box::new(groq::Groq)),
            Kind::Xai => Self::Chat(Box::new(xai::Xai)),
            Kind::Cerebras => Self::Chat(Box::new(cerebras::Cerebras)),
            Kind::Perplexity => Self::Chat(Box::new(perplexity::Perplexity)),
            Kind::Anthropic => Self::Chat(Box::new(anthropic::Anthropic)),
            Kind::Cohere => Self::Chat(Box::new(cohere::Cohere)),
            Kind::Gemini => Self::Chat(Box::new(gemini::Gemini)),
            Kind::Bedrock => Self::Chat(Box::new(bedrock::Bedrock)),
            Kind::Vertex => Self::Chat(Box::<vertex::Vertex>::default()),
        }
    }

    pub(crate) fn error(&self, answer: &str) -> Option<ErrorDetail> {
        match self {
            Self::Native(native) => native.error(answer),
            Self::Chat(chat) => chat.error(answer),
        }
    }

    /// An error's type, where it is in the headers.
    pub(crate) fn error_type<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        match self {
            Self::Native(_) => None,
            Self::Chat(chat) => chat.error_type(headers),
        }
    }

    /// The wait that an error's body asks for.
    pub(crate) fn wait(&self, answer: &str) -> Option<Duration> {
        match self {
            Self::Native(_) => None,
            Self::Chat(chat) => chat.wait(answer),
        }
    }

    /// The status by which an error is judged.
    pub(crate) fn status(&self, status: u16, error: &ErrorDetail) -> u16 {
        match self {
            Self::Native(_) => status,
            Self::Chat(chat) => chat.status(status, error),
        }
    }
}

/// `base`, which may end in a slash or already in its `/v1`, without either.
pub(crate) fn root(base: &str) -> &str {
    let base = base.trim_end_matches('/');
    base.strip_suffix("/v1").unwrap_or(base).trim_end_matches('/')
}

/// `text` as one segment of a path: what else could end it is escaped.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The path below `base`, which may end in a slash or already in its `/v1`.
pub(crate) fn below(base: &str, path: &str) -> String {
    format!("{}/{path}", root(base))
}

/// `Authorization: Bearer`, if there is a key.
pub(crate) fn bearer_token(ask: &Ask<'_>, headers: &mut HeaderMap) -> Result<(), UnusableKey> {
    let Some(key) = ask.key else { return Ok(()) };
    secret_header(headers, AUTHORIZATION, &format!("Bearer {}", key.expose_secret()))
}

/// A header that is never shown.
pub(crate) fn secret_header(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: &str,
) -> Result<(), UnusableKey> {
    let mut value = HeaderValue::from_str(value).map_err(|_| UnusableKey)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

/// A request with `Authorization: Bearer`.
pub(crate) fn post(ask: &Ask<'_>, url: String, body: String) -> Result<Outgoing, UnusableKey> {
    let mut headers = HeaderMap::new();
    bearer_token(ask, &mut headers)?;
    Ok(Outgoing { url, headers, body })
}

#[cfg(test)]
mod tests {
    use hermod_types::config::Form;

    use super::*;

    #[test]
    fn the_table_and_the_dialects_agree_on_the_form() {
        for kind in Kind::all() {
            let is_native = matches!(Dialect::of(kind), Dialect::Native(_));
            assert_eq!(is_native, kind.form() == Form::Native, "{kind}");
        }
    }

    #[test]
    fn a_base_url_may_end_as_it_likes() {
        for base in ["http://vllm:8000", "http://vllm:8000/", "http://vllm:8000/v1", "http://vllm:8000/v1/"] {
            assert_eq!(below(base, "v1/completions"), "http://vllm:8000/v1/completions");
        }
        assert_eq!(below("https://host/openai", "v1/completions"), "https://host/openai/v1/completions");
    }
}
