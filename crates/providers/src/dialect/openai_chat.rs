//! Those that have OpenAI's chat API (some, other calls too) and no text completions, and differ in little: a row each.
//!
//! - Hugging Face's router of inference providers: <https://huggingface.co/docs/inference-providers/tasks/chat-completion>
//! - Groq: <https://console.groq.com/docs/api-reference>
//! - xAI: <https://docs.x.ai/docs/api-reference>
//! - Cerebras: <https://inference-docs.cerebras.ai/api-reference/chat-completions>
//! - Perplexity: <https://docs.perplexity.ai/api-reference/sonar-post>

use hermod_types::{ErrorDetail, Operation};

use super::{Ask, Dialect, Unsendable, below};
use crate::chat::Differences;
use crate::error_form::ErrorForm;

#[derive(Debug)]
pub(super) struct OpenAiChat {
    /// Below the address, before the operation's own path.
    prefix: &'static str,
    /// In chat.
    differences: Differences,
    /// How the message of a 400 begins that is about the key: it counts as 401.
    wrong_key: Option<&'static str>,
}

const USUAL: OpenAiChat = OpenAiChat { prefix: "v1/", differences: Differences::EFFORT, wrong_key: None };

pub(super) const HUGGING_FACE: OpenAiChat = USUAL;
/// It answers `property 'reasoning_content' is unsupported`.
pub(super) const GROQ: OpenAiChat = OpenAiChat {
    differences: Differences {
        without_in_messages: &[
            "extra_content",
            "is_error",
            "reasoning",
            "reasoning_content",
            "reasoning_details",
            "refusal",
            "annotations",
        ],
        ..Differences::STRICT
    },
    ..USUAL
};
pub(super) const XAI: OpenAiChat = OpenAiChat { wrong_key: Some("Incorrect API key"), ..USUAL };
/// It refuses what it does not know; what was thought it calls `reasoning`.
pub(super) const CEREBRAS: OpenAiChat = OpenAiChat {
    differences: Differences {
        without_in_messages: &[
            "extra_content",
            "is_error",
            "reasoning_content",
            "reasoning_details",
            "refusal",
            "annotations",
        ],
        ..Differences::STRICT
    },
    ..USUAL
};
pub(super) const PERPLEXITY: OpenAiChat = OpenAiChat {
    prefix: "",
    differences: Differences { without: &["seed", "user"], ..Differences::ONLY_MAX_TOKENS },
    ..USUAL
};

impl ErrorForm for OpenAiChat {
    fn status(&self, status: u16, error: &ErrorDetail) -> u16 {
        let is_key = |begins: &str| status == 400 && error.message.starts_with(begins);
        if self.wrong_key.is_some_and(is_key) { 401 } else { status }
    }
}

impl Dialect for OpenAiChat {
    fn url(&self, operation: Operation, ask: &Ask<'_>) -> Result<String, Unsendable> {
        Ok(below(ask.base, &format!("{}{}", self.prefix, operation.path())))
    }

    fn differences(&self, operation: Operation, _: &str) -> Differences {
        if operation == Operation::ChatCompletion { self.differences } else { Differences::NONE }
    }
}
