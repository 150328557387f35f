//! Cohere, over its chat API.
//!
//! - Requests and answers: <https://docs.cohere.com/v2/reference/chat>
//! - Errors: <https://docs.cohere.com/v2/reference/errors>
//!
//! `top_p` is called `p` there and must be between 0.01 and 0.99. There is no `n`. Temperature and penalties go from 0
//! to 1, and there may be five stop sequences.

mod chat;

use hermod_types::ErrorDetail;

use super::Dialect;
use crate::chat::Chat;
use crate::error_form::ErrorForm;

#[derive(Debug)]
pub(super) struct Cohere;

impl ErrorForm for Cohere {
    fn status(&self, status: u16, error: &ErrorDetail) -> u16 {
        match status {
            // A trial's key that has had its calls of the month: money, not pace.
            429 if error.message.contains("/ month") => 402,
            // The prompt, or what was written, is on its list of what it does not serve.
            498 => 422,
            _ => status,
        }
    }
}

impl Dialect for Cohere {
    fn chat(&self) -> Option<&dyn Chat> {
        Some(self)
    }
}

/// `base`, which may end in a slash or already in the API's version.
fn root(base: &str) -> &str {
    let base = super::root(base);
    base.strip_suffix("/v2").unwrap_or(base)
}
