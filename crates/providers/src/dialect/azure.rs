//! OpenAI's models at Azure: the model is a deployment, in the path or (in the `v1` form) in the body; the key is
//! in a header of its own.
//!
//! - Paths with a deployment: <https://learn.microsoft.com/azure/ai-foundry/openai/reference#completions>
//! - The `v1` form: <https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle>
//! - Responses: <https://learn.microsoft.com/azure/ai-foundry/openai/how-to/responses>

use hermod_types::Operation;
use hermod_types::config::KeyAccess;
use reqwest::header::{HeaderMap, HeaderName};
use secrecy::ExposeSecret;

use super::{Ask, Dialect, Unsendable, path_segment, root, secret_header};
use crate::chat::Differences;
use crate::error_form::ErrorForm;

/// The latest version of the data plane that is not a preview, and Bifrost's default.
const API_VERSION: &str = "2024-10-21";
const API_KEY: HeaderName = HeaderName::from_static("api-key");

#[derive(Debug)]
pub(super) struct Azure;

impl ErrorForm for Azure {}

impl Dialect for Azure {
    fn url(&self, operation: Operation, ask: &Ask<'_>) -> Result<String, Unsendable> {
        let version = match ask.access {
            KeyAccess::Azure { api_version, .. } => api_version.as_deref(),
            KeyAccess::Plain
            | KeyAccess::Server { .. }
            | KeyAccess::Vertex { .. }
            | KeyAccess::Bedrock { .. } => None,
        };
        let base = ask.base.trim_end_matches('/');
        let root = root(base);
        let is_v1 = base.len() != root.len() || matches!(version, Some("v1" | "preview" | "latest"));
        let root = root.strip_suffix("/openai").unwrap_or(root);
        let path = operation.path();
        if is_v1 || is_v1_alone(operation, version) {
            let query = if version == Some("preview") { "?api-version=preview" } else { "" };
            return Ok(format!("{root}/openai/v1/{path}{query}"));
        }
        let version = version.unwrap_or(API_VERSION);
        let deployment = path_segment(ask.model)?;
        Ok(format!("{root}/openai/deployments/{deployment}/{path}?api-version={version}"))
    }

    fn authorize(&self, ask: &Ask<'_>, headers: &mut HeaderMap) -> Result<(), Unsendable> {
        let Some(key) = ask.key else { return Ok(()) };
        secret_header(headers, API_KEY, key.expose_secret())
    }

    fn differences(&self, operation: Operation, _: &str) -> Differences {
        if operation == Operation::ChatCompletion { Differences::STRICT } else { Differences::NONE }
    }
}

/// What no path with a deployment has: responses in any version, image edits in those that are not a preview.
fn is_v1_alone(operation: Operation, version: Option<&str>) -> bool {
    operation == Operation::Responses || (operation == Operation::ImageEdit && version.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(base: &str, version: Option<&str>) -> String {
        url_of(Operation::TextCompletion, base, version)
    }

    fn url_of(operation: Operation, base: &str, version: Option<&str>) -> String {
        let access = KeyAccess::Azure { endpoint: None, api_version: version.map(str::to_owned) };
        let model = "gpt 3/5";
        Azure
            .url(operation, &Ask { base, model, is_alias: false, key: None, access: &access, token: None })
            .unwrap()
    }

    #[test]
    fn a_deployment_is_in_the_path_or_the_form_is_v1() {
        let paths = "https://r.openai.azure.com/openai/deployments/gpt%203%2F5/completions?api-version=";
        for base in ["https://r.openai.azure.com", "https://r.openai.azure.com/openai/"] {
            assert_eq!(url(base, None), format!("{paths}2024-10-21"));
            assert_eq!(url(base, Some("2024-02-01")), format!("{paths}2024-02-01"));
            assert_eq!(url(base, Some("v1")), "https://r.openai.azure.com/openai/v1/completions");
        }
        let v1 = "https://r.openai.azure.com/openai/v1/";
        assert_eq!(url(v1, None), "https://r.openai.azure.com/openai/v1/completions");
    }

    #[test]
    fn responses_are_in_the_v1_form_alone() {
        let base = "https://r.openai.azure.com";
        let v1 = "https://r.openai.azure.com/openai/v1";
        for version in [None, Some("2024-10-21"), Some("v1")] {
            assert_eq!(url_of(Operation::Responses, base, version), format!("{v1}/responses"));
        }
        let preview = url_of(Operation::Responses, base, Some("preview"));
        assert_eq!(preview, format!("{v1}/responses?api-version=preview"));
        assert_eq!(url_of(Operation::ImageEdit, base, None), format!("{v1}/images/edits"));
        assert_eq!(
            url_of(Operation::ImageEdit, base, Some("2025-04-01-preview")),
            "https://r.openai.azure.com/openai/deployments/gpt%203%2F5/images/edits?api-version=2025-04-01-preview"
        );
    }
}
