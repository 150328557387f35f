//! Jina AI, whose embeddings are in OpenAI's form and whose rerank is in Cohere's.
//!
//! - Requests and answers: <https://api.jina.ai/redoc>

use hermod_types::Operation;

use super::Dialect;
use crate::chat::Differences;
use crate::error_form::ErrorForm;

/// OpenAI's SDKs ask for base64, and take no other answer.
const EMBEDDING: Differences =
    Differences { renamed: &[("encoding_format", "embedding_type")], ..Differences::NONE };

#[derive(Debug)]
pub(super) struct Jina;

impl ErrorForm for Jina {}

impl Dialect for Jina {
    fn differences(&self, operation: Operation, _: &str) -> Differences {
        if operation == Operation::Embedding { EMBEDDING } else { Differences::NONE }
    }
}
