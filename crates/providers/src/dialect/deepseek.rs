//! `DeepSeek`'s text completions, which are beta and have a base of their own.
//!
//! <https://api-docs.deepseek.com/api/create-completion>

use super::{Ask, Native, Unsendable, root};
use crate::error_form::ErrorForm;

#[derive(Debug)]
pub(super) struct DeepSeek;

impl ErrorForm for DeepSeek {}

impl Native for DeepSeek {
    fn url(&self, ask: &Ask<'_>) -> Result<String, Unsendable> {
        let root = root(ask.base);
        Ok(format!("{}/beta/completions", root.strip_suffix("/beta").unwrap_or(root)))
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
            assert_eq!(DeepSeek.url(&ask).unwrap(), "https://api.deepseek.com/beta/completions");
        }
    }
}
