//! Embeddings at Amazon Bedrock, which each family of models is asked for in its own way.
//!
//! - Amazon Titan, one text a call: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html>
//! - Cohere: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html>

use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::bedrock::{Bedrock, url};
use super::{Ask, Outgoing, Unsendable, cohere_embed};
use crate::answer::Answer;
use crate::embeddings::{EmbeddingRequest, Embeddings, Vectors};
use crate::literal::Literal;
use crate::request_body::RequestBody;

/// Where Bedrock says how many tokens it has read.
const INPUT_TOKENS: &str = "x-amzn-bedrock-input-token-count";

impl Embeddings for Bedrock {
    fn most_inputs(&self, model: &str) -> usize {
        if is_cohere(model) { cohere_embed::MOST_TEXTS } else { 1 }
    }

    fn request(
        &self,
        ask: &Ask<'_>,
        request: &EmbeddingRequest<'_>,
        inputs: &[Literal<'_>],
    ) -> Result<Outgoing, Unsendable> {
        let mut body = RequestBody::new(&[]);
        if is_cohere(ask.model) {
            cohere_embed::write(&mut body, request, inputs);
        } else {
            let text = inputs.first().ok_or(Unsendable::Unreadable)?;
            body.own("inputText", text.as_json());
            if let Some(dimensions) = request.dimensions {
                body.own("dimensions", dimensions);
            }
            for (name, value) in &request.members {
                body.client(name, value);
            }
        }
        Outgoing::new(&url(ask, "invoke")?, body.finish())
    }

    fn read(&self, answer: &Answer) -> Result<Vectors, String> {
        let Ok(titan) = serde_json::from_str::<TitanAnswer<'_>>(answer.text()?) else {
            let vectors = cohere_embed::read(answer)?.vectors;
            return Ok(Vectors::of(vectors, input_tokens(answer.headers())));
        };
        let tokens = titan.input_text_token_count.or_else(|| input_tokens(answer.headers()));
        Ok(Vectors::of(vec![titan.embedding.get().to_owned()], tokens))
    }
}

/// Its id, that of an inference profile and a foundation model's ARN all name the maker.
fn is_cohere(model: &str) -> bool {
    model.contains("cohere.")
}

fn input_tokens(headers: &HeaderMap) -> Option<u64> {
    headers.get(INPUT_TOKENS)?.to_str().ok()?.parse().ok()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TitanAnswer<'a> {
    #[serde(borrow)]
    embedding: &'a RawValue,
    #[serde(default)]
    input_text_token_count: Option<u64>,
}
