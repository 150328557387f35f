//! OpenAI itself, and those that differ from it in nothing that matters here.
//!
//! - OpenAI: <https://platform.openai.com/docs/api-reference/completions>
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

use super::Dialect;
use crate::error_form::ErrorForm;

/// OpenAI's paths with a bearer token.
#[derive(Debug)]
pub(super) struct Bearer;

impl ErrorForm for Bearer {}

impl Dialect for Bearer {}
