//! Embeddings: <https://ai.google.dev/api/embeddings#method:-models.batchembedcontents>

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Gemini, post, resource};
use crate::answer::Answer;
use crate::dialect::{Ask, Outgoing, Unsendable};
use crate::embeddings::{EmbeddingRequest, Embeddings, Vectors};
use crate::literal::Literal;
use crate::request_body::RequestBody;

/// <https://ai.google.dev/gemini-api/docs/embeddings>: its error is "at most 100 requests can be in one batch".
const MOST_TEXTS: usize = 100;

impl Embeddings for Gemini {
    fn most_inputs(&self, _: &str) -> usize {
        MOST_TEXTS
    }

    fn request(
        &self,
        ask: &Ask<'_>,
        request: &EmbeddingRequest<'_>,
        inputs: &[Literal<'_>],
    ) -> Result<Outgoing, Unsendable> {
        let (kind, model) = resource(ask.model);
        let model = Literal::of(&format!("{kind}/{model}"));
        let one = |text: &Literal<'_>| {
            let mut one = RequestBody::nested();
            one.own("model", model.as_json());
            one.own("content", &content(text));
            write_config(&mut one, request);
            one.finish()
        };
        let requests: Vec<String> = inputs.iter().map(one).collect();
        post(ask, "batchEmbedContents", format!("{{\"requests\":[{}]}}", requests.join(",")))
    }

    fn read(&self, answer: &Answer) -> Result<Vectors, String> {
        let answer: BatchAnswer<'_> = read(answer)?;
        let vectors = answer.embeddings.iter().map(|embedding| embedding.values.get().to_owned());
        Ok(Vectors::of(vectors.collect(), answer.usage_metadata.and_then(|usage| usage.prompt_token_count)))
    }
}

/// One text, as what an embedding is made of.
pub(in crate::dialect) fn content(text: &Literal<'_>) -> String {
    format!("{{\"parts\":[{{\"text\":{}}}]}}", text.as_json())
}

/// What the client says of the vectors, by Google's names: Bifrost's clients write them with underscores.
pub(in crate::dialect) fn write_config<'a>(out: &mut RequestBody<'a>, request: &'a EmbeddingRequest<'_>) {
    if let Some(dimensions) = request.dimensions {
        out.own("outputDimensionality", dimensions);
    }
    for (name, value) in &request.members {
        match name.as_ref() {
            "task_type" => out.own("taskType", value),
            "auto_truncate" => out.own("autoTruncate", value),
            name => out.client(name, value),
        }
    }
}

pub(in crate::dialect) fn read<'a, T: Deserialize<'a>>(answer: &'a Answer) -> Result<T, String> {
    serde_json::from_str(answer.text()?).map_err(|_| "its answer is not one of embeddings".to_owned())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchAnswer<'a> {
    #[serde(borrow)]
    embeddings: Vec<Embedding<'a>>,
    #[serde(default)]
    usage_metadata: Option<Tokens>,
}

#[derive(Deserialize)]
pub(in crate::dialect) struct Embedding<'a> {
    #[serde(borrow)]
    pub(in crate::dialect) values: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::dialect) struct Tokens {
    #[serde(default)]
    pub(in crate::dialect) prompt_token_count: Option<u64>,
}
