//! Anthropic, over its messages API.
//!
//! - Requests and answers: <https://docs.claude.com/en/api/messages>
//! - Errors: <https://docs.claude.com/en/api/errors>
//!
//! It wants a limit of tokens, and has no `n`, no `seed` and no penalties. A temperature ends at 1, and a stop
//! sequence must be more than white space.

mod reply;
mod request;

use hermod_types::ErrorDetail;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::{Ask, Dialect, Outgoing, Unsendable, below, secret_header};
use crate::chat::{Chat, ChatReply, ChatRequest};
use crate::error_form::ErrorForm;
use crate::openai;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
/// <https://platform.claude.com/docs/en/build-with-claude/files>
const FILES: (HeaderName, HeaderValue) =
    (HeaderName::from_static("anthropic-beta"), HeaderValue::from_static("files-api-2025-04-14"));

#[derive(Debug)]
pub(super) struct Anthropic;

impl ErrorForm for Anthropic {
    fn error(&self, answer: &str) -> Option<ErrorDetail> {
        let mut error = openai::error(answer)?;
        let details = serde_json::from_str(answer).ok().and_then(|body: Refusal| body.error.details);
        error.code = error.code.or(details.and_then(|details| details.error_code));
        Some(error)
    }
}

impl Dialect for Anthropic {
    fn authorize(&self, ask: &Ask<'_>, headers: &mut HeaderMap) -> Result<(), Unsendable> {
        headers.extend([VERSION]);
        ask.key.map_or(Ok(()), |key| secret_header(headers, API_KEY, key.expose_secret()))
    }

    fn chat(&self) -> Option<&dyn Chat> {
        Some(self)
    }
}

impl Chat for Anthropic {
    fn request(&self, ask: &Ask<'_>, chat: &ChatRequest<'_>) -> Result<Outgoing, Unsendable> {
        let mut outgoing = Outgoing::new(&below(ask.base, "v1/messages"), request::body(ask.model, chat)?)?;
        self.authorize(ask, &mut outgoing.headers)?;
        if request::has_file_ids(chat) {
            outgoing.headers.extend([FILES]);
        }
        Ok(outgoing)
    }

    fn read(&self, answer: &str) -> Result<ChatReply, String> {
        reply::read(answer)
    }
}

/// The part of an error that OpenAI's form has not.
#[derive(Deserialize)]
struct Refusal {
    error: Error,
}

#[derive(Deserialize)]
struct Error {
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    error_code: Option<String>,
}
