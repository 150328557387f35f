//! OpenAI itself, and those that have its paths: a row for each that calls something in chat otherwise.
//!
//! - OpenAI: <https://platform.openai.com/docs/api-reference>
//! - vLLM: <https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html>
//! - Ollama: <https://docs.ollama.com/api/openai-compatibility>
//! - llama.cpp: <https://github.com/ggml-org/llama.cpp/tree/master/tools/server>
//! - `SGLang`: <https://docs.sglang.ai/basic_usage/openai_api_completions.html>
//! - text-generation-inference: <https://huggingface.co/docs/text-generation-inference/reference/api_reference>
//! - Together: <https://docs.together.ai/reference/completions-1>
//! - Fireworks: <https://docs.fireworks.ai/api-reference/post-completions>
//! - `OpenRouter`: <https://openrouter.ai/docs/api-reference/completion>
//! - Nebius: <https://docs.tokenfactory.nebius.com/api-reference/inference/create-completion>
//! - Parasail: <https://docs.parasail.io/parasail-docs/serverless/serverless>

use hermod_types::Operation;

use super::Dialect;
use crate::chat::Differences;
use crate::error_form::ErrorForm;

/// OpenAI's paths with a bearer token.
#[derive(Debug)]
pub(super) struct Bearer {
    /// In chat.
    differences: Differences,
}

pub(super) const OPENAI: Bearer = Bearer { differences: Differences::STRICT };
/// Of servers that pass over what they do not know.
pub(super) const LENIENT: Bearer = Bearer { differences: Differences::EFFORT };
/// Those of them that read `max_tokens` alone.
pub(super) const LLAMA_CPP: Bearer = Bearer { differences: Differences::ONLY_MAX_TOKENS };
pub(super) const TGI: Bearer = LLAMA_CPP;
/// It takes the object `reasoning` too.
pub(super) const OLLAMA: Bearer =
    Bearer { differences: Differences { no_reasoning: None, ..Differences::ONLY_MAX_TOKENS } };
/// Its object `reasoning` has `enabled` alone: <https://docs.together.ai/docs/reasoning-overview>
pub(super) const TOGETHER: Bearer = Bearer {
    differences: Differences {
        no_reasoning: Some(("reasoning", "{\"enabled\":false}")),
        ..Differences::ONLY_MAX_TOKENS
    },
};
/// Bifrost's object `reasoning` is its own: <https://openrouter.ai/docs/use-cases/reasoning-tokens>
pub(super) const OPEN_ROUTER: Bearer = Bearer { differences: Differences::NONE };

impl ErrorForm for Bearer {}

impl Dialect for Bearer {
    fn differences(&self, operation: Operation, _: &str) -> Differences {
        if operation == Operation::ChatCompletion { self.differences } else { Differences::NONE }
    }
}
