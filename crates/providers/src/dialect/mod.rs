//! How each kind of provider is asked for a text completion, and how its answer is read.
//!
//! A [`Native`] dialect says where the client's own members go; the answer passes through as it came. A
//! [`Chat`] dialect writes the request for one prompt and reads one answer; taking a request apart and
//! putting the answers together is [`crate::chat`]'s. What is peculiar to a provider is in its own file; its
//! address is in the table of [`ProviderKind`].

mod anthropic;
mod azure;
mod bearer;
mod bedrock;
mod cohere;
mod deepseek;
mod gemini;
mod mistral;
mod openai_chat;
mod vertex;

use std::future::ready;

use futures_util::future::BoxFuture;
use hermod_types::config::{KeyAccess, ProviderKind};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};

use crate::CallError;
use crate::chat::{PromptCall, Reply};
use crate::error_form::ErrorForm;

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
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Outgoing {
    pub(crate) fn new(url: &str, headers: HeaderMap, body: String) -> Result<Self, Unsendable> {
        let url = Url::parse(url).map_err(|_| Unsendable::Address)?;
        Ok(Self { url, headers, body })
    }
}

/// Why a request cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsendable {
    /// The key is not a valid value of a header, or a part of it is missing.
    Key,
    /// The model's name would change the path.
    Model,
    /// The provider's address is not a URL.
    Address,
}

/// A provider that has text completions in OpenAI's form.
pub(crate) trait Native: ErrorForm {
    /// Where the request goes.
    fn url(&self, ask: &Ask<'_>) -> Result<String, Unsendable>;

    /// Adds the headers that show who asks: `Authorization: Bearer` unless told otherwise.
    fn authorize(&self, ask: &Ask<'_>, headers: &mut HeaderMap) -> Result<(), Unsendable> {
        bearer_token(ask, headers)
    }
}

/// A provider that is asked prompt by prompt, in another form.
pub(crate) trait Chat: ErrorForm {
    /// The request for one prompt. It asks for several choices only where [`PromptCall::n`] says so.
    fn request(&self, ask: &Ask<'_>, call: &PromptCall<'_>) -> Result<Outgoing, Unsendable>;

    /// Reads an answer; what is wrong with it, if it is no answer.
    fn read(&self, answer: &str) -> Result<Reply, String>;

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
    pub(crate) fn of(kind: ProviderKind) -> Self {
        match kind {
            ProviderKind::OpenAi
            | ProviderKind::Vllm
            | ProviderKind::Ollama
            | ProviderKind::LlamaCpp
            | ProviderKind::Sgl
            | ProviderKind::Tgi
            | ProviderKind::Together
            | ProviderKind::Fireworks
            | ProviderKind::OpenRouter
            | ProviderKind::Nebius
            | ProviderKind::Parasail => Self::Native(Box::new(bearer::Bearer)),
            ProviderKind::Azure => Self::Native(Box::new(azure::Azure)),
            ProviderKind::DeepSeek => Self::Native(Box::new(deepseek::DeepSeek)),
            ProviderKind::Mistral => Self::Chat(Box::new(mistral::Mistral)),
            ProviderKind::HuggingFace => Self::Chat(Box::new(openai_chat::HUGGING_FACE)),
            ProviderKind::Groq => Self::Chat(Box::new(openai_chat::GROQ)),
            ProviderKind::Xai => Self::Chat(Box::new(openai_chat::XAI)),
            ProviderKind::Cerebras => Self::Chat(Box::new(openai_chat::CEREBRAS)),
            ProviderKind::Perplexity => Self::Chat(Box::new(openai_chat::PERPLEXITY)),
            ProviderKind::Anthropic => Self::Chat(Box::new(anthropic::Anthropic)),
            ProviderKind::Cohere => Self::Chat(Box::new(cohere::Cohere)),
            ProviderKind::Gemini => Self::Chat(Box::new(gemini::Gemini)),
            ProviderKind::Bedrock => Self::Chat(Box::new(bedrock::Bedrock)),
            ProviderKind::Vertex => Self::Chat(Box::<vertex::Vertex>::default()),
        }
    }

    /// How it writes its errors.
    pub(crate) fn error_form(&self) -> &dyn ErrorForm {
        match self {
            Self::Native(native) => native.as_ref(),
            Self::Chat(chat) => chat.as_ref(),
        }
    }
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

/// A request with `Authorization: Bearer`.
pub(crate) fn post(ask: &Ask<'_>, url: &str, body: String) -> Result<Outgoing, Unsendable> {
    let mut headers = HeaderMap::new();
    bearer_token(ask, &mut headers)?;
    Outgoing::new(url, headers, body)
}

#[cfg(test)]
mod tests {
    use hermod_types::config::Form;

    use super::*;

    #[test]
    fn the_table_and_the_dialects_agree_on_the_form() {
        for kind in ProviderKind::all() {
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
