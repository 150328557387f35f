//! Gemini, and models tuned from it, at Google Cloud's Vertex AI.
//!
//! - Requests and answers: <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference>
//! - Errors: <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/api-errors>
//! - API keys: <https://cloud.google.com/vertex-ai/generative-ai/docs/start/api-keys>
//!
//! Bodies are [`gemini`]'s. A key with a value is an API key; one without is a service account, or the identity of the
//! machine, and an access token is got for it. A model whose name is a number is an endpoint with a tuned model. Models
//! of other publishers have other forms of their own, and are answered with 404.

use std::time::Duration;

use futures_util::future::BoxFuture;
use hermod_types::ErrorDetail;
use hermod_types::config::KeyAccess;
use reqwest::Client;
use reqwest::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};

use super::gemini::{self, Host};
use super::{Ask, Dialect, Outgoing, Unsendable, path_segment, root, secret_header};
use crate::CallError;
use crate::chat::{Chat, ChatReply, ChatRequest};
use crate::error_form::ErrorForm;
use crate::tokens::Tokens;

#[derive(Debug, Default)]
pub(super) struct Vertex {
    tokens: Tokens,
}

impl ErrorForm for Vertex {
    fn error(&self, answer: &str) -> Option<ErrorDetail> {
        gemini::error(answer)
    }

    fn status(&self, status: u16, error: &ErrorDetail) -> u16 {
        gemini::status(status, error)
    }

    fn wait(&self, answer: &str) -> Option<Duration> {
        gemini::wait(answer)
    }
}

impl Chat for Vertex {
    fn request(&self, ask: &Ask<'_>, chat: &ChatRequest<'_>) -> Result<Outgoing, Unsendable> {
        let mut outgoing = Outgoing::new(&url(ask)?, gemini::body(Host::Vertex, ask.model, chat)?)?;
        match (ask.token, ask.key) {
            (Some(token), _) => {
                let bearer = format!("Bearer {}", token.expose_secret());
                secret_header(&mut outgoing.headers, AUTHORIZATION, &bearer)?;
            }
            (None, Some(key)) => gemini::api_key(&mut outgoing.headers, key)?,
            (None, None) => {}
        }
        Ok(outgoing)
    }

    fn read(&self, answer: &str) -> Result<ChatReply, String> {
        gemini::read(answer)
    }
}

impl Dialect for Vertex {
    fn chat(&self) -> Option<&dyn Chat> {
        Some(self)
    }

    fn token<'a>(
        &'a self,
        ask: Ask<'a>,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<Option<SecretString>, CallError>> {
        Box::pin(async move {
            match credentials(&ask) {
                Some(credentials) => self.tokens.get(credentials, client).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn forget(&self, ask: Ask<'_>) {
        if let (Some(credentials), Some(token)) = (credentials(&ask), ask.token) {
            self.tokens.forget(credentials, token);
        }
    }
}

/// The credentials to get a token with. `Some(None)` means the machine's identity; `None` means that an API key is used.
fn credentials<'a>(ask: &Ask<'a>) -> Option<Option<&'a SecretString>> {
    match ask.access {
        KeyAccess::Vertex { auth_credentials, .. } if ask.key.is_none() => Some(auth_credentials.as_ref()),
        KeyAccess::Vertex { .. }
        | KeyAccess::Plain
        | KeyAccess::Server { .. }
        | KeyAccess::Azure { .. }
        | KeyAccess::Bedrock { .. } => None,
    }
}

fn url(ask: &Ask<'_>) -> Result<String, Unsendable> {
    let base = root(ask.base);
    let project = match ask.access {
        KeyAccess::Vertex { project_id, region, .. } => {
            format!("/projects/{}/locations/{}", path_segment(project_id)?, path_segment(region)?)
        }
        // An API key of the express mode has its project with it.
        KeyAccess::Plain | KeyAccess::Server { .. } | KeyAccess::Azure { .. } | KeyAccess::Bedrock { .. } => {
            String::new()
        }
    };
    let model = ask.model.strip_prefix("google/").unwrap_or(ask.model);
    let place = if !model.is_empty() && model.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("endpoints/{model}")
    } else {
        format!("publishers/google/models/{}", path_segment(model)?)
    };
    Ok(format!("{base}/v1{project}/{place}:generateContent"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_an_endpoint_and_an_express_key_has_no_project() {
        let access = KeyAccess::Vertex {
            project_id: "p".to_owned(),
            region: "europe-west4".to_owned(),
            auth_credentials: None,
        };
        let base = access.regional_url().unwrap();
        let at = |model, access| {
            url(&Ask { base: &base, model, is_alias: false, key: None, access, token: None }).unwrap()
        };
        let root = "https://europe-west4-aiplatform.googleapis.com/v1";
        assert_eq!(
            at("google/gemini-2.5-pro", &access),
            format!(
                "{root}/projects/p/locations/europe-west4/publishers/google/models/gemini-2.5-pro:generateContent"
            )
        );
        assert_eq!(
            at("4567", &access),
            format!("{root}/projects/p/locations/europe-west4/endpoints/4567:generateContent")
        );
        assert_eq!(
            at("a/b", &KeyAccess::Plain),
            format!("{root}/publishers/google/models/a%2Fb:generateContent")
        );
    }
}
