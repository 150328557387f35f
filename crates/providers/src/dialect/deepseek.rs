//! `DeepSeek`, whose text completions are beta and have a base of their own.
//!
//! - Text completions: <https://api-docs.deepseek.com/api/create-completion>
//! - Chat: <https://api-docs.deepseek.com/api/create-chat-completion>

use hermod_types::Operation;

use super::{Ask, Dialect, Unsendable, root};
use crate::chat::Differences;
use crate::error_form::ErrorForm;

/// What it has in place of an effort of `none`: <https://api-docs.deepseek.com/guides/thinking_mode>
const CHAT: Differences = Differences {
    no_reasoning: Some(("thinking", "{\"type\":\"disabled\"}")),
    ..Differences::ONLY_MAX_TOKENS
};

#[derive(Debug)]
pub(super) struct DeepSeek;

impl ErrorForm for DeepSeek {}

impl Dialect for DeepSeek {
    fn url(&self, operation: Operation, ask: &Ask<'_>) -> Result<String, Unsendable> {
        let root = root(ask.base);
        let root = root.strip_suffix("/beta").unwrap_or(root);
        let beta = if operation == Operation::TextCompletion { "beta/" } else { "" };
        Ok(format!("{root}/{beta}{}", operation.path()))
    }

    fn differences(&self, operation: Operation, _: &str) -> Differences {
        if operation == Operation::ChatCompletion { CHAT } else { Differences::NONE }
    }
}

#[cfg(test)]
mod tests {
    use hermod_types::config::KeyAccess;

    use super::*;

    #[test]
    fn every_base_that_its_documentation_names_leads_to_the_beta() {
        for base in ["", "/", "/v1", "/beta", "/beta/"] {
            let base = format!("https://api.deepseek.com{base}");
            let ask = Ask {
                base: &base,
                model: "m",
                is_alias: false,
                key: None,
                access: &KeyAccess::Plain,
                token: None,
            };
            assert_eq!(
                DeepSeek.url(Operation::TextCompletion, &ask).unwrap(),
                "https://api.deepseek.com/beta/completions"
            );
        }
    }
}
